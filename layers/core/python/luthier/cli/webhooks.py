"""Webhooks: who hears of events, what was sent, and the same sent here."""

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from luthier.cli.asking import AsJson, Shown, asking, given
from luthier.cli.following import WINDOW
from luthier.cli.stop import FAILED, INTERRUPTED, Stop

if TYPE_CHECKING:
    from luthier.client import Luthier

app = typer.Typer(no_args_is_help=True, help="Who hears of events, and what was sent.")

WebhookId = Annotated[
    str, typer.Argument(metavar="WEBHOOK", help="Id of the endpoint, as `luthier webhooks list` shows it.")
]


@app.command()
@asking
def create(
    client: "Luthier",
    url: Annotated[str, typer.Argument(help="https:// address that is posted to.")],
    event: Annotated[list[str] | None, typer.Option(help="As training.completed; repeat it. All by default.")] = None,
    name: Annotated[str | None, typer.Option()] = None,
) -> Shown:
    """Register an endpoint, and print its secret, once.

    Example: luthier webhooks create https://app.example.com/hooks --event training.completed --event training.failed
    """
    made = client.webhooks.create(url=url, **given(events=event, name=name))
    return Shown(made, f"{made.id} hears of {', '.join(made.events)}. Its secret, shown only now:\n{made.secret}")


@app.command("list")
@asking
def list_webhooks(client: "Luthier") -> Shown:
    """List endpoints.

    Example: luthier webhooks list
    """
    from luthier.cli.showing import table

    rows = list(client.webhooks.list())
    columns = {"id": "id", "name": "name", "status": "status", "events": "events", "url": "url"}
    return Shown(rows, table(rows, **columns, disabled_because="disabled_reason", failing_since="failing_since"))


@app.command("test")
@asking
def send_example(
    client: "Luthier",
    webhook_id: WebhookId,
    event: Annotated[str | None, typer.Option(help="As training.completed.")] = None,
) -> Shown:
    """Send an example and wait 3 seconds for the answer. Exit status 7: the endpoint did not take it.

    Example: luthier webhooks test wh_01k9j3v6x2m8q4r7t5w0y1z3ab --event training.completed
    """
    told = client.webhooks.test(webhook_id, **given(event=event))
    answered = told.error or f"it answered {told.status_code}"
    said = f"{told.event} {'was' if told.success else 'was not'} taken: {answered} after {told.milliseconds} ms."
    return Shown(told, said, 0 if told.success else FAILED)


@app.command()
@asking
def deliveries(
    client: "Luthier",
    webhook_id: WebhookId,
    delivery: Annotated[str | None, typer.Argument(help="One delivery, with its request and every attempt.")] = None,
    status: Annotated[str | None, typer.Option(help="pending, delivered, exhausted, cancelled or skipped.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
) -> Shown:
    """Show what was sent, newest first, and what came back.

    Example: luthier webhooks deliveries wh_01k9j3v6x2m8q4r7t5w0y1z3ab --status exhausted
    """
    from rich.console import Group

    from luthier.cli.showing import facts, line, table

    if delivery:
        one = client.webhooks.deliveries.get(webhook_id, delivery)
        names = ("id", "event", "event_at", "status", "reason", "tries", "next_attempt_at")
        shown = facts(one, **{name: name for name in names}, body=lambda row: line(row.request.body))
        tries = table(one.attempts, at="at", answer=_answer, milliseconds="milliseconds", response="response")
        return Shown(one, Group(shown, tries))
    asked = given(status=status, limit=min(limit, 100))
    rows = list(islice(client.webhooks.deliveries.list(webhook_id, **asked), limit))
    columns: dict[str, Any] = {"id": "id", "event": "event", "at": "event_at", "status": "status", "tries": "tries"}
    return Shown(rows, table(rows, **columns, last=lambda row: row.attempts and _answer(row.attempts[-1])))


def _answer(attempt: Any) -> str:
    return attempt.error or str(attempt.status_code)


@app.command()
@asking
def replay(
    client: "Luthier",
    webhook_id: WebhookId,
    delivery: Annotated[str | None, typer.Option(help="Only this one.")] = None,
    since: Annotated[str | None, typer.Option(help="ISO 8601: everything since then.")] = None,
    status: Annotated[
        list[str] | None, typer.Option(help="delivered, exhausted, cancelled or skipped; repeat it.")
    ] = None,
) -> Shown:
    """Send again what was sent.

    Example: luthier webhooks replay wh_01k9j3v6x2m8q4r7t5w0y1z3ab --since 2026-01-01T00:00:00Z --status exhausted
    """
    if (delivery is None) == (since is None):
        raise Stop("Either --delivery or --since has to say what is sent again.", "Give one of them.")
    if delivery:
        one = client.webhooks.deliveries.replay(webhook_id, delivery)
        return Shown(one, f"{one.id} is {one.status}.")
    asked = given(since=since, statuses=status)
    told = client.webhooks.replay(webhook_id, **asked)
    count = told.replayed
    while not told.complete:
        told = client.webhooks.replay(webhook_id, after=told.last_id, **asked)
        count += told.replayed
    # Of all calls together, as one answer.
    told.replayed = count
    return Shown(told, f"{count} are sent again.")


@app.command()
@asking
def listen(
    client: "Luthier",
    webhook_id: WebhookId,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Of this machine.")],
    path: Annotated[str, typer.Option(help="Where the program at the port takes webhooks.")] = "/",
    secret: Annotated[
        str | None, typer.Option(envvar="LUTHIER_WEBHOOK_SECRET", help="The endpoint's, to sign with; else unsigned.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send what an endpoint is sent to a port of this machine too, until ctrl-C.

    There is no tunnel: the log of deliveries is read every two seconds, and each new one is posted to localhost once,
    with its body, its `webhook-id` and a signature of now. What the real endpoint answers does not matter, nor whether
    there is one.

    Example: luthier webhooks listen wh_01k9j3v6x2m8q4r7t5w0y1z3ab --port 3000 --path /hooks
    """
    from luthier.cli.following import follow
    from luthier.cli.forwarding import Forwarder
    from luthier.cli.showing import line, plain

    forwarder = Forwarder(f"http://localhost:{port}/{path.removeprefix('/')}", secret)
    hook = client.webhooks.get(webhook_id)
    signed = "signed" if secret else "not signed"
    typer.echo(f"What {hook.id} hears of goes to {forwarder.url}, {signed}, until ctrl-C.", err=True)
    pages = client.webhooks.deliveries
    try:
        for row in follow(lambda: pages.list(webhook_id, limit=WINDOW), shown=0):
            told = forwarder.forward(pages.get(webhook_id, row.id))
            said = told["error"] or told["status_code"]
            typer.echo(line(told) if as_json else plain(f"{row.event_at} {row.event} → {said}"))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
