"""What happens beside the training steps: progress, checkpoints, and the reasons to end early."""

import json
import math
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from trainer import checkpoints, log
from trainer.budget import Budget
from trainer.failures import Failure
from trainer.interruption import Interruption

CHECKPOINT_SECONDS = 300
CLOCK_SECONDS = 5
# Half of what SageMaker grants after SIGTERM: the rest is for writing the failure and copying to S3.
EVALUATION_GRACE_SECONDS = 60


class Progress(TrainerCallback):
    """Appends one JSON line per report to metrics.jsonl, and the same to the log."""

    def __init__(self, metrics_file: Path, budget: Budget) -> None:
        self._file = metrics_file
        self._budget = budget
        self._began: tuple[float, int] | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._began = (time.monotonic(), state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **kwargs: Any) -> None:
        if "loss" in logs:
            self.write("training", args, state, training_loss=logs["loss"], learning_rate=logs["learning_rate"])
        elif "eval_loss" in logs:
            self.write("evaluating", args, state, validation_loss=logs["eval_loss"])

    def write(self, phase: str, args: Any, state: Any, **values: float) -> None:
        """One line; `values` fill training_loss, validation_loss and learning_rate, which are null otherwise."""
        line = {
            "time": log.now(),
            "phase": phase,
            "step": state.global_step,
            "total_steps": state.max_steps,
            "epoch": round(state.epoch or 0.0, 4),
            "total_epochs": args.num_train_epochs,
            "training_loss": None,
            "validation_loss": None,
            "learning_rate": None,
            "trained_tokens": int(state.num_input_tokens_seen),
            "seconds_remaining": self._seconds_remaining(state),
            **values,
        }
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        log.info(_sentence(line), **{key: value for key, value in line.items() if key != "time"})
        self._budget.save(every=CLOCK_SECONDS)

    def _seconds_remaining(self, state: Any) -> int | None:
        if self._began is None or state.global_step <= self._began[1]:
            return None
        seconds_per_step = (time.monotonic() - self._began[0]) / (state.global_step - self._began[1])
        return round(seconds_per_step * (state.max_steps - state.global_step))


def _sentence(line: dict[str, Any]) -> str:
    """`Epoch 1/3, step 20/100 - loss: 0.542`, for people who read the log."""
    place = f"Epoch {math.ceil(line['epoch'])}/{line['total_epochs']:g}, step {line['step']}/{line['total_steps']}"
    for name, word in (("training_loss", "loss"), ("validation_loss", "validation loss")):
        if line[name] is not None:
            return f"{place} - {word}: {line[name]:.3f}"
    return f"{place} - {line['phase']}"


class Watchdog(TrainerCallback):
    """Stops a run whose loss is no longer a number, before a checkpoint of it is saved."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **kwargs: Any) -> None:
        for name in ("loss", "eval_loss", "grad_norm"):
            if name in logs and not math.isfinite(logs[name]):
                raise Failure("nan_loss", f"At step {state.global_step} the {name} became {logs[name]}.")


class Endings(TrainerCallback):
    """Ends the run after a step when it was asked to stop or when the next step would break a cap."""

    def __init__(self, budget: Budget, interruption: Interruption) -> None:
        self.ended = "completed"
        self._budget = budget
        self._interruption = interruption
        self._step_began = time.monotonic()
        self._longest_step = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._step_began = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step >= state.max_steps:
            return
        self._longest_step = max(self._longest_step, time.monotonic() - self._step_began)
        reason = "stopped" if self._interruption.requested else self._budget.exhausted(self._longest_step)
        if reason:
            self.ended = reason
            control.should_log = control.should_save = control.should_training_stop = True

    def on_prediction_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._interruption.waiting_seconds > EVALUATION_GRACE_SECONDS:
            raise Failure("interrupted", "The run was stopped during an evaluation.")


class Checkpoints(TrainerCallback):
    """Saves every five minutes besides the regular steps, and marks each checkpoint once all of it is written."""

    def __init__(self) -> None:
        self._saved = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if time.monotonic() - self._saved > CHECKPOINT_SECONDS:
            control.should_save = True
        # A report that spans a checkpoint would start anew after a resume and read differently.
        control.should_log |= control.should_save

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        checkpoints.mark_complete(Path(args.output_dir) / f"checkpoint-{state.global_step}")
        self._saved = time.monotonic()
