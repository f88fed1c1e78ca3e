"""The finished model folder: adapter, tokenizer, chat template and, last of all, the card that makes it a model."""

import platform
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

from trainer import archives, distribution, failures, files, log, proof
from trainer.failures import Failure
from trainer.job import Job

CARD = "model_card.json"
FORMAT_VERSION = 1
LIBRARIES = ("torch", "transformers", "peft", "trl", "tokenizers", "safetensors", "accelerate")


def save(job: Job, trainer: Any, tokenizer: Any, card: dict[str, Any], answers: dict[str, Any]) -> bool:
    """Write the model to a draft beside its folder, then move it in; whether this is the process that writes.

    answers: the content of proof.json. Raises OSError on a full disk.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    # Every process has to give its part of sharded weights; one of them writes.
    state = trainer.accelerator.get_state_dict(trainer.model) if trainer.is_fsdp_enabled else model.state_dict()
    if not distribution.is_first():
        return False
    folder = job.folders.model
    draft = folder.with_name(f"{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        _write_weights(job, model, state, draft)
        tokenizer.save_pretrained(draft)
        # PEFT's generated README describes nothing of this run.
        (draft / "README.md").unlink(missing_ok=True)
        if card["serving"]["kind"] == "adapter":
            archives.pack_adapter(draft)
        files.write_json(draft / proof.FILE, answers)
        card["files"] = files.listing(draft)
        _write_card(job, card, [], draft)
        move_in(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return True


def convert(job: Job, card: dict[str, Any]) -> None:
    """Make the asked exports beside the finished model; the card, which counts already, gets a row for each.

    One that fails is a row too: the training is done, and can be exported again. Raises Failure(export_failed) where
    the model cannot be served without it, Failure(interrupted) after a stop: a restart makes the others.
    """
    rows: list[dict[str, Any]] = []
    for kind in job.config.exports_wanted:
        if job.interruption.requested:
            raise Failure("interrupted", f"The run was stopped before the export {kind}; the model itself is whole.")
        rows.append(_export(kind, job, rows))
        _write_card(job, card, rows, job.folders.model)
        job.budget.save()
    if card["serving"]["path"] != "." and "error" in rows[0]:
        raise Failure("export_failed", f"The model can only be served merged: {rows[0]['error']['message']}")


def _write_card(job: Job, card: dict[str, Any], rows: list[dict[str, Any]], folder: Path) -> None:
    spent = {"seconds": round(job.budget.seconds, 1), "cost": round(job.budget.cost, 4)}
    files.write_json(folder / CARD, {**card, **spent, "exports": rows})


def _write_weights(job: Job, model: Any, state: dict[str, Any], folder: Path) -> None:
    if hasattr(model, "peft_config"):
        # The folder it was loaded from means nothing elsewhere.
        model.peft_config["default"].base_model_name_or_path = job.config.base_model.id
        model.peft_config["default"].revision = job.config.base_model.revision
        # The vocabulary never changes; PEFT would ask the hub to find that out.
        model.save_pretrained(folder, state_dict=state, save_embedding_layers=False, selected_adapters=["default"])
        return
    from transformers import AutoConfig

    width = AutoConfig.from_pretrained(job.folders.base_model).dtype or model.dtype
    model.config.dtype = width
    model.save_pretrained(folder, state_dict={name: value.to(width) for name, value in state.items()})


def _export(kind: str, job: Job, done: list[dict[str, Any]]) -> dict[str, Any]:
    from trainer import exports

    # What the longest one took so far is the best guess at this one.
    spent = job.budget.exhausted(max((row.get("seconds", 0) for row in done), default=0))
    try:
        if spent:
            raise Failure("export_skipped", f"There was no money or time left for {kind}.")
        return exports.export(kind, job.folders.model, job.folders.base_model, job.folders.model / "exports" / kind)
    except Exception as error:
        failure = failures.classify(error)
        log.error(f"the export {kind} failed: {failure.message}", code=failure.code)
        return {"kind": kind, "error": {"code": failure.code, "message": failure.message, "hint": failure.hint}}


def move_in(draft: Path, folder: Path) -> None:
    """Put a finished draft into the model folder, the card last: it is what makes the rest count."""
    # SageMaker mounts the folder, so it cannot be renamed over.
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CARD).unlink(missing_ok=True)
    for path in sorted(draft.iterdir(), key=lambda path: path.name == CARD):
        if path.is_dir():
            # An earlier one is replaced: `move` would put this one inside it.
            shutil.rmtree(folder / path.name, ignore_errors=True)
        shutil.move(path, folder / path.name)


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}
