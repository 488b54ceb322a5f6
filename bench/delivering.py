"""Secrets on their way into files: a change, and many templates at start."""

from __future__ import annotations

import os
import random
import socket
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from agents import Product, agent_command, product_folder, template
from http_api import call
from processes import BenchError, Child, processor_time, read_kib_fields
from report import Row, Unit, below, ratio_below
from servers import READ, BaoServer, with_role
from supervising import child_start, idle

if TYPE_CHECKING:
    from scenarios import Bench

TEMPLATES = 200
CHANGING = 25
# Where files are in memory.
MEMORY = Path("/dev/shm")


def delivering(bench: Bench) -> None:
    """Secrets delivered: a change to its file, 200 templates at start and idle with a child, the start of a child."""
    policy = READ + '\npath "secret/metadata/*" { capabilities = ["read"] }'
    server = with_role(bench.server, "delivering", "1h", policy)
    for number in range(TEMPLATES):
        server.write_secret(f"delivering/{number}", {"password": f"value-{number}"})
    folder = bench.folder / "delivering"
    changes(bench, server, folder / "changes")
    start(bench, server, folder / "start")
    idle(bench, server, folder / "idle", TEMPLATES)
    child_start(bench, server, folder / "child")


def percentile(values: list[float], share: float) -> float:
    """The smallest value that this share of all does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


# --- a change


@dataclass
class Watched:
    """A secret that changes, and the files of both agents that are to follow."""

    number: int
    files: dict[str, Path]
    due_at: float
    version: int = 0
    wanted: str = ""
    changed_at: float = 0.0
    missing: set[str] = field(default_factory=set)


def changes(bench: Bench, server: BaoServer, folder: Path) -> None:
    """Both agents follow the same changes at the same time."""
    rounds = 4 if bench.quick else 12
    blocks = 'template_config {\n  static_secret_render_interval = "1s"\n}\n'
    names = [product.name for product in bench.products()]
    times: dict[str, list[float]] = {name: [] for name in names}
    with ExitStack() as stack:
        folders, pids = {}, {}
        for product in bench.products():
            own = folders[product.name] = product_folder(product, folder)
            text = blocks + "".join(template(own, number) for number in range(CHANGING))
            child = stack.enter_context(Child(f"{product.name} agent", agent_command(product, server, own, text), own))
            pids[product.name] = child.pid
            child.wait_until(lambda: all((own / f"rendered-{n}").exists() for n in range(CHANGING)), "rendered")
        time.sleep(1)
        before = {name: processor_time(pid) for name, pid in pids.items()}
        began = time.monotonic()
        follow(server, folders, rounds, times)
        seconds = time.monotonic() - began
        used = {name: (processor_time(pid) - before[name]) / seconds * 1e3 for name, pid in pids.items()}
    ours, bao = names
    for name in names:
        shown = ", ".join(f"{share:.0%} {percentile(times[name], share):.3f} s" for share in (0.5, 0.99, 1))
        bench.say(f"{name}: {shown} of {len(times[name])} changes, {used[name]:.2f} ms of processor time a second")
    p50, p99 = ({name: percentile(times[name], share) * 1e3 for name in names} for share in (0.5, 0.99))
    bench.report.rows += [
        Row("change of a secret to its file, interval 1 s, median", Unit.MILLISECONDS, p50[ours], p50[bao]),
        Row("the same, 99 of 100", Unit.MILLISECONDS, p99[ours], p99[bao], bar=below(1500, Unit.MILLISECONDS)),
        Row(f"processor time a second meanwhile, {CHANGING} secrets", Unit.MILLISECONDS, used[ours], used[bao]),
    ]
    bench.report.notes.append(
        f"Changes: {len(times[ours])} at random moments over {CHANGING} templates with a secret each, both agents side by "
        'side, from before the write is sent to the new text in the file; static_secret_render_interval = "1s", with which '
        "sidekey asks for versions and bao reads each secret anew. With the default of 5 minutes both need up to that long"
    )


def follow(server: BaoServer, folders: dict[str, Path], rounds: int, times: dict[str, list[float]]) -> None:
    """Changes each secret so often, each time at a random moment after all files have followed."""
    now = time.perf_counter()
    watched = [
        Watched(number, {name: own / f"rendered-{number}" for name, own in folders.items()}, now + random.uniform(0, 2))
        for number in range(CHANGING)
    ]
    while watched:
        for one in list(watched):
            now = time.perf_counter()
            if one.missing:
                for name in list(one.missing):
                    if one.files[name].read_text() == one.wanted:
                        times[name].append(now - one.changed_at)
                        one.missing.discard(name)
                if not one.missing:
                    one.due_at = now + random.uniform(0.2, 2.2)
                elif now - one.changed_at > 30:
                    raise BenchError(f"{' and '.join(one.missing)} did not render a change within 30 s")
            elif one.version == rounds:
                watched.remove(one)
            elif now >= one.due_at:
                one.version += 1
                one.wanted = f"changed-{one.number}-{one.version}"
                one.changed_at, one.missing = now, set(one.files)
                server.write_secret(f"delivering/{one.number}", {"password": one.wanted})
        time.sleep(0.001)


# --- a start


@dataclass(frozen=True)
class Started:
    """What a start took until its last file."""

    milliseconds: float
    processor: float
    peak: float


def start(bench: Bench, server: BaoServer, folder: Path) -> None:
    """Agents that stay, measured when their last file is there; the server's own time beside them in the same turns."""
    runs: dict[tuple[str, str], list[Started]] = {}
    floors: dict[int, list[float]] = {1: [], 8: []}
    with ExitStack() as stack:
        places = {"on disk": folder}
        if os.access(MEMORY, os.W_OK):
            places["in memory"] = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=MEMORY)))
        for run in range(bench.plan.start_runs + 1):
            for number in range(TEMPLATES):
                server.write_secret(f"delivering/{number}", {"password": f"value-{number}-{run}"})
            for place, parent in places.items():
                for product in bench.products():
                    # A folder for each run: nothing is deleted between them, for some file systems look through what
                    # was deleted lately whenever they make a file.
                    started = start_once(product, server, product_folder(product, parent / str(run)), run)
                    if run > 0:
                        runs.setdefault((product.name, place), []).append(started)
                        bench.say(
                            f"{product.name}, files {place}: {started.milliseconds:.0f} ms, "
                            f"{started.processor:.0f} ms of processor time, peak {started.peak:.1f} MB"
                        )
            for connections, some in floors.items():
                some.append(bare_reads(server, connections))
    floor = {connections: statistics.median(some) for connections, some in floors.items()}

    def medians(what: str, place: str) -> list[float]:
        return [
            statistics.median(getattr(one, what) for one in runs[product.name, place]) for product in bench.products()
        ]

    wall = medians("milliseconds", "on disk")
    rows = [
        Row(f"start to the last of {TEMPLATES} files", Unit.MILLISECONDS, *wall, bar=ratio_below(0.1), limit=floor[8]),
        Row("peak memory until then", Unit.MEGABYTES, *medians("peak", "on disk"), bar=below(15, Unit.MEGABYTES)),
        Row("processor time until then", Unit.MILLISECONDS, *medians("processor", "on disk")),
    ]
    if "in memory" in places:
        again = medians("milliseconds", "in memory")
        row = Row("the same start, files in memory", Unit.MILLISECONDS, *again, bar=ratio_below(0.1), limit=floor[8])
        rows.append(row)
    bench.report.rows += rows
    bench.report.notes.append(
        f"{TEMPLATES} files: {bench.plan.start_runs} starts each in turn, agents that stay, from exec to the last file "
        "(sidekey waits for the disk, bao does not). The limit is the login and the reads alone, 8 at a time, by a bare "
        f"loop over sockets that looks at nothing ({floor[1]:.1f} ms one after the other): {floor[8] / wall[1]:.2f} of "
        "bao's time is the server's own, which no agent can save"
    )


