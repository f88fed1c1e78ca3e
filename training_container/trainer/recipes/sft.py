"""Supervised fine-tuning with LoRA: setup → train → evaluate → export."""

import math
from dataclasses import dataclass
from typing import Any

from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
from trl import SFTConfig

from trainer import callbacks, checkpoints, data, device, export, log
from trainer.budget import Budget
from trainer.config import LINEAR_LAYERS, JobConfig
from trainer.failures import Failure
from trainer.files import write_json
from trainer.folders import Folders
from trainer.interruption import Interruption
from trainer.loss import AssistantOnlyTrainer

REPORTS_PER_RUN = 500
CHECKPOINTS_PER_RUN = 10
CHECKPOINTS_KEPT = 2


@dataclass
class Run:
    """Everything one run needs, made by setup."""

    trainer: AssistantOnlyTrainer
    tokenizer: Any
    train: data.Examples
    validation: data.Examples | None
    progress: callbacks.Progress
    endings: callbacks.Endings


def run(config: JobConfig, folders: Folders, budget: Budget, interruption: Interruption) -> str:
    """Fine-tune, leave the model in folders.model and return how the run ended. Raises Failure and others."""
    current = setup(config, folders, budget, interruption)
    interruption.defer()
    train(current, folders)
    write_result(current, config, folders)
    budget.save()
    if current.endings.ended == "stopped":
        raise Failure("interrupted", f"The run was stopped at step {current.trainer.state.global_step}.")
    if current.endings.ended == "max_cost":
        # Evaluating and exporting would cost more than is left; the checkpoint is what the platform goes on from.
        return current.endings.ended
    evaluate(current)
    save(current, config, folders, budget)
    return current.endings.ended


def setup(config: JobConfig, folders: Folders, budget: Budget, interruption: Interruption) -> Run:
    log.capture_transformers()
    device.avoid_triton()
    machine = device.detect()
    tokenizer = load_tokenizer(folders)
    max_length = config.hyperparameters.max_sequence_length
    train_examples = data.read(folders.train, tokenizer, max_length)
    if train_examples is None:
        raise Failure("bad_dataset", "The train channel holds no .jsonl file.")
    validation_examples = data.read(folders.validation, tokenizer, max_length)
    model = load_model(folders, machine)
    progress = callbacks.Progress(folders.metrics, budget)
    endings = callbacks.Endings(budget, interruption)
    trainer = AssistantOnlyTrainer(
        model=model,
        args=training_arguments(config, folders, machine, train_examples, validation_examples),
        train_dataset=train_examples.dataset(),
        eval_dataset=validation_examples.dataset() if validation_examples else None,
        processing_class=tokenizer,
        peft_config=adapter(config, model.config.get_text_config().num_hidden_layers),
        callbacks=[callbacks.Watchdog(), progress, endings, callbacks.Checkpoints()],
    )
    trainer.remove_callback(PrinterCallback)
    return Run(trainer, tokenizer, train_examples, validation_examples, progress, endings)


def load_tokenizer(folders: Folders) -> Any:
    try:
        tokenizer = AutoTokenizer.from_pretrained(folders.base_model)
    except (OSError, ValueError) as error:
        raise Failure("bad_base_model", f"The base model's tokenizer cannot be loaded: {error}") from error
    # The long-document warning counts against this; rows are cut at max_sequence_length here.
    tokenizer.padding_side = "right"
    return tokenizer


def load_model(folders: Folders, machine: device.Device) -> Any:
    try:
        return AutoModelForCausalLM.from_pretrained(
            folders.base_model, use_safetensors=True, trust_remote_code=False, **machine.loading_arguments
        )
    except (OSError, ValueError) as error:
        raise Failure("bad_base_model", f"The base model cannot be loaded: {error}") from error


def adapter(config: JobConfig, layers_of_model: int) -> LoraConfig:
    settings = config.adapter
    modules = settings.target_modules
    top = None
    if settings.layers is not None and settings.layers < layers_of_model:
        top = list(range(layers_of_model - settings.layers, layers_of_model))
        # PEFT refuses to pick layers together with "all-linear".
        modules = LINEAR_LAYERS if modules == "all-linear" else modules
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=modules,
        layers_to_transform=top,
    )


