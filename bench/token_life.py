"""How soon the token is where it is wanted: after a login, and after somebody revoked it."""

from __future__ import annotations

import http.client
import statistics
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

from agents import Product, auto_auth_block, product_folder, start_caching_agent, upstream_block
from http_api import call
from processes import BenchError, Child
from report import Row, Unit, below
from servers import READ, BaoServer, with_role

if TYPE_CHECKING:
    from scenarios import Bench

LONGEST_RECOVERY = 40.0
SHORT_TTL = "20s"


class Between:
    """Stands between an agent and the server, and knows when an answer of one kind was handed on: by default a login's."""

    def __init__(self, server: BaoServer, kind: str = "/login") -> None:
        self.answered_at = 0.0
        between = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                connection = http.client.HTTPConnection(server.address.removeprefix("http://"), timeout=20)
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                connection.request(self.command, self.path, body or None, headers)
                answer = connection.getresponse()
                data = answer.read()
                connection.close()
                head = f"HTTP/1.1 {answer.status} OK\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
                # Before it is sent: afterwards, others may have run first.
                if kind in self.path:
                    between.answered_at = time.perf_counter()
                self.wfile.write(head.encode() + data)
                self.wfile.flush()

            do_GET = do_PUT = do_POST = forward

            def log_message(self, *_: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """An agent that is ended breaks its connection off."""

        self._http = Quiet(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Between:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()


def token_life(bench: Bench) -> None:
    """From the server's answer to the token in its sink, and from a revocation to the next good answer."""
    login_to_sink(bench)
    recovery(bench)


def login_to_sink(bench: Bench) -> None:
    times: dict[Product, list[float]] = {product: [] for product in bench.products()}
    with Between(bench.server) as between:
        for run in range(bench.plan.start_runs + 1):
            for product in bench.products():
                taken = one_login(product, bench.server, between, bench.folder / "sink" / str(run))
                if run > 0:
                    times[product].append(taken)
                    bench.say(f"{product.name}: {taken:.2f} ms from the login's answer to the sink")
    ours, bao = (statistics.median(times[product]) for product in bench.products())
    title = "login's answer to token in the sink"
    bench.report.rows.append(Row(title, Unit.MILLISECONDS, ours, bao, bar=below(5, Unit.MILLISECONDS)))
    bench.report.notes.append(
        f"Sink: median of {bench.plan.start_runs} starts each in turn, from the moment a forwarder hands on the "
        "login's answer to the moment a loop that looks every 0.1 ms sees the file; sidekey waits for the disk "
        "(fsync of file and folder), bao does not"
    )


def one_login(product: Product, server: BaoServer, between: Between, parent: Path) -> float:
    """Milliseconds from the login's answer to the sink's file."""
    folder = product_folder(product, parent)
    config = folder / "agent.hcl"
    config.write_text(upstream_block(between.address) + auto_auth_block(server, folder, sink=True))
    between.answered_at = 0.0
    sink = folder / "token"
    deadline = time.monotonic() + 20
    with Child(f"{product.name} agent", [str(product.binary), "agent", f"-config={config}"], folder):
        while not sink.exists():
            if time.monotonic() > deadline:
                raise BenchError(f"{product.name} agent wrote no token within 20 s")
            time.sleep(0.0001)
        seen_at = time.perf_counter()
    return (seen_at - between.answered_at) * 1e3


def recovery(bench: Bench) -> None:
    server = with_role(bench.server, "short", SHORT_TTL, READ)
    times: dict[Product, list[float]] = {product: [] for product in bench.products()}
    for product in bench.products():
        parent = bench.folder / "recovery"
        agent = start_caching_agent(product, server, parent)
        sink = parent / product.name.replace(" ", "-") / "token"
        with agent.child:
            url = agent.url("/v1/secret/data/app")
            for _ in range(max(bench.plan.rounds, 3)):
                # Away from the start of a token's life, where bao renews it anyway.
                time.sleep(2)
                token = sink.read_text()
                call("POST", f"{server.address}/v1/auth/token/revoke", server.root, {"token": token})
                revoked_at = time.perf_counter()
                while call("GET", url).status != 200:
                    if time.perf_counter() - revoked_at > LONGEST_RECOVERY:
                        raise BenchError(f"{product.name} agent did not recover within {LONGEST_RECOVERY:g} s")
                    time.sleep(0.01)
                taken = (time.perf_counter() - revoked_at) * 1e3
                times[product].append(taken)
                bench.say(f"{product.name}: {taken:,.1f} ms from the revocation to a good answer")
    ours, bao = (statistics.median(times[product]) for product in bench.products())
    title = f"token revoked to next good answer, TTL {SHORT_TTL}"
    bench.report.rows.append(Row(title, Unit.MILLISECONDS, ours, bao, bar=below(1000, Unit.MILLISECONDS)))
    bench.report.notes.append(
        "Recovery: the agent's token is revoked by the operator, then one request after the other is sent through its "
        "listener; bao notices at the next renewal, so its figure grows with the TTL, ours does not"
    )
