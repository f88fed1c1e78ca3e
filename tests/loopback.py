"""The real functions behind an address of this machine, for clients that are programs of their own."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

from tests.gateway import Gateway

_STORAGE = re.compile(r"https://([\w.-]+\.amazonaws\.com)/")


class Loopback(ThreadingHTTPServer):
    """`faults`: what becomes of the next requests, first to last: "" (nothing) or "lost" (arrived, never answered)."""

    daemon_threads = True

    def __init__(self, api: Gateway) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.api = api
        self.sent: list[str] = []
        self.faults: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def answered(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        self.sent.append(f"{method} {path.partition('?')[0]}")
        host, _, rest = path.lstrip("/").partition("/")
        if host.endswith(".amazonaws.com"):
            # AWS in-process, which `requests` reaches.
            signed = {name: value for name, value in headers.items() if name.lower() not in ("host", "connection")}
            put = requests.request(method, f"https://{host}/{rest}", data=body, headers=signed, timeout=5)
            return put.status_code, {}, put.content
        answer = self.api.stranger().send(method, path, body or None, headers=headers)
        told = answer.headers.get("content-type", "").startswith("application/json")
        text = _STORAGE.sub(rf"{self.url}/\1/", answer.text) if told else answer.text
        return answer.status, answer.headers, text.encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Loopback

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, headers, content = self.server.answered(self.command, self.path, body, dict(self.headers.items()))
        if self.server.faults and self.server.faults.pop(0) == "lost":
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in headers.items():
            if name not in ("content-length", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """A test prints what it says itself."""


@contextmanager
def serving(api: Gateway) -> Iterator[Loopback]:
    with Loopback(api) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
