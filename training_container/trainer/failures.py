"""Every way a run can fail: its code, whose fault it is, and what to do about it.

The platform shows `code`, `message` and `hint` on the job itself. SageMaker carries them there: it copies the file
`output/failure` into the job's FailureReason, cut at 1,024 characters.
"""

import errno
import json
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from trainer import files, log, suggestions
from trainer.folders import Folders

if TYPE_CHECKING:
    from trainer.config import JobConfig

USER, OURS, RESUMABLE = 1, 2, 3
# What SageMaker writes around it, `AlgorithmError: …, exit code: 137`, counts too.
MAX_FAILURE_BYTES, MAX_HINT_BYTES = 980, 500
MAX_TRACEBACK_CHARACTERS = 20_000
EVIDENCE_LINES, MAX_EVIDENCE_CHARACTERS = 3, 300

# code: (exit code, hint). The hint ends up in front of the person who started the job.
CODES = {
    "bad_config": (USER, "Correct the named field and start the job again."),
    "bad_dataset": (USER, "Correct the named lines, upload the file again and start a new job."),
    "template_missing": (
        USER,
        "Give the rows as prompt and completion, or fine-tune the instruction-tuned variant of this model.",
    ),
    "template_mismatch": (OURS, "Serve the model with the tokenizer and chat template of its own folder."),
    "nan_loss": (USER, "Lower learning_rate or raise warmup_steps and train again."),
    "zero_loss": (USER, "Check what is trained in a preview of the rows, and lower learning_rate."),
    "divergence": (USER, "Lower learning_rate or raise warmup_steps and train again."),
    "oom": (USER, "Lower max_sequence_length, train an adapter, or choose hardware with more memory."),
    "bad_adapter": (
        USER,
        "Start from a LoRA adapter of the same base model, as safetensors with its adapter_config.json.",
    ),
    "unservable": (USER, "Train with rank up to 256 on the linear layers of the blocks, or export merged weights."),
    "bad_import": (
        USER,
        "Give a folder with a PEFT adapter, or with merged weights as safetensors and their config.json.",
    ),
    "bad_tasks": (USER, "Correct the task files in the tasks channel, or leave their names out."),
    "bad_base_model": (OURS, "Stage the base model again."),
    "disk_full": (OURS, "Give the job a larger volume and restart it: it continues from the last checkpoint."),
    "other_run": (USER, "Restart from scratch, or bring back what has changed."),
    "worker_lost": (
        OURS,
        "Restart the job: it goes on from the last checkpoint. Often it was a lack of memory.",
    ),
    "interrupted": (RESUMABLE, "Restart the job: it continues from the last checkpoint."),
    "gated_model": (USER, "Accept the model's licence on the hub and store a token that may read it."),
    "model_not_found": (USER, "Check the model id and the revision."),
    "no_safetensors": (USER, "Choose a model that is published as safetensors: pickle files are never loaded."),
    "network": (OURS, "Start the job again: staging continues with the files that are missing."),
    "export_unsupported": (USER, "Choose another kind of export for this model."),
    "export_skipped": (USER, "Ask for the export on its own, or give the run more time or a higher cap."),
    "export_failed": (OURS, "The model itself is unharmed. Export another kind, and report the numbers of this one."),
    "proof_skipped": (
        USER,
        "The model itself is whole. Its deployments cannot be compared with the run's own answers.",
    ),
    "internal": (OURS, "Restart the job. If it fails again, report the traceback in checkpoints/failure.json."),
}


# What gloo and NCCL say when the other end is gone.
_LOST = ("Connection closed by peer", "Connection reset by peer", "NCCL communicator was aborted", "NCCL error")


class Failure(Exception):
    """A failure with a code of the table above. `hint` replaces the code's own when the case allows a better one."""

    def __init__(self, code: str, message: str, hint: str | None = None) -> None:
        self.code = code
        self.message = log.plain(message)
        self.hint = log.plain(hint or CODES[code][1])
        super().__init__(self.message)

    @property
    def exit_code(self) -> int:
        return CODES[self.code][0]


def classify(error: BaseException) -> Failure:
    """The failure behind any exception; what nobody expected becomes `internal`."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Failure("interrupted", "The run was stopped from the keyboard.")
    text = f"{type(error).__name__}: {error}"
    if _is_disk_full(error, text):
        return Failure("disk_full", f"The disk is full: {error}")
    if any(found in text for found in _LOST):
        return Failure("worker_lost", f"Another training process was lost: {_first_line(error)}")
    if _is_out_of_memory(error, text):
        return Failure("oom", f"Out of memory: {_first_line(error)}")
    return Failure("internal", text)


def _is_disk_full(error: BaseException, text: str) -> bool:
    # EFBIG is what a limit on file size gives; the texts are safetensors' and torch.save's way to say the same.
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    texts = ("No space left on device", "os error 28", "os error 27", "File too large", "PytorchStreamWriter failed")
    return any(found in text for found in texts) or ("enforce fail" in text and "unexpected pos" in text)


def _is_out_of_memory(error: BaseException, text: str) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return "can't allocate memory" in text or "CUDA out of memory" in text or "CUBLAS_STATUS_ALLOC_FAILED" in text


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def report(error: BaseException, folders: Folders, config: "JobConfig | None" = None) -> int:
    """Log the failure, leave its short form for SageMaker and its details beside the checkpoints; the exit code.

    config: with every "auto" resolved where that was reached, since a suggestion starts from the values. Never raises:
    a full disk or an odd character must not hide the failure that is being reported.
    """
    failure = classify(error)
    with suppress(Exception):
        files.write_json(folders.failure, _short(failure))
    with suppress(Exception):
        files.write_json(folders.traceback, _details(failure, error, config))
    with suppress(Exception):
        log.error(failure.message, code=failure.code, hint=failure.hint)
    return failure.exit_code


def _details(failure: Failure, error: BaseException, config: "JobConfig | None") -> dict[str, Any]:
    told = log.plain("".join(traceback.format_exception(error)))
    # Where it happened and what was said, as a traceback ends.
    last = [line.strip()[:MAX_EVIDENCE_CHARACTERS] for line in told.strip().splitlines()[-EVIDENCE_LINES:]]
    return {
        "attempt": config.attempt if config else 1,
        "code": failure.code,
        "message": failure.message,
        "hint": failure.hint,
        "evidence": [*log.recent(), *last],
        "suggestion": suggestions.change(failure.code, config.hyperparameters) if config else None,
        "traceback": told[-MAX_TRACEBACK_CHARACTERS:],
    }


def _short(failure: Failure) -> dict[str, str]:
    """The failure in at most MAX_FAILURE_BYTES bytes of JSON, of which the message gets what the hint leaves."""
    content = {"code": failure.code, "message": "", "hint": _cut(failure.hint, MAX_HINT_BYTES)}
    room = MAX_FAILURE_BYTES - _size(content) - 1  # the line's end
    return content | {"message": _cut(failure.message, room)}


def _cut(text: str, room: int) -> str:
    """Text that adds at most `room` bytes of JSON, its end cut off where it is longer."""
    while (excess := _size(text) - 2 - room) > 0:
        # No character takes more than six bytes, as its escape.
        text = text[: -(excess // 6 + 2)].rstrip() + "…"
    return text


def _size(content: Any) -> int:
    return len(json.dumps(content, ensure_ascii=False).encode())
