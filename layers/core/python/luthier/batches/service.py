"""What can be done with batches. Every verb looks only at the principal's organization."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from luthier import clock, ids, table
from luthier.accounts.entity import Principal
from luthier.aliases.service import AliasService
from luthier.batches.content import BatchContent
from luthier.batches.entity import (
    CANCELLED,
    CANCELLING,
    FILE,
    IN_PROGRESS,
    LONGEST_LINE,
    MOST_BYTES,
    NORMAL,
    PREFIXES,
    REQUESTS,
    RUN,
    VALIDATING,
    WINDOW,
    Batch,
)
from luthier.batches.queue import BatchQueue
from luthier.batches.store import BatchStore
from luthier.datasets import refusals
from luthier.datasets.entity import BATCH, ERROR, ID_PREFIX, UPLOADED
from luthier.datasets.service import DatasetService
from luthier.deployments.service import DeploymentService
from luthier.errors import Conflict, InvalidRequest, NotFound, PayloadTooLarge, RateLimited, Unavailable
from luthier.idempotency import ONCE, Repetition
from luthier.inference.readiness import require_active
from luthier.webhooks.address import Destinations

# An answer of a function holds 6 MB; beyond that results are read from their address.
MOST_SHOWN_BYTES = 4_000_000


class BatchService:
    def __init__(
        self,
        store: BatchStore,
        content: BatchContent,
        queue: BatchQueue,
        datasets: DatasetService,
        deployments: DeploymentService,
        aliases: AliasService,
        destinations: Destinations,
        now: clock.Clock = clock.now,
    ) -> None:
        self._store = store
        self._claims = store.claims(now)
        self._content = content
        self._queue = queue
        self._datasets = datasets
        self._deployments = deployments
        self._aliases = aliases
        self._destinations = destinations
        self._now = now

    def ask_all(
        self,
        principal: Principal,
        model: str,
        requests: Sequence[dict[str, Any]],
        *,
        callback_url: str | None = None,
        repetition: Repetition = ONCE,
    ) -> Batch:
        """A batch of requests, each {custom_id, body, metadata?}. Raises InvalidRequest, NotFound and Conflict."""
        facts = {"model": model, "requests": requests, "callback_url": callback_url}
        for number, request in enumerate(requests):
            _require_size(request, f"requests[{number}]")
        self._require_callback(callback_url, "webhookUrl")
        self._require_target(principal, model, "modelId")

        def draft() -> Batch:
            return self._draft(principal, REQUESTS, model, total=len(requests), callback_url=callback_url)

        return self._once(principal, "batches.requests", facts, repetition, draft, _writing(self._content, requests))

    def run(
        self,
        principal: Principal,
        target: str,
        body: dict[str, Any],
        *,
        callback_url: str | None = None,
        priority: str = NORMAL,
        tags: dict[str, Any] | None = None,
        repetition: Repetition = ONCE,
    ) -> Batch:
        """One request that nobody waits for. Raises as `ask_all`."""
        facts = {"target": target, "body": body, "callback_url": callback_url, "priority": priority, "tags": tags}
        self._require_callback(callback_url, "callbackUrl")
        self._require_target(principal, target, "endpoint_id")

        def draft() -> Batch:
            return self._draft(
                principal, RUN, target, total=1, callback_url=callback_url, priority=priority, metadata=tags
            )

        requests = [{"custom_id": "run", "body": body}]
        _require_size(requests[0], "input")
        return self._once(principal, "batches.run", facts, repetition, draft, _writing(self._content, requests))

    def ask_file(
        self,
        principal: Principal,
        input_file_id: str,
        endpoint: str,
        *,
        metadata: dict[str, str] | None = None,
        repetition: Repetition = ONCE,
    ) -> Batch:
        """A batch of the requests in a file, which a worker validates. Raises InvalidRequest, NotFound and Conflict."""
        facts = {"input_file_id": input_file_id, "endpoint": endpoint, "metadata": metadata}
        file = self._datasets.get(principal, input_file_id)
        if file.purpose != BATCH:
            raise InvalidRequest(
                f"{file.id} was uploaded with the purpose {file.purpose}.",
                param="input_file_id",
                remedy="Upload it with the purpose batch.",
            )
        if file.status == UPLOADED:
            file = self._datasets.complete_upload(principal, file.id)
        if file.status == UPLOADED:
            raise refusals.content_missing(file)
        if file.status == ERROR:
            raise refusals.bad_lines(file, "input_file_id")
        if file.bytes > MOST_BYTES:
            raise PayloadTooLarge(
                f"The file has {file.bytes:,} bytes; a batch takes {MOST_BYTES:,}.",
                code="file_too_large",
                param="input_file_id",
                remedy="Split it.",
            )

        def draft() -> Batch:
            files = {name: ids.new_id(ID_PREFIX, "-") for name in ("output_id", "error_id")}
            kept: dict[str, Any] = {"endpoint": endpoint, "input_file_id": file.id, "metadata": metadata} | files
            return self._draft(principal, FILE, "", status=VALIDATING, **kept)

        def keep(batch: Batch) -> None:
            # Its owner may delete the file meanwhile.
            self._datasets.copy_to(file, self._content.bucket, self._content.input_key(batch))

        return self._once(principal, "batches.file", facts, repetition, draft, keep)

    def get(self, principal: Principal, batch_id: str, door: str) -> Batch:
        """The batch of an id that came through a door. Raises NotFound."""
        known = batch_id.startswith(f"{PREFIXES[door]}_")
        batch = self._store.get(principal.organization_id, batch_id) if known else None
        if batch is None:
            raise NotFound(f"No {_NOUNS[door]} has the id {batch_id!r}.", remedy="Check the id.")
        return batch

    def run_of(self, principal: Principal, target: str, run_id: str) -> Batch:
        """The run of an id at the endpoint that it asked. Raises NotFound."""
        run = self.get(principal, run_id, RUN)
        if run.target != target:
            raise NotFound(f"{target!r} has no run {run_id!r}.", remedy="Check the id.")
        return run

    def cancel_run(self, principal: Principal, target: str, run_id: str) -> Batch:
        """As `cancel`, for a run of an endpoint."""
        return self.cancel(principal, self.run_of(principal, target, run_id).id, RUN)

    def page(self, principal: Principal, *, limit: int, after: str | None = None) -> tuple[list[Batch], bool]:
        """Batches of files, newest first, and whether older ones follow; `after` is the id of the last one seen."""
        if after and not after.startswith(f"{PREFIXES[FILE]}_"):
            raise InvalidRequest(
                f"after: {after!r} is not the id of a batch.", param="after", remedy="Send the last id."
            )
        return self._store.page(principal.organization_id, FILE, limit=limit, after=after)

    def cancel(self, principal: Principal, batch_id: str, door: str) -> Batch:
        """Let nothing more of a batch begin; what has begun is answered. Safe to repeat.

        Raises NotFound, and Conflict for a batch that has ended otherwise, or is about to.
        """

        def attempt() -> Batch:
            batch = self.get(principal, batch_id, door)
            if batch.status in (CANCELLING, CANCELLED):
                return batch
            if batch.status not in (VALIDATING, IN_PROGRESS):
                raise Conflict(
                    f"{batch.id} is {batch.status}.",
                    details={"current": batch.status, "required": [VALIDATING, IN_PROGRESS]},
                    remedy="Only what has not ended can be cancelled.",
                )
            now = self._now()
            moments = batch.moments | {CANCELLING: clock.iso(now)}
            return self._store.change(batch, status=CANCELLING, moments=moments)

        batch = table.until_unchanged(batch_id, attempt)
        if not batch.ended:
            # Whoever has it in hand sees it; where nobody does, this message ends it.
            self._queue.send(batch)
        return batch

    def results(self, batch: Batch) -> tuple[list[dict[str, Any]] | None, str | None]:
        """What became of each request of a batch that has ended, or the address of it where that is much.

        Both are None before, and for files, whose results are files.
        """
        if not batch.ended or not batch.has_output:
            return None, None
        key = self._content.results_key(batch)
        rows = self._content.read(key, MOST_SHOWN_BYTES)
        return rows, None if rows is not None else self._content.url(key)

    def _draft(self, principal: Principal, door: str, target: str, *, status: str = IN_PROGRESS, **more: Any) -> Batch:
        now = self._now()
        return Batch(
            id=ids.new_id(PREFIXES[door]),
            organization_id=principal.organization_id,
            user_id=principal.user_id,
            key_id=principal.key_id,
            door=door,
            target=target,
            status=status,
            created_at=clock.iso(now),
            expires_at=clock.iso(now + WINDOW),
            moments={status: clock.iso(now)},
            **more,
        )

    def _once(
        self,
        principal: Principal,
        route: str,
        facts: dict[str, Any],
        repetition: Repetition,
        draft: Callable[[], Batch],
        keep: Callable[[Batch], None],
    ) -> Batch:
        """The batch that is made, or that an equal request has made before; `keep` stores its requests first."""
        claim = repetition.claim(principal, route, facts)

        def make() -> Batch:
            batch = draft()
            keep(batch)
            try:
                self._store.create(batch, claim)
            except (table.ConditionFailed, RateLimited):
                self._content.remove_input(batch)
                raise
            # What dies here is found by the sweeper.
            self._queue.send(batch)
            return batch

        return self._claims.once(claim, make, lambda made: self._made(principal, made))

    def _made(self, principal: Principal, batch_id: str) -> Batch:
        door = next(door for door, prefix in PREFIXES.items() if batch_id.startswith(f"{prefix}_"))
        return self.get(principal, batch_id, door)

    def _require_callback(self, url: str | None, param: str) -> None:
        if url is not None:
            self._destinations.target(url, param=param)

    def _require_target(self, principal: Principal, name: str, param: str) -> None:
        """Raise NotFound for a name that nothing has, Conflict for what is not deployed; what wakes up is awaited."""
        if self._aliases.find(principal.organization_id, name):
            return
        try:
            require_active(self._deployments.find(principal.organization_id, name), name, self._now())
        except Unavailable:
            return
        except Conflict as refused:
            refused.param = param
            raise


def _require_size(request: dict[str, Any], param: str) -> None:
    if len(json.dumps(request)) >= LONGEST_LINE:
        raise PayloadTooLarge(
            f"{param} is longer than {LONGEST_LINE:,} bytes.", param=param, remedy="Send a shorter prompt."
        )


_NOUNS = {REQUESTS: "batch", FILE: "batch", RUN: "run"}


def _writing(content: BatchContent, requests: Sequence[dict[str, Any]]) -> Callable[[Batch], None]:
    return lambda batch: content.write_input(batch, requests)
