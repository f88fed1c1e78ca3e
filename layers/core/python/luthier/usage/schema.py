"""Wire shapes of usage on the account surface."""

from typing import Self

from luthier.usage.entity import MICROCENTS, Row, Summary
from luthier.wire import Answer


class UsageRow(Answer):
    """What was used. A name that the rows are not grouped by is null; `requests` counts answers and job attempts."""

    day: str | None
    kind: str | None
    model: str | None
    requests: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    billed_seconds: int
    cost_cents: float

    @classmethod
    def of(cls, row: Row) -> Self:
        use = row.use
        return cls(
            day=row.day,
            kind=row.kind,
            model=row.model,
            requests=use.requests,
            prompt_tokens=use.prompt_tokens,
            completion_tokens=use.completion_tokens,
            total_tokens=use.prompt_tokens + use.completion_tokens,
            billed_seconds=use.billed_seconds,
            cost_cents=round(use.microcents / MICROCENTS, 4),
        )


class Usage(Answer):
    """Whole UTC days, from that of `start_time` to that of `end_time`, which counts unless the time is its midnight."""

    start_time: str
    end_time: str
    group_by: list[str]
    data: list[UsageRow]

    @classmethod
    def of(cls, summary: Summary) -> Self:
        return cls(
            start_time=f"{summary.first}T00:00:00Z",
            end_time=f"{summary.end}T00:00:00Z",
            group_by=list(summary.by),
            data=[UsageRow.of(row) for row in summary.rows],
        )
