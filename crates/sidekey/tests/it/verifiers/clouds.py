"""A server whose cloud logins are checked by others' code, and the clouds' metadata services.

usage: clouds.py CLOUD SERVER ROOT_TOKEN FOLDER

Logins of CLOUD (aws, alicloud or cf) are checked here: by moto, cryptography, openssl and aliyun-python-sdk-core, none of
which shares code with what is tested. Who passes gets a token of the real server at SERVER, where every other request
goes. Prints "READY {json}" with its address and what a client needs. `PUT /stub/NAME` with a body sets what the metadata
service serves; `GET /stub/logins` tells who logged in.
"""

import base64
import datetime
import http.server
import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request

CLOUD, SERVER, ROOT, FOLDER = sys.argv[1:]
STUB = {}
LOGINS = []
NONCES = {}
READY = {}


class Refused(Exception):
    pass


def need(condition, why):
    if not condition:
        raise Refused(why)


def fetch(url, method="GET", headers=None, body=None):
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def fresh(text):
    time = datetime.datetime.strptime(text, "%Y%m%dT%H%M%SZ" if "-" not in text else "%Y-%m-%dT%H:%M:%SZ")
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    need(abs((now - time).total_seconds()) < 60, "stale time " + text)


def certificate(key, name="i-0abc"):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    day = datetime.timedelta(days=1)
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 1, now - day, now + day)
    return builder.sign(key, hashes.SHA256())


# === Amazon ===


def start_aws():
    os.environ.update(INITIAL_NO_AUTH_ACTION_COUNT="6", AWS_DEFAULT_REGION="us-east-1")
    import logging

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    import boto3
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    READY["moto"] = f"http://{host}:{port}"
    iam = boto3.client("iam", endpoint_url=READY["moto"], aws_access_key_id="x", aws_secret_access_key="x")
    everything = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
    iam.create_user(UserName="app")
    READY["keys"] = []
    for _ in range(2):
        key = iam.create_access_key(UserName="app")["AccessKey"]
        READY["keys"].append([key["AccessKeyId"], key["SecretAccessKey"]])
    iam.put_user_policy(UserName="app", PolicyName="p", PolicyDocument=everything)
    READY["role"] = iam.create_role(RoleName="web", AssumeRolePolicyDocument=everything)["Role"]["Arn"]
    iam.put_role_policy(RoleName="web", PolicyName="p", PolicyDocument=everything)

    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.serialization import pkcs7

    key = rsa.generate_private_key(65537, 2048)
    document = b'{\n  "accountId" : "1",\n  "instanceId" : "i-0abc"\n}'
    signature = base64.encodebytes(key.sign(document, padding.PKCS1v15(), hashes.SHA256())).strip()
    signer = pkcs7.PKCS7SignatureBuilder().set_data(document).add_signer(certificate(key), key, hashes.SHA256())
    signed = signer.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])
    READY["key"] = None
    STUB["document"], STUB["signature"], STUB["pkcs7"] = document, signature, base64.encodebytes(signed)
    STUB["public"] = key.public_key()


def login_aws(body):
    need(body["role"] == "app", "role")
    if "iam_request_url" in body:
        return login_iam(body)
    if "pkcs7" in body:
        der = base64.b64decode(body["pkcs7"], validate=True)
        command = ["openssl", "cms", "-verify", "-inform", "DER", "-noverify", "-binary"]
        done = subprocess.run(command, input=der, capture_output=True)
        need(done.returncode == 0, "pkcs7: " + done.stderr.decode())
        document = done.stdout
    else:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        document = base64.b64decode(body["identity"], validate=True)
        signature = base64.b64decode(body["signature"])
        STUB["public"].verify(signature, document, padding.PKCS1v15(), hashes.SHA256())
    instance = json.loads(document)["instanceId"]
    need(NONCES.setdefault(instance, body["nonce"]) == body["nonce"], "client nonce mismatch")
    return instance


def login_iam(body):
    decoded = {name: base64.b64decode(body[name], validate=True) for name in body if name.startswith("iam_request_")}
    url = urllib.parse.urlparse(decoded["iam_request_url"].decode())
    headers = {name: values[0] for name, values in json.loads(decoded["iam_request_headers"]).items()}
    lower = {name.lower(): value for name, value in headers.items()}
    need(lower["x-vault-aws-iam-server-id"] == "vault.example.com", "server id")
    need("x-vault-aws-iam-server-id" in lower["authorization"].split("SignedHeaders=")[1], "server id is not signed")
    need(lower["content-length"] == str(len(decoded["iam_request_body"])), "length")
    fresh(lower["x-amz-date"])
    headers["Host"] = url.netloc
    status, answer = fetch(
        READY["moto"] + (url.path or "/"), body["iam_http_request_method"], headers, decoded["iam_request_body"]
    )
    need(status == 200, f"moto: {status} " + answer.decode())
    # An altered request is found out, or this check is worth nothing.
    headers["X-Vault-Aws-Iam-Server-Id" if "X-Vault-Aws-Iam-Server-Id" in headers else "X-Amz-Date"] = "other"
    status, _ = fetch(READY["moto"] + "/", "POST", headers, decoded["iam_request_body"])
    need(status == 403, "moto took an altered request")
    return f"{url.netloc} {lower['authorization'].split('Credential=')[1].split('/')[0]} " + answer.decode().split("<Arn>")[1].split("</Arn>")[0]


# === Alibaba ===


