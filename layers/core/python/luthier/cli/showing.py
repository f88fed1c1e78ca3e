"""How answers are shown: as JSON for programs, in small tables for people."""

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from luthier.cli.asking import Shown

# No line is cut or folded where a program reads it.
_NO_END = 10_000
# What a terminal would obey instead of showing it; line breaks and tabs stay.
_CONTROL = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def show(shown: "Shown", *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(dumped(shown.answer), ensure_ascii=False, indent=2))
    elif isinstance(shown.human, str):
        typer.echo(plain(shown.human))
    else:
        console().print(shown.human)


def console(*, err: bool = False) -> Console:
    found = Console(stderr=err, highlight=False, markup=False, emoji=False)
    if not found.is_terminal:
        found.width = _NO_END
    return found


def dumped(answer: Any) -> Any:
    """An answer of the client as the API wrote it."""
    if isinstance(answer, list):
        return [dumped(row) for row in answer]
    return (
        answer.model_dump(mode="json", by_alias=True, exclude_unset=True) if hasattr(answer, "model_dump") else answer
    )


def line(answer: Any) -> str:
    """An answer as one line of JSON."""
    return json.dumps(dumped(answer), ensure_ascii=False)


def plain(text: str) -> str:
    return text.translate(_CONTROL)


def word(value: Any) -> Text:
    """A value as people read it."""
    if value is None or value == []:
        return Text("-")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, float):
        return Text(f"{value:.6g}")
    if isinstance(value, list):
        return Text(plain(", ".join(map(str, value))))
    return Text(plain(str(value)))


def table(rows: Iterable[Any], /, **columns: str | Callable[[Any], Any]) -> Any:
    """columns: by title, an attribute or a function of the row. A sentence where there are no rows."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for title in columns:
        grid.add_column(title.replace("_", " "), overflow="fold")
    for row in rows:
        grid.add_row(*(word(_of(row, column)) for column in columns.values()))
    return grid if grid.row_count else "There are none."


def facts(row: Any, /, **lines: str | Callable[[Any], Any]) -> Table:
    """One answer, a fact per line; what is None is left out."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for title, place in lines.items():
        value = _of(row, place)
        if value is not None and value != []:
            grid.add_row(title.replace("_", " "), word(value))
    return grid


def _of(row: Any, place: str | Callable[[Any], Any]) -> Any:
    return getattr(row, place, None) if isinstance(place, str) else place(row)


def first(page: Iterable[Any], limit: int) -> list[Any]:
    """So many rows of a list that goes on."""
    from itertools import islice

    return list(islice(page, limit))


def money(amount: float | None, currency: str = "USD") -> str | None:
    return None if amount is None else f"{amount:.2f} {currency}"


def each(values: dict[str, Any] | None) -> str | None:
    """`a=1, b=2`; None for nothing."""
    said = [f"{name}={value}" for name, value in (values or {}).items() if value is not None]
    return ", ".join(said) or None
