"""What a proxy costs besides the plain rate: crowds, TLS, waiting times, idle connections, memory afterwards."""

from __future__ import annotations

import json
import resource
import socket
import statistics
import subprocess
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from load import WrkRun, shuffled
from processes import BenchError
from report import Cell, Row, Unit, at_least, at_most, below
from servers import start_haproxy, start_nginx_proxy, start_static_upstream
from agents import start_plain_proxy

if TYPE_CHECKING:
    from scenarios import Bench, Target

REQUEST = b"GET /v1/secret/data/app HTTP/1.1\r\nHost: localhost\r\nX-Vault-Token: x\r\n\r\n"
IDLE = 2_000
TOKEN = {"X-Vault-Token": "x"}


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
        rows = [Row("passed-through requests, 256 connections", Unit.PER_SECOND, *cells(bench, crowd), bar=at_least(haproxy=1))]
        after = {name: target.child.memory().rss / 1e6 for name, target in targets.items()}
        rows += [
            Row("time added to one request, alone (median)", Unit.MICROSECONDS, *added(bench, targets), bar=below(60, Unit.MICROSECONDS)),
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
        rows.append(Row("passed-through requests, TLS", Unit.PER_SECOND, *cells(bench, rates(bench, targets, 32, "https")), bar=at_least(haproxy=1)))
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
    from scenarios import Target

    if bench.nginx is None:
        raise BenchError("nginx is not installed")
    upstream, port = start_static_upstream(bench.nginx, folder)
    stack.enter_context(upstream)
    targets = {"upstream": Target("upstream", upstream, port)}
    for product in bench.products():
        proxy = start_plain_proxy(product, port, folder, pem)
        stack.enter_context(proxy.child)
        targets[product.name] = Target(product.name, proxy.child, proxy.port)
    child, own = start_nginx_proxy(bench.nginx, port, folder, pem)
    stack.enter_context(child)
    targets["nginx"] = Target("nginx", child, own)
    if bench.haproxy is not None:
        child, own = start_haproxy(bench.haproxy, port, folder, pem)
        stack.enter_context(child)
        targets["haproxy"] = Target("haproxy", child, own)
    return targets


def cells(bench: Bench, found: dict[str, float]) -> tuple[Cell, Cell, Cell, Cell]:
    ours, bao = (product.name for product in bench.products())
    return found[ours], found[bao], found["nginx"], found.get("haproxy", "not installed")


def rates(bench: Bench, targets: dict[str, Target], connections: int, scheme: str) -> dict[str, float]:
    if bench.wrk is None:
        raise BenchError("wrk is not installed")
    wrk = replace(bench.wrk, connections=connections)
    runs: dict[str, list[WrkRun]] = {name: [] for name in targets if name != "upstream"}
    for number in range(bench.plan.rounds):
        for name in shuffled(list(runs), number):
            url = targets[name].url().replace("http://", f"{scheme}://")
            runs[name].append(wrk.get(url, TOKEN))
            bench.say(f"round {number + 1}, {name}, {connections} connections: {runs[name][-1].per_second:,.0f} req/s")
    return {name: statistics.median(run.per_second for run in some) for name, some in runs.items()}


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


def added(bench: Bench, targets: dict[str, Target]) -> tuple[Cell, Cell, Cell, Cell]:
    """Medians of requests one after the other, less what the upstream takes alone, in turn."""
    connections = {name: connect(target) for name, target in targets.items()}
    times: dict[str, list[float]] = {name: [] for name in targets}
    for number in range(2_000):
        for name, connection in connections.items():
            started = time.perf_counter()
            one_request(connection)
            if number >= 200:
                times[name].append(time.perf_counter() - started)
    for connection in connections.values():
        connection.close()
    medians = {name: statistics.median(some) * 1e6 for name, some in times.items()}
    return cells(bench, {name: value - medians["upstream"] for name, value in medians.items()})


def waits(bench: Bench, targets: dict[str, Target], rates: dict[str, float]) -> Row:
    """The 99th of a hundred waits at a constant rate: half of what the slower of us and HAProxy pass on at most.

    bao gets half of its own rate: at a higher one its queue would grow without end.
    """
    ours, bao = (product.name for product in bench.products())
    common = min(rates[name] for name in (ours, "haproxy", "nginx") if name in rates) / 2
    own = {name: int(min(common, rates[name] / 2)) for name in rates}
    name = f"p99 at {common:,.0f} requests/s, sent on time (bao: at {own[bao]:,})"
    if bench.open_loop is None:
        return Row(name, Unit.MILLISECONDS, *("open_loop not built",) * 4)
    found: dict[str, list[float]] = {name: [] for name in own}
    for number in range(bench.plan.rounds):
        for each in shuffled(list(own), number):
            command = [str(bench.open_loop), str(targets[each].port), str(own[each]), "4", "32"]
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
            if done.returncode != 0:
                raise BenchError(f"{each}, at a constant rate: {done.stderr.strip()}")
            found[each].append(json.loads(done.stdout)["p99"] / 1e3)
            bench.say(f"round {number + 1}, {each}, {own[each]:,} req/s: {done.stdout.strip()}")
    return Row(name, Unit.MILLISECONDS, *cells(bench, {name: statistics.median(some) for name, some in found.items()}), bar=at_most("haproxy"))


def idle(bench: Bench, targets: dict[str, Target]) -> list[Row]:
    """Growth by connections that have asked once and stay open, divided by their number; and how long another one waits
    for its answers beside them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    grown, waited = {}, {}
    for name, target in targets.items():
        if name == "upstream":
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
