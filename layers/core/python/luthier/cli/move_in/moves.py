"""Carrying plans out: files are sent, jobs made and priced; then they are started, waited for and deployed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from luthier.cli.move_in import asking
from luthier.cli.move_in.asking import Refused
from luthier.cli.move_in.folder import Folder
from luthier.cli.move_in.moved import Moved, digest
from luthier.cli.move_in.plans import Plan
from luthier.cli.move_in.platform import POLL_SECONDS, Platform
from luthier.cli.move_in.rows import Checked
from luthier.cli.stop import UNREACHABLE, Stop

_AWAITING_START = "awaiting_start"


@dataclass
class Move:
    """deploys: whether its model is to answer under the old name; job: as the platform has it, None before.

    state: what it is doing, in words; model: the new one; ended: whether nothing more will happen; fault: why it has
    failed.
    """

    plan: Plan
    parent: "Move | None" = None
    deploys: bool = False
    job: dict[str, Any] | None = None
    price: str = ""
    state: str = "not begun"
    model: str | None = None
    deployment_id: str | None = None
    ended: bool = False
    fault: str | None = None

    @property
    def awaits_start(self) -> bool:
        return bool(self.job) and ((self.job or {}).get("status_reason") or {}).get("code") == _AWAITING_START

    @property
    def spends(self) -> bool:
        """Whether going on with it may cost something that was not agreed to yet."""
        return not self.ended and (self.job is None or self.awaits_start or self.deploys)

    def fail(self, reason: str) -> None:
        self.ended, self.fault, self.state = True, reason, "failed"


class Mover:
    """base: the open model that jobs train which do not go on from another job's; tell: called at each change."""

    def __init__(
        self, platform: Platform, folder: Folder, moved: Moved, base: str, tell: Callable[[Move], None]
    ) -> None:
        self._platform, self._folder, self._moved, self._base, self._tell = platform, folder, moved, base, tell

    def draw_up(self, moves: Sequence[Move]) -> None:
        """Send what is missing and make the jobs, priced and not started."""
        for move in moves:
            with_parent = move.parent is not None
            note = self._moved.job(move.plan.id, self._base)
            move.job = self._platform.job(note["job_id"]) if "job_id" in note else None
            if "job_id" in note and (move.job is None or move.job["status"] in ("failed", "cancelled")):
                # Lost there, or to be tried once more: under a new key.
                self._moved.forget(note)
                move.job = None
            if move.job is None and with_parent:
                # Its base is still to be trained.
                rows = move.plan.training.rows if move.plan.training else 0
                move.price = f"about {self._platform.estimate(self._base, rows)}"
            elif move.job is None:
                self._attempt(move, partial(self._create, move, self._base))
            if move.awaits_start:
                move.price = _price(move.job)

    def carry_out(self, moves: Sequence[Move]) -> None:
        """Until every move has ended. Parents go before what goes on from them."""
        while True:
            for move in moves:
                if not move.ended:
                    before = move.state
                    self._attempt(move, partial(self._advance, move))
                    if move.state != before:
                        self._tell(move)
            if all(move.ended for move in moves):
                return
            asking.sleep(POLL_SECONDS)

    def _attempt(self, move: Move, step: Callable[[], None]) -> None:
        """What the platform refuses is that job's end; what is wrong with the key or the base model is everybody's."""
        try:
            step()
        except Stop as stop:
            if stop.status == UNREACHABLE:
                raise
            if isinstance(stop, Refused) and (stop.http_status in (401, 403) or stop.code == "unknown_base_model"):
                raise
            move.fail(str(stop))

    def _advance(self, move: Move) -> None:
        if move.job is None and not self._begin_from_parent(move):
            return
        if move.awaits_start and not self._start(move):
            return
        assert move.job is not None
        job = move.job = self._platform.job(move.job["id"]) or {"id": move.job["id"], "status": "deleted"}
        if job["status"] == "succeeded":
            move.model = job["fine_tuned_model"]
            self._deploy(move)
        elif job["status"] in ("queued", "validating_files", "running"):
            percent = (job.get("progress") or {}).get("percent")
            move.state = job["status"] if percent is None else f"{job.get('phase') or job['status']} {percent:.0f} %"
        else:
            reason = (job.get("error") or job.get("status_reason") or {}).get("message") or "No reason is known."
            move.fail(f"Its job {job['id']} is {job['status']}: {reason}")

    def _begin_from_parent(self, move: Move) -> bool:
        parent = move.parent
        assert parent is not None
        if parent.model:
            self._create(move, parent.model)
            return True
        if parent.ended:
            move.fail(f"{parent.plan.id}, from which it goes on, has no model here.")
        else:
            move.state = f"waits for {parent.plan.id}"
        return False

    def _start(self, move: Move) -> bool:
        assert move.job is not None
        try:
            move.job = self._platform.start(move.job["id"])
        except Refused as refused:
            if refused.code == "concurrent_jobs_exceeded":
                move.state = "waits until another job ends"
                return False
            # Where the answer was lost and it was asked again, it has been started.
            move.job = self._platform.job(move.job["id"]) or move.job
            if move.awaits_start:
                raise
        return True

    def _deploy(self, move: Move) -> None:
        if not move.deploys:
            move.ended, move.state = True, "trained"
            return
        if move.deployment_id is None:
            # Brings it up again where it was paused or has failed, and answers how far it is where it is under way.
            found = self._platform.deploy(move.model or "")
            move.deployment_id = str(found["id"])
        else:
            found = self._platform.deployment(move.deployment_id)
        if found["status"] == "deploying":
            move.state = "deploying"
        elif found["status"] != "active":
            reason = (found.get("error") or {}).get("message") or ""
            move.fail(f"Its deployment {found['id']} is {found['status']}. {reason}".strip())
        else:
            if move.plan.old_name:
                self._platform.alias(move.plan.old_name, found["id"], f"Moved in from the job {move.plan.id}.")
            move.ended, move.state = True, "answers"

    def _create(self, move: Move, model: str) -> None:
        plan, note = move.plan, self._moved.job(move.plan.id, self._base)
        assert plan.training is not None
        move.state = "sends its files"
        self._tell(move)
        training = self._sent(plan.training, plan.job["training_file"])
        validation = self._sent(plan.validation, plan.job["validation_file"]) if plan.validation else None
        move.state = "is made"
        body = plan.body(model, training, validation)
        # A key stands for one body.
        move.job = self._platform.create(body, f"{self._moved.begun(note)}-{digest(body)[:16]}")
        self._moved.made(note, job_id=move.job["id"])

    def _sent(self, checked: Checked, file_id: str) -> str:
        """The id of a dataset on the platform."""
        with checked.sent() as path:
            note = self._moved.file(digest(path))
            if "file_id" in note and self._platform.file(note["file_id"]) is None:
                self._moved.forget(note)
            if "file_id" not in note:
                name = self._folder.name_of(file_id) or checked.path.name
                made = self._platform.upload(path, name, self._moved.begun(note))
                self._moved.made(note, file_id=made)
            found: str = note["file_id"]
            return found


