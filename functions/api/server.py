"""A surface behind a plain HTTP server, for answers that stream: `python -m functions.api.server completions`.

Lambda's Python returns an answer whole. On AWS the Lambda Web Adapter starts this server (`serve.sh`), hands it each
request with API Gateway's context in a header, and passes its bytes on as they come; on one machine the front door does
the same. The surface is the same as in any other function.
"""

import argparse
import base64
import contextlib
import importlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from functions.api.app import Surface

# The adapter sets it itself, whatever a client sends.
CONTEXT_HEADER = "x-amzn-request-context"


class Handler(BaseHTTPRequestHandler):
    """Requests to proxy events, proxy responses to bytes."""

    protocol_version = "HTTP/1.1"
    # Headers and body are two writes, of which the second would wait for the client's word about the first.
    disable_nagle_algorithm = True
    surface: Surface
    # A surface answers one request at a time, as in a function; an answer that has begun needs it no more.
    lock: threading.Lock

    def do_POST(self) -> None:
        event = self._event(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        with self.lock:
            response = self.surface.begin(event, None)
        body = response["body"]
        self.send_response(response["statusCode"])
        for name, values in response["multiValueHeaders"].items():
            for value in values:
                self.send_header(name, value)
        if isinstance(body, str):
            self._whole(body.encode())
        else:
            self._parts(body)

    do_GET = do_HEAD = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_POST

    def _whole(self, body: bytes) -> None:
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _parts(self, body: Iterator[bytes]) -> None:
        # Closing ends the answer where the client has hung up.
        with contextlib.closing(body):  # type: ignore[type-var]
            try:
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for part in body:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                self.wfile.write(b"0\r\n\r\n")
            except ConnectionError:
                self.close_connection = True

    def _event(self, body: bytes) -> dict[str, Any]:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query, keep_blank_values=True)
        try:
            text, encoded = body.decode(), False
        except UnicodeDecodeError:
            text, encoded = base64.b64encode(body).decode(), True
        return {
            "httpMethod": self.command,
            "path": unquote(parts.path),
            "headers": dict(self.headers.items()),
            "multiValueHeaders": {name: self.headers.get_all(name) for name in self.headers},
            "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
            "multiValueQueryStringParameters": query or None,
            "body": text or None,
            "isBase64Encoded": encoded,
            "requestContext": json.loads(self.headers.get(CONTEXT_HEADER) or "{}"),
        }

    def log_message(self, format: str, *args: Any) -> None:
        """Left out: the surface writes a line per request."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, surface: Surface, port: int) -> None:
        handler = type("BoundHandler", (Handler,), {"surface": surface, "lock": threading.Lock()})
        super().__init__(("127.0.0.1", port), handler)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("module", help="a module of this folder with a surface")
    parser.add_argument("--port", type=int, default=8080, help="where the adapter looks for it")
    given = parser.parse_args()
    Server(importlib.import_module(f"functions.api.{given.module}").app, given.port).serve_forever()


if __name__ == "__main__":
    main()
