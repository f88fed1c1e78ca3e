"""Receivers of webhooks on this machine: real servers, each with its own way to behave."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def answering(status: int, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Any", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


@dataclass
class Received:
    """One request as it arrived; `connection` tells requests over one connection from others."""

    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    at: float = field(default_factory=time.time)


@dataclass
class Receiver:
    """Answers every request with what `answer` makes of it; None: never. Changing `answer` changes its mind."""

    answer: Callable[[Received], bytes | None] = lambda received: OK
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    tls: ssl.SSLContext | None = None
    _over: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "/hook") -> str:
        return f"{'https' if self.tls else 'http'}://{'localhost' if self.tls else '127.0.0.1'}:{self.port}{path}"

    @contextmanager
    def running(self) -> Iterator["Receiver"]:
        with socket.create_server(("127.0.0.1", 0), backlog=256) as server:
            self.port = server.getsockname()[1]
            accepting = threading.Thread(target=self._accept, args=(server,), daemon=True)
            accepting.start()
            try:
                yield self
            finally:
                self._over.set()
                # Wakes the thread that waits in accept().
                socket.create_connection(("127.0.0.1", self.port)).close()
                accepting.join()

    def _accept(self, server: socket.socket) -> None:
        while True:
            connection, _ = server.accept()
            if self._over.is_set():
                connection.close()
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as stream:
                while received := _read(stream, number):
                    self.received.append(received)
                    answer = self.answer(received)
                    if answer is None:
                        self._over.wait()
                        return
                    connection.sendall(answer)
                    if answer == b"" or b"connection: close" in answer.lower():
                        return
        except OSError:
            connection.close()


def _read(stream: Any, number: int) -> Received | None:
    request_line = stream.readline().decode()
    if not request_line:
        return None
    headers = {}
    while line := stream.readline().decode().strip():
        name, _, value = line.partition(": ")
        headers[name.lower()] = value
    body = stream.read(int(headers.get("content-length", 0)))
    return Received(request_line.split(" ")[1], headers, body, number)
