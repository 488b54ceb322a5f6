"""What it costs to remember: memory for each token and lease, and the processor's time for renewing many of them."""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from caching import ACCOUNT, LOGIN, Counting, ask, connect, start_agent
from processes import BenchError
from report import Cell, Row, Unit, below

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scenarios import Bench

FEW, MANY = 10_000, 100_000
# What Options::renewals_per_second is unless told otherwise; so many may be made at once after a pause.
RATE, BURST = 200, 16


def holding(bench: Bench) -> None:
    """Memory for each cached token and lease, and what renewing a hundred thousand of them costs."""
    folder = bench.folder / "holding"
    folder.mkdir()
    with Counting() as upstream:
        memory(bench, folder, upstream, "token", login)
        memory(bench, folder, upstream, "lease", account)
    renewals(bench)


def login(number: int) -> bytes:
    body = b'{"role_id": "role", "secret_id": "%d"}' % number
    head = "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return (head % (LOGIN, len(body))).encode() + body


def account(number: int) -> bytes:
    return f"GET {ACCOUNT}?number={number} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def memory(bench: Bench, folder: Path, upstream: Counting, kind: str, request: Callable[[int], bytes]) -> None:
    """Growth by requests that a scripted server answers with 500 bytes and a token or lease each; bao gets the smaller
    number."""
    few = 2_000 if bench.quick else FEW
    counts = {product: [few] for product in bench.products()}
    if not bench.quick:
        counts[bench.ours].append(MANY)
    found: dict[tuple[str, int], float] = {}
    for product, numbers in counts.items():
        for count in numbers:
            agent = start_agent(product, upstream, folder / f"{kind}-{count}")
            with agent.child:
                time.sleep(2)
                before = agent.child.memory().rss
                ask_often(agent.port, count, request)
                time.sleep(bench.plan.settle_seconds)
                grown = (agent.child.memory().rss - before) / count / 1e3
            found[product.name, count] = grown
            bench.say(f"{product.name}: {grown:.2f} KB for each of {count:,} {kind}s with answers of 500 bytes")
    ours, bao = (product.name for product in bench.products())
    title = f"memory per cached {kind} with its answer of 500 bytes"
    for count in counts[bench.ours]:
        peer: Cell = found.get((bao, count), "not measured")
        row = Row(f"{title}, {count:,} of them", Unit.KILOBYTES, found[ours, count], peer, bar=below(2, Unit.KILOBYTES))
        bench.report.rows.append(row)


def ask_often(port: int, count: int, request: Callable[[int], bytes], threads: int = 4) -> None:
    """So many different requests, each answered by the server."""

    def some(first: int) -> None:
        connection = connect(port)
        for number in range(first, count, threads):
            answer = ask(connection, request(number))
            if not answer.startswith(b"HTTP/1.1 200") or b"MISS" not in answer:
                raise BenchError(f"a request was answered {answer[:200]!r}")
        connection.close()

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(some, first) for first in range(threads)]:
            done.result()


def renewals(bench: Bench) -> None:
    """Three hours of renewing leases of one hour, which pass at once; the server is a function. Only ours can do that."""
    titles = f"renewing {MANY:,} leases of an hour"
    if bench.examples.measure is None:
        bench.report.rows.append(Row(titles, None, "measure not built", None))
        return
    done = subprocess.run([str(bench.examples.measure), "leases", str(MANY)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"{bench.examples.measure} failed: {done.stderr.strip()}")
    bench.say(done.stdout.strip())
    told = {name: float(number) for name, number in (word.split("=") for word in done.stdout.split() if "=" in word)}
    share, most = told["core_percent"], told["most_per_second"]
    bench.report.rows += [
        Row(f"{titles}, processor", Unit.PERCENT, share, "not measured", bar=below(1, Unit.PERCENT)),
        Row(f"{titles}, most in a second (set: {RATE})", Unit.NUMBER, most, "not measured", bar=below(RATE + BURST, Unit.NUMBER)),
    ]
    bench.report.notes.append(
        f"Renewing: {told['renewals']:,.0f} renewals in three hours, the making of requests and reading of answers included"
    )
