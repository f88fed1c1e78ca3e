"""What the commands show."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from luthier.cli.move_in.moves import Move
from luthier.cli.move_in.plans import Plan
from luthier.cli.move_in.platform import Platform


def show_plans(plans: Sequence[Plan], platform: Platform | None, base: str | None) -> None:
    table = _table("Job", "Name at OpenAI", "Method", "Rows", "Onto", "Price", "")
    prices: dict[int, str] = {}
    ids = {plan.old_name: plan.id for plan in plans}
    for plan in plans:
        if plan.reason or plan.training is None:
            table.add_row(plan.id, plan.old_name or "", plan.method, "", "", "", plan.reason or "")
            continue
        rows = plan.training.rows
        if platform and base and rows not in prices:
            prices[rows] = f"about {platform.estimate(base, rows)}"
        onto = f"what becomes of {ids[plan.parent]}" if plan.parent else base or "?"
        rewritten = "rows are rewritten" if plan.training.rewritten else ""
        price = prices.get(rows, "?")
        table.add_row(plan.id, plan.old_name or "", plan.method, str(rows), onto, price, rewritten)
    Console(emoji=False).print(table)


def show_prices(moves: Sequence[Move]) -> None:
    table = _table("Job", "Name at OpenAI", "Its job here", "Price")
    for move in moves:
        onwards = f"goes on from what becomes of {move.parent.plan.id}" if move.parent else ""
        here = move.fault or (str(move.job["id"]) if move.job else onwards)
        started = bool(move.job) and not move.awaits_start
        table.add_row(move.plan.id, move.plan.old_name or "", here, "begun before" if started else move.price)
    Console(emoji=False).print(table)


def show_moves(moves: Sequence[Move]) -> None:
    table = _table("Job", "Name at OpenAI", "Model here", "")
    for move in moves:
        table.add_row(move.plan.id, move.plan.old_name or "", move.model or "", move.fault or move.state)
    Console(emoji=False).print(table)


def tell(move: Move) -> None:
    Console(stderr=True, emoji=False).print(f"{move.plan.id}: {move.state}", markup=False, highlight=False)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        # Ids and names are there to be copied.
        table.add_column(column, overflow="fold")
    return table
