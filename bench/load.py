"""Load on an agent: wrk for requests per second, and many different logins for memory per cached token."""

from __future__ import annotations

import http.client
import json
import random
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from http_api import Answer, KeptConnection
from processes import BenchError, clean_environment
from servers import AppRole


Item = TypeVar("Item")


def shuffled(items: list[Item], number: int) -> list[Item]:
    """The items in another order each round, the same in each run: none always runs first, or behind the same other."""
    return random.Random(number).sample(items, len(items))


@dataclass(frozen=True)
class WrkRun:
    """What one run of wrk counted."""

    per_second: float
    errors: int


@dataclass(frozen=True)
class Wrk:
    """wrk with one thread and, if nobody says otherwise, 32 connections."""

    binary: str
    seconds: int
    folder: Path
    connections: int = 32

    def options(self) -> str:
        return f"-t1 -c{self.connections} -d{self.seconds}s"

    def get(self, url: str, headers: dict[str, str]) -> WrkRun:
        return self._run(url, "".join(f"wrk.headers[{lua(k)}] = {lua(v)}\n" for k, v in headers.items()))

    def post(self, url: str, body: object) -> WrkRun:
        text = f'wrk.method = "POST"\nwrk.body = {lua(json.dumps(body))}\n'
        return self._run(url, text + 'wrk.headers["Content-Type"] = "application/json"\n')

    def _run(self, url: str, request: str) -> WrkRun:
        script = self.folder / "wrk.lua"
        script.write_text(request + self._summary())
        command = [self.binary, *self.options().split(), "-s", str(script), url]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=self.seconds + 30,
                env=clean_environment(self.folder),
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise BenchError(f"wrk did not end on {url}") from error
        results = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("RESULT ")]
        if done.returncode != 0 or not results:
            said = " ".join((done.stderr or done.stdout).split())
            raise BenchError(f"wrk failed on {url}: {said}")
        requests, microseconds, errors = (int(word) for word in results[0])
        return WrkRun(requests * 1e6 / microseconds, errors)

    @staticmethod
    def _summary() -> str:
        return """
done = function(summary, latency, requests)
  local e = summary.errors
  local errors = e.connect + e.read + e.write + e.status + e.timeout
  io.write(string.format("RESULT %d %d %d\\n", summary.requests, summary.duration, errors))
end
"""


def in_turn(
    wrk: Wrk, names: Iterable[str], rounds: int, load: Callable[[Wrk, str], WrkRun], say: Callable[[str], None]
) -> dict[str, WrkRun]:
    """Loads each of `names` in turn; returns the median of its rounds, and all its errors.

    A round is made of runs of a second, the targets in another order each time: what else the machine does meets all of
    them alike.
    """
    names, brief = list(names), replace(wrk, seconds=1)
    found: dict[str, list[WrkRun]] = {name: [] for name in names}
    for number in range(rounds):
        parts: dict[str, list[WrkRun]] = {name: [] for name in names}
        for part in range(wrk.seconds):
            for name in shuffled(names, number * wrk.seconds + part):
                parts[name].append(load(brief, name))
        for name, some in parts.items():
            found[name].append(WrkRun(statistics.mean(run.per_second for run in some), sum(run.errors for run in some)))
            say(f"round {number + 1}, {name}: {found[name][-1].per_second:,.0f} req/s")
    return {
        name: WrkRun(statistics.median(run.per_second for run in some), sum(run.errors for run in some))
        for name, some in found.items()
    }


def one_after_the_other(asks: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """The median time of each of `asks`, called again and again with nothing else under way; in microseconds.

    Twenty times in turn, each with calls that do not count before those that do: what one target still does when it has
    answered is not the next one's.
    """
    times: dict[str, list[float]] = {name: [] for name in asks}
    for number in range(20):
        for name in shuffled(list(asks), number):
            for again in range(600):
                started = time.perf_counter()
                asks[name]()
                if again >= 200:
                    times[name].append(time.perf_counter() - started)
    return {name: statistics.median(some) * 1e6 for name, some in times.items()}


def lua(text: str) -> str:
    """A Lua string literal; the space keeps `[` of an index apart from it."""
    return f" [==[{text}]==]"


def numbered_login(approle: AppRole, number: int) -> dict[str, object]:
    """A login that is like any other for the server, and a request of its own for a cache."""
    return {**approle.login_body(), "n": number}


def login_many(port: int, approle: AppRole, count: int, threads: int = 8) -> dict[int, str]:
    """Logs in `count` times through the agent, each time differently; returns the tokens by number."""

    def some(first: int) -> list[tuple[int, str]]:
        return list(logins(port, approle, range(first, count + 1, threads)))

    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(some, range(1, threads + 1)))
    tokens = {number: token for part in parts for number, token in part}
    if len(set(tokens.values())) != count:
        raise BenchError(f"{count} different logins gave only {len(set(tokens.values()))} different tokens")
    return tokens


def logins(port: int, approle: AppRole, numbers: range) -> Iterator[tuple[int, str]]:
    connection = KeptConnection(port)
    try:
        for number in numbers:
            yield number, expect_login(connection, numbered_login(approle, number), "MISS")
    finally:
        connection.close()


def login_once(port: int, body: object, cache: str, token: str = "") -> str:
    """One login on a connection of its own; fails unless it is a `cache` answer, and with this `token` if given."""
    connection = KeptConnection(port)
    try:
        return expect_login(connection, body, cache, token)
    finally:
        connection.close()


def expect_login(connection: KeptConnection, body: object, cache: str, token: str = "") -> str:
    try:
        answer = connection.post("/v1/auth/approle/login", body)
    except (OSError, http.client.HTTPException) as error:
        raise BenchError(f"a login got no answer: {error!r}") from error
    found = answer.client_token()
    if answer.status != 200 or not found:
        raise BenchError(f"a login was answered {answer.status}: {short(answer)}")
    if answer.cache != cache:
        raise BenchError(f"a login was answered X-Cache {answer.cache or '(none)'} where {cache} was due")
    if token and found != token:
        raise BenchError("a cached login gave another token than the first time")
    return found


def short(answer: Answer) -> str:
    return answer.body[:200].decode(errors="replace").strip()
