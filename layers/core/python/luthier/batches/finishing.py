"""The beginning and the end of a batch: its file is validated, its outcomes become what its owner reads."""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

from luthier import clock, ids, table
from luthier.aliases.service import AliasService
from luthier.batches.content import BatchContent
from luthier.batches.entity import (
    CANCELLED,
    CANCELLING,
    COMPLETED,
    EXPIRED,
    FAILED,
    FILE,
    FINALIZING,
    IN_PROGRESS,
    Batch,
    Outcome,
)
from luthier.batches.lines import Validated, validate
from luthier.batches.outcomes import file_line, result
from luthier.batches.store import BatchStore
from luthier.datasets.entity import BATCH_OUTPUT
from luthier.datasets.service import DatasetService
from luthier.deployments.service import DeploymentService
from luthier.errors import NotFound
from luthier.events.entity import Event, event

_FACTS = {
    COMPLETED: "batch.completed",
    FAILED: "batch.failed",
    EXPIRED: "batch.expired",
    CANCELLED: "batch.cancelled",
}

_UNASKED = {
    CANCELLED: {"code": "batch_cancelled", "message": "It was cancelled before this request was answered."},
    EXPIRED: {
        "code": "batch_expired",
        "message": "This request could not be executed before the completion window expired.",
    },
}


class Finisher:
    def __init__(
        self,
        store: BatchStore,
        content: BatchContent,
        datasets: DatasetService,
        deployments: DeploymentService,
        aliases: AliasService,
        now: clock.Clock = clock.now,
    ) -> None:
        self._store = store
        self._content = content
        self._datasets = datasets
        self._deployments = deployments
        self._aliases = aliases
        self._now = now

    def is_over(self, batch: Batch) -> bool:
        """Whether the window of a batch has closed."""
        return self._now() >= clock.parse(batch.expires_at)

    def validate(self, batch: Batch) -> Batch:
        """The batch in progress, or failed with what is wrong with its file. Raises table.ConditionFailed."""
        found = validate(self._content.lines(batch), batch.endpoint)
        if found.model and not found.errors and not self._is_known(batch, found.model):
            message = f"No model of yours is called {found.model!r}."
            found.refuse(code="model_not_found", message=message, line=1, param="body.model")
        if found.errors:
            return self._failed(batch, found)
        moments = self._moments(batch, IN_PROGRESS)
        return self._store.change(batch, status=IN_PROGRESS, moments=moments, total=found.requests, target=found.model)

    def finish(self, batch: Batch) -> Batch:
        """The batch at its end, whatever is left of it unanswered. Safe to repeat. Raises table.ConditionFailed."""
        ending = CANCELLED if batch.status == CANCELLING else COMPLETED if batch.answered else EXPIRED
        if batch.status not in (CANCELLING, FINALIZING):
            moments = self._moments(batch, FINALIZING)
            batch = self._store.change(batch, status=FINALIZING, moments=moments)
        known, more = self._written(batch, ending)
        moments = self._moments(batch, ending)
        return self._store.end(batch, self._fact(batch, ending), more, status=ending, moments=moments, **known)

    def _failed(self, batch: Batch, found: Validated) -> Batch:
        # A file that cannot be read has no number of requests that means anything.
        moments = self._moments(batch, FAILED)
        fact = self._fact(batch, FAILED)
        return self._store.end(batch, fact, [], status=FAILED, moments=moments, errors=found.errors)

    def _written(self, batch: Batch, ending: str) -> tuple[dict[str, Any], list[table.Write]]:
        """What the batch then says of its results, with the writes that belong to them."""
        if batch.door != FILE:
            rows = (result(outcome) for outcome in self._all(batch, ending))
            written, _ = self._content.write(self._content.results_key(batch), rows)
            return {"has_output": written > 0}, []
        known: dict[str, Any] = {}
        more: list[table.Write] = []
        for flag, dataset_id, name, failed in (
            ("has_output", batch.output_id, "output", False),
            ("has_errors", batch.error_id, "error", True),
        ):
            file = self._datasets.output(
                batch.organization_id, dataset_id or "", f"{batch.id}_{name}.jsonl", BATCH_OUTPUT
            )
            wanted = (o for o in self._all(batch, ending) if (o.error is not None) == failed)
            count, size = self._content.write(file.s3_key, map(file_line, wanted))
            known[flag] = count > 0
            if count:
                more += self._datasets.output_writes(replace(file, rows=count, bytes=size))
        return known, more

    def _all(self, batch: Batch, ending: str) -> Iterator[Outcome]:
        """An outcome of every request, in their order; those that were never asked have the reason."""
        if ending not in _UNASKED:
            return self._content.outcomes(batch)
        error = {"status": None, "param": None, "details": None} | _UNASKED[ending]
        rest = (
            Outcome(name, line.end, request_id=ids.new_id("batch_req"), error=error)
            for line in self._content.lines(batch)
            if (name := _custom_id(line.text)) is not None
        )
        return chain(self._content.outcomes(batch), rest)

    def _is_known(self, batch: Batch, model: str) -> bool:
        if self._aliases.find(batch.organization_id, model):
            return True
        try:
            self._deployments.find(batch.organization_id, model)
        except NotFound:
            return False
        return True

    def _moments(self, batch: Batch, status: str) -> dict[str, str]:
        return batch.moments | {status: clock.iso(self._now())}

    def _fact(self, batch: Batch, ending: str) -> Event:
        return event(_FACTS[ending], batch.organization_id, clock.iso(self._now()), batch.facts)


def _custom_id(text: bytes) -> str | None:
    """The name of a request that was never judged, where it has one."""
    try:
        name = json.loads(text)["custom_id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return name if isinstance(name, str) else None
