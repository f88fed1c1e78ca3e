from typing import Any

import pytest

from luthier.deployments.wishes import Wish
from luthier.errors import Conflict, InvalidRequest, NotFound, Unavailable
from luthier.inference import playground_schema as playground
from luthier.inference import tuning_schema as tuning
from luthier.inference.entity import Answerer
from luthier.inference.invoke import Invoker
from luthier.inference.schema import Message
from tests.factories import BASE_MODEL, Platform, principal
from tests.fakes import RuntimeExceptions, refusal

A, B = principal("org_a"), principal("org_b")


def ask(platform: Platform, model: str, who: Any = A) -> dict[str, Any]:
    return platform.inference.complete(
        who, {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    ).content


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


def test_a_paused_model_says_how_to_resume_it(platform: Platform) -> None:
    made = platform.deployed(A, BASE_MODEL)
    platform.deployments.pause(A, made.id)
    for state in ("pausing", "paused"):
        with pytest.raises(Conflict) as refused:
            ask(platform, BASE_MODEL)
        assert (refused.value.code, refused.value.details["current"]) == ("model_paused", state)
        assert f"/v2/training/deployments/{made.id}/resume" in (refused.value.remedy or "")
        platform.run_deployment(platform.deployments.get(A, made.id))


def test_a_failed_deployment_says_why(platform: Platform) -> None:
    platform.probe.failing = Conflict("No.", code="deployment_failed")
    platform.deployed(A, BASE_MODEL)
    with pytest.raises(Conflict) as refused:
        ask(platform, BASE_MODEL)
    assert (refused.value.code, refused.value.details["code"]) == ("model_not_deployed", "deployment_failed")
    assert refused.value.message.endswith("has failed. No.")


def test_a_sleeping_deployment_says_when_it_is_awake(platform: Platform) -> None:
    made = platform.deployments.deploy_model(A, BASE_MODEL)
    platform.clock.advance(seconds=90)
    platform.run_deployment(made)
    said = (
        "Inference Component has no capacity to process this request. ApplicationAutoScaling may be in-progress (if "
        "configured) or try to increase the capacity by invoking UpdateInferenceComponentRuntimeConfig API."
    )
    platform.runtime.refusal = refusal("ValidationError", said)
    with pytest.raises(Unavailable) as refused:
        ask(platform, BASE_MODEL)
    assert (refused.value.code, refused.value.retry_after) == ("model_sleeping", 60)
    # It came up in 90 seconds.
    assert refused.value.details == {"deploymentId": made.id, "estimatedReadyTime": "2026-01-01T00:03:00Z"}


def test_a_deployments_settings_are_defaults_of_its_requests(platform: Platform) -> None:
    settings = {"max_tokens": 64, "temperature": 0.2, "top_p": 0.9, "repetition_penalty": 1.1}
    platform.run_deployment(platform.deployments.deploy_model(A, BASE_MODEL, Wish(configuration=settings)))
    ask(platform, BASE_MODEL)
    assert {name: platform.runtime.asked[-1][name] for name in settings} == settings
    body = {"model": BASE_MODEL, "messages": [{"role": "user", "content": "hello"}]}
    platform.inference.complete(A, body | {"temperature": 0, "max_tokens": 8})
    assert {name: platform.runtime.asked[-1][name] for name in settings} == settings | {
        "temperature": 0,
        "max_tokens": 8,
    }
    platform.inference.complete(A, body | {"max_completion_tokens": 8})
    assert "max_tokens" not in platform.runtime.asked[-1]


def test_a_models_name_means_a_deployment_that_never_sleeps_where_there_is_one(platform: Platform) -> None:
    awake = platform.deployed(A, BASE_MODEL)
    platform.clock.advance(minutes=1)
    sleepy = Wish(name="sleepy", scaling={"min_workers": 0, "max_workers": 1})
    platform.run_deployment(platform.deployments.deploy_model(A, BASE_MODEL, sleepy))
    ask(platform, BASE_MODEL)
    assert platform.runtime.asked[-1]["component"] == awake.component_name


def test_a_default_limit_without_room_for_it_gives_way(platform: Platform) -> None:
    wish = Wish(configuration={"max_tokens": 4096, "temperature": 0.2})
    platform.run_deployment(platform.deployments.deploy_model(A, BASE_MODEL, wish))
    platform.runtime.room = 100
    ask(platform, BASE_MODEL)
    assert platform.runtime.asked[-1]["temperature"] == 0.2
    assert "max_tokens" not in platform.runtime.asked[-1]
    body = {"model": BASE_MODEL, "messages": [{"role": "user", "content": "hello"}]}
    with pytest.raises(InvalidRequest) as refused:
        platform.inference.complete(A, body | {"max_tokens": 4096})
    assert refused.value.code == "context_length_exceeded"
    assert len(list(platform.inference.stream(A, body).chunks)) > 1


def test_a_deployments_settings_come_before_those_of_the_door(platform: Platform) -> None:
    wish = Wish(configuration={"max_tokens": 64})
    platform.run_deployment(platform.deployments.deploy_model(A, BASE_MODEL, wish))
    doors = (
        tuning.Inference(prompt="hello").for_engine(BASE_MODEL),
        playground.Completion(model=BASE_MODEL, messages=[Message(role="user", content="hello")]).for_engine(),
    )
    for body in doors:
        platform.inference.complete(A, body)
        asked = platform.runtime.asked[-1]
        assert (asked["max_tokens"], asked["temperature"]) == (64, 0.7)
        assert "defaults" not in asked
    platform.inference.complete(
        A, tuning.Inference(prompt="hello", temperature=0.7, maxTokens=9).for_engine(BASE_MODEL)
    )
    assert platform.runtime.asked[-1]["max_tokens"] == 9


def test_who_has_answered_is_told(platform: Platform) -> None:
    made = platform.deployed(A, platform.completed(A).result_model or "")
    answered = platform.inference.complete(
        A, {"model": made.target, "messages": [{"role": "user", "content": "hello"}]}
    )
    assert answered.by == Answerer(made.id, made.model_name, made.model_version)


def test_the_base_model_of_a_host_can_be_asked_alone(platform: Platform) -> None:
    made = platform.deployed(A, platform.completed(A).result_model or "")
    Invoker(platform.runtime).chat_component(
        made.endpoint_name, made.base_component_name, {"messages": [{"content": "x"}]}
    )
    assert platform.runtime.asked[-1]["component"] == f"{made.host}-base"


def test_a_top_p_of_zero_reaches_the_engine_as_what_it_takes_for_the_likeliest_token(platform: Platform) -> None:
    made = platform.deployed(A, platform.completed(A).result_model or "")
    asked = {"messages": [{"role": "user", "content": "hello"}], "top_p": 0}
    platform.inference.complete(A, asked | {"model": made.target})
    assert 0 < platform.runtime.asked[-1]["top_p"] < 1e-3
