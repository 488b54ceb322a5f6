"""What one more identity costs: an `auto_auth` block with a sink, and one with listener and template as well."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from agents import Product, auto_auth_block, product_folder, upstream_block
from processes import BenchError, Child
from report import Row, Unit, below

if TYPE_CHECKING:
    from pathlib import Path

    from scenarios import Bench

MORE = 100


def memory_per_identity(bench: Bench) -> None:
    """Growth of an agent by further auto_auth blocks, divided by their number."""
    for whole, title in ((False, "with its sink"), (True, "with sink, listener and template")):
        one, many = (idle(bench, count, whole) for count in (1, 1 + MORE))
        each = (many - one) / MORE / 1e3
        bench.say(f"sidekey: {one / 1e6:.1f} MB with one identity, {many / 1e6:.1f} MB with {1 + MORE}, {title}")
        row = Row(f"memory per identity {title}", Unit.KILOBYTES, each, "has one", bar=below(100, Unit.KILOBYTES))
        bench.report.rows.append(row)


def idle(bench: Bench, count: int, whole: bool) -> float:
    """Resident bytes of an agent with `count` identities, all logged in."""
    parent = bench.folder / "identities" / f"{count}-{'whole' if whole else 'sink'}"
    folder = product_folder(bench.ours, parent)
    parts = [upstream_block(bench.server.address)]
    for number in range(count):
        own = folder / str(number)
        own.mkdir()
        block = auto_auth_block(bench.server, own, sink=True)
        parts.append(block.replace("auto_auth {", f'auto_auth "id-{number}" {{'))
        if whole:
            parts.append(users(own, number))
    if whole:
        parts.append("cache {}\napi_proxy {\n  use_auto_auth_token = true\n}\n")
    config = folder / "agent.hcl"
    config.write_text("\n".join(parts))
    return settled(bench.ours, config, folder, count, "rendered" if whole else "token")


def users(folder: Path, number: int) -> str:
    return f"""
listener "unix" {{
  address = "{folder}/socket"
  tls_disable = true
  auto_auth = "id-{number}"
}}
template {{
  contents = "{{{{ with secret \\"secret/data/app\\" }}}}{{{{ .Data.data.password }}}}{{{{ end }}}}"
  destination = "{folder}/rendered"
  auto_auth = "id-{number}"
}}
"""


def settled(product: Product, config: Path, folder: Path, count: int, last: str) -> float:
    """Starts it, waits for every identity's last file and for what a start leaves to be given back."""
    deadline = time.monotonic() + 60
    with Child(f"{product.name} agent", [str(product.binary), "agent", f"-config={config}"], folder) as child:
        while not all((folder / str(number) / last).exists() for number in range(count)):
            if time.monotonic() > deadline:
                raise BenchError(f"{product.name} agent has not delivered to all {count} identities within 60 s")
            time.sleep(0.05)
        time.sleep(30)
        return child.memory().rss
