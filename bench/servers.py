"""The servers behind the agents: an OpenBao development server, a static upstream, and nginx and HAProxy as peers."""

from __future__ import annotations

import dataclasses
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from http_api import Answer, answers, call, is_open
from processes import BenchError, Child, clean_environment, free_port, free_port_pair


# A policy: the secrets that the benchmarks read.
READ = 'path "secret/data/*" { capabilities = ["read"] }'


@dataclass(frozen=True)
class AppRole:
    """What an agent needs to log in."""

    role_id: str
    secret_id: str

    def login_body(self) -> dict[str, object]:
        return {"role_id": self.role_id, "secret_id": self.secret_id}


@dataclass(frozen=True)
class BaoServer:
    """A running development server with an AppRole and one KV secret."""

    child: Child
    address: str
    approle: AppRole
    password: str
    root: str

    def write_secret(self, path: str, fields: dict[str, str]) -> None:
        answer = call("POST", f"{self.address}/v1/secret/data/{path}", self.root, {"data": fields})
        if answer.status != 200:
            raise BenchError(f"bao server refused a secret: {answer.status} {answer.body.decode(errors='replace')}")


def start_bao_server(bao: Path, folder: Path) -> BaoServer:
    """Starts a development server in memory and prepares it."""
    port = free_port_pair()
    token = secrets.token_hex(16)
    command = [str(bao), "server", "-dev", "-dev-no-store-token", "-log-level=error"]
    command += [f"-dev-root-token-id={token}", f"-dev-listen-address=127.0.0.1:{port}"]
    child = Child("bao server", command, folder)
    try:
        return prepare_bao_server(child, f"http://127.0.0.1:{port}", token)
    except BaseException:
        child.stop()
        raise


def prepare_bao_server(child: Child, address: str, token: str) -> BaoServer:
    """Creates what the benchmarks read: a role with renewable tokens of one hour, and a KV v2 secret."""
    child.wait_until(lambda: answers(f"{address}/v1/sys/health"), "answering")

    def admin(method: str, path: str, body: object = None) -> Answer:
        return call(method, f"{address}/v1/{path}", token, body)

    password = secrets.token_hex(12)
    secret = {"data": {"username": "app", "password": password}}
    # The server mounts `secret/` a moment after it answers.
    child.wait_until(lambda: admin("POST", "secret/data/app", secret).status == 200, "taking secrets")
    role = {"token_ttl": "1h", "token_max_ttl": "24h", "token_policies": "bench", "secret_id_num_uses": 0}
    for path, body in (
        ("sys/policies/acl/bench", {"policy": READ}),
        ("sys/auth/approle", {"type": "approle"}),
        ("auth/approle/role/bench", role),
    ):
        answer = admin("POST", path, body)
        if answer.status not in (200, 204):
            raise BenchError(f"bao server refused {path}: {answer.status} {answer.body.decode(errors='replace')}")
    role_id = admin("GET", "auth/approle/role/bench/role-id").json()["data"]["role_id"]
    secret_id = admin("POST", "auth/approle/role/bench/secret-id", {}).json()["data"]["secret_id"]
    return BaoServer(child, address, AppRole(role_id, secret_id), password, token)


def with_role(server: BaoServer, name: str, ttl: str, policy: str) -> BaoServer:
    """The same server with a role of its own, whose tokens live so long and may do what the policy's text says."""

    def admin(method: str, path: str, body: object = None) -> dict[str, str]:
        answer = call(method, f"{server.address}/v1/{path}", server.root, body)
        if answer.status not in (200, 204):
            raise BenchError(f"bao server refused {path}: {answer.status}")
        return answer.json()["data"] if answer.body else {}

    admin("POST", f"sys/policies/acl/{name}", {"policy": policy})
    role = {"token_ttl": ttl, "token_max_ttl": "24h", "token_policies": name, "secret_id_num_uses": 0}
    admin("POST", f"auth/approle/role/{name}", role)
    role_id = admin("GET", f"auth/approle/role/{name}/role-id")["role_id"]
    secret_id = admin("POST", f"auth/approle/role/{name}/secret-id", {})["secret_id"]
    return dataclasses.replace(server, approle=AppRole(role_id, secret_id))


