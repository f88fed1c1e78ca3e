"""Organizations: limits of their own, set with AWS credentials straight in the table."""

from typing import Annotated

import typer

from luthier.cli.operator import TABLE, Organization, Table, operating

app = typer.Typer(no_args_is_help=True, help="Organizations (needs AWS credentials that may write the table).")


@app.callback()
def _root() -> None:
    """Organizations."""


@app.command()
def limit(
    org: Organization,
    requests_per_minute: Annotated[int | None, typer.Option(min=1, help="Of all its keys together.")] = None,
    concurrent_jobs: Annotated[int | None, typer.Option(min=0, help="Of all its keys together.")] = None,
    table: Table = TABLE,
) -> None:
    """Give an organization limits of its own; without options it has the platform's again. Effective within 30 seconds.

    Example: luthier organizations limit --org acme --requests-per-minute 6000 --concurrent-jobs 100
    """
    from luthier.accounts.entity import Organization as Tenant

    with operating(table) as operator:
        operator.accounts.limit_organization(Tenant(org, requests_per_minute, concurrent_jobs))
        operator.record(org, "organizations limit", resource_id=org)
    said = {"requests per minute": requests_per_minute, "concurrent jobs": concurrent_jobs}
    typer.echo(f"{org}: " + ", ".join(f"{name} {value or 'as the platform'}" for name, value in said.items()))
