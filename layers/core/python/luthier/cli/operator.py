"""What the operator's commands share: the platform's table behind AWS credentials, and failures in one line."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from luthier.accounts.entity import MOST_CONCURRENT_JOBS, MOST_REQUESTS_PER_MINUTE

if TYPE_CHECKING:
    from luthier.accounts.service import AccountService
    from luthier.audit.service import AuditService
    from luthier.credits.service import CreditService

Table = Annotated[str, typer.Option(envvar="LUTHIER_TABLE", help="Name of Luthier's DynamoDB table.")]
Organization = Annotated[str, typer.Option("--org", help="Organization that it is about.")]
RequestsPerMinute = Annotated[
    int | None, typer.Option(min=1, max=MOST_REQUESTS_PER_MINUTE, help="Instead of the platform's limit.")
]
ConcurrentJobs = Annotated[
    int | None, typer.Option(min=0, max=MOST_CONCURRENT_JOBS, help="Instead of the platform's limit.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
TABLE = "luthier"


@dataclass(frozen=True)
class Operator:
    """Somebody with AWS credentials, and the services that act on the table for them."""

    name: str
    accounts: "AccountService"
    credits: "CreditService"
    audit: "AuditService"

    def record(self, organization_id: str, command: str, **facts: Any) -> None:
        """Put what was done into the organization's audit log."""
        self.audit.record_operator(organization_id, self.name, f"luthier {command}", **facts)


@contextmanager
def operating(table: str) -> Iterator[Operator]:
    """The services on a table. A refusal ends the command with status 2, a table out of reach with 1."""
    from botocore.exceptions import BotoCoreError, ClientError

    from luthier.errors import LuthierError

    try:
        yield _operator(table)
    except LuthierError as error:
        typer.echo(error.sentence(), err=True)
        raise typer.Exit(2) from error
    except (BotoCoreError, ClientError) as error:
        typer.echo(f"The table {table!r} could not be reached: {error}", err=True)
        typer.echo("Check the AWS credentials, the region and --table.", err=True)
        raise typer.Exit(1) from error


def _operator(table: str) -> Operator:
    import boto3

    from luthier.accounts.service import AccountService
    from luthier.accounts.store import KeyStore
    from luthier.audit.service import AuditService
    from luthier.audit.store import AuditStore
    from luthier.credits.service import CreditService
    from luthier.credits.store import CreditStore
    from luthier.settings import Settings

    client, settings = boto3.client("dynamodb"), Settings.load(os.environ)
    return Operator(
        boto3.client("sts").get_caller_identity()["Arn"],
        AccountService(KeyStore(client, table)),
        CreditService(CreditStore(client, table)),
        AuditService(AuditStore(client, table), days=settings.audit_days),
    )
