"""Whether a run fits, found out before it starts."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.container.conftest import MakeRoot, job_config
from tests.container.programs import run
from trainer import memory
from trainer.config import JobConfig
from trainer.device import Device
from trainer.failures import Failure
from trainer.memory import Rung, Shape

GIGABYTE = 10**9
LLAMA_8B = Shape(parameters=8_030_000_000, trained=42_000_000, layers=32, hidden=4096, vocabulary=128_256)
H100 = Device(gpus=1, bf16=True, weights="bfloat16", memory_bytes=80 * GIGABYTE)
CPU = Device(gpus=0, bf16=False, weights="float32", memory_bytes=16 * GIGABYTE)


def job(batch_size: int = 8, method: str = "sft", **hyperparameters: Any) -> Any:
    changes = {"batch_size": batch_size, **hyperparameters}
    return SimpleNamespace(config=JobConfig.model_validate(job_config(method=method, hyperparameters=changes)))


def parts(machine: Device, shape: Shape = LLAMA_8B, longest: int = 2048) -> Any:
    return SimpleNamespace(machine=machine, shape=shape, train=SimpleNamespace(longest=longest))


@pytest.mark.parametrize("batch_size", [1, 6, 8, 30])
def test_every_rung_keeps_the_effective_batch_size(batch_size: int) -> None:
    rungs = memory.ladder(job(batch_size), H100)
    assert {rung.micro_batch * rung.accumulation for rung in rungs} == {batch_size}


def test_rungs_go_from_fast_to_small() -> None:
    assert memory.ladder(job(4), H100) == [
        Rung(4, 1), Rung(2, 2), Rung(1, 4),
        Rung(4, 1, gradient_checkpointing=True), Rung(2, 2, gradient_checkpointing=True),
        Rung(1, 4, gradient_checkpointing=True),
        Rung(1, 4, gradient_checkpointing=True, four_bit=True),
    ]  # fmt: skip


def test_4_bit_weights_are_no_way_out_without_a_gpu_or_for_full_weights() -> None:
    for rungs in (
        memory.ladder(job(4), CPU),
        memory.ladder(job(4, adapter="full", lora_rank=None, lora_alpha=None), H100),
    ):
        assert not any(rung.four_bit for rung in rungs)


def test_kto_never_takes_one_row_at_a_time() -> None:
    assert {rung.micro_batch for rung in memory.ladder(job(8, "kto"), CPU)} == {8, 4, 2}


def test_an_8b_model_with_lora_takes_what_published_runs_take() -> None:
    """NeMo AutoModel trains Llama-3 8B with LoRA at 2 rows of 4096 tokens on an H100 without recomputation."""
    needed = memory.estimate(LLAMA_8B, Rung(2, 16), H100, longest=4096, sequences=1)
    assert 40 * GIGABYTE < needed < 80 * GIGABYTE


def test_checkpointing_and_4_bits_need_less() -> None:
    def needed(**saving: bool) -> int:
        return memory.estimate(LLAMA_8B, Rung(4, 2, **saving), H100, longest=4096, sequences=1)

    assert needed(gradient_checkpointing=True) < needed() / 2
    assert needed(four_bit=True) < needed() - 11 * GIGABYTE


def climb(
    monkeypatch: pytest.MonkeyPatch, fails: Callable[[Rung], bool], machine: Device = H100
) -> tuple[list[Rung], Any]:
    tried: list[Rung] = []

    def rehearse(trainer: Any, rung: Rung) -> None:
        tried.append(rung)
        if fails(rung):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB")

    monkeypatch.setattr(memory, "rehearse", rehearse)
    small = Shape(parameters=10**6, trained=10**4, layers=4, hidden=128, vocabulary=1024)
    rungs = memory.candidates(job(4), parts(H100, small))
    chosen, below = memory.fitting_trainer(job(4), parts(H100, small), rungs, lambda job, parts, rung: rung)
    assert [*rungs] == [*tried, *below]
    return tried, chosen


def test_a_step_that_does_not_fit_goes_one_rung_down(monkeypatch: pytest.MonkeyPatch) -> None:
    tried, chosen = climb(monkeypatch, lambda rung: rung.micro_batch > 1)
    assert tried == [Rung(4, 1), Rung(2, 2), Rung(1, 4)]
    assert chosen == Rung(1, 4)


def test_below_the_last_rung_the_failure_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Failure, match="Even one row at a time") as caught:
        climb(monkeypatch, lambda rung: True)
    assert caught.value.code == "oom"


def test_another_error_is_not_taken_for_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(rung: Rung) -> bool:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        climb(monkeypatch, fails)


def test_the_estimate_starts_below_rungs_that_cannot_fit() -> None:
    assert 0 < memory.candidates(job(32), parts(H100, longest=8192))[0].micro_batch < 32


def test_every_process_of_kto_needs_two_rows_to_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.distribution, "world_size", lambda: 2)
    with pytest.raises(Failure, match="batch_size must be at least 4") as caught:
        memory.ladder(job(2, "kto"), CPU)
    assert caught.value.code == "bad_config"


def test_a_run_out_of_memory_on_the_way_goes_on_one_rung_down(
    make_root: MakeRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rehearsal is no proof where others use the memory too, so a run steps down in the middle as well."""
    from trainer import preparation, stages
    from trainer.recipes import sft

    def build(job: Any, parts: Any, rung: Rung) -> Any:
        trainer = sft.build(job, parts, rung)
        if rung.micro_batch == 8:
            step = trainer.training_step

            def run_out(*args: Any, **kwargs: Any) -> Any:
                if trainer.state.global_step == 2:
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB")
                return step(*args, **kwargs)

            trainer.training_step = run_out
        return trainer

    whole, short = prepared(make_root), prepared(make_root)
    expected, _ = stages.train_what_fits(*preparation.prepare(whole), sft.build)
    trainer, ended = stages.train_what_fits(*preparation.prepare(short), build)
    assert ended == "completed"
    assert trainer.args.per_device_train_batch_size == 4
    assert losses_of(trainer) == pytest.approx(losses_of(expected), rel=1e-4)


