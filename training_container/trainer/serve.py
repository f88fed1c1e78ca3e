"""The model server: `python -m trainer.serve [--root /opt/ml] [--port 8080]`.

GET /ping answers 200 once the model of <root>/model is loaded. POST /invocations takes OpenAI's request for a chat
completion or, with `prompt` instead of `messages`, for a text completion, and streams where it asks for that; a client
that hangs up is not generated for any longer. Adapters stand beside the base: POST /adapters {"name", "src"} adds one
from a local folder or .tar.gz, GET /adapters lists them, DELETE /adapters/<name> removes one, and the header
X-Amzn-SageMaker-Adapter-Identifier of a request picks one. These are the routes by which SageMaker manages adapters in
a container. On AWS, vLLM serves; this server is for one machine, where the standard library's threads are enough in
front of the one thread that generates.
"""

import argparse
import json
import os
import re
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from trainer import device, log, sampling
from trainer.chat import ChatRequest
from trainer.failures import Failure
from trainer.replies import ClientGone, Reply, parse
from trainer.sampling import BadRequest
from trainer.text_completion import TextRequest

ADAPTER_HEADER = "X-Amzn-SageMaker-Adapter-Identifier"
_ADAPTER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
MAX_BODY_BYTES = 6 * 1024 * 1024  # what SageMaker's InvokeEndpoint lets through


class Service:
    """The model behind the server, of a folder. `ready` stays false until it is loaded.

    scratch: where archives of adapters are unpacked; emptied at the start. place: one of device.PLACES.
    """

    def __init__(self, model: Path, scratch: Path, place: str = device.AUTO) -> None:
        self._model = model
        self._scratch = scratch
        self.device = place
        self._generator: Any = None
        self._batcher: Any = None
        # Takes no more connections; set by `run`.
        self.stop_listening: Callable[[], None] = lambda: None
        # Whether connections that are open end with their next answer.
        self.ending = False
        # One adapter is added at a time: two of one name must not pass each other.
        self._adding = threading.Lock()

    @property
    def ready(self) -> bool:
        return self._batcher is not None

    def load(self) -> None:
        from trainer import batching, generation

        log.capture_transformers()
        self._generator = generation.load(self._model, self._scratch, self.device)
        self.device = self._generator.device
        self._batcher = batching.Batcher(self._generator.answer)
        log.info("model loaded")

    def parse(self, body: Any, adapter: str | None) -> ChatRequest | TextRequest:
        """Check one request body. Raises BadRequest."""
        return parse(body, adapter)

    def reply(self, body: Any, adapter: str | None) -> Reply:
        """Begin to answer one request body. Raises BadRequest."""
        return Reply(self.parse(body, adapter), self._generator, self._batcher.submit)

    @property
    def adapters(self) -> list[dict[str, str]]:
        return [{"name": name, "src": source} for name, source in self._generator.adapters.sources.items()]

    def add_adapter(self, body: Any) -> dict[str, Any]:
        """Put an adapter beside the others; the answer is empty. Raises BadRequest."""
        name, source = _adapter(body)
        store = self._generator.adapters
        with self._adding:
            if name in store:
                if store.sources[name] == source:
                    return {}
                raise BadRequest(f"There is another adapter {name!r}.", "name", "adapter_exists", status=409)
            try:
                folder = store.unpacked(Path(source), name)
                store.check(folder)
                self._batcher.between(lambda: store.add(name, source, folder)).result()
            except Failure as failure:
                log.error(f"the adapter {name} is refused: {failure.message}", code=failure.code)
                raise BadRequest(f"{failure.message} {failure.hint or ''}".rstrip(), "src", failure.code) from None
        return {}

    def remove_adapter(self, name: str) -> dict[str, Any]:
        """Take an adapter away; requests that wait for it are refused. The answer is empty. Raises BadRequest."""
        store = self._generator.adapters
        with self._adding:
            if name not in store:
                raise BadRequest(f"There is no adapter {name!r}.", "name", "adapter_not_found", status=404)
            self._batcher.between(lambda: store.remove(name)).result()
        return {}


def _adapter(body: Any) -> tuple[str, str]:
    if not isinstance(body, dict):
        raise BadRequest("The request body must be a JSON object.")
    name, source = body.get("name"), body.get("src")
    # A name becomes a folder, and part of the names of PyTorch's modules, which hold no dots.
    if not isinstance(name, str) or not _ADAPTER_NAME.fullmatch(name):
        raise BadRequest("name must be 1 to 63 letters, digits, - and _.", "name")
    if not isinstance(source, str) or not Path(source).exists():
        raise BadRequest("src must be a folder or a .tar.gz on this machine.", "src")
    return name, source


_FAILED = sampling.error_body("The model could not answer.", "server_error", code="generation_failed")


