"""The two products under comparison: one configuration text for both, and their start."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from http_api import answers, is_open
from processes import Child, free_port
from servers import BaoServer


@dataclass(frozen=True)
class Product:
    """A program called as `agent -config=FILE` and `proxy -config=FILE`."""

    name: str
    binary: Path


@dataclass(frozen=True)
class RunningAgent:
    """An agent or proxy with a listener."""

    product: Product
    child: Child
    port: int

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


def auto_auth_block(server: BaoServer, folder: Path, sink: bool) -> str:
    """AppRole login; the ids are written into `folder`."""
    (folder / "role-id").write_text(server.approle.role_id)
    (folder / "secret-id").write_text(server.approle.secret_id)
    sink_block = f"""
  sink "file" {{
    config = {{
      path = "{folder}/token"
    }}
  }}"""
    return f"""
auto_auth {{
  method "approle" {{
    config = {{
      role_id_file_path = "{folder}/role-id"
      secret_id_file_path = "{folder}/secret-id"
      remove_secret_id_file_after_reading = false
    }}
  }}{sink_block if sink else ""}
}}
"""


def product_folder(product: Product, parent: Path) -> Path:
    """A folder of its own for the files of one product."""
    folder = parent / product.name.replace(" ", "-")
    folder.mkdir(parents=True)
    return folder


def upstream_block(address: str) -> str:
    return f"""log_level = "warn"

vault {{
  address = "{address}"
}}
"""


def listener_block(port: int) -> str:
    return f"""
listener "tcp" {{
  address = "127.0.0.1:{port}"
  tls_disable = true
}}
"""


def one_template_config(server: BaoServer, folder: Path) -> Path:
    """Log in, render one template to `folder`/rendered, exit."""
    config = folder / "agent.hcl"
    config.write_text(
        f"""exit_after_auth = true
{upstream_block(server.address)}{auto_auth_block(server, folder, sink=False)}
template {{
  contents = "{{{{ with secret \\"secret/data/app\\" }}}}{{{{ .Data.data.password }}}}{{{{ end }}}}"
  destination = "{folder}/rendered"
}}
"""
    )
    return config


def many_templates_config(server: BaoServer, folder: Path, count: int) -> Path:
    """Log in, render `count` templates to `folder`/rendered-N, each with a secret of its own, exit."""
    config = folder / "agent.hcl"
    templates = "".join(
        f"""
template {{
  contents = "{{{{ with secret \\"secret/data/many/{number}\\" }}}}{{{{ .Data.data.password }}}}{{{{ end }}}}"
  destination = "{folder}/rendered-{number}"
}}
"""
        for number in range(count)
    )
    config.write_text(
        f"""exit_after_auth = true
{upstream_block(server.address)}{auto_auth_block(server, folder, sink=False)}{templates}"""
    )
    return config


ENTRIES = 1000

# Some ten kilobytes of what configurations are made of, with three loops over ENTRIES entries: eight calls an entry.
# crates/gotemplate/benches/render.rs has the same text.
BODY = (
    """{{ range $i, $e := .services }}
{{- if and (ne $e.name "") (lt $i 100000) }}
[{{ $e.name }}]
address = {{ $e.address | printf "%q" }}
port    = {{ index $e "port" }}{{ if eq $e.port "8080" }} # default{{ end }}
{{- end }}
{{- end }}
{{ $all := "" }}{{ range .names }}{{ $all = . }}{{ if eq . "n500" }}{{ continue }}{{ end }}{{ . }},{{ end }}
{{ range $k, $v := .plain }}{{ $k }}={{ $v | html }}
{{ end }}
"""
    + "# a line that only stands there, as most lines of a configuration do\n" * 130
)


def rendering_config(server: BaoServer, folder: Path, times: int) -> Path:
    """Log in, render BODY so many times over into one file, exit."""
    data = {
        "services": [
            {"name": f"n{n}", "address": f"10.0.{n // 256}.{n % 256}", "port": str(8000 + n % 100)}
            for n in range(ENTRIES)
        ],
        "names": [f"n{n}" for n in range(ENTRIES)],
        "plain": {f"n{n}": f"value <{n}>" for n in range(ENTRIES)},
    }
    (folder / "data.json").write_text(json.dumps(data))
    (folder / "template.ctmpl").write_text(
        f'{{{{ define "body" }}}}{BODY}{{{{ end }}}}'
        f'{{{{ with file "{folder}/data.json" | parseJSON }}}}{{{{ $data := . }}}}'
        f'{{{{ range loop {times} }}}}{{{{ template "body" $data }}}}{{{{ end }}}}{{{{ end }}}}'
    )
    config = folder / f"render-{times}.hcl"
    config.write_text(
        f"""exit_after_auth = true
{upstream_block(server.address)}{auto_auth_block(server, folder, sink=False)}
template {{
  source      = "{folder}/template.ctmpl"
  destination = "{folder}/rendered-{times}"
}}
"""
    )
    return config


def start_caching_agent(product: Product, server: BaoServer, parent: Path) -> RunningAgent:
    """Login, sink, cache and listener; returns when the listener answers and the token is in the sink."""
    folder = product_folder(product, parent)
    port = free_port()
    config = folder / "agent.hcl"
    config.write_text(
        f"""{upstream_block(server.address)}{auto_auth_block(server, folder, sink=True)}
