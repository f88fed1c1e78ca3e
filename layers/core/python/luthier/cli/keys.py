"""API keys, issued with AWS credentials straight into the table."""

import json
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="API keys (needs AWS credentials that may write the table).")


@app.command()
def create(
    org: Annotated[str, typer.Option(help="Organization that the key belongs to.")],
    scopes: Annotated[str, typer.Option(help="Comma-separated scopes; `admin` covers all.")] = "admin",
    user: Annotated[str, typer.Option(help="User that the key acts for.")] = "user_admin",
    name: Annotated[str, typer.Option(help="What the key is for.")] = "created by luthier keys create",
    table: Annotated[str, typer.Option(envvar="LUTHIER_TABLE", help="Name of Luthier's DynamoDB table.")] = "luthier",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Issue a key and print it once.

    Example: luthier keys create --org acme --scopes fine-tuning:read,fine-tuning:write
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    from luthier.accounts.service import AccountService
    from luthier.accounts.store import KeyStore
    from luthier.errors import InvalidRequest

    wanted = tuple(scope.strip() for scope in scopes.split(",") if scope.strip())
    try:
        service = AccountService(KeyStore(boto3.client("dynamodb"), table))
        key, secret = service.issue_key(organization_id=org, user_id=user, name=name, scopes=wanted)
    except InvalidRequest as error:
        typer.echo(error.sentence(), err=True)
        raise typer.Exit(2) from error
    except (BotoCoreError, ClientError) as error:
        typer.echo(f"The table {table!r} could not be written: {error}", err=True)
        typer.echo("Check the AWS credentials, the region and --table.", err=True)
        raise typer.Exit(1) from error
    typer.echo(json.dumps({"id": key.id, "key": secret, "scopes": list(key.scopes)}) if as_json else secret)