def find_tool(name: str) -> str | None:
    """The path of an installed program; also looks where root's programs are."""
    return shutil.which(name, path=clean_environment(Path("/"))["PATH"])


def static_body() -> str:
    """The 400-byte answer of the static upstream, shaped like a secret."""
    start = '{"request_id":"00000000-0000-0000-0000-000000000000","lease_duration":0,"data":{"data":{"v":"'
    end = '"},"metadata":{"version":1}},"warnings":null}'
    return start + "x" * (400 - len(start) - len(end)) + end


def start_static_upstream(nginx: str, folder: Path) -> tuple[Child, int]:
    """nginx answering everything with one small JSON body."""
    port = free_port()
    server = f"""
    server {{
      listen 127.0.0.1:{port};
      default_type application/json;
      location / {{ return 200 '{static_body()}'; }}
    }}"""
    return start_nginx(nginx, "upstream", server, port, folder), port


def start_nginx_proxy(nginx: str, upstream_port: int, folder: Path, pem: Path | None = None) -> tuple[Child, int]:
    """nginx passing everything on over kept connections."""
    port = free_port()
    server = f"""
    upstream static {{
      server 127.0.0.1:{upstream_port};
      keepalive 64;
      keepalive_requests 1000000000;
    }}
    server {{
      listen 127.0.0.1:{port}{f" ssl; ssl_certificate {pem}; ssl_certificate_key {pem}" if pem else ""};
      location / {{
        proxy_pass http://static;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
      }}
    }}"""
    return start_nginx(nginx, "nginx", server, port, folder, tls=pem is not None), port


def start_nginx(nginx: str, name: str, server: str, port: int, folder: Path, tls: bool = False) -> Child:
    prefix = folder / name
    prefix.mkdir()
    config = prefix / "nginx.conf"
    config.write_text(
        f"""daemon off;
{"user root;" if os.geteuid() == 0 else ""}
worker_processes 1;
pid {prefix}/nginx.pid;
error_log {prefix}/error.log warn;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    {server}
}}
"""
    )
    child = Child(name, [nginx, "-p", str(prefix), "-e", f"{prefix}/error.log", "-c", str(config)], prefix)
    ready = (lambda: is_open(port)) if tls else (lambda: answers(f"http://127.0.0.1:{port}/"))
    child.wait_until_or_stop(ready, "answering")
    return child


def start_haproxy(haproxy: str, upstream_port: int, folder: Path, pem: Path | None = None) -> tuple[Child, int]:
    """HAProxy with one thread passing everything on over kept connections."""
    port = free_port()
    prefix = folder / "haproxy"
    prefix.mkdir()
    config = prefix / "haproxy.cfg"
    config.write_text(
        f"""global
    nbthread 1
    maxconn 8192
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    http-reuse always
frontend clients
    bind 127.0.0.1:{port}{f" ssl crt {pem}" if pem else ""}
    default_backend static
backend static
    server upstream 127.0.0.1:{upstream_port}
"""
    )
    child = Child("haproxy", [haproxy, "-f", str(config)], prefix)
    ready = (lambda: answers(f"http://127.0.0.1:{port}/")) if pem is None else (lambda: is_open(port))
    child.wait_until_or_stop(ready, "answering")
    return child, port


def start_bare_forwarder(program: Path, upstream_port: int, folder: Path) -> tuple[Child, int]:
    """The emptiest program that passes requests on: crates/testkit/examples/bare_forwarder.rs."""
    port = free_port()
    child = Child("bare forwarder", [str(program), str(port), str(upstream_port)], folder)
    child.wait_until_or_stop(lambda: answers(f"http://127.0.0.1:{port}/"), "answering")
    return child, port
