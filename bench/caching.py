"""The cache beside `bao agent` and nginx: answers a second, a crowd that asks once, and what a hit adds."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import ExitStack
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from agents import Product, RunningAgent, auto_auth_block, listener_block, product_folder, start_caching_agent, upstream_block
from http_api import answers
from load import in_turn, login_once, one_after_the_other
from processes import BenchError, Child, free_port
from report import Cell, Row, Unit, at_least, below
from servers import AppRole, start_nginx

if TYPE_CHECKING:
    from scenarios import Bench

CROWD = 1_000
LOGIN = "/v1/auth/approle/login"
ACCOUNT = "/v1/database/creds/app"
LEASES = (ACCOUNT, "/v1/sys/leases/")


def caching(bench: Bench) -> None:
    """Cached answers beside nginx `proxy_cache`, a crowd that asks for one secret, what a hit adds."""
    folder = bench.folder / "caching"
    folder.mkdir()
    answers_per_second(bench, folder)
    crowd(bench, folder)
    with Counting() as upstream:
        time_of_a_hit(bench, folder, upstream)


def answers_per_second(bench: Bench, folder: Path) -> None:
    """The same login again and again; nginx remembers an answer of the same size, and gives one that it was told."""
    title = "cached answers, one worker, -c32"
    if bench.wrk is None or bench.nginx is None:
        bench.report.rows.append(Row(title, Unit.PER_SECOND, "wrk or nginx not installed", None))
        return
    body = bench.server.approle.login_body()
    with ExitStack() as stack:
        targets: dict[str, int] = {}
        for product in bench.products():
            agent = start_caching_agent(product, bench.server, folder / "rate")
            stack.enter_context(agent.child)
            token = login_once(agent.port, body, "MISS")
            login_once(agent.port, body, "HIT", token)
            targets[product.name] = agent.port
        inner = folder / "nginx"
        inner.mkdir()
        child, cached, fixed = start_nginx_cache(bench.nginx, inner)
        stack.enter_context(child)
        targets |= {"nginx": cached, "limit": fixed}
        runs = in_turn(
            bench.wrk,
            targets,
            bench.plan.rounds,
            lambda wrk, name: wrk.post(f"http://127.0.0.1:{targets[name]}{LOGIN}", body),
            bench.say,
        )
    bench.report.note_errors(runs)
    ours, bao = (product.name for product in bench.products())
    rates = {name: run.per_second for name, run in runs.items()}
    bench.report.rows.append(
        Row(
            title,
            Unit.PER_SECOND,
            rates[ours],
            rates[bao],
            rates["nginx"],
            bar=at_least(bao=3.5, nginx=1.3),
            faults=runs[ours].errors,
            limit=rates["limit"],
        )
    )
    bench.report.notes.append(
        f"Cached answers: ours {rates[ours] / rates['nginx']:.2f} times nginx proxy_cache (wanted: 1.3), which gives the "
        f"same number of bytes; the limit is nginx `return 200`, which remembers nothing"
    )


def start_nginx_cache(nginx: str, folder: Path) -> tuple[Child, int, int]:
    """nginx with one worker: a port that answers from proxy_cache, and one that answers a fixed text."""
    cached, fixed = free_port(), free_port()
    answer = login_answer(1).decode()
    server = f"""
    proxy_cache_path {folder}/cache keys_zone=one:10m;
    server {{
      listen 127.0.0.1:{fixed};
      default_type application/json;
      location / {{ return 200 '{answer}'; }}
    }}
    server {{
      listen 127.0.0.1:{cached};
      location / {{
        proxy_pass http://127.0.0.1:{fixed};
        proxy_cache one;
        proxy_cache_methods GET HEAD POST;
        proxy_cache_key "$request_uri$request_body";
        proxy_cache_valid 200 1h;
        proxy_ignore_headers Cache-Control;
        add_header X-Cache $upstream_cache_status;
      }}
    }}"""
    child = start_nginx(nginx, "nginx", server, cached, folder)
    child.wait_until_or_stop(lambda: answers(f"http://127.0.0.1:{fixed}/"), "answering")
    return child, cached, fixed


def login_answer(number: int) -> bytes:
    """An answer to a login of 500 bytes, with a token of its own."""
    auth = {
        "client_token": f"s.{number:024d}",
        "accessor": f"a{number:023d}",
        "policies": ["app", "default"],
        "token_policies": ["app", "default"],
        "metadata": {"role_name": "bench"},
        "lease_duration": 3600,
        "renewable": True,
        "entity_id": "6f0a0b1c-0000-0000-0000-000000000000",
        "token_type": "service",
        "orphan": True,
        "num_uses": 0,
    }
    answer = {"request_id": f"00000000-0000-0000-0000-{number:012d}", "lease_id": "", "auth": auth, "warnings": None}
    short = len(json.dumps(answer))
    answer["mount_type"] = "x" * max(500 - short - len(', "mount_type": ""'), 0)
    return json.dumps(answer).encode()


def lease_answer(number: int) -> bytes:
    """An answer with a database account of 500 bytes, with a lease of its own."""
    answer = {
        "request_id": f"00000000-0000-0000-0000-{number:012d}",
        "lease_id": f"database/creds/app/{number:024d}",
        "lease_duration": 3600,
        "renewable": True,
        "data": {"username": f"v-app-{number:020d}", "password": ""},
    }
    answer["data"]["password"] = "x" * (500 - len(json.dumps(answer)))
    return json.dumps(answer).encode()


class Counting:
    """A server that answers logins each with another token, database accounts each with another lease, and reads after a
    moment; and counts them all."""

    def __init__(self, patience: float = 0.0) -> None:
        self.counted: dict[str, int] = {}
        self._patience = patience
        self._lock = threading.Lock()
        self._tokens = 0
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Counting:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        data = b""
        try:
            while True:
                while b"\r\n\r\n" not in data:
                    piece = connection.recv(65536)
                    if not piece:
                        return
                    data += piece
                head, _, data = data.partition(b"\r\n\r\n")
                length = next((int(line[15:]) for line in head.split(b"\r\n") if line[:15].lower() == b"content-length:"), 0)
                while len(data) < length:
                    data += connection.recv(65536)
                data = data[length:]
                path = head.split(b" ", 2)[1].decode()
                with self._lock:
                    self.counted[path] = self.counted.get(path, 0) + 1
                    self._tokens += 1
                    number = self._tokens
                if path == "/v1/secret/data/crowd":
                    time.sleep(self._patience)
                answer = lease_answer(number) if path.startswith(LEASES) else login_answer(number)
                head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n"
                if path.startswith("/v1/secret/"):
                    answer = b'{"request_id":"r","lease_id":"","data":{"data":{"v":"x"},"metadata":{"version":1}}}'
                head += f"Date: {formatdate(usegmt=True)}\r\n".encode()
                connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(answer) + answer)
        except OSError:
            return
        finally:
            connection.close()


def start_agent(product: Product, upstream: Counting, folder: Path) -> RunningAgent:
    """A caching agent before the counting server."""
    own = product_folder(product, folder)
    port = free_port()
    config = own / "agent.hcl"

    class Anybody:
        approle = AppRole("role", "secret")

    config.write_text(
        f"""{upstream_block(upstream.address)}{auto_auth_block(Anybody(), own, sink=True)}
