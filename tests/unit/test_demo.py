"""The demo's patience: a busy machine is slow, which is no failure."""

from collections.abc import Callable

import httpx
import pytest
from rich.console import Console

from infra.local import demo
from infra.local.options import Options
from infra.local.preflight import Refusal

ACTIVE = httpx.Response(202, json={"deployment": {"status": "active"}})
BEGUN = httpx.Response(202, json={"deployment": {"status": "deploying"}})
LATE = httpx.Response(504, json={"message": "Endpoint request timed out"})


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)


def deploy(answer: Callable[[], httpx.Response]) -> None:
    with httpx.Client(base_url="http://api", transport=httpx.MockTransport(lambda request: answer())) as client:
        demo.Demo(Options(), Console(quiet=True), client)._deploy("/deploy", "Deploying the model")


def test_a_deployment_that_answers_late_is_asked_for_again() -> None:
    answers = iter([BEGUN, LATE, BEGUN, ACTIVE])
    deploy(lambda: next(answers))
    assert list(answers) == []


def test_a_gateway_that_never_answers_is_named_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_DEPLOY_SECONDS", 0.05)

    def late() -> httpx.Response:
        raise httpx.ReadTimeout("late")

    with pytest.raises(Refusal, match=r"not ready within 0 s\. Last answer: no answer in time\. Log:"):
        deploy(late)


def test_a_refused_deployment_ends_the_demo_at_once() -> None:
    answers = iter([httpx.Response(409, json={"error": {"code": "STATE_CONFLICT"}}), ACTIVE])
    with pytest.raises(httpx.HTTPStatusError):
        deploy(lambda: next(answers))
    assert list(answers) == [ACTIVE]
