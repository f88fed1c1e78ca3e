"""The rules of the house that a machine can check: which way imports point, what importing does, how long files are."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "layers" / "core" / "python"
MOST_LINES = 400
# Modules of the domain that an entity may use: they import only the standard library themselves.
PURE = ("errors", "ids", "clock")
API_MODULES = sorted(path.stem for path in (ROOT / "functions" / "api").glob("*.py") if path.stem != "__init__")


def sources(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*.py") if "node_modules" not in path.parts)


def imported(path: Path) -> Iterator[str]:
    """Everything that a file imports, at its top or later: `json`, `luthier.clock`, `luthier.errors.NotFound`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def offenders(folder: Path, *forbidden: str) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(folder)
        for name in imported(path)
        if name.split(".")[0] in forbidden
    ]


def test_functions_never_import_the_aws_sdk_or_the_infrastructure() -> None:
    assert offenders(ROOT / "functions", "boto3", "botocore", "infra", "tests", "trainer") == []


def test_the_domain_never_imports_what_is_built_on_it() -> None:
    assert offenders(CORE, "functions", "infra", "tests", "trainer") == []


def test_the_trainer_knows_only_itself_and_pure_parts_of_the_domain() -> None:
    assert offenders(ROOT / "training_container" / "trainer", "functions", "infra", "tests") == []


def test_nothing_but_tests_imports_the_infrastructure() -> None:
    assert offenders(CORE, "infra") + offenders(ROOT / "functions", "infra") == []


@pytest.mark.parametrize("path", sorted(CORE.rglob("entity.py")), ids=lambda path: path.parent.name)
def test_an_entity_imports_only_the_standard_library(path: Path) -> None:
    for name in imported(path):
        package, *rest = name.split(".")
        pure = package == "luthier" and (rest[0] in PURE or rest[1:2] == ["entity"])
        assert pure or package in sys.stdlib_module_names, name


def test_a_function_asset_cannot_hide_the_layers_package() -> None:
    assert not (ROOT / "functions" / "luthier").exists()
    assert not (ROOT / "infra" / "constructs").exists()


@pytest.mark.parametrize(
    "path",
    sources(CORE, ROOT / "functions", ROOT / "infra", ROOT / "training_container", ROOT / "tests"),
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_a_file_stays_readable(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize("folder", ["utils", "common", "shared", "helpers"])
def test_no_module_is_called_by_what_it_is_not(folder: str) -> None:
    named = [
        path for path in sources(CORE, ROOT / "functions", ROOT / "infra") if folder in (path.stem, path.parent.name)
    ]
    assert named == []


@pytest.mark.parametrize("module", API_MODULES)
def test_importing_a_handler_does_nothing(module: str) -> None:
    """No AWS SDK, no environment, no sockets: a cold start pays for imports only."""
    check = (
        "import os, socket, sys\n"
        "os.environ.clear()\n"
        "def refuse(*_): raise AssertionError('a connection at import')\n"
        "socket.socket.connect = refuse\n"
        f"import functions.api.{module}\n"
        "heavy = {'boto3', 'botocore.client', 'torch', 'numpy', 'aws_cdk'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    ran = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
