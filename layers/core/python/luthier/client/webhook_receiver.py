"""An example receiver: `python -m luthier.client.webhook_receiver --secret whsec_… [--port 9000]`.

It verifies every request, answers at once, and prints each event once, whatever is delivered twice.
"""

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from luthier.client.webhooks import SignatureInvalid, event_id, verify

_LARGEST_BODY = 1_000_000


class Receiver(ThreadingHTTPServer):
    """`events` are those seen so far, by id: what a real receiver keeps in its database."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], secret: str) -> None:
        super().__init__(address, _Handler)
        self.secret = secret
        self.events: dict[str, dict[str, Any]] = {}

    def take(self, identity: str, event: dict[str, Any]) -> None:
        if identity not in self.events:
            self.events[identity] = event
            print(json.dumps(event), flush=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), _LARGEST_BODY))
        try:
            event = verify(body, dict(self.headers.items()), self.server.secret)
        except SignatureInvalid as error:
            self._answer(401, str(error))
            return
        self.server.take(event_id(dict(self.headers.items())), event)
        self._answer(200, "ok")

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Only events are printed."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Print the events of a Luthier webhook.")
    parser.add_argument("--secret", required=True, help="the endpoint's secret, whsec_…")
    parser.add_argument("--port", type=int, default=9000)
    options = parser.parse_args()
    with Receiver(("127.0.0.1", options.port), options.secret) as receiver:
        print(f"Listening on http://127.0.0.1:{options.port}/", flush=True)
        receiver.serve_forever()


if __name__ == "__main__":
    main()
