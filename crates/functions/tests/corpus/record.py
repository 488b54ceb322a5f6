#!/usr/bin/env python3
"""Records what the agent of OpenBao makes of template snippets.

    record.py PATH_TO_BAO SNIPPETS [OUT]

SNIPPETS has one snippet a line, or is a corpus already (lines that begin with `= ` or `! ` behind a snippet are
dropped). `# ` begins a remark, which is kept. A newline is written as U+23CE, a tab as U+21E5. `ERR:` before a
snippet turns missing keys into errors, `DELIMS << >>:` sets its delimiters. OUT is the corpus that
tests/it/corpus.rs reads; without it the result goes to standard output.

All snippets are templates of one agent with `error_fatal = false`, so one run tells files and errors alike. The
agent formats an error a second time, which mangles its percent signs; that is undone here, as far as it can be.
"""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

BATCH = 150


def escaped(data):
    out = []
    for char in data.decode("utf-8", "surrogateescape"):
        code = ord(char)
        if char == "\n":
            out.append("\u23ce")
        elif char == "\t":
            out.append("\u21e5")
        elif code < 0x20 or code == 0x7F:
            out.append(f"\u00ab{code:02x}\u00bb")
        elif 0xDC80 <= code <= 0xDCFF:
            out.append(f"\u00ab{code - 0xDC00:02x}\u00bb")
        else:
            out.append(char)
    return "".join(out)


def unmangled(text):
    return re.sub(r"%!(.)\(MISSING\)", r"%\1", text)


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


class Oracle:
    def __init__(self, bao, folder):
        self.bao, self.folder = bao, folder
        self.environment = {"HOME": folder, "PATH": os.environ["PATH"], "TZ": "UTC"}
        self.address = f"http://127.0.0.1:{free_port()}"
        self.server = subprocess.Popen(
            [bao, "server", "-dev", "-dev-root-token-id=root", "-dev-listen-address=" + self.address[7:]],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.environment)
        for _ in range(200):
            try:
                urllib.request.urlopen(self.address + "/v1/sys/health", timeout=1)
                break
            except OSError:
                time.sleep(0.05)
        with open(folder + "/token", "w") as file:
            file.write("root")

    def close(self):
        self.server.kill()
        self.server.wait()

    def verdicts(self, snippets):
        found = {}
        for start in range(0, len(snippets), BATCH):
            found.update(self.batch(snippets[start:start + BATCH]))
        return found

    def batch(self, snippets):
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            config = [f'vault {{ address = "{self.address}" retry {{ num_retries = -1 }} }}',
                      'auto_auth { method "token_file" { config = { token_file_path = "%s/token" } } }' % self.folder]
            for number, snippet in enumerate(snippets):
                text, options = snippet, ""
                if text.startswith("ERR:"):
                    text, options = text[4:], "error_on_missing_key = true "
                elif match := re.match(r"DELIMS (\S+) (\S+?):", text):
                    text = text[match.end():]
                    options = f'left_delimiter = "{match[1]}" right_delimiter = "{match[2]}" '
                text = text.replace("\u23ce", "\n").replace("\u21e5", "\t")
                with open(f"{folder}/{number}.in", "w") as file:
                    file.write(text)
                config.append(f'template {{ source = "{folder}/{number}.in" destination = "{folder}/{number}.out" '
                              + options + 'error_fatal = false }')
            with open(folder + "/agent.hcl", "w") as file:
                file.write("\n".join(config))
            with open(folder + "/log", "wb") as log:
                agent = subprocess.Popen(
                    [self.bao, "agent", "-log-format=json", "-log-level=warn", f"-config={folder}/agent.hcl"],
                    stdout=log, stderr=subprocess.STDOUT, env=self.environment)
            try:
                return self.collect(folder, snippets)
            finally:
                agent.kill()
                agent.wait()

    def collect(self, folder, snippets):
        found, deadline = {}, time.monotonic() + 20
        while len(found) < len(snippets) and time.monotonic() < deadline:
            time.sleep(0.1)
            for number, snippet in enumerate(snippets):
                path = f"{folder}/{number}.out"
                if snippet not in found and os.path.exists(path):
                    with open(path, "rb") as file:
                        found[snippet] = "= " + escaped(file.read())
            with open(folder + "/log", "rb") as log:
                for line in log:
                    try:
                        message = json.loads(line)["@message"]
                    except (ValueError, KeyError, TypeError):
                        continue
                    match = re.match(r"\(runner\) .*/(\d+)\.in: (.*)", message, re.S)
                    if match:
                        text = unmangled(match[2])
                        found[snippets[int(match[1])]] = "! " + escaped(text.encode("utf-8", "surrogateescape"))
        for snippet in snippets:
            found.setdefault(snippet, "? nothing")
        return found


def main():
    bao, path = sys.argv[1], sys.argv[2]
    with open(path) as file:
        lines = [line.rstrip("\n") for line in file]
    wanted, snippets = [], []
    for line in lines:
        if line[:2] in ("= ", "! ", "? ") or line in ("=", "!") or not line:
            continue
        wanted.append(line)
        if not line.startswith("# ") and line not in snippets:
            snippets.append(line)
    with tempfile.TemporaryDirectory() as folder:
        oracle = Oracle(os.path.abspath(bao), folder)
        try:
            found = oracle.verdicts(snippets)
        finally:
            oracle.close()
    done, out = set(), []
    for line in wanted:
        if line in done:
            continue
        done.add(line)
        out.append(line)
        if not line.startswith("# "):
            out.append(found[line])
    text = "\n".join(out) + "\n"
    if len(sys.argv) > 3:
        with open(sys.argv[3], "w") as file:
            file.write(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
