"""What happens beside the training steps: progress and checkpoints."""

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from trainer import checkpoints, distribution, log, watch
from trainer.budget import Budget

CLOCK_SECONDS = 5
# Saving may take this part of the time; where five minutes of work would be at risk, up to five times as much.
SAVING_SHARE, MOST_SAVING_SHARE = 0.02, 0.1
AT_RISK_SECONDS = 300
# What trainers log under names of their own → what metrics.jsonl calls it.
EXTRAS = {
    "grad_norm": "gradient_norm",
    "mean_token_accuracy": "token_accuracy",
    "eval_mean_token_accuracy": "token_accuracy",
    "rewards/accuracies": "reward_accuracy",
    "eval_rewards/accuracies": "reward_accuracy",
    "rewards/margins": "reward_margin",
    "eval_rewards/margins": "reward_margin",
}


class Progress(TrainerCallback):
    """Appends one JSON line per report to metrics.jsonl, and the same to the log."""

    def __init__(self, metrics_file: Path, budget: Budget) -> None:
        self._file = metrics_file
        self._budget = budget
        self._began: tuple[float, int, int] | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._began = (time.monotonic(), state.global_step, int(state.num_input_tokens_seen))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **kwargs: Any) -> None:
        extras = {ours: round(logs[name], 6) for name, ours in EXTRAS.items() if name in logs}
        if "loss" in logs:
            values = {"training_loss": logs["loss"], "learning_rate": logs["learning_rate"]}
            self.write("training", args, state, **values, **extras)
        elif "eval_loss" in logs:
            self.write("evaluating", args, state, validation_loss=logs["eval_loss"], **extras)

    def write(self, phase: str, args: Any, state: Any, **values: float) -> None:
        """One line; `values` fill training_loss, validation_loss and learning_rate, which are null otherwise."""
        if not distribution.is_first():
            return
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
            **self._speed(state),
            **values,
        }
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        log.info(_sentence(line), **{key: value for key, value in line.items() if key != "time"})
        self._budget.save(every=CLOCK_SECONDS)

    def _speed(self, state: Any) -> dict[str, Any]:
        if self._began is None or state.global_step <= self._began[1]:
            return {"seconds_remaining": None, "tokens_per_second": None}
        began, step, tokens = self._began
        seconds = time.monotonic() - began
        return {
            "seconds_remaining": round(seconds / (state.global_step - step) * (state.max_steps - state.global_step)),
            "tokens_per_second": round((int(state.num_input_tokens_seen) - tokens) / seconds, 1),
        }


def _sentence(line: dict[str, Any]) -> str:
    """`Epoch 1/3, step 20/100 - loss: 0.542`, for people who read the log."""
    place = f"Epoch {math.ceil(line['epoch'])}/{line['total_epochs']:g}, step {line['step']}/{line['total_steps']}"
    for name, word in (("training_loss", "loss"), ("validation_loss", "validation loss")):
        if line[name] is not None:
            return f"{place} - {word}: {line[name]:.3f}"
    return f"{place} - {line['phase']}"


class Checkpoints(TrainerCallback):
    """Decides when to save, and marks each checkpoint once all of it is written.

    The first step is saved at once: a disk that is too small shows in the first minute, and so does what a checkpoint
    costs, from which the interval follows.
    """

    def __init__(self, run: Mapping[str, Any]) -> None:
        self._run = run
        self._saved = self._busy_since = time.monotonic()
        self._interval = 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        due = time.monotonic() - self._saved >= self._interval and watch.is_healthy(state)
        control.should_save |= bool(distribution.word_of_first(due))
        # A report that spans a checkpoint would start anew after a resume and read differently. An evaluation that is
        # cut ends in one.
        control.should_log |= control.should_save or control.should_evaluate
        self._busy_since = time.monotonic()

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._busy_since = time.monotonic()

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._busy_since = time.monotonic()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        distribution.wait()
        if distribution.is_first():
            checkpoints.mark_complete(Path(args.output_dir) / f"checkpoint-{state.global_step}", self._run)
        distribution.keep_as_first(Path(args.output_dir).glob("checkpoint-*"))
        self._saved = time.monotonic()
        self._interval = interval(self._saved - self._busy_since)


class Settings(TrainerCallback):
    """Holds a run that goes on to the learning rate asked of it now: a checkpoint brings its own along."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        scheduler, optimizer = kwargs["lr_scheduler"], kwargs["optimizer"]
        if scheduler.base_lrs == [args.learning_rate] * len(scheduler.base_lrs):
            return
        scheduler.base_lrs = [args.learning_rate] * len(scheduler.base_lrs)
        for group, shape in zip(optimizer.param_groups, scheduler.lr_lambdas, strict=True):
            group["initial_lr"] = args.learning_rate
            group["lr"] = args.learning_rate * shape(scheduler.last_epoch)
        scheduler._last_lr = [group["lr"] for group in optimizer.param_groups]


def interval(seconds_per_checkpoint: float) -> float:
    """Seconds of training between two checkpoints, from the seconds that one takes."""
    cheap = seconds_per_checkpoint / SAVING_SHARE
    return max(min(cheap, AT_RISK_SECONDS), seconds_per_checkpoint / MOST_SAVING_SHARE)
