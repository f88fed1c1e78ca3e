"""Credits, granted with AWS credentials straight in the table."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from luthier.cli.operator import TABLE, AsJson, Organization, Table, operating

if TYPE_CHECKING:
    from luthier.credits.entity import Credits

app = typer.Typer(no_args_is_help=True, help="Credits (needs AWS credentials that may write the table).")

_MOST_CENTS = 100_000_000_000


@app.command()
def grant(
    org: Organization,
    cents: Annotated[
        int, typer.Option(min=-_MOST_CENTS, max=_MOST_CENTS, help="Whole cents; a negative number takes credits back.")
    ],
    reason: Annotated[str, typer.Option(help="What the ledger says about it.")] = "granted by luthier credits grant",
    table: Table = TABLE,
    as_json: AsJson = False,
) -> None:
    """Add credits to an organization and print what it has.

    Example: luthier credits grant --org acme --cents 50000 --reason "March"
    """
    with operating(table) as operator:
        if not cents:
            raise typer.BadParameter("0 changes nothing.", param_hint="--cents")
        operator.accounts.require_organization(org)
        credits = operator.credits.grant(org, cents, reason)
        operator.record(org, "credits grant", resource_id=f"{cents} cents")
    _print(org, credits, as_json)


@app.command()
def show(org: Organization, table: Table = TABLE, as_json: AsJson = False) -> None:
    """Print what an organization has.

    Example: luthier credits show --org acme
    """
    with operating(table) as operator:
        operator.accounts.require_organization(org)
        credits = operator.credits.of(org)
    _print(org, credits, as_json)


def _print(org: str, credits: "Credits", as_json: bool) -> None:
    shown = {
        "balance_cents": credits.balance_cents,
        "held_cents": credits.held_cents,
        "available_cents": credits.available_cents,
    }
    words = ", ".join(f"{name.partition('_')[0]} {amount / 100:.2f}" for name, amount in shown.items())
    typer.echo(json.dumps(shown) if as_json else f"{org}: {words}")
