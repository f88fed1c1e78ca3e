"""A model hub on this machine: the three routes of the real one that staging uses, over a folder of files."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

COMMIT = "a" * 40


class LocalHub:
    """Serves `folder` as the model `model`; `gate` makes it gated for everyone without that token."""

    def __init__(self, folder: Path, model: str) -> None:
        self.folder = folder
        self.model = model
        self.gate: str | None = None
        self.downloads: list[str] = []
        self.url = ""

    @contextmanager
    def serving(self) -> Iterator["LocalHub"]:
        handler = type("BoundHandler", (_Handler,), {"hub": self})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: LocalHub

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *args: object) -> None:
        """Left out of the tests' output."""

    def _answer(self, with_body: bool) -> None:
        path = urlsplit(self.path).path
        if path.startswith(f"/api/models/{self.hub.model}/revision/"):
            self._send(200, json.dumps(self._info()).encode(), {}, with_body)
        elif path.startswith(f"/{self.hub.model}/resolve/"):
            self._file(path.rpartition("/")[2], with_body)
        else:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, with_body)

    def _info(self) -> dict[str, object]:
        siblings = [{"rfilename": path.name, "size": path.stat().st_size} for path in sorted(self.hub.folder.iterdir())]
        return {"id": self.hub.model, "modelId": self.hub.model, "sha": COMMIT, "siblings": siblings}

    def _file(self, name: str, with_body: bool) -> None:
        if self.hub.gate and self.headers.get("Authorization") != f"Bearer {self.hub.gate}":
            status = 403 if self.headers.get("Authorization") else 401
            return self._send(status, b"{}", {"X-Error-Code": "GatedRepo"}, with_body)
        content = (self.hub.folder / name).read_bytes()
        if with_body:
            self.hub.downloads.append(name)
        etag = hashlib.sha256(content).hexdigest()
        self._send(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}, with_body)

    def _send(self, status: int, body: bytes, headers: dict[str, str], with_body: bool) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)
