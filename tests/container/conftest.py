"""One tiny base model and one tuned adapter for the whole session; every run gets a root folder of its own."""

import importlib.util
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
TICKETS = REPOSITORY / "training_container" / "demo" / "tickets"
# Set before PyTorch is imported anywhere, also for the processes the tests start.
os.environ["OMP_WAIT_POLICY"] = "passive"
os.environ["HF_HUB_OFFLINE"] = "1"
_SOURCES = [str(REPOSITORY / path) for path in ("training_container", "layers/core/python", ".")]
os.environ["PYTHONPATH"] = os.pathsep.join([*_SOURCES, os.environ.get("PYTHONPATH", "")])

# The platform's environment has no PyTorch; there this folder has nothing to run.
collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["test_*.py"]

MakeRoot = Callable[..., Path]
Validate = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base model's snapshot."""
    from demo import tiny_model

    return tiny_model.build(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def with_template(tiny: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Makes a snapshot of the tiny base model with another chat template."""

    def make(template: str) -> Path:
        shutil.copytree(tiny, tmp_path / "model")
        (tmp_path / "model" / "chat_template.jinja").write_text(template)
        return tmp_path / "model"

    return make


@pytest.fixture
def tokenizer(tiny: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny)


@pytest.fixture(scope="session")
def make_root(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeRoot:
    """A root folder as SageMaker lays it out; keywords replace parts of the job config."""

    def make(*, rows: list[str] | None = None, validation: bool = False, **changes: Any) -> Path:
        root = tmp_path_factory.mktemp("root")
        inputs = root / "input" / "data"
        for name in ("config", "train"):
            (inputs / name).mkdir(parents=True)
        (inputs / "model").symlink_to(tiny)
        lines = (TICKETS / "train.jsonl").read_text().splitlines()[::3] if rows is None else rows
        (inputs / "train" / "train.jsonl").write_text("\n".join(lines) + "\n")
        if validation:
            (inputs / "validation").mkdir()
            shutil.copy(TICKETS / "heldout.jsonl", inputs / "validation" / "validation.jsonl")
        (inputs / "config" / "job.json").write_text(json.dumps(job_config(**changes)))
        return root

    return make


@pytest.fixture
def validated(tmp_path: Path, tiny: Path) -> Validate:
    """Runs the program over the bytes of a training file, perhaps of a validation file; its exit code and report."""

    from trainer import validate

    def run(train: bytes, *arguments: str, validation: bytes | None = None) -> tuple[int, dict[str, Any]]:
        given = ["--model", str(tiny), "--output", str(tmp_path / "report.json"), *arguments]
        for name, content in (("train", train), ("validation", validation)):
            if content is not None:
                (tmp_path / f"{name}.jsonl").write_bytes(content)
                given += [f"--{name}", str(tmp_path / f"{name}.jsonl")]
        code = validate.main(given)
        return code, json.loads((tmp_path / "report.json").read_text())

    return run


TRAINING = {
    "epochs": 4,
    "learning_rate": 0.02,
    "batch_size": 8,
    "max_sequence_length": 256,
    "lora_rank": 8,
    "lora_alpha": 16,
    "validation_share": 0,
}


def job_config(**changes: Any) -> dict[str, Any]:
    """33 rows in steps of 8: 5 steps per epoch, 20 in all."""
    return {
        "version": 1,
        "organization_id": "org_test",
        "job_id": "job_test",
        "attempt": 1,
        "method": "sft",
        "seed": 42,
        "base_model": {"id": "luthier/tiny", "revision": "main"},
        "hyperparameters": TRAINING | changes.pop("hyperparameters", {}),
        # Untuned, the tiny model rambles on to the last token it may write.
        "evaluation": {"max_new_tokens": 24},
        "limits": {"max_seconds": None, "max_cost": None, "price_per_second": 0.0},
        "names": {"model": "tiny-test"},
        **changes,
    }


@pytest.fixture(scope="session")
def tuned(make_root: MakeRoot) -> Path:
    """The root folder of one finished run with a validation file."""
    from tests.container.programs import run

    root = make_root(validation=True)
    assert run("trainer.train", "--root", root).exit_code == 0
    return root


@pytest.fixture(scope="session", autouse=True)
def _stop_forkserver() -> Iterator[None]:
    yield
    from multiprocessing import forkserver

    forkserver._forkserver._stop()  # type: ignore[attr-defined]  # else it outlives the session for a while
