"""Batches in one process: service → queue → worker → an engine that a test commands, under a test's clock."""

import json
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from luthier.accounts.entity import Principal
from luthier.batches.answering import Desk
from luthier.batches.content import BatchContent
from luthier.batches.entity import CHAT, PREFIX, Batch
from luthier.batches.finishing import Finisher
from luthier.batches.queue import BatchQueue, Message
from luthier.batches.service import BatchService
from luthier.batches.store import BatchStore
from luthier.batches.worker import Worker
from luthier.deployments.entity import Deployment
from luthier.inference.service import InferenceService
from luthier.usage.service import UsageOfKept
from luthier.usage.store import UsageStore
from luthier.webhooks.address import Destinations
from tests.factories import BASE_MODEL, SETTINGS, Platform, principal
from tests.fakes import FakeQueues

QUEUE = "batches"
WHO = principal()
Answering = Callable[[str], str]


class Engine:
    """Answers each question as a test says, and remembers all of them; `busiest`: how many it had at once."""

    def __init__(self, answer: Answering = str.upper) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.busiest = self._busy = 0
        self._lock = threading.Lock()

    def stream(self, deployment: Deployment, body: dict[str, Any]) -> Generator[dict[str, Any]]:
        question = body["prompt"] if "prompt" in body else body["messages"][-1]["content"]
        with self._lock:
            self.asked.append(question)
            self._busy += 1
            self.busiest = max(self.busiest, self._busy)
        try:
            text = self.answer(question)
        finally:
            with self._lock:
                self._busy -= 1
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        part = {"text": text} if "prompt" in body else {"delta": {"role": "assistant", "content": text}}
        kind = "text_completion" if "prompt" in body else "chat.completion.chunk"
        chunks = [{"id": "x", "created": 1, "object": kind, "choices": [{"index": 0, "finish_reason": "stop"} | part]}]
        return (chunk for chunk in [*chunks, {"id": "x", "choices": [], "usage": usage}])


@dataclass
class World:
    platform: Platform
    dynamodb: Any
    s3: Any
    queues: Any
    engine: Engine = field(default_factory=Engine)
    slept: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.wire()

    @classmethod
    def on(cls, platform: Platform) -> "World":
        return cls(platform, platform.dynamodb, platform.s3, FakeQueues(platform.clock))

    def wire(self) -> None:
        clock, settings = self.platform.clock, self.platform.settings
        deployments, aliases = self.platform.deployments, self.platform.aliases
        most = settings.organization_unfinished_batches
        self.store = BatchStore(self.dynamodb, settings.table, most_live=most)
        content, queue = BatchContent(self.s3, settings.data_bucket), BatchQueue(self.queues, QUEUE)
        price = settings.inference_cents_per_1000_tokens
        usage = UsageOfKept(UsageStore(self.dynamodb, settings.table), self.platform.credits, price=price, now=clock)
        models, engine = self.platform.model_store, self.engine
        inference = InferenceService(deployments, aliases, models, engine, usage, clock)  # type: ignore[arg-type]
        finisher = Finisher(self.store, content, self.platform.datasets, deployments, aliases, clock)
        desk = Desk(inference, usage, self.slept.append)
        self.worker = Worker(self.store, content, queue, desk, finisher, deployments, aliases, usage, clock)
        self.service = BatchService(
            self.store,
            content,
            queue,
            self.platform.datasets,
            deployments,
            aliases,
            Destinations(settings.webhook_private_networks),
            clock,
        )

    def batch(self, *questions: str, who: Principal = WHO, model: str = BASE_MODEL, **more: Any) -> Batch:
        return self.service.ask_all(who, model, requests(*questions, model=model), **more)

    def of_file(self, content: bytes, who: Principal = WHO, endpoint: str = CHAT, **more: Any) -> Batch:
        file = self.platform.datasets.upload(who, filename="in.jsonl", purpose="batch", content=content)
        return self.service.ask_file(who, file.id, endpoint, **more)

    def step(self) -> bool:
        """One turn of what is due; whether there was any."""
        bodies = self.queues.take(QUEUE, 1)
        for body in bodies:
            if self.worker.take_all({"m": Message.read(body)}):
                self.queues.send_message(QUEUE, body, 1)
        return bool(bodies)

    def work(self) -> None:
        while self.step():
            pass

    def wait(self, **span: float) -> None:
        """Let time pass, with the sweeper's turn and all the work that is due then."""
        self.platform.clock.advance(**span)
        self.worker.sweep()
        self.work()

    def fresh(self, batch: Batch) -> Batch:
        found = self.store.get(batch.organization_id, batch.id)
        assert found is not None
        return found

    def results(self, batch: Batch) -> list[dict[str, Any]]:
        rows, _ = self.service.results(self.fresh(batch))
        assert rows is not None
        return rows

    def texts(self, batch: Batch) -> list[str | None]:
        """What was answered, in the order of the results; an error's code in its place."""
        return [row.get("text") or row["error"]["code"] for row in self.results(batch)]

    def lines(self, file_id: str | None, who: Principal = WHO) -> list[dict[str, Any]]:
        assert file_id is not None
        body = self.platform.datasets.content(who, file_id).body
        assert body is not None
        return [json.loads(line) for line in body.splitlines()]

    def objects(self) -> list[str]:
        found = self.platform.s3.list_objects_v2(Bucket=SETTINGS.data_bucket, Prefix=PREFIX)
        return [entry["Key"] for entry in found.get("Contents", [])]

    def tokens(self, who: Principal = WHO) -> tuple[int, int]:
        """Requests and tokens that the organization was told to have used."""
        used = [row.use for row in self.platform.usage.summary(who, start=None, end=None, by=None).rows]
        return sum(use.requests for use in used), sum(use.prompt_tokens + use.completion_tokens for use in used)


def requests(*questions: str, model: str = BASE_MODEL) -> list[dict[str, Any]]:
    """One request of each question, named by its place."""
    return [
        {"custom_id": str(i), "body": {"model": model, "messages": [{"role": "user", "content": question}]}}
        for i, question in enumerate(questions)
    ]


def line(custom_id: str, content: str = "hello", **more: Any) -> dict[str, Any]:
    """A line of an input file."""
    body = {"model": BASE_MODEL, "messages": [{"role": "user", "content": content}]} | more.pop("body", {})
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body} | more


def jsonl(*lines: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)
