"""Secrets on their way into files and programs: changes, many templates at start and when idle, a child's start."""

from __future__ import annotations

import dataclasses
import os
import random
import select
import socket
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from agents import Product, auto_auth_block, product_folder, upstream_block
from http_api import call
from processes import BenchError, Child, clean_environment, read_kib_fields
from report import Row, Unit, below, ratio_below
from servers import AppRole, BaoServer
from token_life import Between

if TYPE_CHECKING:
    from scenarios import Bench

TEMPLATES = 200
CHANGING = 25
# A child that says once that it is there.
WAITING = "exec sleep 100000"


def delivering(bench: Bench) -> None:
    """Secrets delivered: a change to its file, 200 templates at start and idle with a child, the start of a child."""
    server = with_metadata(bench.server)
    for number in range(TEMPLATES):
        server.write_secret(f"delivering/{number}", {"password": f"value-{number}"})
    folder = bench.folder / "delivering"
    changes(bench, server, folder / "changes")
    start(bench, server, folder / "start")
    idle(bench, server, folder / "idle")
    child_start(bench, server, folder / "child")


def with_metadata(server: BaoServer) -> BaoServer:
    """The same server with a role that may also ask for the versions of secrets."""

    def admin(method: str, path: str, body: object = None) -> dict[str, str]:
        answer = call(method, f"{server.address}/v1/{path}", server.root, body)
        if answer.status not in (200, 204):
            raise BenchError(f"bao server refused {path}: {answer.status}")
        return answer.json()["data"] if answer.body else {}

    rules = 'path "secret/data/*" { capabilities = ["read"] }\npath "secret/metadata/*" { capabilities = ["read"] }'
    admin("POST", "sys/policies/acl/delivering", {"policy": rules})
    role = {"token_ttl": "1h", "token_max_ttl": "24h", "token_policies": "delivering", "secret_id_num_uses": 0}
    admin("POST", "auth/approle/role/delivering", role)
    role_id = admin("GET", "auth/approle/role/delivering/role-id")["role_id"]
    secret_id = admin("POST", "auth/approle/role/delivering/secret-id", {})["secret_id"]
    return dataclasses.replace(server, approle=AppRole(role_id, secret_id))


def contents(number: int) -> str:
    return f'contents = "{{{{ with secret \\"secret/data/delivering/{number}\\" }}}}{{{{ .Data.data.password }}}}{{{{ end }}}}"'


def template(folder: Path, number: int) -> str:
    return f'\ntemplate {{\n  {contents(number)}\n  destination = "{folder}/rendered-{number}"\n}}\n'


def variable(number: int) -> str:
    return f'\nenv_template "SECRET_{number}" {{\n  {contents(number)}\n}}\n'


def supervised(line: str) -> str:
    return f'\nexec {{\n  command = ["/bin/sh", "-c", "{line}"]\n}}\n'


def agent(product: Product, server: BaoServer, folder: Path, blocks: str, address: str = "") -> list[str]:
    """The command of an agent with these blocks and a login."""
    config = folder / "agent.hcl"
    login = auto_auth_block(server, folder, sink=False)
    config.write_text(upstream_block(address or server.address) + login + blocks)
    return [str(product.binary), "agent", f"-config={config}"]


def processor_time(pid: int) -> float:
    """Seconds that all threads of a process have run, dead ones too; exact, where /proc/PID/stat counts ticks."""
    # How the kernel numbers the clock of another process (MAKE_PROCESS_CPUCLOCK, CPUCLOCK_SCHED).
    return time.clock_gettime((~pid << 3) | 2)


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
            child = stack.enter_context(Child(f"{product.name} agent", agent(product, server, own, text), own))
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
    names = [product.name for product in bench.products()]
    runs: dict[str, list[Started]] = {name: [] for name in names}
    floors: dict[int, list[float]] = {1: [], 8: []}
    for run in range(bench.plan.start_runs + 1):
        for number in range(TEMPLATES):
            server.write_secret(f"delivering/{number}", {"password": f"value-{number}-{run}"})
        for product in bench.products():
            started = start_once(product, server, product_folder(product, folder / str(run)), run)
            if run > 0:
                runs[product.name].append(started)
                bench.say(
                    f"{product.name}: {started.milliseconds:.0f} ms for {TEMPLATES} templates, "
                    f"{started.processor:.0f} ms of processor time, peak {started.peak:.1f} MB"
                )
        for connections, some in floors.items():
            some.append(bare_reads(server, connections))
    ours, bao = names

    def median(what: str, name: str) -> float:
        return statistics.median(getattr(one, what) for one in runs[name])

    wall, peak, processor = (
        (median(what, ours), median(what, bao)) for what in ("milliseconds", "peak", "processor")
    )
    floor = {connections: statistics.median(some) for connections, some in floors.items()}
    bench.report.rows += [
        Row(f"start to the last of {TEMPLATES} files", Unit.MILLISECONDS, *wall, bar=ratio_below(0.1)),
        Row("peak memory until then", Unit.MEGABYTES, *peak, bar=below(15, Unit.MEGABYTES)),
        Row("processor time until then", Unit.MILLISECONDS, *processor),
        Row("the same login and reads alone, one after the other", Unit.MILLISECONDS, floor[1], None),
        Row("the same, 8 at a time", Unit.MILLISECONDS, floor[8], None),
    ]
    bench.report.notes.append(
        f"{TEMPLATES} files: {bench.plan.start_runs} starts each in turn, agents that stay, from exec to the last file "
        "(sidekey waits for the disk, bao does not). The reads alone are a bare loop over sockets that looks at nothing: "
        f"at 8 at a time {floor[8] / wall[1]:.2f} of bao's time is the server's own, which no agent can save"
    )


