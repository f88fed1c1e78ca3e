"""The stages that every method shares: what is prepared, how the trainer is set, train, evaluate, export."""

import contextlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainer import (
    callbacks,
    checkpoints,
    data,
    distribution,
    export,
    facts,
    fused_lora,
    kernels,
    log,
    memory,
    proof,
    templates,
    watch,
    weights,
)
from trainer.evaluation import comparison
from trainer.failures import Failure
from trainer.files import write_json
from trainer.job import Job
from trainer.memory import Rung
from trainer.preparation import Parts, identity, prepare

REPORTS_PER_RUN = 500
EVALUATIONS_PER_RUN = 4
CHECKPOINTS_KEPT = 2
LIKELIHOOD_METHODS = ("sft", "orpo")
# Saving follows the clock, not a number of steps; "steps" makes the trainer keep track of the best checkpoint.
NEVER = 10**9


def run(job: Job, build: Callable[[Job, Parts, Rung], Any]) -> str:
    """Setup → train → evaluate → export, whatever the method; how the run ended.

    build: the method's trainer for one rung of the memory ladder.
    """
    job, parts = prepare(job)
    trainer, ended = train_what_fits(job, parts, build)
    if ended == "max_cost":
        # Evaluating and exporting would cost more than is left; the checkpoint is what the platform goes on from.
        return ended
    evaluation = evaluate(job, parts, trainer)
    export_model(job, parts, trainer, evaluation)
    return ended


def train_what_fits(job: Job, parts: Parts, build: Callable[[Job, Parts, Rung], Any]) -> tuple[Any, str]:
    """The trainer at the end of its run, and how that ended. Out of memory on the way, it goes on one rung down."""

    def assemble(job: Job, parts: Parts, rung: Rung) -> Any:
        trainer = build(job, parts, rung)
        # For the card: what the ladder chose is not all in the trainer's arguments.
        trainer.rung = rung
        if not rung.sharded:
            fused_lora.enable(trainer.model)
        return trainer

    rungs = memory.candidates(job, parts)
    while True:
        trainer, rungs = memory.fitting_trainer(job, parts, rungs, assemble)
        try:
            return trainer, train(job, parts, trainer)
        except Exception as error:
            if not memory.can_step_down(error, rungs):
                raise
            log.warning(f"out of memory on the way: {error}", next_rung=str(rungs[0]))
        del trainer
        memory.release()


def trained(job: Job, parts: Parts, rung: Rung) -> dict[str, Any]:
    """What TRL's trainer of any method takes beside its config: the model, its adapter, the rows, and who watches."""
    model = weights.load_model(job, parts.machine, rung)
    kernels.use(model.get_base_model() if job.config.start_from else model)
    return {
        "model": model,
        "peft_config": weights.lora(job.config, parts.shape.layers),
        "train_dataset": parts.train.dataset,
        "eval_dataset": parts.validation.dataset if parts.validation else None,
        "processing_class": parts.tokenizer,
        "callbacks": callback_list(job, parts),
    }