def training_arguments(
    config: JobConfig, folders: Folders, machine: device.Device, train: data.Examples, validation: data.Examples | None
) -> SFTConfig:
    asked = config.hyperparameters
    steps = math.ceil(asked.epochs * math.ceil(len(train) / asked.batch_size))
    return SFTConfig(
        output_dir=str(folders.checkpoints),
        seed=config.seed,
        num_train_epochs=asked.epochs,
        learning_rate=asked.learning_rate,
        lr_scheduler_type=asked.lr_scheduler,
        # A warm-up as long as the run would end it before the learning rate is ever reached.
        warmup_steps=min(asked.warmup_steps, steps // 2),
        per_device_train_batch_size=asked.batch_size,
        per_device_eval_batch_size=asked.batch_size,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        logging_steps=max(1, steps // REPORTS_PER_RUN),
        logging_nan_inf_filter=False,
        include_num_input_tokens_seen="non_padding",
        save_strategy="steps",
        save_steps=math.ceil(steps / CHECKPOINTS_PER_RUN),
        save_total_limit=CHECKPOINTS_KEPT,
        eval_strategy="epoch" if validation else "no",
        disable_tqdm=True,
        report_to="none",
        **machine.training_arguments,
    )


def train(current: Run, folders: Folders) -> None:
    checkpoints.remove_incomplete(folders.checkpoints)
    resume_from = checkpoints.newest(folders.checkpoints)
    if resume_from:
        log.info("continuing from a checkpoint", checkpoint=resume_from.name)
    current.trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)


def evaluate(current: Run) -> None:
    """The validation loss of the final weights, unless the last epoch's evaluation was already theirs."""
    if current.validation and _last(current, "eval_loss", "step") != current.trainer.state.global_step:
        current.trainer.evaluate()


def save(current: Run, config: JobConfig, folders: Folders, budget: Budget) -> None:
    current.progress.write("saving", current.trainer.args, current.trainer.state)
    model = current.trainer.accelerator.unwrap_model(current.trainer.model)
    card = model_card(current, config, budget)
    # The folder it was loaded from means nothing elsewhere.
    model.peft_config["default"].base_model_name_or_path = config.base_model.id
    model.peft_config["default"].revision = config.base_model.revision
    export.save(model, current.tokenizer, card, folders.model)


def write_result(current: Run, config: JobConfig, folders: Folders) -> None:
    state = current.trainer.state
    result = {"attempt": config.attempt, "ended": current.endings.ended, "step": state.global_step}
    write_json(folders.result, {**result, "total_steps": state.max_steps})


def model_card(current: Run, config: JobConfig, budget: Budget) -> dict[str, Any]:
    state, parameters = current.trainer.state, list(current.trainer.model.parameters())
    return {
        "format_version": export.FORMAT_VERSION,
        "name": config.names.model,
        "job_id": config.job_id,
        "attempt": config.attempt,
        "base_model": config.base_model.model_dump(),
        "method": config.method,
        "adapter": config.adapter.model_dump(),
        "hyperparameters": config.hyperparameters.model_dump(),
        "metrics": metrics(current),
        "ended": current.endings.ended,
        "trained_tokens": int(state.num_input_tokens_seen),
        "steps": state.global_step,
        "seconds": round(budget.seconds, 1),
        "cost": round(budget.cost, 4),
        "dataset": {"train": described(current.train), "validation": described(current.validation)},
        "template_sha256": export.template_sha256(current.tokenizer),
        "versions": export.versions(),
        "seed": config.seed,
        "parameters": sum(parameter.numel() for parameter in parameters if not parameter.requires_grad),
        "trainable_parameters": sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
    }


def metrics(current: Run) -> dict[str, float | None]:
    validation_loss = _last(current, "eval_loss")
    training_loss = _last(current, "loss")
    judged = training_loss if validation_loss is None else validation_loss
    accuracy = "mean_token_accuracy" if validation_loss is None else "eval_mean_token_accuracy"
    return {
        "training_loss": training_loss,
        "validation_loss": validation_loss,
        "perplexity": None if judged is None else math.exp(min(judged, 100)),
        "token_accuracy": _last(current, accuracy),
        "epoch": current.trainer.state.epoch,
    }


def described(examples: data.Examples | None) -> dict[str, Any] | None:
    if examples is None:
        return None
    names = ("rows", "sha256", "tokens", "truncated", "dropped")
    return {name: getattr(examples, name) for name in names}


def _last(current: Run, name: str, field: str | None = None) -> Any:
    """The newest logged value of `name`, or `field` of the entry that has it; None if it was never logged."""
    entries = (entry for entry in reversed(current.trainer.state.log_history) if name in entry)
    return next((entry[field or name] for entry in entries), None)
