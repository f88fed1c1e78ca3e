"""One model on one machine, behind OpenAI's routes: `python -m trainer.serve_local --model FOLDER [--base FOLDER]`.

`luthier models serve` starts it. It is the container's server (serve.py) with what a person at a desk wants: defaults
for what a request leaves out, a system prompt before every conversation, a JSON schema for every answer, an end when
nobody asks any more. POST /v1/chat/completions and /v1/completions stream where they are asked to; GET /v1/models and
GET /health tell what is served. An answer that was to follow a schema and was cut before its end is asked for again,
and is a 422 with what there was of it after that; one that streams ends with the reason `length` instead.
"""

import argparse
import json
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from luthier.models import behavior
from trainer import device, log, serve
from trainer.chat import ChatRequest
from trainer.replies import Reply
from trainer.sampling import BadRequest
from trainer.text_completion import TextRequest

_ADAPTER = "model"
_LOOK_SECONDS = 0.5
# Status of a process that has answered its share, as sysexits.h's "try again".
WORN = 75
_MODELS = ("/v1/models", "/models")
_REPAIR = "That was cut off before it was complete JSON. Answer again, shorter, with the JSON alone."


@dataclass(frozen=True)
class Wishes:
    """What a request may leave out, and what happens besides.

    name: what the model is called. prompt: a behaviour spec's. schema: for chats that ask for no format of their own.
    repairs: how often a cut answer is asked for again. idle_seconds: 0 to go on for ever. most_requests: after so many
    the process ends with the status WORN; 0: it never does. gate_field: a field of the schema that says whether the
    rest matters: an answer that has said false there and was cut is that field alone.
    """

    name: str
    prompt: str | None
    schema: dict[str, Any] | None
    max_tokens: int
    temperature: float
    repairs: int
    idle_seconds: int
    most_requests: int = 0
    gate_field: str | None = None


class CutShort(BadRequest):
    """An answer that was to follow a schema and has no end. content: what there is of it."""

    def __init__(self, content: str, details: str) -> None:
        message = "The answer was cut before its JSON was complete. Raise max_tokens, or leave stop out."
        super().__init__(message, None, "incomplete_json", status=422)
        self.content = content
        self._details = details

    def body(self) -> dict[str, Any]:
        return {"error": super().body()["error"] | {"details": self._details, "content": self.content}}


class LocalService(serve.Service):
    """The model with the wishes of whoever started it; an adapter answers in the place of its base."""

    def __init__(self, model: Path, adapter: Path | None, scratch: Path, place: str, wishes: Wishes) -> None:
        super().__init__(model, scratch, place)
        self.wishes = wishes
        self._adapter = adapter
        self._whole = False
        self._asking = 0
        self._asked = 0
        self._quiet_since = time.monotonic()
        self._lock = threading.Lock()

    @property
    def ready(self) -> bool:
        return self._whole

    def load(self) -> None:
        super().load()
        self._generator.usual_tokens = self.wishes.max_tokens
        if self.wishes.schema is not None:
            # One that cannot be kept to is said now, not with the first answer.
            self._generator.grammars.matcher(self.wishes.schema)
        if self._adapter:
            self.add_adapter({"name": _ADAPTER, "src": str(self._adapter)})
        self._quiet_since, self._whole = time.monotonic(), True

    def parse(self, body: Any, adapter: str | None) -> ChatRequest | TextRequest:
        if isinstance(body, dict):
            body = self._filled(body)
        request = super().parse(body, _ADAPTER if self._adapter else None)
        if isinstance(request, ChatRequest):
            return replace(request, messages=behavior.applied(self.wishes.prompt, request.messages))
        return request

    def again(self, reply: Reply, turns: list[dict[str, Any]]) -> Reply:
        """Begin to answer the same chat with further turns. Raises BadRequest."""
        assert isinstance(reply.request, ChatRequest)
        longer = replace(reply.request, messages=[*reply.request.messages, *turns])
        return Reply(longer, self._generator, self._batcher.submit)

    def _filled(self, body: dict[str, Any]) -> dict[str, Any]:
        """With the defaults for what was not sent."""
        wishes, sent = self.wishes, {name: value for name, value in body.items() if value is not None}
        filled = {"model": wishes.name, "temperature": wishes.temperature} | sent
        if wishes.schema is not None and "messages" in sent and not sent.get("tools"):
            schema = {"type": "json_schema", "json_schema": {"name": "answer", "schema": wishes.schema}}
            filled.setdefault("response_format", schema)
        return filled

    @contextmanager
    def asked(self) -> Iterator[None]:
        """While a question is answered, the server neither is idle nor ends."""
        with self._lock:
            self._asking += 1
            self._asked += 1
            # Connections that are kept open end with this answer.
            self.ending = self.ending or self._asked == self.wishes.most_requests
        try:
            yield
        finally:
            with self._lock:
                self._asking -= 1
                self._quiet_since = time.monotonic()

    def end_in_time(self) -> None:
        """End the process once nobody has asked for `idle_seconds`, or it has answered `most_requests`.

        Never while a question is answered, nor before the model is loaded.
        """
        idle = self.wishes.idle_seconds
        while True:
            time.sleep(_LOOK_SECONDS)
            if self.ending:
                # Others wait in the socket's queue, which is the next process's too.
                self.stop_listening()
            with self._lock:
                if not self._whole or self._asking:
                    continue
                if self.ending:
                    log.info(f"{self._asked} requests are answered: the server ends")
                    serve.end(WORN)
                if idle and time.monotonic() - self._quiet_since >= idle:
                    log.info(f"nobody has asked for {idle} seconds: the server ends")
                    serve.end(0)


