#!/usr/bin/env python3
"""What the agent of OpenBao makes of the templates in this folder and in examples/templates.

    reference.py PATH_TO_BAO [-twice] [-examples] [WORD ...]

Starts a server in development mode, sets it up as setup.json says, renders every case whose name holds one of the
words, and prints each verdict: `= ` and the output, or `! ` and the error. With -twice it does all of it twice, on
two servers, and prints only what differs: such a case does not belong here. README.md tells the layout.
"""

import base64
import concurrent.futures
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
EXAMPLES = HERE.parents[3] / "examples" / "templates"
SETUP = json.loads((HERE / "setup.json").read_text())
TOKEN = "corpus"
ALONE = "alone"


def free_port():
    """A port whose successor is free too: the server takes both."""
    while True:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            try:
                two.bind(("127.0.0.1", port + 1))
                return port
            except OSError:
                continue


class Server:
    def __init__(self, bao, folder, requests):
        self.bao = bao
        self.address = f"http://127.0.0.1:{free_port()}"
        environment = {"HOME": folder, "PATH": os.environ["PATH"]}
        self.process = subprocess.Popen(
            [bao, "server", "-dev", "-dev-root-token-id=root", "-dev-no-store-token",
             "-dev-listen-address=" + self.address[7:]],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        for _ in range(200):
            try:
                urllib.request.urlopen(self.address + "/v1/sys/health", timeout=1)
                break
            except OSError:
                time.sleep(0.05)
        for path, body in requests:
            self.write(path, body)

    def write(self, path, body):
        data = body if isinstance(body, str) else json.dumps(body)
        request = urllib.request.Request(
            self.address + "/v1/" + urllib.request.quote(path), data.encode(), {"X-Vault-Token": "root"})
        for attempt in range(20):
            try:
                return urllib.request.urlopen(request).read()
            except urllib.error.HTTPError as error:
                text = error.read().decode()
                # A version 2 mount is busy for a moment after it was made.
                if attempt == 19 or error.code < 400 or "Upgrading" not in text:
                    sys.exit(f"{path}: {error.code} {text}")
                time.sleep(0.05)

    def close(self):
        self.process.kill()
        self.process.wait()


def make_files(folder):
    for name, text in SETUP["files"].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    for name, text in SETUP["bytes"].items():
        (folder / name).write_bytes(base64.b64decode(text))
    for name, target in SETUP["links"].items():
        (folder / name).symlink_to(target)


class Case:
    def __init__(self, name, source, options=""):
        self.name, self.source, self.options = name, source, options

    def fetches(self):
        group = self.name.split("/")[0]
        return group in SETUP["fetching_groups"] or group == "examples"

    def stanza(self, folder, fatal):
        return (f'template {{\n  source = "{self.source}"\n  destination = "{folder}/out/{self.name}"\n'
                f'  error_fatal = {str(fatal).lower()}\n{self.options}}}\n')


def cases():
    for source in sorted(HERE.glob("*/*.ctmpl")):
        options = source.with_suffix(".options")
        name = f"{source.parent.name}/{source.stem}"
        yield Case(name, source, options.read_text() if options.exists() else "")


class Example(Case):
    """A template of examples/templates with its stanza from the README there, but for its command."""

    def stanza(self, folder, fatal):
        return self.options.replace("/run/sidekey", f"{folder}/out/examples")


def examples():
    text = (EXAMPLES / "README.md").read_text().split("```hcl\n")[1].split("```")[0]
    text = re.sub(r"^  command .*\n", "", text, flags=re.M).replace("/etc/sidekey/templates", str(EXAMPLES))
    for stanza in text.split("template {\n")[1:]:
        destination = re.search(r'destination = "/run/sidekey/(.*)"', stanza)[1]
        source = re.search(r'source      = "(.*)"', stanza)[1]
        yield Example(f"examples/{destination}", source, "template {\n" + stanza)


class Agent:
    """A folder and the agent that works in it."""

    def __init__(self, server, folder):
        self.server, self.folder = server, folder
        folder.mkdir()
        make_files(folder)
        (folder / "token").write_text(TOKEN)

    def start(self, cases, fatal):
        config = (f'vault {{\n  address = "{self.server.address}"\n  retry {{ num_retries = -1 }}\n}}\n'
                  f'auto_auth {{\n  method "token_file" {{ config = {{ token_file_path = "{self.folder}/token" }} }}\n}}\n'
                  f'template_config {{ exit_on_retry_failure = {str(fatal).lower()} }}\n')
        config += "".join(case.stanza(self.folder, fatal) for case in cases)
        (self.folder / "agent.hcl").write_text(config)
        environment = {"HOME": str(self.folder), "PATH": os.environ["PATH"], **SETUP["environment"]}
        with open(self.folder / "log", "wb") as log:
            return subprocess.Popen(
                [self.server.bao, "agent", "-log-format=json", "-log-level=warn", f"-config={self.folder}/agent.hcl"],
                stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=self.folder)

    def messages(self):
        with open(self.folder / "log", "rb") as log:
            for line in log:
                try:
                    yield json.loads(line)
                except ValueError:
                    continue

    def together(self, cases):
        """One process for all: it goes on after errors, and is done when nothing has changed for a while."""
        agent = self.start(cases, False)
        by_source = {str(case.source): case.name for case in cases}
        seen, since = {}, time.monotonic()
        try:
            while time.monotonic() - since < (1 if len(seen) == len(cases) else 4):
                time.sleep(0.1)
                if agent.poll() is not None:
                    log = (self.folder / "log").read_text(errors="replace")
                    failed = [line[:300] for line in log.splitlines() if '"error"' in line]
                    sys.exit("the agent ended: did a template fail twice, first before its secrets were there?\n"
                             + "\n".join(failed[-4:]))
                found = {}
                for line in self.messages():
                    match = re.match(r"\(runner\) (.*?\.ctmpl): (.*)", line.get("@message", ""), re.S)
                    if match:
                        found[by_source[match[1]]] = b"! " + match[2].encode("utf-8", "surrogateescape")
                for case in cases:
                    path = self.folder / "out" / case.name
                    if path.exists():
                        found[case.name] = b"= " + path.read_bytes()
                if found != seen:
                    seen, since = found, time.monotonic()
        finally:
            agent.kill()
            agent.wait()
        for case in cases:
            seen.setdefault(case.name, b"? nothing")
        # What writeToFile wrote is part of the verdict.
        for path in sorted((self.folder / "written").rglob("*")):
            if path.is_file():
                mode = path.stat().st_mode & 0o7777
                seen[str(path.relative_to(self.folder))] = b"= %o " % mode + path.read_bytes()
        return seen

    def alone(self, case):
        """One process for one case: a secret that cannot be had ends it."""
        agent = self.start([case], True)
        path = self.folder / "out" / case.name
        deadline = time.monotonic() + 10
        while agent.poll() is None and not path.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        agent.kill()
        agent.wait()
        if path.exists():
            return b"= " + path.read_bytes()
        for line in self.messages():
            match = re.match(r"\(view\) (.*) \(exceeded maximum retries\)$", line.get("@message", ""), re.S)
            if match:
                return b"! " + match[1].encode()
            if "error" in line:
                return b"! " + line["error"].encode()
        return b"? nothing"


def verdicts(bao, words, with_examples):
    chosen = [case for case in cases() if not words or any(word in case.name for word in words)]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        requests = SETUP["requests"]
        if with_examples:
            chosen = list(examples())
            requests = requests + json.loads((HERE / "examples.json").read_text())
        server = Server(bao, str(folder), requests)
        try:
            apart = [case for case in chosen if case.name.startswith(ALONE + "/")]
            fetching = [case for case in chosen if case.fetches()]
            found = {}
            for name, batch in [("fetching", fetching), ("plain", [c for c in chosen if c not in apart + fetching])]:
                if batch:
                    found.update(Agent(server, folder / name).together(batch))
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                agents = [Agent(server, folder / f"alone{number}") for number in range(len(apart))]
                for case, verdict in zip(apart, pool.map(lambda pair: pair[0].alone(pair[1]), zip(agents, apart))):
                    found[case.name] = verdict
        finally:
            server.close()
        # What is different on each run by nature: the port and the folder.
        return {name: verdict.replace(server.address.encode(), b"ADDRESS").replace(str(folder).encode(), b"FOLDER")
                for name, verdict in found.items()}


def main():
    words = [word for word in sys.argv[2:] if not word.startswith("-")]
    bao, with_examples = os.path.abspath(sys.argv[1]), "-examples" in sys.argv
    found = verdicts(bao, words, with_examples)
    if "-twice" in sys.argv:
        again = verdicts(bao, words, with_examples)
        differing = [name for name in sorted(found.keys() | again.keys()) if found.get(name) != again.get(name)]
        for name in differing:
            print(f"{name} differs:\n  {found.get(name)}\n  {again.get(name)}")
        failures = sum(verdict.startswith(b"! ") for verdict in found.values())
        print(f"{len(found)} verdicts, {failures} of them errors, {len(differing)} differ")
        return
    for name in sorted(found):
        sys.stdout.buffer.write(b"== " + name.encode() + b"\n" + found[name] + b"\n")


if __name__ == "__main__":
    main()
