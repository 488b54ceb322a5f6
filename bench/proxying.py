"""What a proxy costs besides the plain rate: crowds, TLS, waiting times, idle connections, memory afterwards."""

from __future__ import annotations

import json
import resource
import socket
import statistics
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from agents import start_plain_proxy
from http_api import call
from load import WrkRun, in_turn, one_after_the_other, shuffled
from processes import BenchError, Child
from report import Bar, Cell, Row, Unit, at_least, at_most, below
from servers import start_bare_forwarder, start_haproxy, start_nginx_proxy, start_static_upstream

if TYPE_CHECKING:
    from scenarios import Bench

REQUEST = b"GET /v1/secret/data/app HTTP/1.1\r\nHost: localhost\r\nX-Vault-Token: x\r\n\r\n"
IDLE = 2_000
TOKEN = {"X-Vault-Token": "x"}


@dataclass(frozen=True)
class Target:
    """Something that passes requests on to the static upstream, or that itself."""

    child: Child
    port: int

    def url(self, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}/v1/secret/data/app"


def pass_through(bench: Bench) -> None:
    """Requests per second through a plain proxy to a static upstream, nginx and HAProxy beside."""
    title, bar = "passed-through requests", at_least(bao=5, nginx=1, haproxy=1)
    missing = [tool for tool, found in (("wrk", bench.wrk), ("nginx", bench.nginx)) if found is None]
    if missing:
        cell = f"{' and '.join(missing)} not installed"
        bench.report.rows.append(Row(title, Unit.PER_SECOND, cell, cell, bar=bar))
        return
    folder = bench.folder / "passthrough"
    folder.mkdir()
    with ExitStack() as stack:
        targets = start(bench, folder, stack, None)
        check_same_answers(targets)
        runs = rates(bench, targets, 32, "http")
        memory = {name: target.child.memory().rss / 1e6 for name, target in targets.items()}
        check_same_answers(targets)
    bench.report.rows += [
        rate_row(bench, title, runs, bar),
        Row("memory after passing through (RSS)", Unit.MEGABYTES, *cells(bench, memory)),
    ]
    bench.report.notes.append(
        f"Passing through: without a proxy, {runs['upstream'].per_second:,.0f} req/s; the limit is a program that copies "
        "what arrives at one socket to another, and reads nothing of it"
    )


def check_same_answers(targets: dict[str, Target]) -> None:
    """Every target must give the upstream's answer, which comes first."""
    wanted = b""
    for name, target in targets.items():
        answer = call("GET", target.url(), token="x")
        wanted = wanted or answer.body
        if answer.status != 200 or answer.body != wanted:
            raise BenchError(f"{name} answered {answer.status} with another body than the upstream")


def proxying(bench: Bench) -> None:
    """A proxy under 256 connections, with TLS, with one request at a time, at a constant rate, and with idle clients."""
    if bench.wrk is None or bench.nginx is None:
        bench.report.rows.append(Row("proxying", None, "wrk or nginx not installed", None))
        return
    folder = bench.folder / "proxying"
    folder.mkdir()
    with ExitStack() as stack:
        targets = start(bench, folder, stack, None)
        crowd = rates(bench, targets, 256, "http")
        rows = [rate_row(bench, "passed-through requests, 256 connections", crowd, at_least(haproxy=1))]
        after = {name: target.child.memory().rss / 1e6 for name, target in targets.items()}
        rows += [
            added(bench, targets),
            waits(bench, targets, crowd),
            *idle(bench, targets),
        ]
        if not bench.quick:
            time.sleep(60)
        later = {name: target.child.memory().rss / 1e6 for name, target in targets.items()}
        rows += [
            Row("memory after 256 connections (RSS)", Unit.MEGABYTES, *cells(bench, after), bar=below(12, Unit.MEGABYTES)),
            Row("the same a minute later", Unit.MEGABYTES, *cells(bench, later), bar=below(9, Unit.MEGABYTES)),
        ]
    with ExitStack() as stack:
        inner = folder / "tls"
        inner.mkdir()
        targets = start(bench, inner, stack, certificate(inner))
        secured = {name: target for name, target in targets.items() if name not in ("upstream", "limit")}
        rows.append(rate_row(bench, "passed-through requests, TLS", rates(bench, secured, 32, "https"), at_least(haproxy=1)))
    bench.report.rows += rows


def certificate(folder: Path) -> Path:
    """A self-signed certificate with its key behind it; the key alone is beside it."""
    pem, key = folder / "both.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", "/CN=localhost", "-days", "2", "-keyout", str(key), "-out", str(pem)]
    subprocess.run(command, check=True, capture_output=True)
    pem.write_text(pem.read_text() + key.read_text())
    return pem


def start(bench: Bench, folder: Path, stack: ExitStack, pem: Path | None) -> dict[str, Target]:
    if bench.nginx is None:
        raise BenchError("nginx is not installed")
    upstream, port = start_static_upstream(bench.nginx, folder)
    stack.enter_context(upstream)
    targets = {"upstream": Target(upstream, port)}
    for product in bench.products():
        proxy = start_plain_proxy(product, port, folder, pem)
        stack.enter_context(proxy.child)
        targets[product.name] = Target(proxy.child, proxy.port)
    child, own = start_nginx_proxy(bench.nginx, port, folder, pem)
    stack.enter_context(child)
    targets["nginx"] = Target(child, own)
    if bench.haproxy is not None:
        child, own = start_haproxy(bench.haproxy, port, folder, pem)
        stack.enter_context(child)
        targets["haproxy"] = Target(child, own)
    if bench.examples.bare_forwarder is not None:
        child, own = start_bare_forwarder(bench.examples.bare_forwarder, port, folder)
        stack.enter_context(child)
        targets["limit"] = Target(child, own)
    return targets


