"""Fakes of what no in-process emulator runs: SageMaker, Step Functions, and queues under a clock that tests move."""

import copy
import io
import json
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from botocore.exceptions import ClientError

from tests.fake_endpoints import FakeEndpoints, check, refusal


class _Exceptions:
    ClientError = ClientError

    class ExecutionAlreadyExists(Exception):
        pass

    class ExecutionDoesNotExist(Exception):
        pass


def one_call_at_a_time(client: Any) -> Any:
    """The client, safe to share between threads: calls interleave, but the in-process AWS sees one at a time."""
    lock, call = threading.Lock(), client._make_api_call

    def locked(*arguments: Any) -> Any:
        with lock:
            return call(*arguments)

    client._make_api_call = locked
    return client


@cache
def copy_only_what_transactions_touch() -> None:
    """Make moto's transactions cheap: as they come, each of their writes copies the whole table, to undo it all."""
    from moto.dynamodb.models import DynamoDBBackend, DynamoType, Table

    whole, touched = DynamoDBBackend.transact_write_items, []

    def transact(backend: Any, transact_items: list[dict[str, Any]]) -> None:
        touched[:] = [write.get("Key") or write.get("Item") for item in transact_items for write in item.values()]
        whole(backend, transact_items)

    def backup(table: Any, _: Any) -> Any:
        saved, shard = copy.copy(table), copy.copy(table.stream_shard)
        saved.items = defaultdict(dict, {value: dict(items) for value, items in table.items.items()})
        for key in touched:
            place, name = (DynamoType(key[attribute]) for attribute in (table.hash_key_attr, table.range_key_attr))
            if name in saved.items.get(place, ()):
                saved.items[place][name] = copy.deepcopy(saved.items[place][name])
        if shard:
            shard.table, shard.items, saved.stream_shard = saved, list(shard.items), shard
        return saved

    DynamoDBBackend.transact_write_items = transact
    Table.__deepcopy__ = backup


@cache
def answer_items_as_they_are() -> None:
    """Make moto's reads cheap: as they come, each value of an item is looked up under every type's name and alias."""
    from moto.core.serialize import JSONSerializer

    serialize = JSONSerializer._serialize

    def quickly(serializer: Any, serialized: Any, value: Any, shape: Any, key: str) -> None:
        if shape.name == "AttributeValue" and isinstance(value, dict):
            serialized[key] = value
        else:
            serialize(serializer, serialized, value, shape, key)

    JSONSerializer._serialize = quickly


