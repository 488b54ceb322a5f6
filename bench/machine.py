"""What a table must say about where it was made: the machine, the programs, the binaries."""

from __future__ import annotations

import os
import platform
import struct
import subprocess
from datetime import datetime, timezone
from pathlib import Path

from processes import clean_environment


def load_average() -> float:
    """How busy the machine was in the last minute."""
    return os.getloadavg()[0]


def is_busy(load: float) -> bool:
    """Whether other work leaves too little of the machine for figures that mean something."""
    return load > 0.25 * len(os.sched_getaffinity(0))


def machine_notes(load_before: float) -> list[str]:
    """Processor, cores, memory, kernel and date."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    cores = len(os.sched_getaffinity(0))
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return [
        f"Date: {now}; load average before: {load_before:.1f}",
        f"Machine: {processor()}, {cores} cores, {memory:.1f} GB, {platform.system()} {platform.release()}",
    ]


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model"):
            return value.strip()
    return platform.machine()


def version(program: str, *ways: str) -> str:
    """The first line a program prints for the first of `ways` it knows, such as `version` or `-v`."""
    for way in ways:
        try:
            done = subprocess.run(
                [program, way],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=10,
                env=clean_environment(Path("/")),
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        lines = done.stdout.strip().splitlines()
        # wrk prints its version and fails.
        if lines and (done.returncode == 0 or "wrk" in lines[0]):
            return lines[0].strip()
    return "version unknown"


def is_stripped(binary: Path) -> bool | None:
    """Whether a 64-bit little-endian ELF file has neither symbols nor debug sections; None for another file."""
    with binary.open("rb") as file:
        head = file.read(64)
        if len(head) < 64 or head[:6] != b"\x7fELF\x02\x01":
            return None
        (table,) = struct.unpack_from("<Q", head, 40)
        size, count, names_at = struct.unpack_from("<HHH", head, 58)
        if not (table and size and count > names_at):
            return None
        file.seek(table)
        raw = file.read(size * count)
        sections = [struct.unpack_from("<IIQQQQ", raw, number * size) for number in range(count)]
        file.seek(sections[names_at][4])
        text = file.read(sections[names_at][5])
    names = {text[section[0] : text.index(b"\0", section[0])] for section in sections}
    return not any(name == b".symtab" or name.startswith((b".debug_", b".zdebug_")) for name in names)
