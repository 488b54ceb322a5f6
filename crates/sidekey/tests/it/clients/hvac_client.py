"""hvac does what its users do; see clients.rs for what becomes of what is printed."""

import concurrent.futures
import hashlib
import json
import os
import sys

import hvac

address, area, role_id, secret_id = sys.argv[1:5]
verify = os.environ.get("CA") or True
token = os.environ.get("TOKEN")


def connect(**more):
    # Without an explicit token hvac takes VAULT_TOKEN or ~/.vault-token; the test has neither.
    return hvac.Client(url=address, verify=verify, **{"token": token, **more})


def step(name, work):
    try:
        value = work()
    except hvac.exceptions.VaultError as error:
        value = [type(error).__name__, error.errors, error.method]
    print(name, json.dumps(value, sort_keys=True))


def aside(value):
    print("~", json.dumps(value, sort_keys=True))
    return value


def size(text):
    return [len(text), hashlib.sha256(text.encode()).hexdigest()]


client = connect()
two, one = client.secrets.kv.v2, client.secrets.kv.v1
if area == "steady":
    print({one.read_secret("steady", mount_point="plain")["data"]["n"] for _ in range(50)})
    sys.exit()

# === KV version 2 ===
step("write", lambda: two.create_or_update_secret(f"{area}/app", {"color": "blue"})["data"]["version"])
step("cas", lambda: two.create_or_update_secret(f"{area}/app", {"color": "red"}, cas=7))
step("patch", lambda: two.patch(f"{area}/app", {"size": 7})["data"]["version"])
step("read", lambda: two.read_secret_version(f"{area}/app", raise_on_deleted_version=True)["data"]["data"])
step("first", lambda: two.read_secret_version(f"{area}/app", version=1, raise_on_deleted_version=True)["data"]["data"])
step("list", lambda: two.list_secrets(area)["data"]["keys"])
step("delete", lambda: two.delete_latest_version_of_secret(f"{area}/app").status_code)
step("deleted", lambda: two.read_secret_version(f"{area}/app", raise_on_deleted_version=True))
step("destroy", lambda: two.delete_metadata_and_all_versions(f"{area}/app").status_code)

# === KV version 1 ===
step("write 1", lambda: one.create_or_update_secret(f"{area}/app", {"n": 1.0, "big": 12345678901234567890}, mount_point="plain").status_code)
step("read 1", lambda: one.read_secret(f"{area}/app", mount_point="plain")["data"])
step("list 1", lambda: one.list_secrets(area, mount_point="plain")["data"]["keys"])
step("delete 1", lambda: one.delete_secret(f"{area}/app", mount_point="plain").status_code)
step("gone 1", lambda: one.read_secret(f"{area}/app", mount_point="plain"))

# === Names ===
for name in ["with space", "ünï/日本", "per%cent", "escaped%2Fslash", "a+b", "q?x=1#y", "semi;colon", "tilde~", "quote'\"", "dot.dot", "back\\slash"]:
    step(f"name {name}", lambda: one.create_or_update_secret(f"{area}/names/{name}", {"name": name}, mount_point="plain").status_code)
    step("name back", lambda: one.read_secret(f"{area}/names/{name}", mount_point="plain")["data"])
step("names", lambda: one.list_secrets(f"{area}/names", mount_point="plain")["data"]["keys"])

# === Logins ===
login = client.auth.approle.login(role_id=role_id, secret_id=secret_id, use_token=False)["auth"]
own = connect(token=login["client_token"])
step("login", lambda: [login["token_policies"], own.is_authenticated(), own.lookup_token()["data"]["id"] == own.token])
step("login, wrong", lambda: client.auth.approle.login(role_id=role_id, secret_id="wrong", use_token=False))
child = client.auth.token.create(ttl="1h", policies=["client"])["auth"]
step("child", lambda: len(connect(token=child["client_token"]).secrets.kv.v2.list_secrets("")["data"]["keys"]) > 0)
step("child ends", lambda: connect(token=child["client_token"]).auth.token.revoke_self().status_code)
step("child ended", lambda: connect(token=child["client_token"]).auth.token.lookup_self())
step("self", lambda: aside(client.auth.token.lookup_self())["data"]["policies"])
step("renew", lambda: aside(client.auth.token.renew_self())["auth"]["policies"])

# === Wrapping ===
wrapped = client.sys.wrap({"inside": "it"}, ttl=60)["wrap_info"]
step("wrap", lambda: [wrapped["ttl"], client.sys.unwrap(wrapped["token"])["data"]])
step("wrap, again", lambda: client.sys.unwrap(wrapped["token"]))
two.create_or_update_secret(f"{area}/wrapped", {"color": "blue"})
answer = client.read(f"secret/data/{area}/wrapped", wrap_ttl="60s")
step("wrapped", lambda: [answer["data"], client.sys.unwrap(answer["wrap_info"]["token"])["data"]["data"]])

# === Errors ===
step("404", lambda: two.read_secret_version(f"{area}/none", raise_on_deleted_version=True))
step("403", lambda: connect(token="s.bogus").secrets.kv.v1.read_secret("x", mount_point="plain"))
step("400", lambda: client.write_data(f"secret/data/{area}/x", data={"no": "data"}))
step("405", lambda: client.write_data("sys/host-info", data={}))
step("no route", lambda: client.read("nowhere/at/all"))

# === Namespace ===
team = connect(namespace="team")
step("namespace", lambda: team.secrets.kv.v1.create_or_update_secret(f"{area}/app", {"of": "team"}, mount_point="own").status_code)
step("namespace back", lambda: team.secrets.kv.v1.read_secret(f"{area}/app", mount_point="own")["data"])
step("by path", lambda: client.read(f"team/own/{area}/app")["data"])
step("no namespace", lambda: connect(namespace="none").secrets.kv.v1.read_secret("app", mount_point="own"))

# === HEAD, and what needs no token ===
step("head", lambda: client.sys.read_health_status(method="HEAD").status_code)
step("health", lambda: client.sys.read_health_status(method="GET")["sealed"])
step("initialized", lambda: [client.sys.is_initialized(), client.sys.is_sealed()])

# === Size ===
large = {f"k{n}": "x" * 500_000 for n in range(10)}
step("5 MB up", lambda: one.create_or_update_secret(f"{area}/large", large, mount_point="plain").status_code)
step("5 MB down", lambda: size(json.dumps(one.read_secret(f"{area}/large", mount_point="plain")["data"], sort_keys=True)))

# === Many at a time ===
with concurrent.futures.ThreadPoolExecutor(20) as pool:
    asked = [pool.submit(lambda n: one.create_or_update_secret(f"{area}/many/{n}", {"n": n}, mount_point="plain").status_code, n) for n in range(100)]
    step("many", lambda: sorted({work.result() for work in asked}))
step("many, listed", lambda: len(one.list_secrets(f"{area}/many", mount_point="plain")["data"]["keys"]))
