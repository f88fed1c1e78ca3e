"""What is known before any weight is loaded: the rows in tokens, the model's shape, every setting with its value."""

import math
from dataclasses import dataclass
from typing import Any

from luthier.jobs import auto
from trainer import adapters, callbacks, data, device, files, log, memory, room, watch, weights
from trainer.config import JobConfig
from trainer.evaluation import tasks
from trainer.failures import Failure
from trainer.job import Job

# Settings of how the run goes on, which leave the meaning of the weights as it is.
MAY_CHANGE = (
    *("epochs", "learning_rate", "lr_scheduler", "warmup_steps", "weight_decay", "max_grad_norm"),
    *("validation_share", "early_stopping_patience", "max_truncated_share"),
)


@dataclass
class Parts:
    """What a run is made of, before and beside its trainer."""

    machine: device.Device
    tokenizer: Any
    shape: memory.Shape
    train: data.Examples
    validation: data.Examples | None
    progress: callbacks.Progress
    endings: watch.Endings


def prepare(job: Job) -> tuple[Job, Parts]:
    """Read the data and the model's config; the job, its every "auto" resolved. No weights are loaded yet."""
    log.capture_transformers()
    device.avoid_triton()
    machine = device.detect()
    if job.config.start_from:
        job.config = shaped(job.config, adapters.shape(job.folders.adapter))
    tasks.find(job.config.evaluation.tasks, job.folders.tasks)
    # First: the tokenizer's loader reads this config too, and breaks on a wrong one.
    model_config, parameters = weights.read_config(job.folders)
    tokenizer = weights.load_tokenizer(job.folders)
    train, validation = data.load(job.folders, tokenizer, job.config)
    check(job.config, model_config, validation)
    job.config = resolved(job.config, parameters, train)
    shape = memory.shape_of(model_config, parameters, job.config.hyperparameters)
    room.check(job, parameters, shape.trained)
    parts = Parts(
        machine=machine,
        tokenizer=tokenizer,
        shape=shape,
        train=train,
        validation=validation,
        progress=callbacks.Progress(job.folders.metrics, job.budget),
        endings=watch.Endings(job.budget, job.interruption),
    )
    return job, parts


def shaped(config: JobConfig, adapter: dict[str, Any]) -> JobConfig:
    """The config of a run that goes on from an adapter, whose shape is given. Raises Failure(bad_config)."""
    if config.hyperparameters.adapter == "full":
        raise Failure(
            "bad_config", "hyperparameters.adapter: an adapter cannot go on as full weights; use lora or qlora."
        )
    return _with(config, adapter)


def check(config: JobConfig, model_config: Any, validation: data.Examples | None) -> None:
    """Raises Failure(bad_config) for what the base model cannot do."""
    longest = config.hyperparameters.max_sequence_length
    # A recurrent model has no limit of its own.
    context = getattr(model_config.get_text_config(), "max_position_embeddings", None)
    if context and longest > context:
        message = f"hyperparameters.max_sequence_length is {longest}; the base model takes at most {context} tokens."
        raise Failure("bad_config", message)
    if config.hyperparameters.early_stopping_patience and validation is None:
        log.warning("early stopping needs held-out rows, and there are none: the run will not end early")


def resolved(config: JobConfig, parameters: int, train: data.Examples) -> JobConfig:
    """The config with a stated value for every "auto", and with what settings come to over these rows."""
    asked = vars(config.hyperparameters)
    # The rows that it holds out are found by it again, so it stays as it was asked for.
    known = {name: value for name, value in asked.items() if value is not None and name != "validation_share"}
    stated = auto.resolve(known, method=config.method, parameters=parameters, rows=len(train), tokens=train.tokens)
    steps = math.ceil(stated["epochs"] * math.ceil(len(train) / stated["batch_size"]))
    # A warm-up as long as the run would end it before the learning rate is ever reached.
    stated["warmup_steps"] = min(stated["warmup_steps"], steps // 2)
    if chosen := {name: value for name, value in stated.items() if asked[name] != value}:
        log.info("hyperparameters chosen", **chosen)
    return _with(config, stated)


def _with(config: JobConfig, changes: dict[str, Any]) -> JobConfig:
    asked = type(config.hyperparameters)(**vars(config.hyperparameters) | changes)
    return config.model_copy(update={"hyperparameters": asked})


def identity(job: Job, parts: Parts) -> dict[str, Any]:
    """What has to stay the same where a run goes on from a checkpoint: which weights, what they are trained for, and
    which rows in which order. A value is what JSON can say."""
    config, adapter = job.config, job.folders.adapter / "adapter_model.safetensors"
    return {
        "method": config.method,
        "base_model": f"{config.base_model.id}@{config.base_model.revision}",
        "start_from": files.xxh3(adapter) if config.start_from else None,
        "training data": parts.train.sha256,
        "training rows": parts.train.rows,
        "seed": config.seed,
        **{name: value for name, value in vars(config.hyperparameters).items() if name not in MAY_CHANGE},
    }
