"""Whether a run fits into memory, found out before it starts rather than on its longest batch hours later.

An estimate picks the first rung of a ladder; one real step on the longest batch proves it, or goes one rung down. Every
rung keeps the effective batch size: smaller micro-batches with more accumulation, then gradient checkpointing, then
weights shared out among processes (FSDP), then 4-bit weights.
"""

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from trainer import distribution, failures, log
from trainer.device import Device
from trainer.failures import Failure
from trainer.job import Job

# The rest belongs to the driver, to fragmentation and to what the estimate leaves out.
USABLE = 0.9
# Bytes per token, layer and hidden unit that one forward pass leaves for the way back, in 16 bits; the attention
# matrix is never kept (Korthikanti et al. 2022, https://arxiv.org/abs/2205.05198, equation 2 without its last term).
ACTIVATION_BYTES = 34
# With gradient checkpointing each layer keeps its input only.
CHECKPOINTED_BYTES = 2
# Logits in fp32, their softmax and its gradient, for the positions that are scored at a time.
LOGIT_BYTES = 12
SCORED_POSITIONS = 1_024
# NormalFloat and its double-quantized constants (QLoRA, section 3: 0.5 + 0.127 / 8).
NF4_BYTES = 0.516
# AdamW keeps two moments in fp32 beside a gradient and the weight it trains.
TRAINED_BYTES = 16
# Sequences that a row of the method puts through the model at once.
SEQUENCES = {"sft": 1, "dpo": 2, "orpo": 2, "kto": 2}


@dataclass(frozen=True)
class Rung:
    """One way to take a step: rows that one process takes at once, and what saves memory."""

    micro_batch: int
    accumulation: int
    gradient_checkpointing: bool = False
    sharded: bool = False
    four_bit: bool = False

    def __str__(self) -> str:
        parts = [f"{self.micro_batch} rows at once, {self.accumulation} times"]
        parts += ["gradient checkpointing"] if self.gradient_checkpointing else []
        parts += ["weights shared out"] if self.sharded else []
        return ", ".join(parts + (["4-bit weights"] if self.four_bit else []))


@dataclass(frozen=True)
class Shape:
    """What of a model decides its memory. `trained` counts the parameters that get gradients."""

    parameters: int
    trained: int
    layers: int
    hidden: int
    vocabulary: int