cache {{
}}

api_proxy {{
  use_auto_auth_token = true
}}
{listener_block(port)}"""
    )
    child = Child(f"{product.name} agent", [str(product.binary), "agent", f"-config={config}"], folder)
    agent = RunningAgent(product, child, port)
    sink = folder / "token"
    child.wait_until_or_stop(
        lambda: sink.exists() and answers(agent.url("/v1/sys/health")), "answering with its token in the sink"
    )
    return agent


def start_plain_proxy(product: Product, upstream_port: int, parent: Path, pem: Path | None = None) -> RunningAgent:
    """A proxy without cache and without login; with TLS when there is a certificate, its key beside it."""
    folder = product_folder(product, parent)
    port = free_port()
    config = folder / "proxy.hcl"
    listener = listener_block(port)
    if pem is not None:
        files = f'tls_cert_file = "{pem}"\n  tls_key_file = "{pem.with_name("key.pem")}"'
        listener = listener.replace("tls_disable = true", files)
    config.write_text(upstream_block(f"http://127.0.0.1:{upstream_port}") + listener)
    child = Child(f"{product.name} proxy", [str(product.binary), "proxy", f"-config={config}"], folder)
    agent = RunningAgent(product, child, port)
    ready = (lambda: answers(agent.url("/v1/sys/health"))) if pem is None else (lambda: is_open(port))
    child.wait_until_or_stop(ready, "answering")
    return agent


def secret(number: int) -> str:
    """What a template of one secret consists of."""
    return f'contents = "{{{{ with secret \\"secret/data/delivering/{number}\\" }}}}{{{{ .Data.data.password }}}}{{{{ end }}}}"'


def template(folder: Path, number: int) -> str:
    return f'\ntemplate {{\n  {secret(number)}\n  destination = "{folder}/rendered-{number}"\n  perms = "0600"\n}}\n'


def variable(number: int) -> str:
    return f'\nenv_template "SECRET_{number}" {{\n  {secret(number)}\n}}\n'


def supervised(line: str) -> str:
    return f'\nexec {{\n  command = ["/bin/sh", "-c", "{line}"]\n}}\n'


def agent_command(product: Product, server: BaoServer, folder: Path, blocks: str, address: str = "") -> list[str]:
    """The command of an agent with these blocks and a login."""
    config = folder / "agent.hcl"
    login = auto_auth_block(server, folder, sink=False)
    config.write_text(upstream_block(address or server.address) + login + blocks)
    return [str(product.binary), "agent", f"-config={config}"]
