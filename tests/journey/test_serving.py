"""Deployments of a trained model on the running cloud: asleep and awake, paused, changed, many at once, and killed."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.journey.customer import SHORT, Customer
from tests.journey.local_cloud import MODEL, LocalCloud, wait_for

DEPLOYMENTS = "/v2/training/deployments"
QUESTIONS = [
    "My parcel has not arrived, it can wait.",
    "The invoice is wrong!",
    "I cannot log in.",
    "Where is my refund?",
]


def deploy(customer: Customer, model: str, **wish: Any) -> str:
    """The id of a deployment that has begun."""
    made = customer.call("POST", f"/v2/training/models/{model}/deploy", json=wish)["deployment"]
    return str(made["id"])


def wait_until(customer: Customer, deployment: str, *statuses: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = customer.call("GET", f"{DEPLOYMENTS}/{deployment}")
        assert found["status"] in (*statuses, "deploying", "pausing", "active"), found
        return found if found["status"] in statuses else None

    return dict(wait_for(look, 120, f"{deployment} is {' or '.join(statuses)}"))


def ask(api: httpx.Client, name: str, question: str = QUESTIONS[0]) -> httpx.Response:
    body = {"model": name, "messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 12}
    return api.post("/v1/chat/completions", json=body)


def text(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


def answered(api: httpx.Client, name: str) -> Callable[[], str | None]:
    """For waiting: what it answers, once it does."""

    def look() -> str | None:
        answer = ask(api, name)
        return text(answer) or " " if answer.status_code == 200 else None

    return look


def gone(api: httpx.Client, deployment: str) -> bool:
    return api.get(f"{DEPLOYMENTS}/{deployment}").status_code == 404


def left_behind(cloud: LocalCloud, deployment: str) -> list[str]:
    """What SageMaker still has of a deployment, but for a host that others may stand on."""
    sagemaker, name = cloud.aws("sagemaker"), deployment.replace("_", "-")
    endpoints = [row["EndpointName"] for row in sagemaker.list_endpoints()["Endpoints"]]
    components = [row["InferenceComponentName"] for row in sagemaker.list_inference_components()["InferenceComponents"]]
    return [found for found in (*endpoints, *components) if name in found]


def test_a_dedicated_deployment_sleeps_wakes_rests_changes_and_goes(
    cloud: LocalCloud, completed: dict[str, Any], customer: Customer, api: httpx.Client
) -> None:
    model, before = completed["resultModel"], cloud.servers()
    wish = {"name": "sleepy", "kind": "dedicated", "scaling": {"minWorkers": 0, "maxWorkers": 1}}
    made = deploy(customer, model, **wish)
    active = wait_until(customer, made, "active")
    assert active["proof"]["verdict"] == "proven"
    expected = text(ask(api, made))

    wait_for(lambda: set(cloud.servers()) <= set(before), 60, "the idle deployment sleeps")
    asleep = ask(api, made)
    assert (asleep.status_code, asleep.json()["error"]["code"]) == (503, "model_sleeping")
    assert int(asleep.headers["retry-after"]) > 0
    assert wait_for(answered(api, made), 120, "it is awake") == expected

    customer.call("POST", f"{DEPLOYMENTS}/{made}/pause")
    wait_until(customer, made, "paused")
    refused = ask(api, made)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "model_paused")
    assert set(cloud.servers()) <= set(before)
    customer.call("POST", f"{DEPLOYMENTS}/{made}/resume")
    wait_until(customer, made, "active")
    assert text(ask(api, made)) == expected

    changed = customer.call("PATCH", f"{DEPLOYMENTS}/{made}", json={"scaling": {"minWorkers": 1}})
    assert changed["scaling"]["minWorkers"] == 1
    wait_for(lambda: not customer.call("GET", f"{DEPLOYMENTS}/{made}").get("updating"), 60, "the change is made")

    customer.call("DELETE", f"{DEPLOYMENTS}/{made}")
    wait_for(lambda: gone(api, made), 60, "it is gone")
    assert left_behind(cloud, made) == []
    assert set(cloud.servers()) <= set(before)


def test_adapters_of_one_base_answer_32_requests_at_once_each_as_it_does_alone(
    cloud: LocalCloud, completed: dict[str, Any], customer: Customer, api: httpx.Client
) -> None:
    other = customer.wait_for_status(customer.create_job({**SHORT, "epochs": 2}, suffix="other"), "completed")
    models = [completed["resultModel"], other["resultModel"], MODEL]
    for made in [deploy(customer, model) for model in models]:
        wait_until(customer, made, "active")
    wishes = [(model, question) for model in models for question in QUESTIONS]
    alone = {wish: text(ask(api, *wish)) for wish in wishes}
    assert len({alone[model, QUESTIONS[0]] for model in models}) > 1
    # One process holds the base once, and every adapter beside it.
    assert len(cloud.servers()) == 1
    many = (wishes * 3)[:32]
    with ThreadPoolExecutor(32) as pool:
        together = list(pool.map(lambda wish: text(ask(api, *wish)), many))
    assert together == [alone[wish] for wish in many]


@pytest.fixture
def survivor(mortal_cloud: LocalCloud) -> Iterator[httpx.Client]:
    """The API of a cloud that is killed meanwhile."""
    with mortal_cloud.http() as client:
        yield client


def test_whatever_dies_while_it_is_deployed_it_comes_up_and_answers(
    mortal_cloud: LocalCloud, survivor: httpx.Client
) -> None:
    api, customer = survivor, Customer(survivor)
    model = customer.wait_for_status(customer.create_job(SHORT), "completed")["resultModel"]
    made = deploy(customer, model)
    # The serving process, as soon as there is one; then everything at once.
    [server] = wait_for(lambda: mortal_cloud.servers(), 60, "the serving process")
    os.kill(server, signal.SIGKILL)
    mortal_cloud.kill()
    mortal_cloud.start()
    # The emulator forgets a run while it is off; the sweeper settles it, and nothing of it is left but the host, which
    # goes once it was idle for half an hour.
    if wait_until(customer, made, "active", "failed")["status"] == "failed":
        assert left_behind(mortal_cloud, made) == []
        assert deploy(customer, model) == made
        wait_until(customer, made, "active")
    expected = wait_for(answered(api, model), 60, "it answers")

    # With live components: all of it again, and the adapter is beside its base once more.
    mortal_cloud.kill()
    mortal_cloud.start()
    assert wait_for(answered(api, model), 90, "it answers after the restart") == expected
    assert len(mortal_cloud.servers()) == 1

    customer.call("DELETE", f"{DEPLOYMENTS}/{made}")
    wait_for(lambda: gone(api, made), 60, "it is gone")
    assert left_behind(mortal_cloud, made) == []
