"""The benchmarks: each runs both products in turn and returns the rows of the table."""

from __future__ import annotations

import json
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from agents import (
    Product,
    RunningAgent,
    many_templates_config,
    one_template_config,
    product_folder,
    rendering_config,
    start_caching_agent,
)
from caching import caching
from holding import holding
from delivering import delivering
from http_api import call
from load import Wrk, in_turn, login_many, login_once, numbered_login
from machine import is_stripped
from processes import BenchError, clean_environment, last_lines, send_to_group
from proxying import pass_through, proxying
from report import Report, Row, Unit, at_least, below, ratio_below
from servers import BaoServer
from identities import memory_per_identity
from token_life import token_life


@dataclass(frozen=True)
class Plan:
    """How long and how often."""

    rounds: int
    start_runs: int
    wrk_seconds: int
    logins: int
    settle_seconds: float


@dataclass(frozen=True)
class Examples:
    """Programs of the workspace that take part; one that is not built is None."""

    open_loop: Path | None
    bare_forwarder: Path | None
    measure: Path | None


@dataclass(frozen=True)
class Bench:
    """What every benchmark gets. A peer or wrk that is not installed is None."""

    ours: Product
    bao: Product
    server: BaoServer
    folder: Path
    plan: Plan
    wrk: Wrk | None
    nginx: str | None
    haproxy: str | None
    examples: Examples
    report: Report

    @property
    def quick(self) -> bool:
        return self.plan.rounds == 1

    def products(self) -> tuple[Product, Product]:
        return self.ours, self.bao

    def say(self, text: str) -> None:
        print(f"  {text}", flush=True)


Scenario = Callable[[Bench], None]


def scenarios() -> dict[str, Scenario]:
    """All benchmarks by the name that `--only` takes, in the order of the table."""
    return {
        "start": start_to_exit,
        "templates": many_templates,
        "rendering": pure_rendering,
        "idle": idle_memory,
        "token-life": token_life,
        "delivering": delivering,
        "identities": memory_per_identity,
        "logins": cached_logins,
        "passthrough": pass_through,
        "proxying": proxying,
        "caching": caching,
        "holding": holding,
        "tokens": memory_per_token,
        "binary": binary_size,
    }


@dataclass(frozen=True)
class Launch:
    """One program run from start to exit."""

    milliseconds: float
    peak: float


def start_to_exit(bench: Bench) -> None:
    """Wall time and peak memory of one login, one rendered template, exit."""
    folder = bench.folder / "start"
    commands: dict[Product, tuple[list[str], Path]] = {}
    for product in bench.products():
        own = product_folder(product, folder)
        config = one_template_config(bench.server, own)
        commands[product] = ([str(product.binary), "agent", f"-config={config}"], own)
    launches: dict[Product, list[Launch]] = {product: [] for product in bench.products()}
    for run in range(bench.plan.start_runs + 1):
        for product, (command, own) in commands.items():
            launch = render_once(product, command, own, bench.server.password)
            if run > 0:
                launches[product].append(launch)
                bench.say(f"{product.name}: {launch.milliseconds:.1f} ms, peak {launch.peak:.1f} MB")
    floor = [launch_measured("/bin/true", ["/bin/true"], folder) for _ in range(5)]
    floor_time = statistics.median(launch.milliseconds for launch in floor)
    floor_peak = statistics.median(launch.peak for launch in floor)
    times = {p: statistics.median(launch.milliseconds for launch in runs) for p, runs in launches.items()}
    peaks = {p: statistics.median(launch.peak for launch in runs) for p, runs in launches.items()}
    ours, bao = bench.products()
    bench.report.rows += [
        Row("start to rendered file and exit", Unit.MILLISECONDS, times[ours], times[bao], bar=ratio_below(0.25)),
        Row("its peak memory", Unit.MEGABYTES, peaks[ours], peaks[bao], bar=ratio_below(0.2)),
    ]
    bench.report.notes.append(
        f"Start: {bench.plan.start_runs} runs each in turn after one warm-up; /bin/true measured the same way takes "
        f"{floor_time:.1f} ms and {floor_peak:.1f} MB, so no figure can be lower (nothing is subtracted)"
    )


TEMPLATES = 200


