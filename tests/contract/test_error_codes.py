"""One table of codes: whatever the sources say is in it, nothing else is, and the document follows from it."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from functions.api.app import MethodNotAllowed
from functions.api.validation import UnsupportedMediaType
from infra import build_errors
from luthier import errors
from luthier.error_codes import ERRORS, LINES, REASONS
from luthier.errors import LuthierError
from luthier.inference.invoke import ENGINE_CODES
from luthier.webhooks.address import AddressRefused
from trainer.failures import CODES

ROOT = Path(__file__).parents[2]
SOURCES = [
    path
    for folder in (ROOT / "layers" / "core" / "python" / "luthier", ROOT / "functions")
    for path in sorted(folder.rglob("*.py"))
    if path.name != "error_codes.py"
]
STATUS = {row.code: row.status for row in ERRORS}
FAMILIES = {
    name: family.status
    for name, family in [
        *vars(errors).items(),
        *((kind.__name__, kind) for kind in (AddressRefused, MethodNotAllowed, UnsupportedMediaType)),
    ]
    if isinstance(family, type) and issubclass(family, LuthierError)
}
# What API Gateway answers by itself, which no source of ours raises.
OF_THE_GATEWAY = {"request_rejected", "timeout"}


def used() -> Iterator[tuple[str, str, str]]:
    """(code, name of what takes it, file) for every literal that the sources give as a code."""
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        takers = {node.name: _position(node) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        for node in ast.walk(tree):
            for code, taker in _codes(node, takers):
                yield code, taker, str(path.relative_to(ROOT))


def _position(function: ast.FunctionDef) -> int | None:
    """Where a function takes a code, if it does."""
    names = [argument.arg for argument in function.args.args]
    return names.index("code") if "code" in names else None


def _codes(node: ast.AST, takers: dict[str, int | None]) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Call():
            name = getattr(node.func, "id", None) or getattr(node.func, "attr", "")
            given: list[Any] = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
            place = takers.get(name)
            given += node.args[place : place + 1] if place is not None else []
            yield from ((value.value, name) for value in given if isinstance(value, ast.Constant))
        case ast.Assign(targets=[ast.Tuple(elts=[ast.Name(id="code"), *_])], value=ast.Tuple(elts=[first, *_])):
            yield ast.literal_eval(first), ""
        case ast.Dict():
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "code" and isinstance(value, ast.Constant):
                    yield value.value, ""
        case ast.ClassDef():
            for statement in node.body:
                if "default_code" in ast.unparse(statement) and isinstance(statement, ast.Assign | ast.AnnAssign):
                    yield ast.literal_eval(statement.value or ast.Constant("")), node.name


def test_every_code_of_the_sources_is_in_the_table_and_every_code_of_the_table_is_used() -> None:
    known = set(STATUS) | {row.code for row in (*REASONS, *LINES)}
    found = {code for code, _, _ in used()}
    assert found - known == set(), "give it a row in luthier/error_codes.py and run `make errors`"
    assert known - found == OF_THE_GATEWAY | set(ENGINE_CODES)


def test_a_code_always_comes_with_the_status_of_its_row() -> None:
    wrong = [
        (code, taker, path)
        for code, taker, path in used()
        if taker in FAMILIES and taker != "LuthierError" and STATUS[code] != FAMILIES[taker]
    ]
    assert wrong == []


@pytest.mark.parametrize("rows", [ERRORS, REASONS, LINES], ids=["errors", "reasons", "lines"])
def test_every_row_has_a_code_of_its_own_a_meaning_and_a_remedy(rows: tuple[Any, ...]) -> None:
    assert len({row.code for row in rows}) == len(rows)
    for row in rows:
        assert row.meaning.endswith(".")
        assert row.remedy.endswith(".")
        assert row.code == row.code.lower()


def test_the_answers_are_sorted_by_status() -> None:
    assert [row.status for row in ERRORS] == sorted(row.status for row in ERRORS)


def test_the_trainers_codes_do_not_mean_something_else_here() -> None:
    assert {row.code for row in REASONS} & set(CODES) == {"interrupted"}


def test_the_document_is_what_the_tables_say() -> None:
    assert build_errors.DOCUMENT.read_text() == build_errors.rendered(), "run `make errors`"
