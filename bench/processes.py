"""Starts, watches and ends the programs of a benchmark run, and reads their memory from /proc."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType


class BenchError(Exception):
    """Something could not run at all; the text says what, and is meant for the user."""


@dataclass(frozen=True)
class Memory:
    """Memory in bytes of a process and its descendants together."""

    rss: int
    pss: int
    private: int


class Child:
    """A program in a process group of its own, its output in a file; leaving the block ends the whole group."""

    def __init__(self, name: str, command: list[str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name.replace(' ', '-')}.log"
        with self.log.open("ab") as output:
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd=folder,
                    env=clean_environment(folder),
                    start_new_session=True,
                )
            except OSError as error:
                raise BenchError(f"{name}: cannot start {command[0]}: {error.strerror}") from error

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        """Asks the group to end, and after five seconds ends it."""
        if self._process.returncode is not None:
            return
        send_to_group(self.pid, signal.SIGTERM)
        deadline = time.monotonic() + 5
        try:
            while self._exit_code() is None and time.monotonic() < deadline:
                time.sleep(0.02)
        finally:
            send_to_group(self.pid, signal.SIGKILL)
            self._process.wait()

    def _exit_code(self) -> int | None:
        """The exit code if the program has ended; it stays a zombie, so that its id remains ours until `stop`."""
        if self._process.returncode is not None:
            return self._process.returncode
        ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return None if ended is None else ended.si_status

    def wait_until(self, ready: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
        """Waits until `ready()` is true; fails when the program ends or the time is over."""
        deadline = time.monotonic() + seconds
        while not ready():
            code = self._exit_code()
            if code is not None:
                raise BenchError(f"{self.name} ended with code {code} before {what}: {self.last_output()}")
            if time.monotonic() > deadline:
                raise BenchError(f"{self.name}: not {what} after {seconds:.0f} s: {self.last_output()}")
            time.sleep(0.02)

    def wait_until_or_stop(self, ready: Callable[[], bool], what: str) -> None:
        """The same, for a program that no `with` block owns yet: it is ended when it does not get ready."""
        try:
            self.wait_until(ready, what)
        except BaseException:
            self.stop()
            raise

    def memory(self) -> Memory:
        """Memory of the program and everything it started."""
        if self._exit_code() is not None:
            raise BenchError(f"{self.name} has ended by itself: {self.last_output()}")
        rss = pss = private = 0
        for pid in process_tree(self.pid):
            status = read_kib_fields(Path(f"/proc/{pid}/status"))
            smaps = read_kib_fields(Path(f"/proc/{pid}/smaps_rollup"))
            rss += status.get("VmRSS", 0)
            pss += smaps.get("Pss", 0)
            private += smaps.get("Private_Clean", 0) + smaps.get("Private_Dirty", 0)
        return Memory(rss * 1024, pss * 1024, private * 1024)

    def last_output(self) -> str:
        return last_lines(self.log)


def last_lines(log: Path, count: int = 4) -> str:
    """The end of a log as one line."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " | ".join(lines[-count:]) or "(no output)"


def send_to_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        pass


def clean_environment(home: Path) -> dict[str, str]:
    """An environment without any VAULT_, BAO_ or proxy variable of the caller."""
    path = os.environ.get("PATH", "/usr/bin:/bin")
    return {"PATH": f"{path}:/usr/sbin:/sbin", "HOME": str(home), "LANG": "C.UTF-8"}


def processor_time(pid: int) -> float:
    """Seconds that all threads of a process have run, dead ones too; exact, where /proc/PID/stat counts ticks."""
    # How the kernel numbers the clock of another process (MAKE_PROCESS_CPUCLOCK, CPUCLOCK_SCHED).
    return time.clock_gettime((~pid << 3) | 2)


def process_tree(pid: int) -> list[int]:
    """`pid` and its descendants."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            found.extend(int(child) for child in children.read_text().split())
    return found


def read_kib_fields(file: Path) -> dict[str, int]:
    """The `Name: 123 kB` lines of a file below /proc."""
    fields = {}
    for line in file.read_text().splitlines():
        words = line.split()
        if len(words) == 3 and words[2] == "kB":
            fields[words[0].rstrip(":")] = int(words[1])
    return fields


def free_port() -> int:
    """A loopback port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_port_pair() -> int:
    """A free loopback port whose successor is free too."""
    for _ in range(100):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port
    raise BenchError("found no two neighbouring free ports on 127.0.0.1")
