"""Carrying batches to their ends: one turn per message, so that many batches share the models.

What a worker has asked is kept part by part: the outcomes in S3, then, in one transaction, how far the batch is and the
tokens that were used. A worker that dies leaves the batch at its last part; what it had asked since is asked again, and
was neither kept nor charged. Turns are counted, and one that was overtaken can write nothing more.
"""

import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import timedelta
from itertools import islice

from luthier import clock, table
from luthier.aliases.service import AliasService
from luthier.batches.answering import Desk, Held
from luthier.batches.content import BatchContent
from luthier.batches.entity import CANCELLING, HIGH, IN_PROGRESS, VALIDATING, Batch, Line, Outcome
from luthier.batches.finishing import Finisher
from luthier.batches.queue import BatchQueue, Message
from luthier.batches.store import GRACE, BatchStore
from luthier.deployments.service import DeploymentService
from luthier.errors import NotFound
from luthier.usage.service import UsageService

logger = logging.getLogger(__name__)

# Requests that batches have under way at one deployment at once, how many of these places are for single requests
# alone, and how many one batch takes for itself.
PLACES, SINGLE, MOST_PLACES = 16, 4, 8
# For how long a turn begins requests.
TURN_SECONDS = 60
# While requests are under way a worker says every BEAT_SECONDS that it lives; one that has not been heard of for ALIVE
# is dead. What else it does, as putting results together, it does within LEASE.
BEAT_SECONDS, ALIVE, LEASE = 30.0, timedelta(seconds=90), timedelta(seconds=300)
# A part is kept after so many outcomes, or seconds.
PART, PART_SECONDS = 50, 3.0
# A turn makes room for others after so many seconds. Who finds no place asks again in some seconds, the later the
# longer it waits; who made room comes back when everybody has asked again.
PATIENCE, SOONEST, LATEST, ASIDE = 15, 2, 8, 10
# More parts than these are put together in a turn of their own.
_FEW_PARTS = 20
_LONGEST_DELAY, _SWEPT = 900, 10_000


