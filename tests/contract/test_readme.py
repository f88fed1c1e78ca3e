"""The README and the guides keep their word: their commands, paths and routes exist."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from luthier.cli import app

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


def links(name: str) -> set[tuple[str, str]]:
    """(file, heading) of every link to a heading; of the same file where it names none."""
    return {
        (file or name, anchor) for file, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", (ROOT / name).read_text())
    }


@pytest.mark.parametrize(("file", "anchor"), sorted(links("README.md") | links("GUIDES.md")))
def test_every_linked_heading_exists(file: str, anchor: str) -> None:
    headings = re.findall(r"^#+ (.+)", (ROOT / file).read_text(), re.MULTILINE)
    assert anchor in [heading.lower().replace(" ", "-") for heading in headings]


@pytest.mark.parametrize("path", sorted(set(re.findall(r"(?:\$LUTHIER_BASE_URL|POST |GET )(/[\w/{}.-]+)", TEXT))))
def test_every_route_exists(path: str) -> None:
    known = {re.sub(r"{[^}]*}", "{}", route) for route in ROUTES}
    assert re.sub(r"{[^}]*}", "{}", path) in known | {"/openapi.json"}


@pytest.mark.parametrize("line", re.findall(r"^luthier .*", README.replace("\\\n", ""), re.MULTILINE))
def test_every_command_is_understood(line: str) -> None:
    command: Any = typer.main.get_command(app)
    _, *words = shlex.split(line, comments=True)
    path = []
    while hasattr(command, "commands"):
        path.append(words.pop(0))
        command = command.commands[path[-1]]
    # Raises where an option is unknown, or something that is needed is missing.
    command.make_context(" ".join(path), words).close()


@pytest.mark.parametrize(("group", "rest"), re.findall(r"^\| `luthier (\w+)` \| (.*) \|$", README, re.MULTILINE))
def test_every_command_that_is_listed_exists(group: str, rest: str) -> None:
    command: Any = typer.main.get_command(app)
    found = command.commands[group]
    inner = getattr(found, "commands", {})
    listed = set(re.findall(r"`([a-z][a-z-]+)`", rest))
    assert listed == set(inner)


def test_the_sample_file_of_the_first_call_is_there() -> None:
    (sample,) = set(re.findall(r"file=@(\S+)", README))
    assert (ROOT / sample).stat().st_size > 0
