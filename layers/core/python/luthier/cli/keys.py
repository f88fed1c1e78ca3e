"""API keys, managed with AWS credentials straight in the table."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from luthier.accounts.entity import LONGEST_OVERLAP_SECONDS
from luthier.cli.operator import TABLE, AsJson, ConcurrentJobs, Organization, RequestsPerMinute, Table, operating

app = typer.Typer(no_args_is_help=True, help="API keys (needs AWS credentials that may write the table).")

KeyId = Annotated[str, typer.Argument(help="Id of the key, as `luthier keys list` shows it.")]
_DAY = 24 * 3600


@app.command()
def create(
    org: Organization,
    scopes: Annotated[str, typer.Option(help="Comma-separated scopes; `admin` covers all.")] = "admin",
    user: Annotated[str, typer.Option(help="User that the key acts for.")] = "user_admin",
    name: Annotated[str, typer.Option(help="What the key is for.")] = "created by luthier keys create",
    expires_at: Annotated[str | None, typer.Option(help="ISO 8601; without it the key does not expire.")] = None,
    requests_per_minute: RequestsPerMinute = None,
    concurrent_jobs: ConcurrentJobs = None,
    table: Table = TABLE,
    as_json: AsJson = False,
) -> None:
    """Issue a key and print it once.

    Example: luthier keys create --org acme --scopes fine-tuning:read,fine-tuning:write
    """
    wanted = tuple(scope.strip() for scope in scopes.split(",") if scope.strip())
    with operating(table) as operator:
        key, secret = operator.accounts.issue_key(
            organization_id=org,
            user_id=user,
            name=name,
            scopes=wanted,
            expires_at=expires_at,
            requests_per_minute=requests_per_minute,
            concurrent_jobs=concurrent_jobs,
        )
        operator.record(org, "keys create", resource_id=key.id)
    typer.echo(json.dumps({"id": key.id, "key": secret, "scopes": list(key.scopes)}) if as_json else secret)


@app.command("list")
def list_keys(org: Organization, table: Table = TABLE, as_json: AsJson = False) -> None:
    """Show the newest 100 keys of an organization, without their secrets.

    Example: luthier keys list --org acme
    """
    with operating(table) as operator:
        operator.accounts.require_organization(org)
        keys, _ = operator.accounts.list_keys(org, limit=100)
    if as_json:
        typer.echo(
            json.dumps([{name: value for name, value in asdict(key).items() if name != "digest"} for key in keys])
        )
        return
    for key in keys:
        state = "revoked" if key.revoked_at else f"expires {key.expires_at}" if key.expires_at else "active"
        typer.echo(f"{key.id}  {key.prefix}…  {state}  last used {key.last_used_at or 'never'}  {key.name}")


@app.command()
def rotate(
    key_id: KeyId,
    org: Organization,
    overlap_seconds: Annotated[
        int, typer.Option(min=0, max=LONGEST_OVERLAP_SECONDS, help="How long the old key goes on working.")
    ] = _DAY,
    table: Table = TABLE,
    as_json: AsJson = False,
) -> None:
    """Print a new key that may do the same; the old one ends after the overlap.

    Example: luthier keys rotate key_01k --org acme --overlap-seconds 3600
    """
    with operating(table) as operator:
        key, secret = operator.accounts.rotate_key(org, key_id, overlap_seconds=overlap_seconds)
        operator.record(org, "keys rotate", resource_id=key_id)
    typer.echo(json.dumps({"id": key.id, "key": secret, "scopes": list(key.scopes)}) if as_json else secret)


@app.command()
def revoke(key_id: KeyId, org: Organization, table: Table = TABLE) -> None:
    """End a key for good; it is refused everywhere within 30 seconds.

    Example: luthier keys revoke key_01k --org acme
    """
    with operating(table) as operator:
        operator.accounts.revoke_key(org, key_id)
        operator.record(org, "keys revoke", resource_id=key_id)
    typer.echo(f"Revoked {key_id}.")