def many_templates(bench: Bench) -> None:
    """Wall time and peak memory of 200 templates with a secret each, rendered once."""
    folder = bench.folder / "templates"
    for number in range(TEMPLATES):
        bench.server.write_secret(f"many/{number}", {"password": f"value-{number}"})
    launches: dict[Product, list[Launch]] = {product: [] for product in bench.products()}
    for run in range(bench.plan.start_runs + 1):
        for product in bench.products():
            # A folder for each run: nothing is deleted between them, for some file systems look through what was
            # deleted lately whenever they make a file.
            own = product_folder(product, folder / str(run))
            config = many_templates_config(bench.server, own, TEMPLATES)
            launch = render_all(product, [str(product.binary), "agent", f"-config={config}"], own)
            if run > 0:
                launches[product].append(launch)
                bench.say(f"{product.name}: {launch.milliseconds:.1f} ms, peak {launch.peak:.1f} MB")
    times = {p: statistics.median(launch.milliseconds for launch in runs) for p, runs in launches.items()}
    peaks = {p: statistics.median(launch.peak for launch in runs) for p, runs in launches.items()}
    if bench.wrk is not None:
        floor = TEMPLATES / read_rate(bench.server, bench.wrk) * 1e3
        bench.report.notes.append(
            f"Templates: wrk, which does nothing with what it reads, needs {floor:.0f} ms for {TEMPLATES} such reads over "
            f"ten connections: the server's own time, which no agent can save"
        )
    ours, bao = bench.products()
    title = f"{TEMPLATES} templates with a secret each, once"
    bench.report.rows += [
        Row(title, Unit.MILLISECONDS, times[ours], times[bao], bar=ratio_below(0.1)),
        Row("its peak memory", Unit.MEGABYTES, peaks[ours], peaks[bao], bar=below(15, Unit.MEGABYTES)),
    ]


# Both long enough that an agent which tries for a moment first tries as long in both.
FEW, MANY = 81, 141


def pure_rendering(bench: Bench) -> None:
    """Time of one rendering of a 10 KB template with loops: many in one file, less fewer, divided."""
    folder = bench.folder / "rendering"
    once: dict[Product, list[float]] = {product: [] for product in bench.products()}
    folders = {product: product_folder(product, folder) for product in bench.products()}
    for run in range(bench.plan.start_runs + 1):
        for product, own in folders.items():
            times = {}
            for count in (FEW, MANY):
                config = rendering_config(bench.server, own, count)
                rendered = own / f"rendered-{count}"
                rendered.unlink(missing_ok=True)
                command = [str(product.binary), "agent", f"-config={config}"]
                times[count] = launch_measured(f"{product.name} agent", command, own).milliseconds
                if rendered.read_text().count("[n999]") != count:
                    raise BenchError(f"{product.name} agent did not render its template {count} times")
            each = (times[MANY] - times[FEW]) / (MANY - FEW)
            if run > 0:
                once[product].append(each)
                bench.say(f"{product.name}: {each:.2f} ms")
    ours, bao = bench.products()
    bench.report.rows.append(
        Row(
            "10 KB template, three loops over 1,000 entries, once",
            Unit.MILLISECONDS,
            statistics.median(once[ours]),
            statistics.median(once[bao]),
        )
    )
    bench.report.notes.append(
        f"Rendering: a file that holds it {MANY} times less one that holds it {FEW} times, writing included, divided by "
        f"{MANY - FEW}"
    )


def read_rate(server: BaoServer, wrk: Wrk) -> float:
    """Reads of a secret that the server answers in a second, ten at a time."""
    login = call("PUT", f"{server.address}/v1/auth/approle/login", body=server.approle.login_body())
    token = login.json()["auth"]["client_token"]
    run = replace(wrk, connections=10).get(f"{server.address}/v1/secret/data/many/0", {"X-Vault-Token": token})
    if run.errors > 0:
        raise BenchError(f"bao server answered {run.errors} reads with errors")
    return run.per_second


def render_all(product: Product, command: list[str], folder: Path) -> Launch:
    files = [folder / f"rendered-{number}" for number in range(TEMPLATES)]
    launch = launch_measured(f"{product.name} agent", command, folder)
    for number, file in enumerate(files):
        if not file.exists() or file.read_text() != f"value-{number}":
            raise BenchError(f"{product.name} agent ended well without rendering template {number}")
    return launch


def render_once(product: Product, command: list[str], folder: Path, expected: str) -> Launch:
    rendered = folder / "rendered"
    rendered.unlink(missing_ok=True)
    launch = launch_measured(f"{product.name} agent", command, folder)
    if not rendered.exists() or rendered.read_text() != expected:
        raise BenchError(f"{product.name} agent ended well without rendering its template")
    return launch


def launch_measured(name: str, command: list[str], folder: Path) -> Launch:
    """Runs a command to its end by way of launch.py."""
    log = folder / "launch.log"
    launcher = [sys.executable, "-I", "-S", str(Path(__file__).with_name("launch.py")), str(log), *command]
    process = subprocess.Popen(
        launcher, stdout=subprocess.PIPE, cwd=folder, env=clean_environment(folder), start_new_session=True
    )
    try:
        output, _ = process.communicate(timeout=30)
    except BaseException as error:
        send_to_group(process.pid, signal.SIGKILL)
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise BenchError(f"{name} did not exit within 30 s: {last_lines(log)}") from error
        raise
    try:
        result = json.loads(output)
    except ValueError as error:
        raise BenchError(f"{name} could not be launched: {last_lines(log)}") from error
    if result["code"] != 0:
        raise BenchError(f"{name} ended with code {result['code']}: {last_lines(log)}")
    return Launch(result["seconds"] * 1e3, result["peak_kib"] * 1024 / 1e6)


