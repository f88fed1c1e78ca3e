"""Wire shapes of a run, one request to an endpoint that nobody waits for; camelCase."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints

from luthier.batches.entity import Batch
from luthier.inference.endpoint_schema import RunMetadata, RunOutput, RunSync
from luthier.webhooks.address import LONGEST_URL
from luthier.wire import CamelAnswer

_Text = Annotated[str, StringConstraints(max_length=256)]
Results = list[dict[str, Any]] | None


class RunAsync(RunSync):
    is_async: Literal[True] = Field(default=True, alias="async")
    callback_url: str | None = Field(
        default=None, max_length=LONGEST_URL, description="Hears by a signed POST how the run has ended."
    )
    priority: Literal["normal", "high"] = Field(
        default="normal", description="What is high has places at the model of its own."
    )
    tags: Annotated[dict[_Text, _Text], Field(max_length=50)] | None = None


class RunError(CamelAnswer):
    code: str
    message: str


class RunStatus(CamelAnswer):
    """execution_time: seconds. What is known only when the run has ended is null before.

    deployment_id, model_version: what has answered.
    """

    id: str
    endpoint_id: str
    status: str
    output: RunOutput | None = None
    execution_time: float | None = None
    metadata: RunMetadata | None = None
    error: RunError | None = None
    priority: str
    tags: dict[str, Any] | None
    created_at: str
    completed_at: str | None
    expires_at: str
    deployment_id: str | None = None
    model_version: str | None = None

    @classmethod
    def of(cls, run: Batch, rows: Results = None) -> Self:
        row = rows[0] if rows else {}
        return cls(
            **(_answer(row) if "text" in row else {}),
            error=_error(row["error"]) if "error" in row else None,
            id=run.id,
            endpoint_id=run.target,
            status="failed" if run.ended and run.failed else run.progress,
            priority=run.priority,
            tags=run.metadata,
            created_at=run.created_at,
            completed_at=run.moments.get(run.status) if run.ended else None,
            expires_at=run.expires_at,
        )


def _answer(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "output": RunOutput(text=row["text"], finish_reason=row["finish_reason"]),
        "execution_time": row["latency_ms"] / 1000,
        "deployment_id": row.get("deployment_id"),
        "model_version": row.get("model_version"),
        "metadata": RunMetadata(model=row["model"], tokens_used=row["tokens"], cost=row["cost"]),
    }


def _error(known: dict[str, Any]) -> RunError:
    return RunError(code=known["code"].upper(), message=known["message"])