def with_dynamodbs_key_sizes(client: Any) -> Any:
    """The client, refusing what DynamoDB refuses and its in-process emulator takes: keys that are too long."""

    def check(params: dict[str, Any], **_: Any) -> None:
        asked = [*_values(params, "pk"), *_values(params, "sk"), *params.get("ExpressionAttributeValues", {}).values()]
        if any(len(value.get("S", "").encode()) > 1024 for value in asked):
            raise refusal("ValidationException", "Size of rangekey has exceeded the maximum size limit of 1024 bytes")

    for operation in ("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "TransactWriteItems"):
        client.meta.events.register(f"provide-client-params.dynamodb.{operation}", check)
    return client


def _values(params: Any, name: str) -> Iterator[dict[str, Any]]:
    if isinstance(params, list):
        yield from (found for inner in params for found in _values(inner, name))
    elif isinstance(params, dict):
        if isinstance(params.get(name), dict):
            yield params[name]
        yield from (found for inner in params.values() for found in _values(inner, name))


class RuntimeExceptions(_Exceptions):
    class ModelError(ClientError):
        pass


class FakeEndpointRuntime:
    """An engine that repeats the question, word by word where it streams, or refuses as a test says.

    broken: raised by a stream instead of its third word; gate: what a stream waits for before its third word.
    """

    exceptions = RuntimeExceptions

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.refusal: ClientError | None = None
        self.broken: Exception | None = None
        self.gate: threading.Event | None = None
        self.closed = 0
        # Tokens that an answer may have; more are refused as engines refuse them.
        self.room: int | None = None

    def invoke_endpoint(self, **request: Any) -> dict[str, Any]:
        body = self._heard(request)
        message = {"role": "assistant", "content": body["messages"][-1]["content"]}
        answer = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": {"total_tokens": 2}}
        return {"Body": io.BytesIO(json.dumps(answer).encode())}

    def invoke_endpoint_with_response_stream(self, **request: Any) -> dict[str, Any]:
        return {"Body": FakeEventStream(self, self._streamed(self._heard(request)))}

    def _heard(self, request: dict[str, Any]) -> dict[str, Any]:
        check("sagemaker-runtime", "InvokeEndpoint", request)
        if self.refusal:
            raise self.refusal
        body: dict[str, Any] = json.loads(request["Body"])
        self.asked.append(
            body | {"endpoint": request["EndpointName"], "component": request.get("InferenceComponentName")}
        )
        if self.room and body.get("max_tokens", 1) > self.room:
            said = {"message": f"This model's maximum context length is {self.room}.", "param": "messages"}
            response = {"Error": {"Code": "ModelError", "Message": "x"}, "OriginalStatusCode": 400}
            raise RuntimeExceptions.ModelError(response | {"OriginalMessage": json.dumps({"error": said})}, "x")  # type: ignore[arg-type]
        return body

    def _streamed(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The parts of server-sent events, cut where no line ends."""
        text, is_chat = body["prompt"] if "prompt" in body else body["messages"][-1]["content"], "messages" in body
        head = {"id": "x-1", "created": 1, "object": "chat.completion.chunk" if is_chat else "text_completion"}
        words = re.findall(r"\s*\S+\s*", text)
        for count, word in enumerate([*words, ""]):
            if count == 2:
                if self.broken:
                    raise self.broken
                if self.gate:
                    self.gate.wait(10)
            grown = {"delta": {"role": "assistant", "content": word}} if is_chat else {"text": word}
            choice = {"index": 0, "logprobs": None, "finish_reason": None if word else "stop", **grown}
            yield from self._parts({**head, "choices": [choice], "usage": _counted(count)})
        yield from self._parts({**head, "choices": [], "usage": _counted(len(words))})
        yield {"PayloadPart": {"Bytes": b"data: [DONE]\n\n"}}

    def _parts(self, chunk: dict[str, Any]) -> Iterator[dict[str, Any]]:
        event = f": a comment\n\ndata: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode()
        for part in (event[:29], event[29:]):
            yield {"PayloadPart": {"Bytes": part}}


def _counted(completion_tokens: int) -> dict[str, int]:
    return {"prompt_tokens": 5, "completion_tokens": completion_tokens, "total_tokens": 5 + completion_tokens}


class FakeEventStream:
    def __init__(self, runtime: FakeEndpointRuntime, events: Iterator[dict[str, Any]]) -> None:
        self._runtime = runtime
        self._events = events

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self._events

    def close(self) -> None:
        self._runtime.closed += 1


class FakeStates:
    """State machines that only remember what was started; a test plays the steps itself."""

    exceptions = _Exceptions

    def __init__(self) -> None:
        self.started: list[dict[str, Any]] = []
        self.statuses: dict[str, str] = {}
        self.unavailable = False

    def start_execution(self, **request: Any) -> dict[str, Any]:
        if self.unavailable:
            raise refusal("ServiceUnavailable", "Try again.")
        if request["name"] in self.statuses:
            raise _Exceptions.ExecutionAlreadyExists
        self.started.append(request)
        self.statuses[request["name"]] = "RUNNING"
        return {"executionArn": request["name"]}

    def describe_execution(self, executionArn: str) -> dict[str, Any]:
        name = executionArn.rpartition(":")[2]
        if name not in self.statuses:
            raise _Exceptions.ExecutionDoesNotExist
        return {"status": self.statuses[name]}


class FakeSageMaker(FakeEndpoints):
    """Training jobs as descriptions that a test writes; an unknown one is refused as SageMaker refuses it."""

    exceptions = _Exceptions

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, dict[str, Any]] = {}
        self.stopped: list[str] = []

    def describe_training_job(self, TrainingJobName: str) -> dict[str, Any]:
        if TrainingJobName not in self.jobs:
            raise refusal("ValidationException", "Requested resource not found.")
        return self.jobs[TrainingJobName]

    def stop_training_job(self, TrainingJobName: str) -> None:
        self.describe_training_job(TrainingJobName)
        self.stopped.append(TrainingJobName)


class FakeQueues:
    """SQS queues under a clock that a test moves; what is taken is gone."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        # queue URL → (when it can be taken, body)
        self.waiting: dict[str, list[tuple[datetime, str]]] = {}
        self.unavailable = False

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        if self.unavailable:
            raise refusal("ServiceUnavailable", "Try again.")
        assert len(Entries) <= 10
        for entry in Entries:
            assert 0 <= entry["DelaySeconds"] <= 900
            self._put(QueueUrl, entry["MessageBody"], entry["DelaySeconds"])
        return {"Successful": Entries}

    def send_message(self, QueueUrl: str, MessageBody: str, DelaySeconds: int = 0) -> None:
        if self.unavailable:
            raise refusal("ServiceUnavailable", "Try again.")
        assert 0 <= DelaySeconds <= 900
        self._put(QueueUrl, MessageBody, DelaySeconds)

    def take(self, queue_url: str, most: int = 10) -> list[str]:
        """The bodies of up to `most` messages that are due."""
        due = [entry for entry in self.waiting.get(queue_url, []) if entry[0] <= self._now()][:most]
        for entry in due:
            self.waiting[queue_url].remove(entry)
        return [body for _, body in due]

    def _put(self, queue_url: str, body: str, delay: int) -> None:
        self.waiting.setdefault(queue_url, []).append((self._now() + timedelta(seconds=delay), body))
