"""What no door answers, refused by each in the shape of its surface: bad requests, and models that cannot be asked."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from functions.api.build_openapi import ERRORS
from luthier.errors import Conflict
from tests.contract.test_error_shapes import assert_matches
from tests.factories import BASE_MODEL, principal
from tests.fakes import RuntimeExceptions
from tests.gateway import Answer, Gateway

HELLO = [{"role": "user", "content": "Hello"}]
Ask = Callable[..., Answer]


def chat(api: Gateway, model: str, messages: Any = HELLO, **sampling: Any) -> Answer:
    return api.post("/v1/chat/completions", {"model": model, "messages": messages, **sampling})


def text(api: Gateway, model: str, messages: Any = HELLO, **sampling: Any) -> Answer:
    prompt = "".join(message["content"] for message in messages)
    return api.post("/v1/completions", {"model": model, "prompt": prompt, **sampling})


def single(api: Gateway, model: str, messages: Any = HELLO, **sampling: Any) -> Answer:
    return api.post(f"/v1/models/{model}/inference", {"messages": messages} | camel(sampling))


def tuning_playground(api: Gateway, model: str, messages: Any = HELLO, **sampling: Any) -> Answer:
    return api.post("/v1/playground/inference", {"modelId": model, "messages": messages} | camel(sampling))


def playground(api: Gateway, model: str, messages: Any = HELLO, **sampling: Any) -> Answer:
    body = {"model": model, "messages": messages, **sampling}
    return api.post("/api/v1/playground/completions", body)


def runsync(api: Gateway, model: str, messages: Any = HELLO, **sampling: Any) -> Answer:
    return api.post(f"/v2/{model}/runsync", {"input": {"messages": messages, **sampling}})


def camel(sampling: dict[str, Any]) -> dict[str, Any]:
    return {"maxTokens" if name == "max_tokens" else name: value for name, value in sampling.items()}


DOORS = {
    chat: "completions",
    text: "completions",
    single: "tuning",
    tuning_playground: "tuning",
    playground: "playground",
    runsync: "endpoints",
}
by_door = pytest.mark.parametrize("ask", DOORS, ids=lambda door: door.__name__)


def refused(ask: Ask, answer: Answer, status: int, *words: str) -> None:
    assert answer.status == status, answer.text
    assert_matches(ERRORS[DOORS[ask]], answer.json())
    for word in words:
        assert word in answer.text.casefold(), answer.text


def engine_says(status: int, **said: Any) -> RuntimeExceptions.ModelError:
    known: Any = {"Error": {"Code": "ModelError", "Message": "x"}, "OriginalStatusCode": status}
    return RuntimeExceptions.ModelError(known | {"OriginalMessage": json.dumps({"error": said})}, "InvokeEndpoint")


@by_door
@pytest.mark.parametrize(
    ("messages", "sampling", "field"),
    [
        ([], {}, "messages"),
        ([{"role": "wizard", "content": "x"}], {}, "role"),
        (HELLO, {"temperature": 3}, "temperature"),
        (HELLO, {"max_tokens": 0}, "max"),
    ],
)
def test_a_bad_request(api: Gateway, ask: Ask, messages: Any, sampling: dict[str, Any], field: str) -> None:
    if ask is text and not sampling:
        # A text has no turns; an empty one is its own mistake.
        messages, field = [], "prompt"
    api.platform.deployed(principal(), BASE_MODEL)
    before = len(api.platform.runtime.asked)
    refused(ask, ask(api, BASE_MODEL, messages, **sampling), 400, field)
    assert len(api.platform.runtime.asked) == before


@by_door
def test_a_prompt_that_is_longer_than_the_context(api: Gateway, ask: Ask) -> None:
    api.platform.deployed(principal(), BASE_MODEL)
    long = [{"role": "user", "content": "x" * 200_000}]
    api.platform.runtime.refusal = engine_says(
        400, message="The prompt has 50,000 tokens.", code="context_length_exceeded"
    )
    refused(ask, ask(api, BASE_MODEL, long), 400, "50,000 tokens")


@by_door
def test_more_tokens_than_the_context_leaves(api: Gateway, ask: Ask) -> None:
    api.platform.deployed(principal(), BASE_MODEL)
    api.platform.runtime.room = 100
    refused(ask, ask(api, BASE_MODEL, max_tokens=4_000), 400, "maximum context length is 100")
    assert ask(api, BASE_MODEL).status == 200


@by_door
def test_a_model_of_another_organization(api: Gateway, ask: Ask) -> None:
    theirs = principal("org_b")
    model = api.platform.deployed(theirs, api.platform.completed(theirs).result_model or "")
    for name in (model.target, model.id):
        refused(ask, ask(api, name), 404)


@by_door
def test_a_model_that_is_not_deployed_that_failed_or_that_comes_up(api: Gateway, ask: Ask) -> None:
    refused(ask, ask(api, BASE_MODEL), 409, "not deployed")
    coming = api.platform.deployments.deploy_model(principal(), BASE_MODEL)
    answer = ask(api, BASE_MODEL)
    refused(ask, answer, 503, "being deployed")
    assert int(answer.headers["retry-after"]) > 0
    api.platform.probe.failing = Conflict("No.", code="deployment_failed")
    api.platform.run_deployment(coming)
    refused(ask, ask(api, BASE_MODEL), 409, "not deployed")


@by_door
def test_a_model_whose_engine_fails(api: Gateway, ask: Ask) -> None:
    api.platform.deployed(principal(), BASE_MODEL)
    api.platform.runtime.refusal = engine_says(500, message="CUDA error.")
    refused(ask, ask(api, BASE_MODEL), 503, "cuda error")
