"""The job config (input/data/config/job.json), checked as a whole before anything heavy is imported."""

import difflib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trainer.failures import Failure

MethodName = Literal["sft"]
SchedulerName = Literal["linear", "cosine", "constant", "constant_with_warmup"]
LINEAR_LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class BaseModelRef(_Section):
    """Which base model the snapshot in input/data/model is."""

    id: Annotated[str, Field(min_length=1, max_length=200)]
    revision: Annotated[str, Field(min_length=1, max_length=100)]


class Adapter(_Section):
    """LoRA (https://arxiv.org/abs/2106.09685). `layers` trains only that many layers, counted from the top."""

    type: Literal["lora"] = "lora"
    rank: Annotated[int, Field(ge=1, le=512)] = 16
    alpha: Annotated[float, Field(gt=0, le=2048)] = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    target_modules: Literal["all-linear"] | Annotated[list[str], Field(min_length=1)] = "all-linear"
    layers: Annotated[int, Field(ge=1)] | None = None


class Hyperparameters(_Section):
    """`batch_size` is rows per step; `warmup_steps` is cut to the length of the run."""

    epochs: Annotated[float, Field(gt=0, le=100)] = 3
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 2e-4
    batch_size: Annotated[int, Field(ge=1, le=1024)] = 8
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    max_sequence_length: Annotated[int, Field(ge=8, le=1_048_576)] = 2048
    lr_scheduler: SchedulerName = "linear"


class Limits(_Section):
    """Planned endings, in seconds and in the price's currency, both counted over the whole attempt."""

    max_seconds: Annotated[int, Field(ge=1)] | None = None
    max_cost: Annotated[float, Field(gt=0)] | None = None
    price_per_second: Annotated[float, Field(ge=0)] = 0.0


class Names(_Section):
    model: str = ""


class JobConfig(_Section):
    version: Literal[1]
    organization_id: str
    job_id: Annotated[str, Field(min_length=1)]
    attempt: Annotated[int, Field(ge=1)] = 1
    method: MethodName = "sft"
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 42
    base_model: BaseModelRef
    adapter: Adapter = Adapter()
    hyperparameters: Hyperparameters = Hyperparameters()
    limits: Limits = Limits()
    names: Names = Names()


def load(path: Path) -> JobConfig:
    """Read and check the config. Raises Failure(bad_config) that names every field at fault."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Failure("bad_config", f"The job config {path} is missing.") from None
    except (ValueError, OSError) as error:
        raise Failure("bad_config", f"The job config {path} is not readable JSON: {error}") from None
    try:
        return JobConfig.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(_problem(details) for details in error.errors())
        raise Failure("bad_config", f"The job config is wrong. {problems}") from None


def _problem(details: Any) -> str:
    place = [str(part) for part in details["loc"]]
    field = ".".join(place)
    if details["type"] == "extra_forbidden":
        return f"{field}: unknown name{_nearest(place)}"
    given = "" if details["type"] == "missing" else f" (given: {details['input']!r:.80})"
    return f"{field}: {details['msg']}{given}"


def _nearest(place: list[str]) -> str:
    names = list(_section_at(place[:-1]).model_fields)
    found = difflib.get_close_matches(place[-1], names, n=1)
    return f", did you mean {found[0]}?" if found else f", known are: {', '.join(names)}"


def _section_at(place: list[str]) -> type[BaseModel]:
    section: type[BaseModel] = JobConfig
    for name in place:
        section = section.model_fields[name].annotation  # type: ignore[assignment]
    return section
