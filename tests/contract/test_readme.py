"""The README and the guides keep their word: their commands, paths and routes exist."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README, GUIDES = ((ROOT / name).read_text() for name in ("README.md", "GUIDES.md"))
TEXT = README + GUIDES
ROUTES = json.loads((ROOT / "functions" / "api" / "openapi.json").read_text())["paths"]


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:`|^)make ([a-z-]+)", TEXT, re.MULTILINE))))
def test_every_make_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", TEXT))))
def test_every_linked_file_exists(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize(("file", "anchor"), sorted(set(re.findall(r"\]\(([^)#:]*)#([^)]+)\)", TEXT))))
def test_every_linked_heading_exists(file: str, anchor: str) -> None:
    headings = re.findall(r"^#+ (.+)", (ROOT / (file or "GUIDES.md")).read_text(), re.MULTILINE)
    assert anchor in [heading.lower().replace(" ", "-") for heading in headings]


@pytest.mark.parametrize("path", sorted(set(re.findall(r"(?:\$LUTHIER_BASE_URL|POST |GET )(/[\w/{}.-]+)", TEXT))))
def test_every_route_exists(path: str) -> None:
    known = {re.sub(r"{[^}]*}", "{}", route) for route in ROUTES}
    assert re.sub(r"{[^}]*}", "{}", path) in known | {"/openapi.json"}


def test_the_sample_file_of_the_first_call_is_there() -> None:
    (sample,) = set(re.findall(r"file=@(\S+)", README))
    assert (ROOT / sample).stat().st_size > 0
