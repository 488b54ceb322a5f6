#!/usr/bin/env python3
"""Measures Sidekey beside `bao agent` and `bao proxy`, nginx and HAProxy, and prints one table.

    python3 bench/run.py --sidekey target/release/sidekey --bao /usr/bin/bao

A missed bar is a "no" in the table and nothing more; exit code 1 means that something could not run at all.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from agents import Product
from load import Wrk
from machine import is_busy, load_average, machine_notes, version
from processes import BenchError
from report import Report, Row
from scenarios import Bench, Examples, Plan, scenarios
from servers import find_tool, start_bao_server


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures Sidekey beside bao, nginx and HAProxy.")
    parser.add_argument("--sidekey", type=Path, required=True, metavar="PATH", help="release binary of Sidekey")
    parser.add_argument("--bao", type=Path, required=True, metavar="PATH", help="binary of OpenBao")
    parser.add_argument("--rounds", type=int, default=5, help="runs of wrk per target (default 5)")
    parser.add_argument("--seconds", type=int, default=5, help="how long each of them takes (default 5), in parts of one")
    parser.add_argument(
        "--examples",
        type=Path,
        metavar="FOLDER",
        help="where cargo put open_loop and bare_forwarder of crates/testkit and measure of crates/cache",
    )
    parser.add_argument("--quick", action="store_true", help="shorter and rougher, to try the program")
    parser.add_argument("--only", action="append", choices=list(scenarios()), help="only this benchmark; repeatable")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the table as Markdown")
    arguments = parser.parse_args()
    if arguments.rounds < 1 or arguments.seconds < 1:
        parser.error("--rounds and --seconds must be at least 1")
    return arguments


def make_plan(arguments: argparse.Namespace) -> Plan:
    if arguments.quick:
        return Plan(rounds=1, start_runs=3, wrk_seconds=2, logins=2_000, settle_seconds=5)
    return Plan(rounds=arguments.rounds, start_runs=9, wrk_seconds=arguments.seconds, logins=10_000, settle_seconds=5)


def find_binary(path: Path) -> Path:
    binary = path.resolve()
    if not binary.is_file():
        raise BenchError(f"{path} does not exist")
    return binary


def find_examples(folder: Path | None) -> Examples:
    def find(name: str) -> Path | None:
        path = folder.resolve() / name if folder else None
        return path if path and path.is_file() else None

    return Examples(find("open_loop"), find("bare_forwarder"), find("measure"))


def warn_of_missing_tools() -> None:
    missing = [name for name in ("nginx", "haproxy", "wrk") if find_tool(name) is None]
    if missing:
        print(f"Not installed: {', '.join(missing)}. Their rows or columns say so; for all of them:")
        print("  apt-get install nginx haproxy wrk", flush=True)


def run_scenarios(bench: Bench, only: list[str] | None) -> list[str]:
    """Runs what was asked for; returns what could not run."""
    failures = []
    for name, scenario in scenarios().items():
        if only and name not in only:
            continue
        print(f"{name}: {(scenario.__doc__ or '').splitlines()[0]}", flush=True)
        try:
            scenario(bench)
        except (BenchError, OSError) as error:
            print(f"  could not run: {error}", flush=True)
            bench.report.rows.append(Row(name, None, "could not run", "could not run"))
            failures.append(f"{name}: {error}")
    return failures


def general_notes(bench: Bench, load_before: float) -> list[str]:
    """Where, with what and how the table was made."""
    programs = [
        f"{product.name}: {version(str(product.binary), 'version', '--version')}" for product in bench.products()
    ]
    programs += [version(tool, "-v") for tool in (bench.nginx, bench.haproxy) if tool]
    if bench.wrk:
        programs.append(version(bench.wrk.binary, "-v"))
        how = f"wrk {bench.wrk.options()}, in runs of one, median of {bench.plan.rounds} round(s), targets in turn, one machine for all"
    else:
        how = "wrk is not installed"
    return [
        *machine_notes(load_before),
        f"Programs: {'; '.join(programs)}",
        f'Load: {how}; nginx has one worker, HAProxy one thread, the others their defaults; log_level = "warn"',
        "1 MB is 1,000,000 bytes, 1 KB is 1,000; ratio is ours to bao; RSS of nginx is master and worker together",
    ]


def run(arguments: argparse.Namespace) -> list[str]:
    ours = Product("sidekey", find_binary(arguments.sidekey))
    bao = Product("bao", find_binary(arguments.bao))
    plan = make_plan(arguments)
    report = Report()
    load_before = load_average()
    if is_busy(load_before):
        warning = f"The machine was busy before (load average {load_before:.1f}): the figures are noise"
        print(warning, flush=True)
        report.notes.append(warning)
    warn_of_missing_tools()
    with tempfile.TemporaryDirectory(prefix="sidekey-bench-") as name:
        folder = Path(name)
        print("starting a bao development server", flush=True)
        server = start_bao_server(bao.binary, folder)
        with server.child:
            wrk = find_tool("wrk")
            load = Wrk(wrk, plan.wrk_seconds, folder) if wrk else None
            examples = find_examples(arguments.examples)
            bench = Bench(ours, bao, server, folder, plan, load, find_tool("nginx"), find_tool("haproxy"), examples, report)
            failures = run_scenarios(bench, arguments.only)
            report.notes += general_notes(bench, load_before)
    report.notes += [f"Could not run: {failure}" for failure in failures]
    print()
    print(report.text(), flush=True)
    if arguments.markdown:
        arguments.markdown.write_text(report.markdown())
    return failures


def end_cleanly(number: int, _frame: object) -> None:
    """Turns a signal into an exit that runs every `with` block on its way."""
    sys.exit(128 + number)


def main() -> int:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end_cleanly)
    try:
        failures = run(parse_arguments())
    except KeyboardInterrupt:
        return 130
    except (BenchError, OSError) as error:
        failures = [str(error)]
    if failures:
        print(f"could not run: {'; '.join(failures)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
