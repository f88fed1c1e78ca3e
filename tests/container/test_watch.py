"""When a run is ended early, and when its checkpoints are still worth saving."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerControl, TrainerState

from tests.container.conftest import MakeRoot
from tests.container.programs import run
from tests.container.test_training import card, metrics, weights_sha256
from trainer import watch
from trainer.failures import Failure

FALLING = [3.0 - step * 0.1 for step in range(20)]


def look_at(losses: list[float], *, zero_is_wrong: bool = True, **logs: float) -> None:
    """What the watchdog does on the last of these reports."""
    state = state_after(losses)
    watch.Watchdog(zero_is_wrong).on_log(None, state, TrainerControl(), {"loss": losses[-1], **logs})


def state_after(losses: list[float], validation: list[float] | None = None) -> TrainerState:
    history: list[dict[str, float]] = [{"loss": loss, "step": step} for step, loss in enumerate(losses, start=1)]
    history += [{"eval_loss": loss} for loss in validation or []]
    return TrainerState(global_step=len(losses), max_steps=1_000, log_history=history)


def test_a_falling_loss_is_left_alone() -> None:
    look_at(FALLING)


@pytest.mark.parametrize("name", ["loss", "eval_loss", "grad_norm"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_ends_the_run(name: str, value: float) -> None:
    with pytest.raises(Failure, match=f"step 20 the {name} became") as caught:
        look_at(FALLING, **{name: value})
    assert caught.value.code == "nan_loss"
    assert "last good checkpoint is kept" in caught.value.message


def test_a_loss_of_exactly_zero_ends_a_run_that_learns_texts() -> None:
    with pytest.raises(Failure, match="exactly 0") as caught:
        look_at([*FALLING, 0.0])
    assert caught.value.code == "zero_loss"


def test_a_loss_of_exactly_zero_is_a_goal_where_answers_are_compared() -> None:
    look_at([*FALLING, 0.0], zero_is_wrong=False)


def test_a_loss_that_climbs_above_its_beginning_ends_the_run() -> None:
    climbing = [*FALLING, *(1.0 + step * 0.5 for step in range(20))]
    with pytest.raises(Failure, match=r"climbed from 3\.000 at the first step") as caught:
        look_at(climbing)
    assert caught.value.code == "divergence"


def test_a_loss_that_explodes_at_once_ends_the_run_as_well() -> None:
    with pytest.raises(Failure, match="climbed") as caught:
        look_at([7.8, 80.0, 175.0, 170.0, *[150.0] * 8])
    assert caught.value.code == "divergence"


def test_one_bad_batch_does_not_end_the_run() -> None:
    look_at([*FALLING, 9.0])


def test_no_checkpoint_is_saved_while_the_loss_climbs() -> None:
    assert watch.is_healthy(state_after(FALLING))
    assert not watch.is_healthy(state_after([*FALLING, *[2.5] * 10]))


def early_stopping(validation: list[float], patience: int = 2) -> tuple[TrainerControl, Any]:
    class Endings:
        ended = "completed"

        def end(self, reason: str, control: TrainerControl) -> None:
            self.ended = reason
            control.should_training_stop = True

    control, endings = TrainerControl(), Endings()
    watch.EarlyStopping(patience, endings).on_evaluate(None, state_after(FALLING, validation), control)
    return control, endings


def test_the_best_evaluation_is_saved() -> None:
    control, endings = early_stopping([2.0, 1.0])
    assert (control.should_save, endings.ended) == (True, "completed")


def test_evaluations_without_improvement_end_the_run_when_patience_is_used_up() -> None:
    assert early_stopping([2.0, 1.0, 1.1])[1].ended == "completed"
    control, endings = early_stopping([2.0, 1.0, 1.1, 1.2])
    assert (control.should_training_stop, endings.ended) == (True, "early_stopped")


@pytest.fixture(scope="module")
def stopped_early(make_root: MakeRoot) -> Path:
    """A run that learns its few rows by heart, so that it gets worse on others."""
    lines = (Path(__file__).parents[2] / "training_container/demo/tickets/train.jsonl").read_text().splitlines()[:8]
    asked = {
        "epochs": 60,
        "early_stopping_patience": 3,
        "learning_rate": 0.02,
        "batch_size": 2,
        "lr_scheduler": "constant",
    }
    root = make_root(rows=lines, validation=True, hyperparameters=asked)
    assert run("trainer.train", "--root", root).exit_code == 0
    return root


def test_early_stopping_is_a_planned_ending(stopped_early: Path) -> None:
    result = json.loads((stopped_early / "checkpoints" / "result.json").read_text())
    assert result["ended"] == card(stopped_early)["ended"] == "early_stopped"
    assert result["step"] < result["total_steps"]


def test_early_stopping_promotes_the_best_checkpoint(stopped_early: Path) -> None:
    losses = metrics(stopped_early, "validation_loss")
    assert card(stopped_early)["metrics"]["validation_loss"] == pytest.approx(min(losses.values()), rel=1e-4)


def test_a_restart_after_an_early_stop_ends_at_once_with_the_same_numbers(stopped_early: Path) -> None:
    first, steps = card(stopped_early), list(metrics(stopped_early))
    shutil.rmtree(stopped_early / "model")
    again = run("trainer.train", "--root", stopped_early)
    assert again.exit_code == 0
    assert list(metrics(stopped_early)) == steps
    second = card(stopped_early)
    for name in ("metrics", "steps", "ended", "trained_tokens"):
        assert second[name] == first[name]
    assert weights_sha256(second) == weights_sha256(first)
    assert sum(line["message"] == "no improvement any more" for line in again.lines) == 1


class Clock:
    """Time that passes only when it is told to; a budget and an interruption by it."""

    waiting_seconds, requested = 0.0, False

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cap: float) -> None:
        self.now, self._cap = 0.0, cap
        monkeypatch.setattr(watch.time, "monotonic", lambda: self.now)

    def exhausted(self, reserve: float) -> str | None:
        return "max_cost" if self.now + reserve > self._cap else None


def step(endings: watch.Endings, clock: Clock, state: TrainerState, *, seconds: float, saving: float) -> TrainerControl:
    """One step and one checkpoint, with an evaluation due."""
    control = TrainerControl(should_evaluate=True)
    endings.on_step_begin(None, state, control)
    clock.now += seconds
    endings.on_step_end(None, state, control)
    clock.now += saving
    endings.on_save(None, state, control)
    return control


def evaluate(endings: watch.Endings, clock: Clock, state: TrainerState, *, seconds: int) -> None:
    for _ in range(seconds):
        clock.now += 1
        endings.on_prediction_step(None, state, TrainerControl())
    endings.on_evaluate(None, state, TrainerControl())


def test_time_for_the_next_step_and_its_checkpoint_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, cap=26)
    endings, state = watch.Endings(clock, clock), state_after([2.0])
    assert not step(endings, clock, state, seconds=1, saving=10).should_training_stop
    assert not step(endings, clock, state, seconds=1, saving=0).should_training_stop
    clock.now = 14.5
    assert step(endings, clock, state, seconds=1, saving=10).should_training_stop
    assert (endings.ended, clock.now) == ("max_cost", 25.5)


def test_an_evaluation_that_would_break_the_cap_is_cut_so_that_a_checkpoint_fits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch, cap=30)
    endings, state = watch.Endings(clock, clock), state_after([2.0])
    step(endings, clock, state, seconds=1, saving=4)
    with pytest.raises(watch.Ended):
        evaluate(endings, clock, state, seconds=100)
    assert (endings.ended, clock.now) == ("max_cost", 26)


def test_an_evaluation_that_is_known_to_take_too_long_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, cap=40)
    endings, state = watch.Endings(clock, clock), state_after([2.0])
    assert step(endings, clock, state, seconds=1, saving=1).should_evaluate
    evaluate(endings, clock, state, seconds=20)
    control = step(endings, clock, state, seconds=1, saving=1)
    assert (control.should_evaluate, control.should_training_stop) == (False, False)


def test_an_evaluation_that_is_cut_after_the_last_step_leaves_the_run_complete(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch, cap=30)
    endings, state = watch.Endings(clock, clock), state_after([2.0])
    state.max_steps = state.global_step
    with pytest.raises(watch.Ended):
        evaluate(endings, clock, state, seconds=100)
    assert endings.ended == "completed"


def test_held_out_rows_beyond_what_a_cap_allows_do_not_break_it(make_root: MakeRoot) -> None:
    root = make_root(validation=True, hyperparameters={"epochs": 100}, limits={"max_seconds": 8})
    held_out = root / "input" / "data" / "validation" / "validation.jsonl"
    lines = held_out.read_text().splitlines()
    held_out.write_text("".join(line.replace("?", f"? {number}") + "\n" for number in range(300) for line in lines))
    program = run("trainer.train", "--root", root)
    assert program.exit_code == 0
    # One evaluation of all of them takes longer than that.
    assert program.lines[-1]["seconds"] < 14
    result = json.loads((root / "checkpoints" / "result.json").read_text())
    assert result["ended"] == card(root)["ended"] == "max_seconds"
    assert (root / "checkpoints" / f"checkpoint-{result['step']}" / "complete.json").exists()
    assert card(root)["metrics"]["validation_loss"] is None
