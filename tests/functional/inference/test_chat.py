from typing import Any

import pytest

from luthier.errors import Conflict, InvalidRequest, NotFound, Unavailable
from tests.factories import BASE_MODEL, Platform, principal
from tests.fakes import RuntimeExceptions, refusal

A, B = principal("org_a"), principal("org_b")


def ask(platform: Platform, model: str, who: Any = A) -> dict[str, Any]:
    return platform.inference.chat(who, {"model": model, "messages": [{"role": "user", "content": "hello"}]})


def test_every_name_of_a_deployed_model_answers_under_that_name(platform: Platform) -> None:
    model = platform.models.get(A, platform.completed(A, suffix="v1").result_model or "")
    platform.deployed(A, model.name)
    for name in (*model.names, model.id):
        answer = ask(platform, name)
        assert answer["model"] == name
        assert answer["object"] == "chat.completion"
        assert answer["choices"][0]["message"]["content"] == "hello"


def test_a_fine_tuned_model_asks_for_its_adapter(platform: Platform) -> None:
    name = platform.completed(A).result_model or ""
    made = platform.deployed(A, name)
    ask(platform, name)
    assert platform.runtime.asked[-1]["component"] == made.own_name
    ask(platform, made.id)
    assert platform.runtime.asked[-1]["component"] == made.own_name


def test_a_base_model_is_asked_by_the_component_of_its_weights(platform: Platform) -> None:
    made = platform.deployed(A, BASE_MODEL)
    ask(platform, BASE_MODEL)
    assert platform.runtime.asked[-1]["component"] == f"{made.host}-base"


def test_a_model_that_comes_up_says_when_to_ask_again(platform: Platform) -> None:
    platform.deployments.deploy_model(A, BASE_MODEL)
    with pytest.raises(Unavailable) as refused:
        ask(platform, BASE_MODEL)
    assert (refused.value.code, refused.value.retry_after) == ("model_not_ready", 60)
    assert refused.value.details["estimatedReadyTime"] == "2026-01-01T00:05:00Z"
    platform.clock.advance(seconds=280)
    with pytest.raises(Unavailable) as refused:
        ask(platform, BASE_MODEL)
    assert refused.value.retry_after == 20


def test_a_model_that_nobody_deployed_says_so(platform: Platform) -> None:
    with pytest.raises(Conflict) as refused:
        ask(platform, BASE_MODEL)
    assert refused.value.code == "model_not_deployed"


def test_another_organizations_model_does_not_exist(platform: Platform) -> None:
    name = platform.completed(A).result_model or ""
    platform.deployed(A, name)
    with pytest.raises(NotFound):
        ask(platform, name, B)


def test_another_organizations_base_deployment_does_not_answer_ours(platform: Platform) -> None:
    platform.deployed(A, BASE_MODEL)
    with pytest.raises(Conflict):
        ask(platform, BASE_MODEL, B)


@pytest.mark.parametrize(("status", "family"), [(400, InvalidRequest), (500, Unavailable)])
def test_the_engines_refusal_reaches_the_caller(platform: Platform, status: int, family: type[Exception]) -> None:
    platform.deployed(A, BASE_MODEL)
    said = '{"error": {"message": "Too long.", "type": "invalid_request_error", "param": "messages", "code": null}}'
    platform.runtime.refusal = RuntimeExceptions.ModelError(
        {"Error": {"Code": "ModelError", "Message": "x"}, "OriginalStatusCode": status, "OriginalMessage": said}, "x"
    )
    with pytest.raises(family, match=r"Too long\."):
        ask(platform, BASE_MODEL)


def test_a_vanished_endpoint_is_unavailable_not_a_crash(platform: Platform) -> None:
    platform.deployed(A, BASE_MODEL)
    platform.runtime.refusal = refusal("ValidationError", "Endpoint not found.")
    with pytest.raises(Unavailable, match="does not answer"):
        ask(platform, BASE_MODEL)
