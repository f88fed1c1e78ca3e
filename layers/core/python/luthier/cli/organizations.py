"""Organizations: limits of their own, set with AWS credentials straight in the table."""

import typer

from luthier.cli.operator import TABLE, ConcurrentJobs, Organization, RequestsPerMinute, Table, operating

app = typer.Typer(no_args_is_help=True, help="Organizations (needs AWS credentials that may write the table).")


@app.callback()
def _root() -> None:
    """Organizations."""


@app.command()
def limit(
    org: Organization,
    requests_per_minute: RequestsPerMinute = None,
    concurrent_jobs: ConcurrentJobs = None,
    table: Table = TABLE,
) -> None:
    """Limit all keys of an organization together; without options the platform's limits hold. Takes 30 seconds.

    Example: luthier organizations limit --org acme --requests-per-minute 6000 --concurrent-jobs 100
    """
    from luthier.accounts.entity import Organization as Tenant

    with operating(table) as operator:
        operator.accounts.limit_organization(Tenant(org, requests_per_minute, concurrent_jobs))
        operator.record(org, "organizations limit", resource_id=org)
    said = {"requests per minute": requests_per_minute, "concurrent jobs": concurrent_jobs}
    typer.echo(
        f"{org}: "
        + ", ".join(f"{name} {'as the platform' if value is None else value}" for name, value in said.items())
    )
