"""The table: rows with their bars, printed as text and as Markdown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from load import WrkRun


class Unit(Enum):
    """What a row counts in; the value is the text in the table."""

    MICROSECONDS = "µs"
    MILLISECONDS = "ms"
    MEGABYTES = "MB"
    KILOBYTES = "KB"
    PER_SECOND = "req/s"
    NUMBER = "requests"
    WAKINGS = "times"
    PERCENT = "% of a core"


Cell = float | str | None


@dataclass(frozen=True)
class Bar:
    """What is wanted of a row: a text, and the check of ours and of the peers that it names."""

    text: str
    met: Callable[..., bool]
    peers: tuple[str, ...] = ()


def ratio_below(limit: float) -> Bar:
    return Bar(f"< {limit:g} of bao", lambda ours, bao: ours < limit * bao, ("bao",))


def at_least(**times: float) -> Bar:
    """As much as each of the named peers, so many times over."""
    texts = [peer if limit == 1 else f"{limit:g} times {peer}" for peer, limit in times.items()]

    def met(ours: float, *theirs: float) -> bool:
        return all(ours >= limit * their for limit, their in zip(times.values(), theirs, strict=True))

    return Bar(">= " + ", ".join(texts), met, tuple(times))


def at_most(peer: str) -> Bar:
    return Bar(f"<= {peer}", lambda ours, theirs: ours <= theirs, (peer,))


def below(limit: float, unit: Unit) -> Bar:
    return Bar(f"< {limit:g} {unit.value}", lambda ours: ours < limit)


@dataclass(frozen=True)
class Row:
    """One line. A cell is a number in `unit`, some words such as "not installed", or nothing.

    `limit` is what a program comes to that does nothing but what cannot be left out; the notes say which program.
    """

    title: str
    unit: Unit | None
    ours: Cell
    bao: Cell
    nginx: Cell = None
    haproxy: Cell = None
    bar: Bar | None = None
    faults: int = 0
    limit: Cell = None

    def cells(self) -> list[str]:
        return [
            f"{self.title}, {self.unit.value}" if self.unit else self.title,
            self._number(self.ours),
            self._number(self.bao),
            self._ratio(),
            self._number(self.nginx),
            self._number(self.haproxy),
            self._number(self.limit),
            self.bar.text if self.bar else "",
            self._verdict(),
        ]

    def _ratio(self) -> str:
        if isinstance(self.ours, float) and isinstance(self.bao, float) and self.bao > 0:
            return f"{self.ours / self.bao:.3g}"
        return ""

    def _verdict(self) -> str:
        if self.bar is None:
            return ""
        counted = [getattr(self, name) for name in ("ours", *self.bar.peers)]
        if not all(isinstance(cell, float) for cell in counted):
            return "not measured"
        if self.faults:
            return f"no, {self.faults} errors"
        return "yes" if self.bar.met(*counted) else "no"

    def _number(self, cell: Cell) -> str:
        if cell is None:
            return ""
        if isinstance(cell, str):
            return cell
        return f"{cell:,.0f}" if self.unit in (Unit.NUMBER, Unit.PER_SECOND, Unit.WAKINGS) else f"{cell:,.2f}"


@dataclass
class Report:
    """All rows of a run, and the notes below them."""

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note_errors(self, runs: dict[str, WrkRun]) -> None:
        for name, run in runs.items():
            if run.errors:
                self.notes.append(f"wrk counted {run.errors:,} errors with {name}")

    def text(self) -> str:
        lines = self._lines()
        widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
        padded = []
        for line in lines:
            cells = [
                cell.rjust(width) if 1 <= column <= 6 else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ]
            padded.append("  ".join(cells).rstrip())
        padded.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join([*padded, "", *self.notes])

    def markdown(self) -> str:
        header, *rest = ["| " + " | ".join(line) + " |" for line in self._lines()]
        rule = "|---|--:|--:|--:|--:|--:|--:|---|---|"
        return "\n".join([header, rule, *rest, "", *(f"- {note}" for note in self.notes)]) + "\n"

    def _lines(self) -> list[list[str]]:
        header = ["", "ours", "bao", "ratio", "nginx", "haproxy", "limit", "wanted", "reached"]
        return [header, *(row.cells() for row in self.rows)]
