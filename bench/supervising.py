"""Supervised children: an agent that has nothing to do beside one, and how soon one is started."""

from __future__ import annotations

import os
import select
import statistics
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agents import agent_command, product_folder, supervised, template, variable
from processes import BenchError, Child, clean_environment, processor_time, read_kib_fields
from report import Bar, Row, Unit, below, ratio_below
from servers import BaoServer
from token_life import Between

if TYPE_CHECKING:
    from scenarios import Bench

# What a child does when it has said that it is there.
WAITING = "exec sleep 100000"

# An interval of the metrics ends each so many seconds, with up to so many wake-ups: the runtime's timers wait for
# multiples of 4,096 ms, then of 64 ms, then for the rest. Connections to the server are closed once.
INTERVAL, WAKINGS, CLOSING = 10, 3, 6


@dataclass(frozen=True)
class Idle:
    """An agent that has nothing to do."""

    memory: float
    processor: float
    wakings: float


def idle(bench: Bench, server: BaoServer, folder: Path, templates: int) -> None:
    """Ours with files and a child; bao, which takes no files beside a child, with as many variables."""
    settling, seconds = (20, 10) if bench.quick else (60, 30)
    with ExitStack() as stack:
        pids = []
        for product in bench.products():
            own = product_folder(product, folder)
            if product is bench.ours:
                blocks = variable(0) + "".join(template(own, number) for number in range(templates))
            else:
                blocks = "".join(variable(number) for number in range(templates))
            command = agent_command(product, server, own, blocks + supervised(f"echo > {own}/started; {WAITING}"))
            child = stack.enter_context(Child(f"{product.name} agent", command, own))
            child.wait_until((own / "started").exists, "running its child")
            pids.append(child.pid)
        bench.say(f"both children run, waiting {settling} s")
        time.sleep(settling)
        found = at_rest(pids, seconds)
    for product, one in zip(bench.products(), found, strict=True):
        bench.say(
            f"{product.name}: {one.memory:.1f} MB, in {seconds} s {one.processor:.2f} ms of processor time, "
            f"{one.wakings:.0f} wake-ups"
        )
    ours, bao = found
    title = f"idle with {templates} templates and a child (RSS)"
    most = WAKINGS * (seconds // INTERVAL) + CLOSING
    bar = Bar(f"only due timers (<= {most})", lambda ours: ours <= most)
    bench.report.rows += [
        Row(title, Unit.MEGABYTES, ours.memory, bao.memory, bar=below(15, Unit.MEGABYTES)),
        Row(f"its processor time in {seconds} s", Unit.MILLISECONDS, ours.processor, bao.processor),
        Row(f"its wake-ups in {seconds} s", Unit.WAKINGS, ours.wakings, bao.wakings, bar=bar),
    ]
    bench.report.notes.append(
        f"Idle: {settling} s after the child's start, the agent without its child. sidekey has one env_template and "
        f"{templates} templates; bao refuses templates beside a child and has {templates} env_templates. Wake-ups are "
        f"voluntary context switches of all threads. Due are the end of a {INTERVAL} s interval of the metrics each "
        f"{INTERVAL} s (up to {WAKINGS} wake-ups: the runtime's timers get exact in steps), and once the closing of idle "
        "connections to the server; no secret before 255 s, and the token of an hour later still"
    )


def at_rest(pids: list[int], seconds: float) -> list[Idle]:
    memory = [read_kib_fields(Path(f"/proc/{pid}/status"))["VmRSS"] * 1024 / 1e6 for pid in pids]
    before = [(switches(pid), processor_time(pid)) for pid in pids]
    time.sleep(seconds)
    found = []
    for pid, rss, (slept, used) in zip(pids, memory, before, strict=True):
        used, after = processor_time(pid) - used, switches(pid)
        # A thread that has ended was woken for that at least once.
        wakings = sum(count - slept.get(thread, 0) for thread, count in after.items()) + len(slept.keys() - after.keys())
        found.append(Idle(rss, used * 1e3, float(wakings)))
    return found


def switches(pid: int) -> dict[str, int]:
    """How often each thread has gone to sleep by itself."""
    counted = {}
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        for line in status.read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "voluntary_ctxt_switches":
                counted[status.parent.name] = int(value)
    return counted


def child_start(bench: Bench, server: BaoServer, folder: Path) -> None:
    """From the agent's start, and from the answer with its secret, to the first thing that a child does."""
    names = [product.name for product in bench.products()]
    from_start: dict[str, list[float]] = {name: [] for name in names}
    from_secret: dict[str, list[float]] = {name: [] for name in names}
    bare = []
    with Between(server, "/secret/data/delivering/") as between:
        for run in range(bench.plan.start_runs + 1):
            for product in bench.products():
                own = product_folder(product, folder / str(run))
                mark = Mark(own / "mark")
                blocks = variable(0) + supervised(f"echo > {mark.path}; {WAITING}")
                command = agent_command(product, server, own, blocks, between.address)
                began = time.perf_counter()
                with mark, Child(f"{product.name} agent", command, own):
                    seen_at = mark.wait(f"{product.name} agent")
                    if run > 0:
                        from_start[product.name].append((seen_at - began) * 1e3)
                        from_secret[product.name].append((seen_at - between.answered_at) * 1e3)
                        bench.say(
                            f"{product.name}: a child {from_start[product.name][-1]:,.1f} ms after the start, "
                            f"{from_secret[product.name][-1]:,.1f} ms after its secret"
                        )
            bare.append(bare_child(folder / str(run)))
    ours, bao = names
    start, secret = ({name: statistics.median(times[name]) for name in names} for times in (from_start, from_secret))
    title = "last secret to the child's first act"
    bench.report.rows += [
        Row("agent's start to its child's first act", Unit.MILLISECONDS, start[ours], start[bao], bar=ratio_below(0.02)),
        Row(title, Unit.MILLISECONDS, secret[ours], secret[bao], bar=below(20, Unit.MILLISECONDS)),
    ]
    bench.report.notes.append(
        f"Child: {bench.plan.start_runs} starts each in turn, one env_template; a forwarder notes when it hands on the "
        "secret, the child is a shell that writes into a pipe. That shell without an agent takes "
        f"{statistics.median(bare):.1f} ms of it. bao waits for 2 s without news"
    )


class Mark:
    """A pipe with a name, into which a child writes when it is there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def __enter__(self) -> Mark:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def wait(self, name: str) -> float:
        """When somebody has written."""
        waiting = select.poll()
        waiting.register(self._file, select.POLLIN)
        if not waiting.poll(20_000):
            raise BenchError(f"{name} started no child within 20 s")
        return time.perf_counter()


def bare_child(folder: Path) -> float:
    """Milliseconds to the same child's first act without an agent."""
    with Mark(folder / "bare") as mark:
        began = time.perf_counter()
        command = ["/bin/sh", "-c", f"echo > {mark.path}"]
        with subprocess.Popen(command, env=clean_environment(folder), start_new_session=True):
            return (mark.wait("/bin/sh") - began) * 1e3
