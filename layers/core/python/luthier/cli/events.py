"""Events as they happen."""

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from luthier.cli.asking import AsJson, asking
from luthier.cli.following import WINDOW, follow
from luthier.cli.stop import ABSENT, INTERRUPTED, Stop

if TYPE_CHECKING:
    from luthier.client import Luthier

app = typer.Typer(no_args_is_help=True, help="Events as they happen.")


@app.callback()
def _root() -> None:
    """Events as they happen."""


@app.command()
@asking
def tail(
    client: "Luthier",
    job: Annotated[str | None, typer.Option(help="The events of this job; it needs no webhook.")] = None,
    webhook: Annotated[str | None, typer.Option(help="What this endpoint hears; all of them by default.")] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, max=WINDOW, help="How many of the past first.")] = 10,
    go_on: Annotated[bool, typer.Option("--follow/--no-follow", help="Until ctrl-C.")] = True,
    as_json: AsJson = False,
) -> None:
    """Show events as they happen, JSON in one line each: those that webhook endpoints hear of, or those of one job.

    Example: luthier events tail --job ftjob_01k9j3v6x2m8q4r7t5w0y1z3ab
    """
    if job and webhook:
        raise Stop("--job and --webhook exclude each other.", "Give one of them.")
    try:
        if job:
            _tail_job(client, job, lines, go_on, as_json)
        else:
            _tail_webhooks(client, webhook, lines, go_on, as_json)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def _tail_job(client: "Luthier", job: str, lines: int, go_on: bool, as_json: bool) -> None:
    from luthier import clock
    from luthier.cli.showing import line, plain

    events = client.fine_tuning.jobs.events
    for event in follow(lambda: events.list(job, limit=WINDOW), shown=lines, go_on=go_on):
        at = clock.iso(clock.of_epoch(event.created_at))
        typer.echo(line(event) if as_json else plain(f"{at} {event.level:<5} {event.message}"))


def _tail_webhooks(client: "Luthier", webhook: str | None, lines: int, go_on: bool, as_json: bool) -> None:
    from luthier.cli.showing import line, plain

    ids = [webhook] if webhook else [one.id for one in client.webhooks.list()]
    if not ids:
        remedy = "Name a job with --job, or make an endpoint: luthier webhooks create https://…"
        raise Stop("There is no webhook endpoint, so nobody hears of events.", remedy, ABSENT)
    home: dict[str, str] = {}

    def newest() -> Iterable[Any]:
        # Several endpoints hear of one event, under one id.
        log = client.webhooks.deliveries
        rows = [(row, name) for name in ids for row in islice(log.list(name, limit=WINDOW), WINDOW)]
        for row, name in sorted(rows, key=lambda one: one[0].event_at, reverse=True):
            if home.setdefault(row.id, name) == name:
                yield row

    for delivery in follow(newest, shown=lines, go_on=go_on):
        request = client.webhooks.deliveries.get(home[delivery.id], delivery.id).request
        event = {"id": delivery.id, "event": delivery.event, "event_at": delivery.event_at, "test": delivery.test}
        event["data"] = request.body.get("data")
        typer.echo(line(event) if as_json else plain(f"{delivery.event_at} {delivery.event} {line(event['data'])}"))