class Handler(BaseHTTPRequestHandler):
    """The routes; every error in OpenAI's envelope."""

    protocol_version = "HTTP/1.1"
    # Headers and body are two writes, of which the second would wait for the client's word about the first.
    disable_nagle_algorithm = True
    questions: tuple[str, ...] = ("/invocations",)
    service: Service

    @property
    def route(self) -> str:
        """The path without its query, of which no route here has any."""
        return self.path.partition("?")[0]

    def do_GET(self) -> None:
        if self.route not in ("/ping", "/adapters"):
            return self._unknown()
        self._answer(lambda: {"adapters": self.service.adapters} if self.route == "/adapters" else {})

    def do_POST(self) -> None:
        body = self._body()
        if body is None:
            return None
        if self.route == "/adapters":
            return self._answer(lambda: self.service.add_adapter(_read(body)))
        if self.route not in self.questions:
            return self._unknown()
        self._answer(lambda: self._invoke(_read(body)))

    def do_DELETE(self) -> None:
        name = self.route.removeprefix("/adapters/")
        if name == self.route:
            return self._unknown()
        self._answer(lambda: self.service.remove_adapter(unquote(name)))

    def _invoke(self, body: Any) -> dict[str, Any] | None:
        """The answer; None when it was streamed."""
        reply = self.service.reply(body, self.headers.get(ADAPTER_HEADER) or None)
        try:
            if not reply.request.stream:
                return self._whole(reply)
            self._stream(reply)
        finally:
            reply.cancel()
        return None

    def _whole(self, reply: Reply) -> dict[str, Any]:
        return reply.completion(self._gone)

    def _stream(self, reply: Reply) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for data in reply.events(self._gone):
                self._event(data)
        except (ClientGone, OSError):
            raise ClientGone from None
        except Exception as error:
            # The status is on its way already.
            log.error(f"generation failed: {error!r}")
            self._event(json.dumps(error.body() if isinstance(error, BadRequest) else _FAILED))
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, data: str) -> None:
        event = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))

    def _gone(self) -> bool:
        """Whether the client has hung up: there is something to read, and it is the end."""
        waiting = select.poll()
        waiting.register(self.connection, select.POLLIN)
        try:
            return bool(waiting.poll(0)) and not self.connection.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def _answer(self, work: Callable[[], dict[str, Any] | None]) -> None:
        if not self.service.ready:
            return self._error(503, "The model is still loading.", "server_error", code="model_loading")
        try:
            if (answer := work()) is not None:
                self._send(200, answer)
        except (ClientGone, ConnectionError):
            self.close_connection = True
        except BadRequest as error:
            self._send(error.status, error.body())
        except Exception as error:
            log.error(f"generation failed: {error!r}")
            self._send(500, _FAILED)

    def _unknown(self) -> None:
        self._error(404, f"Unknown path {self.path}.", "invalid_request_error", code="unknown_url")

    def log_message(self, format: str, *args: Any) -> None:
        """Left out: SageMaker asks /ping every few seconds."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the standard library refuses, a method that no route has among it, in OpenAI's envelope too."""
        self.close_connection = True
        self._error(405 if code == 501 else code, message or self.responses[code][0], "invalid_request_error")

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

    def _error(self, status: int, message: str, kind: str, param: str | None = None, code: str | None = None) -> None:
        self._send(status, sampling.error_body(message, kind, param, code))

    def _send(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.service.ending:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _read(body: bytes) -> Any:
    """The JSON of a body. Raises BadRequest."""
    try:
        content = json.loads(body)
        # Half of a surrogate pair can be written as \ud800, and no tokenizer takes it.
        json.dumps(content, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The request body is not valid JSON: {error}") from None
    return content


class Server(ThreadingHTTPServer):
    daemon_threads = True
    # The default of 5 refuses connections when a batch of requests arrives at once.
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up between two requests is nothing to tell of."""
        if not isinstance(sys.exception(), ConnectionError):
            log.error(f"a request failed: {sys.exception()!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("/opt/ml"), help="folder of SageMaker's layout")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 in a container")
    parser.add_argument("--port", type=int, default=8080)
    # SageMaker appends the word "serve" to whatever the image starts.
    parser.add_argument("command", nargs="?", choices=["serve"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    run(Service(given.root / "model", given.root / "adapters"), Handler, given.host, given.port)


def run(
    service: Service,
    handler: type[Handler],
    host: str,
    port: int,
    *,
    listener: int | None = None,
    patient: bool = False,
) -> None:
    """Listen while the model loads, until SIGTERM or ctrl-C. Ends the process: 0, or 2 where it cannot serve.

    listener: file descriptor of a socket that listens there already; patient: whether requests wait for the model.
    """
    device.prepare_environment()
    log.capture_libraries()
    signal.signal(signal.SIGTERM, lambda *_: end(0))
    loading = threading.Thread(target=_load, args=[service], name="load", daemon=True)
    loading.start()
    try:
        if patient:
            loading.join()
        server = Server((host, port), type("BoundHandler", (handler,), {"service": service}), listener is None)
        if listener is not None:
            server.socket.close()
            server.socket = socket.socket(fileno=listener)
        service.stop_listening = server.shutdown
        server.serve_forever()
        threading.Event().wait()  # for the end of what is answered still
    except KeyboardInterrupt:
        end(0)
    except OSError as error:
        log.error(f"cannot listen on {host}:{port}: {error.strerror}")
        end(2)


def _load(service: Service) -> None:
    try:
        service.load()
    except Exception as error:
        log.error(f"the model cannot be loaded: {error}")
        end(2)


def end(code: int) -> None:
    """End now: a thread inside PyTorch neither can be interrupted nor survives an orderly shutdown of Python."""
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
