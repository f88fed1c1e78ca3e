"""The training image is built from what the trainer needs, and from nothing else."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import app
from infra.components.training_image import LUTHIER, ROOT

TRAINER = ROOT / "training_container" / "trainer"
PACKAGE = ROOT / "layers" / "core" / "python"


@pytest.fixture(scope="module")
def context(deps: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's build context as CDK stages it."""
    outdir = tmp_path_factory.mktemp("image")
    app.build({}, outdir=str(outdir), deps=deps).synth()
    [dockerfile] = outdir.glob("asset.*/training_container/Dockerfile")
    return dockerfile.parent.parent


def test_the_build_context_holds_the_dockerfile_the_pins_the_trainer_and_the_modules_it_shares(context: Path) -> None:
    files = {str(path.relative_to(context)) for path in context.rglob("*") if path.is_file()}
    trainer = {str(path.relative_to(ROOT)) for path in TRAINER.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    shared = {f"layers/core/python/luthier/{module}" for module in LUTHIER}
    pins = {f"training_container/requirements{part}.txt" for part in ("", "-eval", "-gpu", "-wandb")}
    assert files - trainer - shared == {"training_container/Dockerfile", *pins}
    assert trainer | shared <= files


def test_every_module_of_luthier_that_the_trainer_reaches_is_in_the_image() -> None:
    reached: set[str] = set()
    waiting = [module for path in TRAINER.rglob("*.py") for module in _imports_of_luthier(path)]
    while waiting:
        file = f"{waiting.pop().replace('.', '/')}.py"
        if file not in reached:
            reached.add(file)
            waiting += _imports_of_luthier(PACKAGE / file)
    assert {file.removeprefix("luthier/") for file in reached} == {name for name in LUTHIER if "__init__" not in name}


def test_the_dockerfile_copies_only_what_is_in_the_context(context: Path) -> None:
    lines = (context / "training_container" / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    sources = [source for line in lines if line.startswith("COPY ") for source in line.split()[1:-1]]
    assert len(sources) > 3
    assert [source for source in sources if not (context / source).exists()] == []


def _imports_of_luthier(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (module := node.module or "").startswith("luthier."):
            package = (PACKAGE / module.replace(".", "/")).is_dir()
            yield from (f"{module}.{name.name}" for name in node.names) if package else [module]
