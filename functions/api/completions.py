"""Asking a model in OpenAI's words: /v1/chat/completions and /v1/completions, whole or as server-sent events.

The one function that streams: on AWS its surface is served by `functions/api/server.py`.
"""

from typing import Any

from aws_lambda_powertools.event_handler.api_gateway import Response

from functions.api import event_stream
from functions.api.app import Surface, needs
from functions.api.error_shapes import openai as error_shape
from luthier import wiring
from luthier.inference.schema import ChatRequest, CompletionRequest

INFER = needs("inference:write")

ANSWERS: dict[int, Any] = {
    200: {
        "description": "OpenAI's object, or its chunks as server-sent events where `stream` is true",
        "content": {"application/json": {"schema": {"type": "object"}}, "text/event-stream": {}},
    }
}

app = Surface("completions", error_shape)
handler = app.handle


@app.post("/v1/chat/completions", security=INFER, summary="Ask a deployed model", responses=ANSWERS)
def create_chat_completion(body: ChatRequest) -> Response[Any]:
    return _answer(body)


@app.post("/v1/completions", security=INFER, summary="Let a deployed model go on from a prompt", responses=ANSWERS)
def create_completion(body: CompletionRequest) -> Response[Any]:
    return _answer(body)


def _answer(body: ChatRequest | CompletionRequest) -> Response[Any]:
    if body.stream:
        stream = wiring.inference().stream(app.principal, body.for_engine())
        events = event_stream.events(stream, app.telling(), usage=body.includes_usage)
        app.say_who(stream.by)
        return Response(200, event_stream.CONTENT_TYPE, events)
    answered = wiring.inference().complete(app.principal, body.for_engine())
    app.say_who(answered.by)
    return Response(200, "application/json", answered.content)