def login_alicloud(body):
    import aliyunsdkcore.auth.composer.rpc_signature_composer as composer
    from aliyunsdkcore.auth.algorithm import sha_hmac1

    need(body["role"] == "app", "role")
    headers = json.loads(base64.b64decode(body["identity_request_headers"], validate=True))
    need(headers and all(isinstance(values, list) for values in headers.values()), "headers")
    url = urllib.parse.urlparse(base64.b64decode(body["identity_request_url"], validate=True).decode())
    query = dict(urllib.parse.parse_qsl(url.query, strict_parsing=True))
    need(url.scheme == "https" and url.netloc == f"sts.{query['RegionId']}.aliyuncs.com", "host")
    need(query["Format"] == "JSON" and query["Action"] == "GetCallerIdentity", "question")
    need(query["Version"] == "2015-04-01" and query["SignatureVersion"] == "1.0", "version")
    fresh(query["Timestamp"])
    signature = query.pop("Signature")
    need(query["SignatureNonce"] not in NONCES, "nonce used twice")
    NONCES[query["SignatureNonce"]] = True
    to_sign = vars(composer)["__compose_string_to_sign"]("POST", query)
    secrets = {"LTAIenv": "env-secret", "STS.1": "ram-secret", "STS.2": "ram-secret"}
    secret = secrets[query["AccessKeyId"]]
    need(sha_hmac1.get_sign_string(to_sign, secret + "&").strip() == signature, "SignatureDoesNotMatch")
    if query["AccessKeyId"].startswith("STS."):
        need(query.get("SecurityToken") == "ram/token+=", "security token")
    return query["AccessKeyId"]


# === Cloud Foundry ===


def start_cf():
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048)
    kinds = serialization.PrivateFormat
    other = rsa.generate_private_key(65537, 2048)
    for name, kind, whose in [("pkcs1", kinds.TraditionalOpenSSL, key), ("pkcs8", kinds.PKCS8, key), ("other", kinds.PKCS8, other)]:
        with open(os.path.join(FOLDER, name + ".pem"), "wb") as file:
            file.write(whose.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()))
    with open(os.path.join(FOLDER, "cert.pem"), "wb") as file:
        for signer in (key, other):
            file.write(certificate(signer).public_bytes(serialization.Encoding.PEM))


def login_cf(body):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    need(body["role"] == "app", "role")
    fresh(body["signing_time"])
    version, signature = body["signature"].split(":")
    need(version == "v1", "version")
    signature = base64.b64decode(signature, validate=True)
    leaf = x509.load_pem_x509_certificates(body["cf_instance_cert"].encode())[0]
    message = (body["signing_time"] + body["cf_instance_cert"] + body["role"]).encode()
    for salt in (padding.PSS.AUTO, 222):
        pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=salt)
        leaf.public_key().verify(signature, message, pss, hashes.SHA256())
    return "instance"


# === The server ===


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def say(self, status, body):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle_one(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/stub/logins":
            return self.say(200, LOGINS)
        if self.path.startswith("/stub/"):
            STUB[self.path.removeprefix("/stub/")] = body
            return self.say(200, {})
        if self.path.startswith("/latest/"):
            return self.metadata()
        if self.path == "/" and CLOUD == "aws":
            return self.web_identity(body)
        if self.path.startswith("/v1/auth/") and self.path.endswith("/login") and self.command in ("PUT", "POST"):
            return self.login(json.loads(body))
        headers = {name: value for name, value in self.headers.items() if name.lower().startswith(("x-vault", "content-type"))}
        return self.say(*fetch(SERVER + self.path, self.command, headers, body or None))

    def login(self, body):
        try:
            who = {"aws": login_aws, "alicloud": login_alicloud, "cf": login_cf}[CLOUD](body)
        except Exception as error:  # every failure of a check is a refusal
            return self.say(400, {"errors": [f"{type(error).__name__} {error}"]})
        LOGINS.append(who)
        headers = {"X-Vault-Token": ROOT, "Content-Type": "application/json"}
        wish = json.dumps({"policies": ["default"], "ttl": "1h"}).encode()
        return self.say(*fetch(SERVER + "/v1/auth/token/create", "POST", headers, wish))

    def web_identity(self, body):
        """STS as moto has it. This one question is not signed, so moto must let it pass."""
        need(b"WebIdentityToken=e30.e30.e30" in body, "web identity token")
        plain = {"Content-Type": "text/plain"}
        fetch(READY["moto"] + "/moto-api/reset-auth", "POST", plain, b"1")
        kind = {"Content-Type": self.headers["Content-Type"]}
        status, answer = fetch(READY["moto"] + "/", "POST", kind, body)
        fetch(READY["moto"] + "/moto-api/reset-auth", "POST", plain, b"0")
        return self.say(status, answer)

    def metadata(self):
        """Both clouds' services: a session token first, then a role's keys; Amazon's papers."""
        path = self.path.removeprefix("/latest")
        words = {"aws": ("aws-ec2", "iam", "document"), "alicloud": ("aliyun-ecs", "ram", "")}[CLOUD]
        if self.command == "PUT" and path == "/api/token":
            lives = self.headers.get(f"X-{words[0]}-metadata-token-ttl-seconds")
            return self.say(200 if lives == "21600" else 400, b"SESSION")
        if self.headers.get(f"X-{words[0]}-metadata-token") != "SESSION":
            return self.say(401, b"")
        roles = f"/meta-data/{words[1]}/security-credentials/"
        papers = {"/dynamic/instance-identity/" + name: name for name in ("document", "signature", "pkcs7")}
        found = STUB.get("keys") if path == roles + "web-role" else STUB.get(papers.get(path))
        if path == roles and "keys" in STUB:
            found = b"web-role"
        return self.say(200, found) if found else self.say(404, b"<html>404</html>")

    do_GET = do_PUT = do_POST = handle_one


{"aws": start_aws, "alicloud": lambda: None, "cf": start_cf}[CLOUD]()
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
READY["address"] = f"http://127.0.0.1:{server.server_address[1]}"
print("READY " + json.dumps(READY), flush=True)
threading.Event().wait()