class LocalHandler(serve.Handler):
    """The routes; every error in OpenAI's envelope."""

    service: LocalService
    questions = ("/v1/chat/completions", "/chat/completions", "/v1/completions", "/completions")

    def do_GET(self) -> None:
        if self.route == "/health":
            return self._answer(self._health)
        if self.route in _MODELS:
            return self._answer(lambda: {"object": "list", "data": [self._model()]})
        listing, _, name = self.route.partition("/models/")
        if name and f"{listing}/models" in _MODELS:
            return self._answer(lambda: self._model(unquote(name)))
        self._unknown()

    def do_POST(self) -> None:
        if self.route not in self.questions:
            self.close_connection = True  # its body is left unread
            return self._unknown()
        super().do_POST()

    def do_DELETE(self) -> None:
        self._unknown()

    def _health(self) -> dict[str, Any]:
        wishes = self.service.wishes
        spec = wishes.prompt is not None
        return {"status": "ok", "model": wishes.name, "spec_prompt": spec, "device": self.service.device}

    def _model(self, name: str | None = None) -> dict[str, Any]:
        if name not in (None, self.service.wishes.name):
            raise BadRequest(f"This server has no model {name!r}.", "model", "model_not_found", status=404)
        return {"id": self.service.wishes.name, "object": "model", "created": 0, "owned_by": "luthier"}

    def _invoke(self, body: Any) -> dict[str, Any] | None:
        with self.service.asked():
            return super()._invoke(body)

    def _whole(self, reply: Reply) -> dict[str, Any]:
        """The answer; where it was to be JSON and was cut, another one. Raises CutShort."""
        answer = self._gated(reply, super()._whole(reply))
        for _ in range(self.service.wishes.repairs):
            if (cut := _cut(reply, answer)) is None:
                break
            turns = [{"role": "assistant", "content": cut.content}, {"role": "user", "content": _REPAIR}]
            try:
                answer = self._gated(reply, super()._whole(self.service.again(reply, turns)))
            except BadRequest:
                # The context has no room for another attempt.
                raise cut from None
        if cut := _cut(reply, answer):
            raise cut
        return answer

    def _gated(self, reply: Reply, answer: dict[str, Any]) -> dict[str, Any]:
        """With the gate alone in the place of each choice that was cut after it had said false."""
        gate = self.service.wishes.gate_field
        for choice in answer["choices"] if gate and reply.request.schema is not None else ():
            text = choice["message"]["content"] or ""
            if not _is_json(text) and re.search(rf"{re.escape(json.dumps(gate))}\s*:\s*false", text):
                choice["message"]["content"], choice["finish_reason"] = json.dumps({gate: False}), "stop"
        return answer


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _cut(reply: Reply, answer: dict[str, Any]) -> CutShort | None:
    """The first choice that is no JSON although a schema held it: its grammar lets it end no earlier."""
    if reply.request.schema is None:
        return None
    for choice in answer["choices"]:
        try:
            json.loads(choice["message"]["content"] or "")
        except ValueError as error:
            return CutShort(choice["message"]["content"] or "", str(error))
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of a model, or of an adapter with --base")
    parser.add_argument("--base", type=Path, help="folder of the adapter's base model")
    parser.add_argument("--name", default="local", help="what the model is called in answers")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--device", choices=device.PLACES, default=device.AUTO)
    parser.add_argument("--max-tokens", type=int, default=512)
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--spec", type=Path, help="behaviour spec: a JSON file with system_prompt, guidelines, …")
    parser.add_argument("--json-schema", type=Path, help="file with the JSON schema of every answer")
    parser.add_argument("--json-repair-attempts", type=int, default=1)
    parser.add_argument("--idle-timeout", type=int, default=300, help="seconds; 0 for none")
    parser.add_argument("--most-requests", type=int, default=0, help=f"then end with the status {WORN}; 0: never")
    parser.add_argument("--gate-field", help="boolean field of the schema: false there makes the rest not matter")
    parser.add_argument("--listener", type=int, help="file descriptor of a socket that listens already")
    parser.add_argument("--patient", action="store_true", help="let requests wait until the model is loaded")
    given = parser.parse_args()
    wishes = Wishes(
        name=given.name,
        prompt=behavior.compiled(given.spec.read_text(encoding="utf-8")) if given.spec else None,
        schema=json.loads(given.json_schema.read_text(encoding="utf-8")) if given.json_schema else None,
        max_tokens=given.max_tokens,
        temperature=given.temperature,
        repairs=given.json_repair_attempts,
        idle_seconds=given.idle_timeout,
        most_requests=given.most_requests,
        gate_field=given.gate_field,
    )
    model, adapter = (given.base, given.model) if given.base else (given.model, None)
    service = LocalService(model, adapter, Path(tempfile.mkdtemp()), given.device, wishes)
    threading.Thread(target=service.end_in_time, name="end", daemon=True).start()
    serve.run(service, LocalHandler, given.host, given.port, listener=given.listener, patient=given.patient)


if __name__ == "__main__":
    main()
