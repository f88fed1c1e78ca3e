"""Wire shapes of batches on the tuning surface: a list of requests in, their results out; camelCase."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from luthier.batches.entity import LONGEST_CUSTOM_ID, MOST_REQUESTS, Batch
from luthier.errors import InvalidRequest
from luthier.inference.tuning_schema import Inference
from luthier.webhooks.address import LONGEST_URL
from luthier.wire import LONGEST_NAME, CamelAnswer, CamelRequest

Results = list[dict[str, Any]] | None


class BatchedInference(Inference):
    id: str = Field(min_length=1, max_length=LONGEST_CUSTOM_ID, description="Names the request within the batch.")

    def request(self, model: str) -> dict[str, Any]:
        return {"custom_id": self.id, "body": self.for_engine(model), "metadata": self.metadata}


class BatchInference(CamelRequest):
    model_id: str = Field(min_length=1, max_length=LONGEST_NAME, description="Any name of a deployed model.")
    requests: list[BatchedInference] = Field(min_length=1, max_length=MOST_REQUESTS)
    webhook_url: str | None = Field(
        default=None, max_length=LONGEST_URL, description="Hears by a signed POST how the batch has ended."
    )

    @model_validator(mode="after")
    def _names_each_once(self) -> Self:
        seen = set()
        for number, request in enumerate(self.requests):
            if request.id in seen:
                param = f"requests[{number}].id"
                raise InvalidRequest(f"{param} names an earlier request too.", param=param, remedy="Name each once.")
            seen.add(request.id)
        return self

    def of_batch(self) -> list[dict[str, Any]]:
        return [request.request(self.model_id) for request in self.requests]


class Accepted(CamelAnswer):
    total: int
    accepted: int


class BatchAccepted(CamelAnswer):
    batch_id: str
    status: str
    summary: Accepted

    @classmethod
    def of(cls, batch: Batch) -> Self:
        summary = Accepted(total=batch.total, accepted=batch.total)
        return cls(batch_id=batch.id, status=batch.progress, summary=summary)


class Summary(Accepted):
    completed: int
    failed: int


class ResultError(CamelAnswer):
    message: str
    code: str
    details: Any


class Result(CamelAnswer):
    """One request's result, in the order of the requests: what a single inference answers, or the error in its place.

    tokens: of the prompt and the answer together; latency: milliseconds.
    """

    id: str
    status: Literal["completed", "failed"]
    text: str | None
    tokens: int | None
    model: str | None
    latency: int | None
    metadata: dict[str, Any] | None
    deployment_id: str | None
    model_version: str | None
    error: ResultError | None

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        error = row.get("error")
        known: dict[str, Any] = {
            name: row.get(name)
            for name in ("id", "status", "text", "tokens", "model", "metadata", "deployment_id", "model_version")
        }
        if error:
            details = {"param": error["param"]} if error["param"] else {}
            details |= error["details"] if isinstance(error["details"], dict) else {}
            error = ResultError(message=error["message"], code=error["code"].upper(), details=details or None)
        return cls(**known, latency=row.get("latency_ms"), error=error)


class BatchStatus(CamelAnswer):
    """`results` are there once the batch has ended; where they are too many for an answer, `resultsUrl` gives them as
    JSON lines for an hour."""

    batch_id: str
    model_id: str
    status: str
    summary: Summary
    results: list[Result] | None
    results_url: str | None
    webhook_url: str | None
    created_at: str
    completed_at: str | None
    expires_at: str

    @classmethod
    def of(cls, batch: Batch, rows: Results, url: str | None) -> Self:
        return cls(
            batch_id=batch.id,
            model_id=batch.target,
            status=batch.progress,
            summary=Summary(total=batch.total, accepted=batch.total, completed=batch.completed, failed=batch.failed),
            results=None if rows is None else [Result.of(row) for row in rows],
            results_url=url,
            webhook_url=batch.callback_url,
            created_at=batch.created_at,
            completed_at=batch.moments.get(batch.status) if batch.ended else None,
            expires_at=batch.expires_at,
        )
