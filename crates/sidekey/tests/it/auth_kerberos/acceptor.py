"""A login endpoint for the auth method `kerberos`, independent of Sidekey: MIT's library accepts the token.

Usage: acceptor.py REAL_SERVER ROOT_TOKEN TTL; the keytab is in KRB5_KTNAME. What it is asked besides goes to
the real server. Prints a line for each request.
"""

import base64
import http.server
import json
import sys
import urllib.error
import urllib.request

import gssapi

server, root, ttl = sys.argv[1:]
LOGIN = "/v1/auth/kerberos/login"


def ask(method, path, body, headers):
    request = urllib.request.Request(server + path, method=method, data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def login(header, body):
    kind, _, token = header.partition(" ")
    assert kind == "Negotiate" and json.loads(body) == {}, (kind, body)
    print("token", token, flush=True)
    try:
        context = gssapi.SecurityContext(usage="accept", creds=gssapi.Credentials(usage="accept"))
        context.step(base64.b64decode(token, validate=True))
        assert context.complete
    except gssapi.exceptions.GSSError as error:
        print("refused", str(error).replace("\n", " "), flush=True)
        return 403, json.dumps({"errors": ["Kerberos says no"]}).encode()
    print("accepted", context.initiator_name, "for", context.target_name, flush=True)
    body = json.dumps({"ttl": ttl, "policies": ["default"]}).encode()
    return ask("POST", "/v1/auth/token/create", body, {"X-Vault-Token": root})


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        authorization = self.headers.get("Authorization")
        print(self.command, self.path, "with" if authorization else "without", "authorization", flush=True)
        if self.path == LOGIN and self.command == "PUT":
            status, answer = login(authorization or "", body)
        else:
            headers = {name: value for name, value in self.headers.items() if name.startswith(("X-", "x-"))}
            status, answer = ask(self.command, self.path, body or None, headers)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_PUT = do_POST = answer

    def log_message(self, *_):
        pass


httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(f"listening on http://127.0.0.1:{httpd.server_port}", flush=True)
httpd.serve_forever()