def ladder(job: Job, machine: Device) -> list[Rung]:
    """All rungs, the fastest first."""
    asked = job.config.hyperparameters
    processes = distribution.world_size()
    rows = max(1, round(asked.batch_size / processes))
    if rows * processes != asked.batch_size:
        log.warning(f"{processes} processes take {rows * processes} rows per step", batch_size=asked.batch_size)
    # KTO compares answers within a micro-batch, so that takes two rows at least.
    least = 2 if job.config.method == "kto" else 1
    if rows < least:
        message = f"kto compares the answers of a batch: batch_size must be at least {least * processes} here."
        raise Failure("bad_config", message)
    sizes = [size for size in range(rows, least - 1, -1) if rows % size == 0]
    four_bit = asked.adapter == "qlora"
    rungs = [Rung(size, rows // size, saving, four_bit=four_bit) for saving in (False, True) for size in sizes]
    if four_bit:
        return rungs
    if distribution.world_size() > 1:
        rungs += [replace(rung, sharded=True) for rung in rungs]
    if machine.gpus and asked.adapter == "lora":
        rungs.append(Rung(sizes[-1], rows // sizes[-1], gradient_checkpointing=True, four_bit=True))
    return rungs


def estimate(shape: Shape, rung: Rung, machine: Device, *, longest: int, sequences: int) -> int:
    """Bytes on one device: weights, what training keeps per trained parameter, activations, logits."""
    width = 2 if machine.bf16 else 4
    tokens = rung.micro_batch * sequences * longest
    weights = shape.parameters * (NF4_BYTES if rung.four_bit else width) + shape.trained * TRAINED_BYTES
    weights /= distribution.world_size() if rung.sharded else 1
    kept = CHECKPOINTED_BYTES if rung.gradient_checkpointing else ACTIVATION_BYTES
    layers = shape.layers * kept + (ACTIVATION_BYTES if rung.gradient_checkpointing else 0)
    activations = tokens * shape.hidden * layers * width / 2
    logits = min(tokens, SCORED_POSITIONS) * shape.vocabulary * LOGIT_BYTES
    return int(weights + activations + logits)


def fitting_trainer(
    job: Job, parts: Any, rungs: Sequence[Rung], build: Callable[[Job, Any, Rung], Any]
) -> tuple[Any, Sequence[Rung]]:
    """The trainer of the first rung whose step on the longest batch succeeds, and the rungs below that one.

    Raises Failure(oom) where none does.
    """
    longest = parts.train.longest
    for index, rung in enumerate(rungs):
        trainer, problem = _try(partial(build, job, parts, rung), rung)
        if not distribution.worst(problem is not None):
            log.info("the longest batch fits", rung=str(rung), longest_row=longest)
            return trainer, rungs[index + 1 :]
        log.warning("the longest batch does not fit", rung=str(rung), longest_row=longest, error=problem)
        del trainer
        release()
    raise Failure("oom", f"Even one row at a time does not fit; the longest has {longest} tokens.")


def candidates(job: Job, parts: Any) -> Sequence[Rung]:
    """The rungs that may fit by the estimate; at least the last that leaves the weights as they were asked for."""
    rungs, machine, longest = ladder(job, parts.machine), parts.machine, parts.train.longest
    room = machine.memory_bytes * USABLE
    sequences = SEQUENCES[job.config.method]
    needs = [estimate(parts.shape, rung, machine, longest=longest, sequences=sequences) for rung in rungs]
    asked = [index for index, rung in enumerate(rungs) if rung.four_bit == rungs[0].four_bit]
    chosen = next((index for index in asked if needs[index] <= room), asked[-1])
    log.info(
        "memory estimated",
        rung=str(rungs[chosen]),
        gigabytes=round(needs[chosen] / 1e9, 2),
        available=round(machine.memory_bytes / 1e9, 2),
    )
    return rungs[chosen:]


def can_step_down(error: BaseException, below: Sequence[Rung]) -> bool:
    """Whether a run that was ended by `error` may go on from its checkpoint on a lower rung.

    One process of several cannot: the others wait in the middle of a step.
    """
    return bool(below) and distribution.world_size() == 1 and failures.classify(error).code == "oom"


def _try(build: Callable[[], Any], rung: Rung) -> tuple[Any, str | None]:
    """The trainer, or what it ran out of; that the error is not kept lets go of the tensors in its traceback."""
    try:
        trainer = build()
        if not rung.sharded:  # weights are shared out when training begins, and would not fit before
            rehearse(trainer, rung)
    except Exception as error:
        failure = failures.classify(error)
        if failure.code != "oom":
            raise
        return None, failure.message
    return trainer, None


def rehearse(trainer: Any, rung: Rung) -> None:
    """One real step on the longest rows that leaves weights, optimizer, metrics and random numbers as they were."""
    import torch

    model = trainer.model
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        model.train()
        if rung.gradient_checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        longest = lengths(trainer.train_dataset).argsort()[::-1][: rung.micro_batch]
        rows = [trainer.train_dataset[int(index)] for index in longest]
        inputs = trainer._prepare_inputs(trainer.data_collator(rows))
        with trainer.compute_loss_context_manager(), trainer.accelerator.autocast():
            loss = trainer.compute_loss(model, inputs)
        loss.backward()
        # A learning rate of 0 fills the optimizer's memory and moves nothing.
        torch.optim.AdamW(trained, lr=0.0, weight_decay=0.0).step()
    model.zero_grad()
    for metrics in getattr(trainer, "_metrics", {}).values():
        metrics.clear()


def lengths(dataset: Any) -> Any:
    """Tokens of each example, all its columns together, as a numpy array."""
    import pyarrow.compute as pc

    lists = [name for name in dataset.column_names if name.endswith("_ids")]
    return sum(pc.list_value_length(dataset.data.column(name)).to_numpy() for name in lists)


def release() -> None:
    """Give back what nobody holds any more."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def shape_of(model_config: Any, parameters: int, hyperparameters: Any) -> Shape:
    """From the model's config, before its weights are read."""
    text = model_config.get_text_config()
    return Shape(
        parameters=parameters,
        trained=_trained(text, parameters, hyperparameters),
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        vocabulary=text.vocab_size,
    )


def _trained(text: Any, parameters: int, asked: Any) -> int:
    if asked.adapter == "full":
        return parameters
    # Inputs plus outputs of a Llama block's seven linear layers, in hidden sizes.
    return 20 * asked.lora_rank * text.num_hidden_layers * text.hidden_size