def chosen(plans: Sequence[Plan], job_ids: Sequence[str], *, deploy: bool) -> list[Move]:
    """The moves of the jobs, of all that can be moved where none is named, and of those that they go on from.

    Raises Stop for a named one that is not there or cannot be moved.
    """
    by_id, by_name = {plan.id: plan for plan in plans}, {plan.old_name: plan for plan in plans if plan.old_name}
    moves: dict[str, Move] = {}

    def move(plan: Plan) -> Move:
        if plan.id not in moves:
            parent = move(by_name[plan.parent]) if plan.parent else None
            moves[plan.id] = Move(plan, parent)
        return moves[plan.id]

    for job_id in job_ids:
        if job_id not in by_id:
            raise Stop(f"There is no job {job_id} in the folder.", f"There are {', '.join(by_id)}.")
        if reason := by_id[job_id].reason:
            raise Stop(f"{job_id}: {reason}", "Leave it out.")
        move(by_id[job_id]).deploys = deploy
    for plan in plans if not job_ids else ():
        if not plan.reason:
            move(plan).deploys = deploy
    return list(moves.values())


def _price(job: dict[str, Any] | None) -> str:
    found = (job or {}).get("estimate") or {}
    return f"{found['cost']:.2f} {found['currency']}" if found.get("available") else "unknown"