def start_both(bench: Bench, folder: Path, stack: ExitStack) -> list[RunningAgent]:
    """A caching agent of each product; `stack` ends them."""
    agents = []
    for product in bench.products():
        agent = start_caching_agent(product, bench.server, folder)
        stack.enter_context(agent.child)
        agents.append(agent)
    return agents


def idle_memory(bench: Bench) -> None:
    """Memory of an agent with login, sink, cache and listener that has nothing to do."""
    with ExitStack() as stack:
        agents = start_both(bench, bench.folder / "idle", stack)
        bench.say("both agents are ready, waiting 3 s")
        time.sleep(3)
        ours, bao = (agent.child.memory() for agent in agents)
    for product, memory in zip(bench.products(), (ours, bao), strict=True):
        bench.say(f"{product.name}: RSS {memory.rss / 1e6:.1f} MB, PSS {memory.pss / 1e6:.1f} MB")
    bench.report.rows += [
        Row("idle memory (RSS)", Unit.MEGABYTES, ours.rss / 1e6, bao.rss / 1e6, bar=below(10, Unit.MEGABYTES)),
        Row("idle memory (PSS)", Unit.MEGABYTES, ours.pss / 1e6, bao.pss / 1e6),
        Row("idle memory (private)", Unit.MEGABYTES, ours.private / 1e6, bao.private / 1e6),
    ]


def cached_logins(bench: Bench) -> None:
    """Requests per second when every answer comes from the cache."""
    title, bar = "cached login answers", at_least(bao=2.5)
    if bench.wrk is None:
        bench.report.rows.append(Row(title, Unit.PER_SECOND, "wrk not installed", "wrk not installed", bar=bar))
        return
    body = bench.server.approle.login_body()
    with ExitStack() as stack:
        agents = {agent.product.name: agent for agent in start_both(bench, bench.folder / "logins", stack)}
        tokens = {name: login_once(agent.port, body, "MISS") for name, agent in agents.items()}
        for name, agent in agents.items():
            login_once(agent.port, body, "HIT", tokens[name])
        runs = in_turn(
            bench.wrk,
            agents,
            bench.plan.rounds,
            lambda wrk, name: wrk.post(agents[name].url("/v1/auth/approle/login"), body),
            bench.say,
        )
        memory = {name: agent.child.memory().rss / 1e6 for name, agent in agents.items()}
        for name, agent in agents.items():
            login_once(agent.port, body, "HIT", tokens[name])
    bench.report.note_errors(runs)
    ours, bao = (product.name for product in bench.products())
    bench.report.rows += [
        Row(title, Unit.PER_SECOND, runs[ours].per_second, runs[bao].per_second, bar=bar, faults=runs[ours].errors),
        Row("memory after cached logins (RSS)", Unit.MEGABYTES, memory[ours], memory[bao]),
    ]


def memory_per_token(bench: Bench) -> None:
    """Growth of an agent by many cached logins, divided by their number."""
    count = bench.plan.logins
    approle = bench.server.approle
    growth: dict[Product, float] = {}
    for product in bench.products():
        agent = start_caching_agent(product, bench.server, bench.folder / "tokens")
        with agent.child:
            time.sleep(3)
            before = agent.child.memory().rss
            started = time.monotonic()
            tokens = login_many(agent.port, approle, count)
            seconds = time.monotonic() - started
            time.sleep(bench.plan.settle_seconds)
            after = agent.child.memory().rss
            for number in (1, count):
                login_once(agent.port, numbered_login(approle, number), "HIT", tokens[number])
        growth[product] = (after - before) / count / 1e3
        bench.say(
            f"{product.name}: {before / 1e6:.1f} MB, after {count:,} logins in {seconds:.0f} s {after / 1e6:.1f} MB"
        )
    ours, bao = bench.products()
    title = f"memory per cached token, {count:,} tokens"
    bench.report.rows.append(Row(title, Unit.KILOBYTES, growth[ours], growth[bao], bar=below(2, Unit.KILOBYTES)))


def binary_size(bench: Bench) -> None:
    """Size of the programs on disk."""
    sizes = {}
    for product in bench.products():
        sizes[product] = product.binary.stat().st_size / 1e6
        stripped = {True: "stripped", False: "not stripped", None: "not an ELF file"}[is_stripped(product.binary)]
        bench.say(f"{product.name}: {sizes[product]:.1f} MB, {stripped}")
        bench.report.notes.append(f"Binary of {product.name}: {stripped}")
    ours, bao = bench.products()
    bench.report.rows.append(Row("binary", Unit.MEGABYTES, sizes[ours], sizes[bao], bar=below(12, Unit.MEGABYTES)))