def start_once(product: Product, server: BaoServer, folder: Path, run: int) -> Started:
    command = agent_command(product, server, folder, "".join(template(folder, number) for number in range(TEMPLATES)))
    files = [folder / f"rendered-{number}" for number in range(TEMPLATES)]
    missing = [str(file) for file in files]
    began = time.perf_counter()
    with Child(f"{product.name} agent", command, folder) as child:
        while missing:
            while missing and os.path.exists(missing[-1]):
                missing.pop()
            if time.perf_counter() - began > 30:
                raise BenchError(f"{product.name} agent rendered not all templates within 30 s: {child.last_output()}")
            time.sleep(0.0005)
        taken = time.perf_counter() - began
        used = processor_time(child.pid)
        peak = read_kib_fields(Path(f"/proc/{child.pid}/status"))["VmHWM"]
        for number, file in enumerate(files):
            if file.read_text() != f"value-{number}-{run}":
                raise BenchError(f"{product.name} agent rendered something else into {file.name}")
    return Started(taken * 1e3, used * 1e3, peak * 1024 / 1e6)


def bare_reads(server: BaoServer, connections: int) -> float:
    """Milliseconds of a login and all reads, so many at a time, with nothing done to the answers."""
    host, _, port = server.address.removeprefix("http://").partition(":")

    def connect() -> socket.socket:
        one = socket.create_connection((host, int(port)), timeout=20)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return one

    began = time.perf_counter()
    login = call("PUT", f"{server.address}/v1/auth/approle/login", body=server.approle.login_body())
    token = login.client_token()

    def read_some(first: int) -> None:
        with connect() as one:
            for number in range(first, TEMPLATES, connections):
                head = f"GET /v1/secret/data/delivering/{number} HTTP/1.1\r\nHost: bao\r\nX-Vault-Token: {token}\r\n\r\n"
                one.sendall(head.encode())
                read_answer(one)

    with ThreadPoolExecutor(connections) as pool:
        for done in [pool.submit(read_some, first) for first in range(connections)]:
            done.result()
    return (time.perf_counter() - began) * 1e3


def read_answer(connection: socket.socket) -> None:
    """One answer to its end; it must be a good one of known length."""
    data = b""
    while True:
        piece = connection.recv(65536)
        if not piece:
            raise BenchError("bao server closed a connection")
        data += piece
        head, whole, body = data.partition(b"\r\n\r\n")
        if not whole:
            continue
        if not head.startswith(b"HTTP/1.1 200"):
            raise BenchError(f"bao server answered a read with {head[:40]!r}")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if len(body) >= int(length):
            return
