"""The job config (input/data/config/job.json), checked as a whole before anything heavy is imported.

Its hyperparameters are those of the platform's own table, so that API, documentation and trainer cannot disagree.
"""

import difflib
import json
import unicodedata
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from luthier.errors import InvalidRequest
from luthier.jobs import hyperparameters as table
from trainer import log
from trainer.failures import Failure

MethodName = Literal["sft", "dpo", "orpo", "kto"]
ExportKind = Literal["merged", "pytorch", "gguf-f16", "gguf-q8_0", "onnx", "tensorrt"]
MAX_EXAMPLES, MAX_NEW_TOKENS = 10_000, 8_192
MAX_WEIGHT = 100
# Of a name or a value, in an error.
MAX_SHOWN = 60


def _plain(text: str) -> str:
    # Half of a surrogate pair cannot be written as UTF-8, and a control character stays unseen where it is read.
    if strange := [character for character in text if unicodedata.category(character) in ("Cc", "Cs")]:
        raise ValueError(f"holds the character U+{ord(strange[0]):04X}, which no name may hold")
    return text


Text = Annotated[str, AfterValidator(_plain)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, arbitrary_types_allowed=True)


class BaseModelRef(_Section):
    """Which base model the snapshot in input/data/model is."""

    id: Annotated[Text, Field(min_length=1, max_length=200)]
    revision: Annotated[Text, Field(min_length=1, max_length=100)]


class StartFrom(_Section):
    """The model whose adapter, in input/data/adapter, this run goes on from."""

    model: Annotated[Text, Field(min_length=1, max_length=500)]


class Evaluation(_Section):
    """What is asked of the finished model, and of its base model for comparison.

    generate: whether held-out rows are answered and scored; tasks: names of lm-eval tasks in input/data/tasks.
    """

    generate: bool = True
    max_examples: Annotated[int, Field(ge=1, le=MAX_EXAMPLES)] = 100
    max_new_tokens: Annotated[int, Field(ge=1, le=MAX_NEW_TOKENS)] = 256
    tasks: list[Text] = []


class Limits(_Section):
    """Planned endings, in seconds and in the price's currency, both counted over the whole attempt."""

    max_seconds: Annotated[int, Field(ge=1)] | None = None
    max_cost: Annotated[float, Field(gt=0)] | None = None
    price_per_second: Annotated[float, Field(ge=0)] = 0.0


class Data(_Section):
    """weights: by file of the train channel, how often each of its rows is trained on, 1 where it is not named; the
    fraction of a weight is the share of rows that come once more. invalid_share: of lines that may be bad and are
    skipped.
    """

    weights: dict[Text, Annotated[float, Field(gt=0, le=MAX_WEIGHT)]] = {}
    invalid_share: Annotated[float, Field(ge=0, le=0.5)] = 0.0


class WandbRun(_Section):
    """The run of Weights & Biases that this one becomes."""

    project: Annotated[Text, Field(min_length=1, max_length=128)]
    name: Annotated[Text, Field(max_length=128)] | None = None
    entity: Annotated[Text, Field(max_length=128)] | None = None
    tags: list[Text] = []


class Names(_Section):
    model: Text = ""


# The seed stands beside them: it is of the run, not of the method.
_ROWS = {row.name: row for row in table.HYPERPARAMETERS if row.name != "seed"}


def _hyperparameters(given: Any, info: Any) -> SimpleNamespace:
    """Every hyperparameter by name, checked by the table. What means nothing to this job is None."""
    if not isinstance(given, dict):
        raise ValueError("must be an object")
    method = info.data.get("method", "sft")
    if problems := [problem for name in given if (problem := _fault(name, given, method))]:
        raise ValueError("; ".join(problems))
    return SimpleNamespace(**dict.fromkeys(_ROWS) | _resolved(given, method))


def _fault(name: str, given: dict[str, Any], method: str) -> str | None:
    if name not in _ROWS:
        return _unknown(name, list(_ROWS))
    try:
        _resolved({"adapter": given.get("adapter"), name: given[name]}, method)
    except InvalidRequest as error:
        return error.message.rstrip(".").replace(f"hyperparameters.{_ROWS[name].wire}", name, 1)
    return None


def _resolved(given: dict[str, Any], method: str) -> dict[str, Any]:
    # The base model's own limit is known to its config only, which the recipe reads.
    wired = {_ROWS[name].wire: value for name, value in given.items() if value is not None}
    resolved = table.resolve(wired, longest=int(_ROWS["max_sequence_length"].maximum or 0), method=method)
    return {name: value for name, value in resolved.items() if name in _ROWS}


class JobConfig(_Section):
    version: Literal[1]
    organization_id: Text
    job_id: Annotated[Text, Field(min_length=1)]
    attempt: Annotated[int, Field(ge=1)] = 1
    method: MethodName = "sft"
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 42
    base_model: BaseModelRef
    start_from: StartFrom | None = None
    # By name, as in luthier.jobs.hyperparameters; "auto" is resolved once the data is known.
    hyperparameters: Annotated[Any, BeforeValidator(_hyperparameters), Field(validate_default=True)] = {}
    evaluation: Evaluation = Evaluation()
    exports: list[ExportKind] = []
    limits: Limits = Limits()
    data: Data = Data()
    wandb: WandbRun | None = None
    names: Names = Names()

    @property
    def exports_wanted(self) -> list[str]:
        """The asked ones, and merged weights for DoRA, which is served as a model of its own."""
        needed = ["merged"] if self.hyperparameters.use_dora and "merged" not in self.exports else []
        return [*needed, *self.exports]


def load(path: Path) -> JobConfig:
    """Read and check the config. Raises Failure(bad_config) that names every field at fault."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_object)
    except FileNotFoundError:
        raise Failure("bad_config", f"The job config {path} is missing.") from None
    except RecursionError:
        raise Failure("bad_config", f"The job config {path} is nested too deep.") from None
    except (ValueError, OSError) as error:
        raise Failure("bad_config", f"The job config {path} is not readable JSON: {error}") from None
    try:
        return JobConfig.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(_problem(details) for details in error.errors())
        raise Failure("bad_config", f"The job config is wrong. {problems}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Pydantic cannot name a field whose name UTF-8 cannot hold.
    return {log.plain(name): value for name, value in pairs}


def _problem(details: Any) -> str:
    place = [str(part) for part in details["loc"]]
    if details["type"] == "extra_forbidden":
        return ".".join([*place[:-1], _unknown(place[-1], list(_section_at(place[:-1]).model_fields))])
    field = ".".join(place) or "the whole"
    if details["type"] == "value_error":
        return f"{field}: {details['ctx']['error']}"
    given = "" if details["type"] == "missing" else f" (given: {_brief(repr(details['input']))})"
    return f"{field}: {details['msg']}{given}"


def _unknown(name: str, known: list[str]) -> str:
    name = _brief(name)
    found = difflib.get_close_matches(name, known, n=1)
    return f"{name}: unknown name" + (f", did you mean {found[0]}?" if found else f", known are: {', '.join(known)}")


def _brief(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _section_at(place: list[str]) -> type[BaseModel]:
    section: type[BaseModel] = JobConfig
    for name in place:
        annotation: Any = section.model_fields[name].annotation
        # A part that may be left out is a union with None.
        section = next(part for part in (annotation, *get_args(annotation)) if hasattr(part, "model_fields"))
    return section
