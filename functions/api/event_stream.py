"""An answer as server-sent events: OpenAI's chunks, comments that keep the connection open, one error or `[DONE]`."""

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

from functions.api.encoding import to_json
from luthier.inference.entity import Stream

CONTENT_TYPE = "text/event-stream; charset=utf-8"
# Proxies between us and the client give up on a connection that is silent for a minute or less.
KEEP_ALIVE_SECONDS = 15.0
# How long a stream that was closed may take to meter what it has produced.
_SETTLING_SECONDS = 30.0
# A failure → the surface's error body.
Tell = Callable[[Exception], dict[str, Any]]


def events(stream: Stream, tell: Tell, *, usage: bool) -> Iterator[bytes]:
    """The events of an answer; `usage`: with OpenAI's last chunk that counts the tokens.

    Whoever closes the iterator ends the answer. What was produced is metered before the last event, or on closing.
    """
    heard: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    reader = threading.Thread(target=_read, args=(stream, tell, usage, heard.put), daemon=True)
    reader.start()
    try:
        while True:
            try:
                event = heard.get(timeout=KEEP_ALIVE_SECONDS)
            except queue.Empty:
                yield b": keep-alive\n\n"
                continue
            if event is None:
                return
            yield event
    finally:
        stream.stopped = True
        reader.join(_SETTLING_SECONDS)


def _read(stream: Stream, tell: Tell, usage: bool, put: Callable[[bytes | None], None]) -> None:
    """The engine is read by a thread of its own: the other one has to say something while it is silent."""
    try:
        for chunk in stream.chunks:
            if shown := _shown(chunk, usage):
                put(_event(to_json(shown)))
        put(_event("[DONE]"))
    except Exception as error:
        # Its status is on the way already.
        put(_event(to_json(tell(error))))
    put(None)


def _shown(chunk: dict[str, Any], usage: bool) -> dict[str, Any] | None:
    """The chunk as OpenAI counts: its usage only in the last one, and null in the others, or not at all."""
    if not chunk["choices"]:
        return chunk if usage else None
    plain = {name: value for name, value in chunk.items() if name != "usage"}
    return {**plain, "usage": None} if usage else plain


def _event(data: str) -> bytes:
    return f"data: {data}\n\n".encode()