def test_the_run_says_which_rung_it_took(make_root: MakeRoot) -> None:
    program = run("trainer.train", "--root", make_root(hyperparameters={"epochs": 1}, evaluation={"generate": False}))
    said = [line for line in program.lines if line["message"] == "the longest batch fits"]
    assert [line["rung"] for line in said] == ["8 rows at once, 1 times"]


def prepared(make_root: MakeRoot) -> Any:
    """A job of one epoch, about to begin."""
    from trainer.budget import Budget
    from trainer.config import load
    from trainer.folders import Folders
    from trainer.interruption import Interruption
    from trainer.job import Job

    folders = Folders(make_root(hyperparameters={"epochs": 1}))
    folders.checkpoints.mkdir()
    config = load(folders.job_config)
    return Job(config, folders, Budget(config, folders.clock, 0.0), Interruption())


def losses_of(trainer: Any) -> list[float]:
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def test_accumulation_trains_the_same_as_one_large_batch(make_root: MakeRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ladder may take any rung, so the losses must not depend on it."""
    from trainer import preparation, stages
    from trainer.recipes import sft

    def losses(rung: Rung) -> list[float]:
        job, parts = preparation.prepare(prepared(make_root))
        trainer = sft.build(job, parts, rung)
        memory.rehearse(trainer, rung)
        stages.train(job, parts, trainer)
        return losses_of(trainer)

    whole = losses(Rung(8, 1))
    assert losses(Rung(2, 4)) == pytest.approx(whole, rel=1e-4)
    assert losses(Rung(2, 4, gradient_checkpointing=True)) == pytest.approx(whole, rel=1e-4)


def test_a_disk_without_room_is_noticed_before_training(make_root: MakeRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer import room

    given = SimpleNamespace(config=job(8).config, folders=SimpleNamespace(root=make_root()))
    room.check(given, parameters=10**6, trained=10**5)
    with pytest.raises(Failure, match=r"up to [\d.]+ GB and the disk has [\d.]+ GB free") as caught:
        room.check(given, parameters=10**15, trained=10**14)
    assert caught.value.code == "disk_full"


def test_no_estimate_alone_changes_the_weights_that_were_asked_for() -> None:
    tight = Device(gpus=1, bf16=True, weights="bfloat16", memory_bytes=6 * GIGABYTE)
    first, *below = memory.candidates(job(4), parts(tight))
    assert first == Rung(1, 4, gradient_checkpointing=True)
    assert [rung.four_bit for rung in below] == [True]
