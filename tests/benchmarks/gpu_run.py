"""One variant of the GPU benchmark in this process: the gate's loss and gradient, then timed steps and peak memory."""

import argparse
import contextlib
import resource
import statistics
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.benchmarks import gpu_shapes, gpu_variants
from tests.benchmarks.gpu_variants import Setup

REFERENCE, PLAIN = "reference", "plain"


def run(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """`reference` writes its loss and gradient to the folder; others are compared with what lies there."""
    shape = gpu_shapes.SHAPES[given.shape]
    rows_per_step = given.micro_batch * given.accumulation
    rows = gpu_shapes.rows(shape, given.lengths, rows_per_step * (given.warm_up + given.steps))
    steps = given.warm_up + given.steps
    setup = Setup(
        shape, rows, given.micro_batch, given.accumulation, steps, given.folder, full_precision=name == REFERENCE
    )
    trainer = gpu_variants.VARIANTS.get(name, gpu_variants.PLAIN)(setup)
    fill_adapter(trainer.model)
    gate, clock = Gate(trainer, shape), make_clock(trainer, given.warm_up)
    if name in (REFERENCE, PLAIN):
        gate.alone = True
        with contextlib.suppress(Taken):
            trainer.train()
    else:
        trainer.train()
    if name == REFERENCE:
        gate.save(given.folder)
        return {"loss": gate.loss}
    if name == PLAIN:
        return gate.compared(given.folder)
    mean_length = gpu_shapes.mean_length(rows)
    return gate.compared(given.folder) | clock.measured(shape.flops_per_token(mean_length))


def fill_adapter(model: Any) -> None:
    """The same small numbers in every variant's adapter: with B at 0, as it starts, A has no gradient."""
    import torch

    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for _, parameter in trained(model):
            noise = torch.randn(parameter.shape, generator=generator) * 0.02
            parameter.copy_(noise.to(parameter.device, parameter.dtype))


def trained(model: Any) -> list[tuple[str, Any]]:
    return sorted((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)


class Taken(Exception):
    """The gate's numbers are there, and no step is wanted."""


class Gate:
    """Loss and gradient of two rows, taken within the first training step, so of the model as it is trained."""

    def __init__(self, trainer: Any, shape: gpu_shapes.Shape) -> None:
        self._trainer, self._step = trainer, trainer.training_step
        longest = min(shape.longest, 1_024)
        full = gpu_shapes.rows(shape, "full", 2)
        self._rows = [full[0][:longest], full[1][: longest // 3]]
        self.loss: float | None = None
        self.alone = False
        trainer.training_step = self._training_step

    def _training_step(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        if self.loss is None:
            self._take(model)
            if self.alone:
                raise Taken
        return self._step(model, *args, **kwargs)

    def _take(self, model: Any) -> None:
        import torch

        model.train()
        inputs = self._trainer._prepare_inputs(self._trainer.data_collator([{"input_ids": row} for row in self._rows]))
        with self._trainer.compute_loss_context_manager():
            loss = self._trainer.compute_loss(model, inputs)
        loss.backward()
        self.loss = float(loss.detach())
        parameters = [parameter for _, parameter in trained(self._trainer.model)]
        self._gradient = torch.cat([parameter.grad.flatten().float().cpu() for parameter in parameters])
        model.zero_grad()

    def save(self, folder: Path) -> None:
        import torch

        torch.save((self.loss, self._gradient), folder / "reference.pt")

    def compared(self, folder: Path) -> dict[str, Any]:
        import torch

        assert self.loss is not None
        loss, gradient = torch.load(folder / "reference.pt")
        cosine = torch.nn.functional.cosine_similarity(self._gradient.double(), gradient.double(), dim=0)
        return {"loss_difference": abs(self.loss - loss), "gradient_cosine": float(cosine)}


def make_clock(trainer: Any, warm_up: int) -> Any:
    import torch
    from transformers import TrainerCallback

    on_gpu = torch.cuda.is_available()

    class Clock(TrainerCallback):
        """Ends of steps, and the tokens seen in each."""

        def __init__(self) -> None:
            self.ends: list[float] = []
            self.tokens: list[int] = []
            self.seen = 0

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if on_gpu:
                torch.cuda.synchronize()
                if state.global_step == warm_up:
                    torch.cuda.reset_peak_memory_stats()
            self.ends.append(time.perf_counter())
            self.tokens.append(self.seen)
            self.seen = 0

        def measured(self, flops_per_token: float) -> dict[str, Any]:
            timed = slice(warm_up - 1, None)
            ends, tokens = self.ends[timed], self.tokens[timed][1:]
            seconds = [after - before for before, after in pairwise(ends)]
            rate = sum(tokens) / sum(seconds)
            return {
                "tokens_per_second": rate,
                "step_seconds_median": statistics.median(seconds),
                "step_seconds_max": max(seconds),
                "tflops": rate * flops_per_token / 1e12,
                "peak_gib": peak_bytes(on_gpu) / 2**30,
                "micro_batch": trainer.args.per_device_train_batch_size,
                "accumulation": trainer.args.gradient_accumulation_steps,
            }

    clock, step = Clock(), trainer.training_step

    def counting(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        mask = inputs.get("attention_mask")
        clock.seen += inputs["input_ids"].numel() if mask is None else int(mask.sum())
        return step(model, inputs, *args, **kwargs)

    trainer.training_step = counting
    trainer.add_callback(clock)
    return clock


def peak_bytes(on_gpu: bool) -> int:
    """Of the timed steps on a GPU; of the process elsewhere."""
    import torch

    return torch.cuda.max_memory_allocated() if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