cache {{
}}

api_proxy {{
  use_auto_auth_token = true
}}
{listener_block(port)}"""
    )
    child = Child(f"{product.name} agent", [str(product.binary), "agent", f"-config={config}"], own)
    agent = RunningAgent(product, child, port)
    child.wait_until_or_stop(lambda: (own / "token").exists() and answers(agent.url("/v1/sys/health")), "answering")
    return agent


def ask(connection: socket.socket, request: bytes) -> bytes:
    """One request on a connection that stays open; the head of its answer."""
    connection.sendall(request)
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            raise BenchError("a connection was closed without an answer")
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line[:15].lower() == b"content-length:"), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return head


def connect(port: int, host: int = 1) -> socket.socket:
    """A connection from one of the addresses of this machine: a listener bounds what one client may ask at a time."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=60, source_address=(f"127.0.0.{host}", 0))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def crowd(bench: Bench, folder: Path) -> None:
    """Requests upstream when a thousand clients ask for one KV secret at once, the server taking half a second."""
    request = b"GET /v1/secret/data/crowd HTTP/1.1\r\nHost: localhost\r\n\r\n"
    counted: dict[str, float] = {}
    for product in bench.products():
        with Counting(0.5) as upstream:
            agent = start_agent(product, upstream, folder / "crowd")
            with agent.child:
                connections = [connect(agent.port, 1 + number % 8) for number in range(CROWD)]
                for connection in connections:
                    connection.sendall(request)
                for connection in connections:
                    if not ask(connection, b"").startswith(b"HTTP/1.1 200"):
                        raise BenchError(f"{product.name}: one of the crowd was refused")
                    connection.close()
                counted[product.name] = float(upstream.counted["/v1/secret/data/crowd"])
        bench.say(f"{product.name}: {counted[product.name]:,.0f} requests upstream for {CROWD:,} clients")
    ours, bao = (counted[product.name] for product in bench.products())
    title = f"requests upstream when {CROWD:,} clients ask for one KV secret"
    bench.report.rows.append(Row(title, Unit.NUMBER, ours, bao, bar=below(2, Unit.NUMBER)))


def time_of_a_hit(bench: Bench, folder: Path, upstream: Counting) -> None:
    """What a hit takes when it is alone, less a request to nginx `return 200`."""
    body = b'{"role_id": "role", "secret_id": "secret"}'
    request = (
        f"POST {LOGIN} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    with ExitStack() as stack:
        ports: dict[str, int] = {}
        for product in bench.products():
            agent = start_agent(product, upstream, folder / "hit")
            stack.enter_context(agent.child)
            ports[product.name] = agent.port
        ours, bao = ports
        if bench.nginx is not None:
            inner = folder / "hit-nginx"
            inner.mkdir()
            child, cached, fixed = start_nginx_cache(bench.nginx, inner)
            stack.enter_context(child)
            ports |= {"nginx": cached, "limit": fixed}
        connections = {name: stack.enter_context(connect(port)) for name, port in ports.items()}
        for name, connection in connections.items():
            ask(connection, request)
            if name != "limit" and b"HIT" not in (head := ask(connection, request)):
                raise BenchError(f"{name}: no hit: {head[:200]!r}")
        medians = one_after_the_other({name: partial(ask, end, request) for name, end in connections.items()})
    floor = medians.get("limit", 0.0)
    cells: dict[str, Cell] = {name: value - floor for name, value in medians.items()}
    title = "time a hit adds to nginx `return 200`, alone (median)"
    bench.report.rows.append(
        Row(title, Unit.MICROSECONDS, cells[ours], cells[bao], cells.get("nginx", "not installed"), bar=below(40, Unit.MICROSECONDS))
    )
    shown = ", ".join(f"{name} {value:.1f} µs" for name, value in medians.items())
    bench.say(shown)
    bench.report.notes.append(f"A hit, there and back, client included: {shown}")