def cells(bench: Bench, found: dict[str, float]) -> tuple[Cell, Cell, Cell, Cell]:
    ours, bao = (product.name for product in bench.products())
    return found[ours], found[bao], found["nginx"], found.get("haproxy", "not installed")


def rate_row(bench: Bench, title: str, runs: dict[str, WrkRun], bar: Bar) -> Row:
    bench.report.note_errors(runs)
    found = {name: run.per_second for name, run in runs.items()}
    faults = runs[bench.ours.name].errors
    return Row(title, Unit.PER_SECOND, *cells(bench, found), bar=bar, faults=faults, limit=found.get("limit"))


def rates(bench: Bench, targets: dict[str, Target], connections: int, scheme: str) -> dict[str, WrkRun]:
    if bench.wrk is None:
        raise BenchError("wrk is not installed")
    bench.say(f"{connections} connections, {scheme}")
    wrk = replace(bench.wrk, connections=connections)
    return in_turn(wrk, targets, bench.plan.rounds, lambda wrk, name: wrk.get(targets[name].url(scheme), TOKEN), bench.say)


def one_request(connection: socket.socket) -> None:
    connection.sendall(REQUEST)
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = connection.recv(65536)
        if not piece:
            raise BenchError("a connection was closed without an answer")
        answer += piece


def connect(target: Target) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", target.port), timeout=20)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def added(bench: Bench, targets: dict[str, Target]) -> Row:
    """What a request takes when it is alone, less what the upstream takes without a proxy."""
    title, bar = "time added to one request, alone (median)", below(60, Unit.MICROSECONDS)
    with ExitStack() as stack:
        connections = {name: stack.enter_context(connect(target)) for name, target in targets.items()}
        medians = one_after_the_other({name: partial(one_request, end) for name, end in connections.items()})
    found = {name: value - medians["upstream"] for name, value in medians.items()}
    return Row(title, Unit.MICROSECONDS, *cells(bench, found), bar=bar, limit=found.get("limit"))


def waits(bench: Bench, targets: dict[str, Target], runs: dict[str, WrkRun]) -> Row:
    """The 99th of a hundred waits at a constant rate: half of what the slower of us and HAProxy pass on at most.

    bao gets half of its own rate: at a higher one its queue would grow without end. In parts of a second in turn, each
    with a 99th of its own; the median of all of them.
    """
    ours, bao = (product.name for product in bench.products())
    common = min(runs[name].per_second for name in (ours, "haproxy", "nginx") if name in runs) / 2
    own = {name: int(min(common, run.per_second / 2)) for name, run in runs.items() if name != "upstream"}
    name = f"p99 at {common:,.0f} requests/s, sent on time (bao: at {own[bao]:,})"
    if bench.examples.open_loop is None:
        return Row(name, Unit.MILLISECONDS, *("open_loop not built",) * 4)
    found: dict[str, list[float]] = {name: [] for name in own}
    for number in range(bench.plan.rounds * bench.plan.wrk_seconds):
        for each in shuffled(list(own), number):
            command = [str(bench.examples.open_loop), str(targets[each].port), str(own[each]), "1", "32"]
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
            if done.returncode != 0:
                raise BenchError(f"{each}, at a constant rate: {done.stderr.strip()}")
            found[each].append(json.loads(done.stdout)["p99"] / 1e3)
            bench.say(f"part {number + 1}, {each}, {own[each]:,} req/s: {done.stdout.strip()}")
    medians = {name: statistics.median(some) for name, some in found.items()}
    return Row(name, Unit.MILLISECONDS, *cells(bench, medians), bar=at_most("haproxy"), limit=medians.get("limit"))


def idle(bench: Bench, targets: dict[str, Target]) -> list[Row]:
    """Growth by connections that have asked once and stay open, divided by their number; and how long another one waits
    for its answers beside them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    grown, waited = {}, {}
    for name, target in targets.items():
        if name in ("upstream", "limit"):
            continue
        before = target.child.memory().rss
        connections: list[socket.socket] = []
        try:
            for _ in range(IDLE):
                connections.append(connect(target))
                one_request(connections[-1])
            grown[name] = (target.child.memory().rss - before) / IDLE / 1e3
            waited[name] = slow_wait(target)
        except (OSError, BenchError):
            bench.report.notes.append(f"{name} took {len(connections):,} idle connections and no more")
            grown[name] = waited[name] = float("nan")
        for connection in connections:
            connection.close()
    memory, waits = cells(bench, grown), cells(bench, waited)
    return [
        Row(f"memory of an idle connection, {IDLE:,} of them", Unit.KILOBYTES, *memory, bar=below(8, Unit.KILOBYTES)),
        Row("longest of 50 waits beside them", Unit.MILLISECONDS, *waits, bar=below(50, Unit.MILLISECONDS)),
    ]


def slow_wait(target: Target) -> float:
    """The longest of 50 waits for an answer, each on a connection of its own."""
    longest = 0.0
    for _ in range(50):
        started = time.perf_counter()
        connection = connect(target)
        one_request(connection)
        longest = max(longest, time.perf_counter() - started)
        connection.close()
    return longest * 1e3
