"""Callbacks that end a run early: because it goes wrong, because it gets no better, because it was asked to."""

import math
import time
from typing import Any

from transformers import TrainerCallback

from trainer import distribution, log
from trainer.budget import Budget
from trainer.failures import Failure
from trainer.interruption import Interruption

# Half of what SageMaker grants after SIGTERM: the rest is for writing the failure and copying to S3.
EVALUATION_GRACE_SECONDS = 60
# Reports that are averaged before a loss is judged.
WINDOW = 10
# A run has diverged when its loss is this many times that of its first step, and this far above its best.
DIVERGED_FACTOR, DIVERGED_RISE = 1.5, 1.0


class Watchdog(TrainerCallback):
    """Stops a run whose loss is no number, exactly zero, or climbing, before a checkpoint of that is saved.

    zero_is_wrong: not where the loss compares two answers: it nears zero as they are told apart.
    """

    def __init__(self, zero_is_wrong: bool) -> None:
        self._zero_is_wrong = zero_is_wrong

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **kwargs: Any) -> None:
        for name in ("loss", "eval_loss", "grad_norm"):
            if name in logs and not math.isfinite(logs[name]):
                raise Failure("nan_loss", f"At step {state.global_step} the {name} became {logs[name]}.{_kept(state)}")
        if self._zero_is_wrong and logs.get("loss") == 0.0:
            message = f"At step {state.global_step} the loss is exactly 0: nothing is learned any more."
            raise Failure("zero_loss", message + _kept(state))
        if "loss" in logs and _has_diverged(_losses(state)):
            losses = _losses(state)
            message = f"At step {state.global_step} the loss has climbed from {losses[0]:.3f} at the first step to "
            message += f"{_mean(losses[-WINDOW:]):.3f} in the mean of the last {WINDOW} reports."
            raise Failure("divergence", message + _kept(state))


def is_healthy(state: Any) -> bool:
    """Whether a checkpoint is worth saving: the loss has not begun to climb."""
    losses = _losses(state)
    return len(losses) <= WINDOW or _mean(losses[-WINDOW:]) < _lowest(losses) + DIVERGED_RISE / 2


def _has_diverged(losses: list[float]) -> bool:
    if len(losses) <= WINDOW:
        return False
    now = _mean(losses[-WINDOW:])
    return now > DIVERGED_FACTOR * losses[0] and now > min(losses[0], _lowest(losses)) + DIVERGED_RISE


def _losses(state: Any) -> list[float]:
    # The history is part of every checkpoint, so a resumed run is judged like one that was never cut.
    return [entry["loss"] for entry in state.log_history if "loss" in entry]


def _lowest(losses: list[float]) -> float:
    return min(_mean(losses[end - WINDOW : end]) for end in range(WINDOW, len(losses) + 1))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _kept(state: Any) -> str:
    return " The last good checkpoint is kept." if state.global_step > 1 else ""


class Ended(Exception):
    """Leaves `Trainer.train` and `Trainer.evaluate` where their callbacks' control is not looked at."""


class Endings(TrainerCallback):
    """Ends the run when it was asked to stop, or when what comes next would break a cap.

    What comes next is taken to last as long as the longest of its kind so far. An evaluation that takes longer than
    there is left is cut. Stands behind the callback that saves, whose work is part of a save.
    """

    def __init__(self, budget: Budget, interruption: Interruption) -> None:
        self.ended = "completed"
        self._budget = budget
        self._interruption = interruption
        self._longest = dict.fromkeys(("step", "save", "evaluation", "prediction"), 0.0)
        self._since = time.monotonic()
        self._evaluating_since: float | None = None

    @property
    def saving_seconds(self) -> float:
        """What a checkpoint has taken at most."""
        return self._longest["save"]

    def end(self, reason: str, control: Any) -> None:
        self.ended = reason
        control.should_log = control.should_save = control.should_training_stop = True

    def may_evaluate(self) -> bool:
        """Whether an evaluation and a checkpoint after it fit under the caps; the same on every process."""
        return not distribution.word_of_first(self._exhausted("evaluation", "save"))

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._since = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._note("step", self._since)
        if state.global_step < state.max_steps:
            reason = "stopped" if self._interruption.requested else self._exhausted("step", "save")
            if reason := distribution.word_of_first(reason):
                self.end(reason, control)
        if control.should_evaluate and not self.may_evaluate():
            log.info("an evaluation is left out", step=state.global_step)
            control.should_evaluate = False

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._since = time.monotonic()

    def on_prediction_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Raises Ended."""
        self._evaluating_since = self._evaluating_since or self._since
        self._note("prediction", self._since)
        late = self._interruption.waiting_seconds > EVALUATION_GRACE_SECONDS
        reason = "stopped" if late else self._exhausted("prediction", "save")
        if reason := distribution.word_of_first(reason):
            log.info("an evaluation is cut short, and its loss left out", step=state.global_step, reason=reason)
            if self.ended == "completed" and state.global_step < state.max_steps:
                self.ended = reason
            raise Ended

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._note("evaluation", self._evaluating_since or self._since)
        self._evaluating_since = None

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._note("save", self._since)

    def _note(self, kind: str, since: float) -> None:
        self._since = time.monotonic()
        self._longest[kind] = max(self._longest[kind], self._since - since)

    def _exhausted(self, *kinds: str) -> str | None:
        return self._budget.exhausted(sum(self._longest[kind] for kind in kinds))


class EarlyStopping(TrainerCallback):
    """Saves every best checkpoint, and ends the run after `patience` evaluations without a better one."""

    def __init__(self, patience: int, endings: Endings) -> None:
        self._patience = patience
        self._endings = endings

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Raises Ended where the run goes on from a checkpoint at which it had ended: another step would follow."""
        if self._is_used_up(state):
            self._endings.ended = "early_stopped"
            raise Ended

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if _since_best(state) == 0:
            control.should_save = True
        elif self._is_used_up(state):
            self._endings.end("early_stopped", control)

    def _is_used_up(self, state: Any) -> bool:
        used_up = _since_best(state) >= self._patience and state.global_step < state.max_steps
        if used_up:
            log.info("no improvement any more", evaluations=_since_best(state), best_validation_loss=state.best_metric)
        return used_up


def _since_best(state: Any) -> int:
    losses = [entry["eval_loss"] for entry in state.log_history if "eval_loss" in entry]
    return len(losses) - 1 - losses.index(min(losses)) if losses else 0
