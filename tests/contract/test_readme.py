"""The README keeps its word: its commands, paths and routes exist."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
ROUTES = json.loads((ROOT / "functions" / "api" / "openapi.json").read_text())["paths"]


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:`|^)make ([a-z-]+)", README, re.MULTILINE))))
def test_every_make_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_every_linked_file_exists(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"(?:\$LUTHIER_BASE_URL|POST |GET )(/[\w/{}.-]+)", README))))
def test_every_route_exists(path: str) -> None:
    known = {re.sub(r"{[^}]*}", "{}", route) for route in ROUTES}
    assert re.sub(r"{[^}]*}", "{}", path) in known | {"/openapi.json"}


def test_the_sample_file_of_the_first_call_is_there() -> None:
    (sample,) = set(re.findall(r"file=@(\S+)", README))
    assert (ROOT / sample).stat().st_size > 0
