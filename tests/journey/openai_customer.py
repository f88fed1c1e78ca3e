"""The fine-tuning contract as a customer of OpenAI's calls it, with whatever version of the client runs this program.

    OPENAI_BASE_URL=… OPENAI_API_KEY=… python openai_customer.py --model M --data train.jsonl [--async] [--strict]

It imports nothing but the client. The last line that it prints is JSON: what it has seen.
"""

import argparse
import asyncio
import inspect
import json
import os
import time
import urllib.request
from pathlib import Path
from typing import Any

import openai

_SECONDS = 240.0


class Customer:
    def __init__(self, *, strict: bool, is_async: bool) -> None:
        kind = openai.AsyncOpenAI if is_async else openai.OpenAI
        self.client: Any = kind(_strict_response_validation=strict)

    async def done(self, answer: Any) -> Any:
        return await answer if inspect.isawaitable(answer) else answer

    async def all(self, page: Any) -> list[Any]:
        """Through every page."""
        if hasattr(page, "__aiter__"):
            return [one async for one in page]
        return list(page)

    async def until(self, job_id: str, *statuses: str) -> Any:
        ends = time.monotonic() + _SECONDS
        while True:
            job = await self.done(self.client.fine_tuning.jobs.retrieve(job_id))
            if job.status in statuses:
                return job
            assert time.monotonic() < ends, f"{job_id} is {job.status}, not {statuses}: {job}"
            assert job.status not in ("failed", "cancelled", "succeeded"), job
            await asyncio.sleep(0.3)

    async def fine_tune(self, model: str, data: Path) -> dict[str, Any]:
        jobs = self.client.fine_tuning.jobs
        file = await self.done(self.client.files.create(file=(data.name, data.read_bytes()), purpose="fine-tune"))
        file = await self.done(self.client.files.wait_for_processing(file.id))
        hyperparameters = {"n_epochs": 3, "batch_size": 8, "learning_rate_multiplier": 10.0}
        made = await self.done(
            jobs.create(
                model=model,
                training_file=file.id,
                method={"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
                metadata={"client": openai.__version__},
            )
        )
        await self.until(made.id, "running")
        await self.done(jobs.pause(made.id))
        # What rests is queued.
        await self.until(made.id, "queued")
        await self.done(jobs.resume(made.id))
        job = await self.until(made.id, "succeeded")
        events = await self.all(jobs.list_events(made.id, limit=7))
        checkpoints = await self.all(jobs.checkpoints.list(made.id, limit=1))
        content = await self.done(self.client.files.content(job.result_files[0]))
        deploy(job.fine_tuned_model)
        question = [{"role": "user", "content": "My parcel has not arrived."}]
        answer = await self.done(
            self.client.chat.completions.create(model=job.fine_tuned_model, messages=question, max_tokens=8)
        )
        unwanted = await self.done(jobs.create(model=model, training_file=file.id, hyperparameters={"n_epochs": 50}))
        await self.until(unwanted.id, "queued", "validating_files", "running")
        cancelled = await self.done(jobs.cancel(unwanted.id))
        return {
            "version": openai.__version__,
            "file": file.status,
            "status": job.status,
            "events": len(events),
            "distinct_events": len({event.id for event in events}),
            "checkpoints": [one.fine_tuned_model_checkpoint for one in checkpoints],
            "results": content.text.splitlines()[0],
            "answered_by": answer.model,
            "tokens": answer.usage.completion_tokens,
            "cancelled": cancelled.status,
            "fine_tuned_model": job.fine_tuned_model,
        }


def deploy(model: str) -> None:
    """Luthier's own verb: OpenAI serves by itself what somebody else's machines pay for."""
    url = os.environ["OPENAI_BASE_URL"].removesuffix("/v1") + f"/v2/training/models/{model}/deploy"
    headers = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}", "Content-Type": "application/json"}
    ends = time.monotonic() + _SECONDS
    while True:
        request = urllib.request.Request(url, data=b"{}", headers=headers, method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            status = json.load(answer)["deployment"]["status"]
        if status == "active":
            return
        assert time.monotonic() < ends, status
        time.sleep(0.5)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--async", dest="is_async", action="store_true")
    parser.add_argument("--strict", action="store_true")
    given = parser.parse_args()
    customer = Customer(strict=given.strict, is_async=given.is_async)
    print(json.dumps(asyncio.run(customer.fine_tune(given.model, given.data))))


if __name__ == "__main__":
    main()