class Worker:
    def __init__(
        self,
        store: BatchStore,
        content: BatchContent,
        queue: BatchQueue,
        desk: Desk,
        finisher: Finisher,
        deployments: DeploymentService,
        aliases: AliasService,
        usage: UsageService,
        now: clock.Clock = clock.now,
    ) -> None:
        self._store = store
        self._content = content
        self._queue = queue
        self._desk = desk
        self._finisher = finisher
        self._deployments = deployments
        self._aliases = aliases
        self._usage = usage
        self._now = now

    def take_all(self, messages: Mapping[str, Message]) -> list[str]:
        """Take the turn of each message; the names of those that have to come again."""
        failed = []
        for name, message in messages.items():
            try:
                self.take(message)
            except Exception:
                logger.exception("Message %s about batch %s comes again.", name, message.batch_id)
                failed.append(name)
        return failed

    def take(self, message: Message) -> None:
        """One turn of a batch, and a message for its next one. A message that is stale is dropped."""
        batch = self._store.get(message.organization_id, message.batch_id)
        if batch is None or batch.ended or batch.turn != message.turn or self._is_held(batch):
            return
        try:
            if batch.status != IN_PROGRESS or batch.answered or self._finisher.is_over(batch):
                self._without_a_model(batch)
            else:
                self._with_places(batch)
        except table.ConditionFailed:
            fresh = self._store.get(batch.organization_id, batch.id)
            if fresh and not fresh.ended and fresh.turn == batch.turn + 1 and self._is_held(fresh):
                # The turn is ours: it was cancelled meanwhile.
                self._again(fresh, 0)
            else:
                logger.info("Batch %s was brought further by another.", batch.id)

    def sweep(self) -> int:
        """Send messages for batches whose message or worker was lost; how many."""
        now, sent = self._now(), 0
        for batch in islice(self._store.overdue(now), _SWEPT):
            try:
                # First the later moment, then the message: what dies in between comes up again.
                self._queue.send(self._store.rest(batch, now + GRACE))
                sent += 1
            except Exception:
                # One that cannot be read must not hold back the others; it comes up again.
                logger.exception("Batch %s was not swept.", batch.id)
        return sent

    def _without_a_model(self, batch: Batch) -> None:
        batch = self._store.begin_without_places(batch, self._now() + LEASE)
        if batch.status == VALIDATING and not self._finisher.is_over(batch):
            batch = self._finisher.validate(batch)
            if not batch.ended:
                self._again(batch, 0)
            return
        self._finisher.finish(batch)

    def _with_places(self, batch: Batch) -> None:
        target, now = self._target(batch), self._now()
        want = min(MOST_PLACES, batch.total - batch.position)
        most = PLACES if batch.total == 1 else PLACES - SINGLE
        batch, places = self._store.begin(batch, target, want=want, most=most, until=now + ALIVE, now=now)
        if not places:
            waited = (now - clock.parse(batch.created_at)).total_seconds()
            self._again(batch, min(max(SOONEST, int(waited / 10)), LATEST))
            return
        try:
            batch, delay = self._answer(batch, target, places)
        finally:
            self._store.release(batch, target)
        over = batch.answered or batch.status == CANCELLING or self._finisher.is_over(batch)
        if over and batch.parts <= _FEW_PARTS:
            self._finisher.finish(batch)
        elif over:
            self._again(batch, 0)
        else:
            self._again(batch, delay)

    def _again(self, batch: Batch, delay: int) -> None:
        """Leave the batch to its next turn."""
        self._store.rest(batch, self._now() + timedelta(seconds=delay) + GRACE)
        self._queue.send(batch, delay=delay)

    def _is_held(self, batch: Batch) -> bool:
        return batch.held_until is not None and clock.parse(batch.held_until) > self._now()

    def _target(self, batch: Batch) -> str:
        """Whose places a batch needs: those of an alias, of a deployment, or of a name that leads nowhere any more."""
        own = "#high" if batch.priority == HIGH else ""
        if self._aliases.find(batch.organization_id, batch.target):
            return f"alias:{batch.target}{own}"
        try:
            deployment = self._deployments.find(batch.organization_id, batch.target)
        except NotFound:
            deployment = None
        return f"{deployment.id if deployment else batch.target}{own}"

    def _answer(self, batch: Batch, target: str, places: int) -> tuple[Batch, int]:
        """The batch further on, and after how many seconds it goes on.

        Requests begin in order and their outcomes are kept in order, so a batch is always answered up to one line.
        """
        lines = self._content.lines(batch)
        began = kept_at = beat_at = time.monotonic()
        flying: deque[Future[Outcome]] = deque()
        done: list[Outcome] = []
        beginning, delay = True, 0
        with ThreadPoolExecutor(places) as threads:
            try:
                while True:
                    if beginning:
                        flying.extend(self._begun(threads, batch, lines, 2 * places - len(flying)))
                    if not flying:
                        break
                    wait([flying[0]], timeout=BEAT_SECONDS)
                    if time.monotonic() - beat_at >= BEAT_SECONDS:
                        batch, beat_at = self._store.stay(batch, target, self._now() + ALIVE), time.monotonic()
                    if not flying[0].done():
                        continue
                    done.append(flying.popleft().result())
                    if len(done) >= PART or time.monotonic() - kept_at > PART_SECONDS:
                        batch, done, kept_at = self._keep(batch, done), [], time.monotonic()
                        if beginning and (pause := self._pause(batch, target, time.monotonic() - began)) is not None:
                            beginning, delay = False, pause
                            _take_back(flying)
            except Held as held:
                delay = min(held.seconds, _LONGEST_DELAY)
            finally:
                _take_back(flying)
        return (self._keep(batch, done) if done else batch), delay

    def _begun(
        self, threads: ThreadPoolExecutor, batch: Batch, lines: Iterator[Line], count: int
    ) -> Iterable[Future[Outcome]]:
        return [threads.submit(self._desk.answer, batch, line) for line in islice(lines, max(count, 0))]

    def _pause(self, batch: Batch, target: str, seconds: float) -> int | None:
        """In how many seconds the next turn begins, where this one, which has taken some, has to end."""
        if batch.status != IN_PROGRESS or self._finisher.is_over(batch):
            return 0
        if seconds >= PATIENCE and self._store.is_wanted(batch, target, self._now()):
            return ASIDE
        return 0 if seconds >= TURN_SECONDS else None

    def _keep(self, batch: Batch, done: list[Outcome]) -> Batch:
        """The batch with these outcomes, which are its next part."""
        self._content.write_part(batch, done)
        answered = [outcome for outcome in done if outcome.body is not None]
        writes, sums = [], {"prompt_tokens": 0, "completion_tokens": 0}
        for model in sorted({outcome.model or "" for outcome in answered}):
            own = [outcome.tokens for outcome in answered if outcome.model == model]
            used = {name: sum(tokens[name] for tokens in own) for name in sums}
            writes.append(self._usage.inference(batch.organization_id, model, requests=len(own), **used))
            sums = {name: sums[name] + used[name] for name in sums}
        batch = self._store.commit(
            batch,
            writes,
            position=batch.position + len(done),
            offset=done[-1].end,
            parts=batch.parts + 1,
            completed=batch.completed + len(answered),
            failed=batch.failed + len(done) - len(answered),
            **{name: getattr(batch, name) + used for name, used in sums.items()},
        )
        for model in {outcome.model or "" for outcome in answered}:
            self._usage.charge(batch.organization_id, model)
        return batch


def _take_back(flying: deque[Future[Outcome]]) -> None:
    """Drop what has not begun, from the end, and what nobody will look at."""
    while flying and flying[-1].cancel():
        flying.pop()
