"""The model server: `python -m trainer.serve [--root /opt/ml] [--port 8080]`.

GET /ping answers 200 once the model is loaded; POST /invocations takes an OpenAI chat completion request. The base
model lies in <root>/model, an adapter, if any, in <root>/additional-model-data-sources/adapter: SageMaker's layout.
On AWS, vLLM serves; this server is for one machine, where the standard library's threads are enough in front of the
one thread that generates.
"""

import argparse
import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from trainer import chat, device, log

MAX_BODY_BYTES = 6 * 1024 * 1024  # what SageMaker's InvokeEndpoint lets through


class Service:
    """The model behind the server. `ready` stays false until it is loaded."""

    def __init__(self, base_model: Path, adapter: Path | None) -> None:
        self._base_model = base_model
        self._adapter = adapter
        self._generator: Any = None
        self._batcher: Any = None

    @property
    def ready(self) -> bool:
        return self._batcher is not None

    def load(self) -> None:
        from trainer import batching, generation

        log.capture_transformers()
        self._generator = generation.load(self._base_model, self._adapter)
        self._batcher = batching.Batcher(self._generator.answer)
        log.info("model loaded", adapter=bool(self._adapter))

    def complete(self, body: Any) -> dict[str, Any]:
        """Answer one request body. Raises chat.BadRequest."""
        request = chat.parse(body)
        answer = self._batcher.submit(self._generator.prepare(request)).result()
        return chat.completion(request, answer)


class Handler(BaseHTTPRequestHandler):
    """Two routes; every error in OpenAI's envelope."""

    protocol_version = "HTTP/1.1"
    service: Service

    def do_GET(self) -> None:
        if self.path != "/ping":
            return self._error(404, f"Unknown path {self.path}.", "invalid_request_error", code="unknown_url")
        if not self.service.ready:
            return self._not_ready()
        self._send(200, {})

    def do_POST(self) -> None:
        body = self._body()
        if body is None:
            return None
        if self.path != "/invocations":
            return self._error(404, f"Unknown path {self.path}.", "invalid_request_error", code="unknown_url")
        if not self.service.ready:
            return self._not_ready()
        try:
            self._send(200, self.service.complete(json.loads(body)))
        except chat.BadRequest as error:
            self._error(400, error.message, "invalid_request_error", error.param, error.code)
        except ValueError as error:
            self._error(400, f"The request body is not valid JSON: {error}", "invalid_request_error")
        except Exception as error:
            log.error(f"generation failed: {error!r}")
            self._error(500, "The model could not answer.", "server_error", code="generation_failed")

    def log_message(self, format: str, *args: Any) -> None:
        """Left out: SageMaker asks /ping every few seconds."""

    def _body(self) -> bytes | None:
        """The body, or None after answering why it was refused."""
        length = self.headers.get("Content-Length", "")
        if not length.isdigit():
            self.close_connection = True
            self._error(411, "Content-Length is missing.", "invalid_request_error")
            return None
        if int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            self._error(413, f"The body exceeds {MAX_BODY_BYTES} bytes.", "invalid_request_error")
            return None
        return self.rfile.read(int(length))

    def _not_ready(self) -> None:
        self._error(503, "The model is still loading.", "server_error", code="model_loading")

    def _error(self, status: int, message: str, kind: str, param: str | None = None, code: str | None = None) -> None:
        self._send(status, chat.error_body(message, kind, param, code))

    def _send(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    # The default of 5 refuses connections when a batch of requests arrives at once.
    request_queue_size = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("/opt/ml"), help="folder of SageMaker's layout")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 in a container")
    parser.add_argument("--port", type=int, default=8080)
    # SageMaker appends the word "serve" to whatever the image starts.
    parser.add_argument("command", nargs="?", choices=["serve"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    device.prepare_environment()
    log.capture_libraries()
    signal.signal(signal.SIGTERM, lambda *_: _exit(0))
    adapter = given.root / "additional-model-data-sources" / "adapter"
    service = Service(given.root / "model", adapter if (adapter / "adapter_config.json").exists() else None)
    threading.Thread(target=_load, args=[service], name="load", daemon=True).start()
    handler = type("BoundHandler", (Handler,), {"service": service})
    try:
        Server((given.host, given.port), handler).serve_forever()
    except KeyboardInterrupt:
        _exit(0)
    except OSError as error:
        log.error(f"cannot listen on {given.host}:{given.port}: {error.strerror}")
        _exit(2)


def _load(service: Service) -> None:
    try:
        service.load()
    except Exception as error:
        log.error(f"the model cannot be loaded: {error}")
        _exit(2)


def _exit(code: int) -> None:
    """End now: a thread inside PyTorch neither can be interrupted nor survives an orderly shutdown of Python."""
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
