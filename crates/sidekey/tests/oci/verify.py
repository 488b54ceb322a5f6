"""Checks a signed request as Oracle's page "Request Signatures" describes it, with the package cryptography.

Reads {"public_key": PEM of a key or certificate, "method", "target", "headers": {name: value}, "body"} from standard
input, and prints the key id if the signature is good. Made from that page, and from nothing of this repository.
"""

import base64
import hashlib
import json
import re
import sys

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.x509 import load_pem_x509_certificate

asked = json.load(sys.stdin)
headers = {name.lower(): value for name, value in asked["headers"].items()}
scheme, _, rest = headers["authorization"].partition(" ")
assert scheme == "Signature", scheme
said = dict(re.findall(r'(\w+)="([^"]*)"', rest))
assert said["version"] == "1", said
assert said["algorithm"] == "rsa-sha256", said
names = said["headers"].split(" ")
assert {"date", "(request-target)"} <= set(names), names
if asked["body"]:
    assert {"content-length", "content-type", "x-content-sha256"} <= set(names), names
    body = asked["body"].encode()
    assert headers["content-length"] == str(len(body)), headers
    assert headers["x-content-sha256"] == base64.b64encode(hashlib.sha256(body).digest()).decode(), headers
else:
    assert "host" in names, names
headers["(request-target)"] = f"{asked['method'].lower()} {asked['target']}"
message = "\n".join(f"{name}: {headers[name]}" for name in names).encode()
pem = asked["public_key"].encode()
if b"CERTIFICATE" in pem:
    key = load_pem_x509_certificate(pem).public_key()
else:
    key = serialization.load_pem_public_key(pem)
key.verify(base64.b64decode(said["signature"], validate=True), message, padding.PKCS1v15(), hashes.SHA256())
print(said["keyId"])