def start_once(product: Product, server: BaoServer, folder: Path, run: int) -> Started:
    command = agent(product, server, folder, "".join(template(folder, number) for number in range(TEMPLATES)))
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
            # bao makes a file before it fills it.
            child.wait_until(lambda: file.read_text() == f"value-{number}-{run}", f"rendered {file.name}", 5)
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


# --- nothing to do


@dataclass(frozen=True)
class Idle:
    """An agent that has nothing to do."""

    memory: float
    processor: float
    wakings: float


def idle(bench: Bench, server: BaoServer, folder: Path) -> None:
    """Ours with files and a child; bao, which takes no files beside a child, with as many variables."""
    found = []
    for product in bench.products():
        own = product_folder(product, folder)
        if product is bench.ours:
            blocks = variable(0) + "".join(template(own, number) for number in range(TEMPLATES))
        else:
            blocks = "".join(variable(number) for number in range(TEMPLATES))
        command = agent(product, server, own, blocks + supervised(f"echo > {own}/started; {WAITING}"))
        with Child(f"{product.name} agent", command, own) as child:
            child.wait_until((own / "started").exists, "running its child")
            time.sleep(20 if bench.quick else 60)
            found.append(one := at_rest(child.pid, 10 if bench.quick else 30))
        bench.say(
            f"{product.name}: {one.memory:.1f} MB, in {10 if bench.quick else 30} s {one.processor:.2f} ms of processor time, "
            f"{one.wakings:.0f} wake-ups"
        )
    ours, bao = found
    seconds = 10 if bench.quick else 30
    bench.report.rows += [
        Row(
            f"idle with {TEMPLATES} templates and a child (RSS)",
            Unit.MEGABYTES,
            ours.memory,
            bao.memory,
            bar=below(15, Unit.MEGABYTES),
        ),
        Row(f"its processor time in {seconds} s", Unit.MILLISECONDS, ours.processor, bao.processor),
        Row(f"its wake-ups in {seconds} s", Unit.WAKINGS, ours.wakings, bao.wakings, bar=below(1, Unit.WAKINGS)),
    ]
    bench.report.notes.append(
        f"Idle: {20 if bench.quick else 60} s after the child's start, the agent without its child. sidekey has one "
        f"env_template and {TEMPLATES} templates; bao refuses templates beside a child and has {TEMPLATES} env_templates. "
        "Wake-ups are voluntary context switches of all threads. No timer is due then: secrets are read again "
        "after 255 s at the earliest, the token of an hour is renewed later"
    )


def at_rest(pid: int, seconds: float) -> Idle:
    memory = read_kib_fields(Path(f"/proc/{pid}/status"))["VmRSS"] * 1024 / 1e6
    before, used = switches(pid), processor_time(pid)
    time.sleep(seconds)
    after, used = switches(pid), processor_time(pid) - used
    # A thread that has ended was woken for that at least once.
    wakings = sum(count - before.get(thread, 0) for thread, count in after.items()) + len(before.keys() - after.keys())
    return Idle(memory, used * 1e3, float(wakings))


def switches(pid: int) -> dict[str, int]:
    """How often each thread has gone to sleep by itself."""
    counted = {}
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        for line in status.read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "voluntary_ctxt_switches":
                counted[status.parent.name] = int(value)
    return counted


# --- a child


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
                command = agent(product, server, own, blocks, between.address)
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
