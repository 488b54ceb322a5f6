"""A small HTTP client for the API of the server and of the agents."""

from __future__ import annotations

import http.client
import json
import socket
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """An answer of any status."""

    status: int
    cache: str
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def client_token(self) -> str:
        """The token of a login answer, or an empty string."""
        try:
            return str(self.json()["auth"]["client_token"])
        except (ValueError, KeyError, TypeError):
            return ""


def call(method: str, url: str, token: str = "", body: object = None) -> Answer:
    """Sends one request on a connection of its own; raises OSError when there is no answer."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"X-Vault-Token": token} if token else {}
    if data is not None:
        headers["Content-Type"] = "application/json"
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=20) as response:
            return Answer(response.status, response.headers.get("X-Cache", ""), response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers.get("X-Cache", ""), error.read())


def answers(url: str, status: int = 200) -> bool:
    """Whether a GET of `url` is answered with `status` now."""
    try:
        return call("GET", url).status == status
    except (OSError, http.client.HTTPException):
        return False


def is_open(port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


class KeptConnection:
    """A connection that stays open between its requests."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def post(self, path: str, body: object) -> Answer:
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST", path, json.dumps(body).encode(), headers)
        response = self._connection.getresponse()
        return Answer(response.status, response.getheader("X-Cache", ""), response.read())

    def close(self) -> None:
        self._connection.close()
