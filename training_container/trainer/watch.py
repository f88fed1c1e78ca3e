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


class Endings(TrainerCallback):
    """Ends the run after a step when it was asked to stop or when the next step would break a cap."""

    def __init__(self, budget: Budget, interruption: Interruption) -> None:
        self.ended = "completed"
        self._budget = budget
        self._interruption = interruption
        self._step_began = time.monotonic()
        self._longest_step = 0.0

    def end(self, reason: str, control: Any) -> None:
        self.ended = reason
        control.should_log = control.should_save = control.should_training_stop = True

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._step_began = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step >= state.max_steps:
            return
        self._longest_step = max(self._longest_step, time.monotonic() - self._step_began)
        reason = "stopped" if self._interruption.requested else self._budget.exhausted(self._longest_step)
        if reason := distribution.word_of_first(reason):
            self.end(reason, control)

    def on_prediction_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._interruption.waiting_seconds > EVALUATION_GRACE_SECONDS:
            raise Failure("interrupted", "The run was stopped during an evaluation.")


class EarlyStopping(TrainerCallback):
    """Saves every best checkpoint, and ends the run after `patience` evaluations without a better one."""

    def __init__(self, patience: int, endings: Endings) -> None:
        self._patience = patience
        self._endings = endings

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        losses = [entry["eval_loss"] for entry in state.log_history if "eval_loss" in entry]
        since_best = len(losses) - 1 - losses.index(min(losses))
        if since_best == 0:
            control.should_save = True
        elif since_best >= self._patience and state.global_step < state.max_steps:
            log.info("no improvement any more", evaluations=since_best, best_validation_loss=min(losses))
            self._endings.end("early_stopped", control)
