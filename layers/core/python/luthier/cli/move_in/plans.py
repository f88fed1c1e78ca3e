"""What would become of each job: the request that trains it again, or the reason why nothing can."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from luthier.cli.move_in.folder import Folder
from luthier.cli.move_in.rows import Checked, check
from luthier.cli.stop import Stop

METHODS = {"supervised": "sft", "dpo": "dpo"}
_HYPERPARAMETERS = ("n_epochs", "batch_size", "learning_rate_multiplier")
_LONGEST_VALUE, _MOST_KEYS, _LONGEST_SUFFIX = 512, 16, 64
_LARGEST_SEED = 2**31 - 1


@dataclass(frozen=True)
class Plan:
    """old_name: as the model is called at OpenAI; parent: the old name of the model that the job went on from.

    reason: why it cannot be trained again, None where it can.
    """

    job: dict[str, Any]
    method: str
    old_name: str | None
    parent: str | None = None
    training: Checked | None = None
    validation: Checked | None = None
    checkpoint: dict[str, Any] = field(default_factory=dict)
    reason: str | None = None

    @property
    def id(self) -> str:
        return str(self.job["id"])

    def body(self, model: str, training_file: str, validation_file: str | None) -> dict[str, Any]:
        """The job on a model of the platform with files of the platform; checked and priced, but not started."""
        wish = {
            "model": model,
            "training_file": training_file,
            "validation_file": validation_file,
            "suffix": _suffix(self.job),
            "seed": _seed(self.job),
            "method": {"type": self.method, self.method: {"hyperparameters": _hyperparameters(self.job, self.method)}},
            "metadata": self._metadata(),
            "auto_start": False,
        }
        return {name: value for name, value in wish.items() if value is not None}

    def _metadata(self) -> dict[str, str]:
        """What the job was called and how it ended, before what its owner had noted."""
        metrics = {name: value for name, value in (self.checkpoint.get("metrics") or {}).items() if value is not None}
        facts = {
            "moved_from": self.id,
            "moved_name": self.old_name,
            "moved_metrics": " ".join(f"{name}={value}" for name, value in metrics.items()),
        }
        known = {name: value[:_LONGEST_VALUE] for name, value in facts.items() if value}
        noted = {name: str(value) for name, value in (self.job.get("metadata") or {}).items() if name not in known}
        return dict([*known.items(), *noted.items()][:_MOST_KEYS])


def plans(folder: Folder) -> list[Plan]:
    """One for each job, oldest first. Every dataset is read once."""
    checks: dict[tuple[Path, str], Checked | Stop] = {}
    earlier: dict[str, Plan] = {}
    found = []
    for job in folder.oldest_first:
        plan = _plan(folder, job, earlier, checks)
        found.append(plan)
        if plan.old_name:
            earlier[plan.old_name] = plan
    return found


def _plan(
    folder: Folder, job: dict[str, Any], earlier: dict[str, Plan], checks: dict[tuple[Path, str], Checked | Stop]
) -> Plan:
    given = job.get("method")
    method = str(given.get("type")) if isinstance(given, dict) else "supervised"
    parent = job["model"] if job["model"].startswith("ft:") else None
    facts: dict[str, Any] = {"job": job, "method": method, "old_name": job.get("fine_tuned_model"), "parent": parent}

    def checked(file_id: str | None) -> Checked | None:
        if not file_id:
            return None
        known = (folder.content_of(file_id), METHODS[method])
        if known not in checks:
            try:
                checks[known] = check(*known)
            except Stop as stop:
                checks[known] = stop
        if isinstance(found := checks[known], Stop):
            raise found
        return found

    try:
        _require(job, method, parent, earlier)
        training, validation = checked(job["training_file"]), checked(job.get("validation_file"))
    except Stop as stop:
        return Plan(**facts, reason=f"{stop} {stop.remedy}".strip())
    return Plan(**facts, training=training, validation=validation, checkpoint=folder.checkpoints.get(job["id"], {}))


def _require(job: dict[str, Any], method: str, parent: str | None, earlier: dict[str, Plan]) -> None:
    """What has to be so before any file is looked at. Raises Stop."""
    if job.get("status") != "succeeded":
        raise Stop(f"It is {job.get('status') or 'of no status'}, so there is no model to replace.", "")
    if method not in METHODS:
        raise Stop(f"{method} fine-tuning is not supported.", f"Supported: {', '.join(METHODS)}.")
    if parent and parent not in earlier:
        raise Stop(f"It goes on from {parent}, which no earlier job in the folder has made.", "Add that job.")
    if parent and earlier[parent].reason:
        raise Stop(f"It goes on from what {earlier[parent].id} has made, which cannot be trained again.", "")


def _hyperparameters(job: dict[str, Any], method: str) -> dict[str, Any]:
    of_method = ((job.get("method") or {}).get(method) or {}).get("hyperparameters")
    given = of_method or job.get("hyperparameters") or {}
    names = (*_HYPERPARAMETERS, "beta") if method == "dpo" else _HYPERPARAMETERS
    return {name: given[name] for name in names if given.get(name) is not None}


def _suffix(job: dict[str, Any]) -> str | None:
    """As it was given, else as it stands in the name: ft:<base>:<organization>:<suffix>:<id>."""
    parts = (job.get("fine_tuned_model") or "").split(":")
    suffix = job.get("user_provided_suffix") or (parts[3] if len(parts) > 4 else "")
    return re.sub(r"[^A-Za-z0-9._-]+", "-", suffix).strip("._-")[:_LONGEST_SUFFIX] or None


def _seed(job: dict[str, Any]) -> int | None:
    seed = job.get("seed")
    return seed if isinstance(seed, int) and 0 <= seed <= _LARGEST_SEED else None