def arguments(job: Job, parts: Parts, rung: Rung) -> dict[str, Any]:
    """What TRL's config of any method takes."""
    asked = job.config.hyperparameters
    steps_per_epoch = math.ceil(len(parts.train) / asked.batch_size)
    steps = math.ceil(asked.epochs * steps_per_epoch)
    return {
        "output_dir": str(job.folders.checkpoints),
        "seed": job.config.seed,
        "num_train_epochs": asked.epochs,
        "learning_rate": asked.learning_rate,
        "lr_scheduler_type": asked.lr_scheduler,
        "weight_decay": asked.weight_decay,
        "max_grad_norm": asked.max_grad_norm,
        "warmup_steps": asked.warmup_steps,
        "per_device_train_batch_size": rung.micro_batch,
        "per_device_eval_batch_size": rung.micro_batch,
        "gradient_accumulation_steps": rung.accumulation,
        **sharding(rung),
        "logging_steps": max(1, steps // REPORTS_PER_RUN),
        "logging_nan_inf_filter": False,
        "include_num_input_tokens_seen": "non_padding",
        "save_strategy": "steps",
        "save_steps": NEVER,
        "save_total_limit": CHECKPOINTS_KEPT,
        "eval_strategy": "steps" if parts.validation else "no",
        "eval_steps": min(steps_per_epoch, math.ceil(steps / EVALUATIONS_PER_RUN)),
        "metric_for_best_model": "eval_loss" if parts.validation else None,
        "greater_is_better": False,
        "disable_tqdm": True,
        "report_to": "none",
        **parts.machine.training_arguments,
    }


def batches(rung: Rung) -> dict[str, Any]:
    """How the run took its steps. `per_step` is not the asked batch size where that many processes cannot share it."""
    processes = distribution.world_size()
    return {
        "rows": rung.micro_batch,
        "times": rung.accumulation,
        "processes": processes,
        "per_step": rung.micro_batch * rung.accumulation * processes,
        "gradient_checkpointing": rung.gradient_checkpointing,
        "sharded": rung.sharded,
        "four_bit": rung.four_bit,
    }


def sharding(rung: Rung) -> dict[str, Any]:
    """Fully sharded data parallelism (https://arxiv.org/abs/2304.11277) where the weights do not fit otherwise."""
    if not rung.sharded:
        return {"activation_checkpointing": rung.gradient_checkpointing}
    own = {"version": 2, "activation_checkpointing": rung.gradient_checkpointing}
    return {"activation_checkpointing": False, "fsdp": True, "fsdp_config": own}


def callback_list(job: Job, parts: Parts) -> list[Any]:
    patience = job.config.hyperparameters.early_stopping_patience
    stopping = [watch.EarlyStopping(patience, parts.endings)] if patience and parts.validation else []
    watchdog = watch.Watchdog(zero_is_wrong=job.config.method in LIKELIHOOD_METHODS)
    saving = callbacks.Checkpoints(identity(job, parts))
    return [callbacks.Settings(), watchdog, parts.progress, saving, parts.endings, *stopping]


def train(job: Job, parts: Parts, trainer: Any) -> str:
    """Train from the newest checkpoint, if there is one; how it ended. Raises Failure(interrupted) after a stop."""
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    job.interruption.defer()
    resume_from = checkpoint_to_go_on_from(job, parts)
    try:
        trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    except watch.Ended:
        save_where_it_is(trainer)
    ended = parts.endings.ended
    # For the card: all launches of the attempt, without what comes behind the last step.
    trainer.trained_seconds = job.budget.seconds
    if distribution.is_first():
        write_result(job, trainer.state, ended)
        job.budget.save()
    if ended == "stopped":
        raise Failure("interrupted", f"The run was stopped at step {trainer.state.global_step}.")
    return ended


def checkpoint_to_go_on_from(job: Job, parts: Parts) -> Path | None:
    """The newest one that the first process has, the same on every host; None if there is none.

    Raises Failure(other_run) for one of a run with other settings.
    """
    folder, newest = job.folders.checkpoints, None
    if distribution.is_first():
        checkpoints.remove_incomplete(folder)
        newest = checkpoints.newest(folder)
        if newest:
            checkpoints.check_run(newest, identity(job, parts))
    name = distribution.word_of_first(newest and newest.name)
    if name is None:
        return None
    distribution.share(folder / name)
    log.info("continuing from a checkpoint", checkpoint=name)
    return folder / name


def save_where_it_is(trainer: Any) -> None:
    """A checkpoint of the step that the trainer was left at, unless there is one."""
    folder = Path(trainer.args.output_dir) / f"checkpoint-{trainer.state.global_step}"
    if not distribution.word_of_first(checkpoints.is_complete(folder)):
        trainer._save_checkpoint(trainer.model, trial=None)
        trainer.callback_handler.on_save(trainer.args, trainer.state, trainer.control)


def write_result(job: Job, state: Any, ended: str) -> None:
    result = {"attempt": job.config.attempt, "ended": ended, "step": state.global_step, "total_steps": state.max_steps}
    write_json(job.folders.result, result)


def evaluate(job: Job, parts: Parts, trainer: Any) -> dict[str, Any] | None:
    """Take the best weights where the run looked for them, then compare base and tuned on the held-out part.

    None without such a part, or when no time is left for it.
    """
    if parts.validation is None:
        return None
    step = step_of_weights(job, trainer)
    if step != trainer.state.global_step:
        log.info("taking the best checkpoint", step=step)
        trainer.state.best_model_checkpoint = str(job.folders.checkpoints / f"checkpoint-{step}")
        if distribution.is_first() or trainer.is_fsdp_enabled:
            # Elsewhere the model is done with, and another host's disk may not have that checkpoint.
            trainer._load_best_model()
    elif _evaluated(trainer, step) is None and parts.endings.may_evaluate():
        with contextlib.suppress(watch.Ended):
            trainer.evaluate()
    if trainer.is_fsdp_enabled or not distribution.is_first():
        # A sharded model's forward pass needs every process; `trainer.evaluate` compares it once it is saved.
        return None
    if job.budget.exhausted(parts.endings.saving_seconds):
        log.info("base and tuned are not compared: no time is left")
        return None
    return comparison.of_run(job, parts, trainer)


def step_of_weights(job: Job, trainer: Any) -> int:
    """The step whose weights the run leaves: the best one where it looked for it, else the last."""
    looked_for = job.config.hyperparameters.early_stopping_patience and trainer.state.best_global_step
    kept = looked_for and checkpoints.is_complete(job.folders.checkpoints / f"checkpoint-{looked_for}")
    return int(looked_for if distribution.word_of_first(kept) else trainer.state.global_step)


def export_model(job: Job, parts: Parts, trainer: Any, evaluation: dict[str, Any] | None) -> None:
    """Write the model folder: weights, tokenizer, the asked exports, and the card that makes it count."""
    parts.progress.write("saving", trainer.args, trainer.state)
    card = model_card(job, parts, trainer) | {"evaluation": evaluation}
    answers = proof.of_run(job, parts, trainer)
    if export.save(job, trainer, parts.tokenizer, card, answers) and job.config.exports_wanted:
        # Each export loads the weights again; those in the trainer are not needed any more.
        trainer.model = trainer.model_wrapped = None
        memory.release()
        export.convert(job, card)
    job.budget.save()


def model_card(job: Job, parts: Parts, trainer: Any) -> dict[str, Any]:
    state, config, rung = trainer.state, job.config, trainer.rung
    model = trainer.accelerator.unwrap_model(trainer.model)
    adapter = model.peft_config["default"] if hasattr(model, "peft_config") else None
    parameters = list(model.parameters())
    return {
        "format_version": export.FORMAT_VERSION,
        "name": config.names.model,
        "job_id": config.job_id,
        "attempt": config.attempt,
        "base_model": config.base_model.model_dump(),
        "start_from": config.start_from.model_dump() if config.start_from else None,
        "method": config.method,
        "serving": weights.served_as(config),
        "hyperparameters": stated(job, parts),
        "architecture": facts.architecture(model.config),
        "training": facts.run(state, adapter, four_bit=rung.four_bit, seconds=trainer.trained_seconds),
        "batches": batches(rung),
        "metrics": metrics(trainer, config.method, step_of_weights(job, trainer)),
        "ended": parts.endings.ended,
        "trained_tokens": int(state.num_input_tokens_seen),
        "steps": state.global_step,
        "dataset": {"train": described(parts.train), "validation": described(parts.validation)},
        "template_sha256": templates.fingerprint(parts.tokenizer),
        "versions": export.versions(),
        "seed": config.seed,
        "parameters": parts.shape.parameters,
        "trainable_parameters": sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
    }


def stated(job: Job, parts: Parts) -> dict[str, Any]:
    """The hyperparameters that mean something to this run, each as what it came to."""
    settings = {name: value for name, value in vars(job.config.hyperparameters).items() if value is not None}
    own_file = any(job.folders.validation.glob("*.jsonl"))
    held_out = parts.validation.rows if parts.validation and not own_file else 0
    return settings | {"validation_share": round(held_out / (parts.train.rows + held_out), 4)}


def metrics(trainer: Any, method: str, step: int) -> dict[str, float | None]:
    """Those of the weights of `step`; of the last reports of training where these were not evaluated."""
    evaluated = _evaluated(trainer, step)
    training_loss = _logged(trainer, "loss")
    judged = training_loss if evaluated is None else evaluated["eval_loss"]

    def rate(name: str) -> float | None:
        return _logged(trainer, name) if evaluated is None else evaluated.get(f"eval_{name}")

    return {
        "training_loss": training_loss,
        "validation_loss": evaluated and evaluated["eval_loss"],
        # A loss that compares answers is no likelihood of tokens.
        "perplexity": math.exp(min(judged, 100)) if method == "sft" and judged is not None else None,
        "token_accuracy": rate("mean_token_accuracy"),
        "reward_accuracy": rate("rewards/accuracies"),
        "epoch": trainer.state.epoch,
    }


def described(examples: data.Examples | None) -> dict[str, Any] | None:
    if examples is None:
        return None
    names = ("sha256", "rows", "tokens", "trained", "truncated", "dropped", "longest", "overlap")
    return {name: getattr(examples, name) for name in names}


def _evaluated(trainer: Any, step: int) -> dict[str, float] | None:
    """What the newest evaluation of that step's weights has logged."""
    entries = (entry for entry in reversed(trainer.state.log_history) if "eval_loss" in entry)
    return next((entry for entry in entries if entry["step"] == step), None)


def _logged(trainer: Any, name: str) -> Any:
    """The newest logged value of `name`; None if it was never logged."""
    return next((entry[name] for entry in reversed(trainer.state.log_history) if name in entry), None)
