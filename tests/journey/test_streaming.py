"""Answers that stream, from the process that generates through the cloud to the unmodified openai client."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from botocore.exceptions import EventStreamError

from tests.journey.customer import Customer
from tests.journey.local_cloud import MODEL, LocalCloud, wait_for
from tests.journey.test_serving import DEPLOYMENTS, deploy, gone, wait_until

# Untuned, the tiny model goes on to the last token it may write.
QUESTION = [{"role": "user", "content": "My parcel has not arrived, it can wait."}]
LONG = {"model": MODEL, "messages": QUESTION, "temperature": 0, "max_tokens": 440}


@pytest.fixture(scope="module")
def deployment(cloud: LocalCloud, completed: dict[str, Any]) -> Iterator[dict[str, Any]]:
    with cloud.http() as client:
        customer = Customer(client)
        made = deploy(customer, MODEL)
        yield wait_until(customer, made, "active")
        customer.call("DELETE", f"{DEPLOYMENTS}/{made}")
        wait_for(lambda: gone(client, made), 60, "it is gone")


@pytest.fixture
def client(cloud: LocalCloud, deployment: dict[str, Any]) -> Iterator[openai.OpenAI]:
    """Unmodified, and strict about every field."""
    url, key = (cloud.environment[name] for name in ("LUTHIER_BASE_URL", "LUTHIER_API_KEY"))
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, _strict_response_validation=True) as client:
        yield client


def completion_tokens(api: httpx.Client) -> int:
    rows = api.get("/v1/organization/usage", params={"group_by": "kind"}).json()
    return sum(row["completion_tokens"] for row in rows["data"] if row["kind"] == "inference")


def test_words_come_one_by_one_and_are_those_of_the_whole_answer(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(**LONG)
    began = time.monotonic()
    arrived, texts, usage = [], [], None
    for chunk in client.chat.completions.create(**LONG, stream=True, stream_options={"include_usage": True}):
        arrived.append(time.monotonic() - began)
        texts += [choice.delta.content or "" for choice in chunk.choices]
        usage = chunk.usage or usage
    assert "".join(texts) == whole.choices[0].message.content
    assert usage == whole.usage
    # Nobody has gathered them: whoever does gives all of them at the end.
    assert arrived[-1] - arrived[0] > arrived[-1] / 4


def test_texts_choices_log_probabilities_and_schemas_go_through_unchanged(client: openai.OpenAI) -> None:
    text = client.completions.create(model=MODEL, prompt="My parcel", n=2, logprobs=2, temperature=0, max_tokens=8)
    assert text.choices[0].text == text.choices[1].text
    assert text.choices[0].logprobs
    assert "".join(text.choices[0].logprobs.tokens or []) == text.choices[0].text
    chat = client.chat.completions.create(**LONG | {"max_tokens": 4}, logprobs=True, top_logprobs=2, n=2, seed=1)
    assert len(chat.choices) == 2
    assert chat.choices[1].logprobs
    assert len(chat.choices[1].logprobs.content or []) == 4
    schema = {"type": "object", "properties": {"urgent": {"type": "boolean"}}, "required": ["urgent"],
              "additionalProperties": False}  # fmt: skip
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "ticket", "schema": schema, "strict": True}}
    shaped = client.chat.completions.create(**LONG, response_format=wanted)
    assert set(json.loads(shaped.choices[0].message.content or "")) == {"urgent"}


@pytest.mark.parametrize("stream", [True, False])
def test_what_the_model_refuses_has_its_status_and_openais_shape(client: openai.OpenAI, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(**LONG | {"max_tokens": 5_000}, stream=stream)
    assert refused.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(**LONG, tools=[{"type": "function", "function": {"name": "f"}}], stream=stream)
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "tools")


def test_a_client_that_hangs_up_pays_for_what_was_produced(client: openai.OpenAI, api: httpx.Client) -> None:
    before = completion_tokens(api)
    with client.chat.completions.create(**LONG, stream=True) as stream:
        for _ in range(5):
            next(stream)
    after = wait_for(lambda: completion_tokens(api) - before, 20, "it is metered")
    assert after + 1 >= 5
    assert after < LONG["max_tokens"]


def test_sagemakers_own_client_reads_the_events(cloud: LocalCloud, deployment: dict[str, Any]) -> None:
    runtime, names = cloud.aws("sagemaker-runtime"), _component(cloud)
    body = json.dumps(LONG | {"max_tokens": 20, "stream": True}).encode()
    answer = runtime.invoke_endpoint_with_response_stream(**names, ContentType="application/json", Body=body)
    assert answer["ContentType"].startswith("text/event-stream")
    with closing(answer["Body"]) as events:
        text = b"".join(event["PayloadPart"]["Bytes"] for event in events).decode()
    assert text.endswith("data: [DONE]\n\n")
    with pytest.raises(runtime.exceptions.ModelError) as refused:
        runtime.invoke_endpoint_with_response_stream(**names, ContentType="application/json", Body=b"{}")
    assert refused.value.response["OriginalStatusCode"] == 400


def _component(cloud: LocalCloud) -> dict[str, str]:
    found = cloud.aws("sagemaker").list_inference_components()["InferenceComponents"]
    base = next(row for row in found if row["InferenceComponentName"].endswith("-base"))
    return {name: base[name] for name in ("EndpointName", "InferenceComponentName")}


def test_a_function_that_dies_breaks_the_connection_and_the_next_request_has_another(
    cloud: LocalCloud, client: openai.OpenAI
) -> None:
    with client.chat.completions.create(**LONG, stream=True) as stream:
        next(stream)
        [function] = [pid for pid in cloud.children() if b"functions.api.server" in _command(pid)]
        os.kill(function, signal.SIGKILL)
        with pytest.raises(openai.APIConnectionError):
            list(stream)
    # Who asks in the moment in which it dies is told to try again, which clients do.
    assert list(client.with_options(max_retries=3).chat.completions.create(**LONG | {"max_tokens": 3}, stream=True))


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_a_model_server_that_dies_in_the_middle_gives_one_error_and_comes_back(
    cloud: LocalCloud, client: openai.OpenAI
) -> None:
    runtime, body = cloud.aws("sagemaker-runtime"), json.dumps(LONG | {"stream": True}).encode()
    answer = runtime.invoke_endpoint_with_response_stream(
        **_component(cloud), ContentType="application/json", Body=body
    )
    with client.chat.completions.create(**LONG, stream=True) as stream, closing(answer["Body"]) as events:
        next(stream)
        for pid in cloud.servers():
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(openai.APIError) as broken:
            list(stream)
        with pytest.raises(EventStreamError):
            list(events)
    assert (broken.value.code, broken.value.type) == ("model_failed", "server_error")

    def answers() -> bool:
        try:
            return bool(client.chat.completions.create(**LONG | {"max_tokens": 1}))
        except openai.APIStatusError:
            return False

    wait_for(answers, 90, "it answers again")
