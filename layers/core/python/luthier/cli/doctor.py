"""What is wrong with how the platform is used from here, and what to do about it."""

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import typer

from luthier.cli import stop
from luthier.cli.asking import AsJson, Profile, Shown

if TYPE_CHECKING:
    import httpx

    from luthier.client import Luthier

OK, NOTE, WRONG = "ok", "note", "wrong"


@dataclass(frozen=True)
class Check:
    """level: ok, note (worth knowing) or wrong; status: with which the command then ends."""

    check: str
    level: str
    said: str
    remedy: str | None = None
    status: int = 0


def doctor(profile: Profile = None, as_json: AsJson = False) -> None:
    """Check credentials, credits, limits and base models; with AWS credentials also region, quotas and images.

    Exit status: 0 where nothing is wrong, else that of the first thing that is.

    Example: luthier doctor
    """
    from luthier.cli.showing import show, table

    checks = list(_checks(profile))
    columns = {name: name for name in ("check", "level", "said", "remedy")}
    show(Shown([_told(check) for check in checks], table(checks, **columns)), as_json=as_json)
    if wrong := next((check for check in checks if check.level == WRONG), None):
        raise typer.Exit(wrong.status)


def _told(check: Check) -> dict[str, Any]:
    return {name: value for name, value in asdict(check).items() if name != "status"}


def _checks(profile: str | None) -> Iterator[Check]:
    import httpx

    from luthier.cli import aws_checks
    from luthier.client import ConfigurationError, Luthier
    from luthier.client.configuration import find

    seen: list[httpx.Response] = []
    with httpx.Client(event_hooks={"response": [seen.append]}) as http:
        try:
            known = find(profile=profile)
        except ConfigurationError as error:
            yield Check("configuration", WRONG, error.message, error.remedy, stop.status_of(error))
        else:
            yield Check("configuration", OK, f"{known.base_url}, a key that begins with {known.api_key[:8]}")
            client = Luthier(known.api_key, known.base_url, http_client=http)
            yield from _platform(client, known.api_key, seen)
    yield from aws_checks.checks(os.environ)


def _platform(client: "Luthier", secret: str, seen: "list[httpx.Response]") -> Iterator[Check]:
    from luthier.client import LuthierError, PermissionDenied

    scopes: list[str] = []
    for scope, ask in _readers(client).items():
        try:
            ask()
            scopes.append(scope)
        except PermissionDenied:
            continue
        except LuthierError as error:
            yield Check("platform", WRONG, error.message, error.remedy, stop.status_of(error))
            return
    yield Check("platform", OK, "It answers, and knows the key.")
    yield _key(client, secret, scopes)
    yield _limit(seen)
    if "billing:read" in scopes:
        yield _credits(client)
    if "fine-tuning:read" in scopes:
        yield _base_models(client)


def _readers(client: "Luthier") -> dict[str, Callable[[], Any]]:
    """What reads the least under each scope. Whether a key may write shows only when it does."""
    return {
        "fine-tuning:read": client.fine_tuning.stats,
        "files:read": lambda: client.files.list(limit=1),
        "models:read": lambda: client.training.models.list(limit=1),
        "webhooks:read": client.webhooks.list,
        "billing:read": client.organization.credits,
        "admin": lambda: client.organization.api_keys.list(limit=1),
    }


def _key(client: "Luthier", secret: str, scopes: list[str]) -> Check:
    if "admin" not in scopes:
        if not scopes:
            return Check("key", NOTE, "It reads nothing.", "Ask an administrator for a key with more scopes.")
        remedy = "What it may write is known to administrators only."
        return Check("key", OK, f"It may {', '.join(scopes)}.", remedy)
    own = [key for key in client.organization.api_keys.list(limit=100) if secret.startswith(key.prefix)]
    if len(own) != 1:
        return Check("key", OK, "It may everything (admin).")
    ends = f", until {own[0].expires_at}" if own[0].expires_at else ""
    return Check("key", OK, f"{own[0].id}, {own[0].name}: {', '.join(own[0].scopes)}{ends}.")


def _limit(seen: "list[httpx.Response]") -> Check:
    headers = seen[-1].headers
    limit, left = headers.get("x-ratelimit-limit"), headers.get("x-ratelimit-remaining")
    if limit is None or left is None:
        return Check("rate limit", NOTE, "The platform does not tell.")
    if int(left) * 10 < int(limit):
        return Check("rate limit", NOTE, f"{left} of {limit} requests are left this minute.", "Send fewer, or wait.")
    return Check("rate limit", OK, f"{left} of {limit} requests are left this minute.")


def _credits(client: "Luthier") -> Check:
    credits = client.organization.credits()
    said = f"{credits.available_cents / 100:.2f} available, {credits.held_cents / 100:.2f} held."
    if not credits.billing:
        return Check("credits", OK, f"{said} Billing is off: nothing is charged.")
    if credits.available_cents <= 0:
        return Check("credits", WRONG, said, "An operator adds some: luthier credits grant", stop.CREDITS)
    return Check("credits", OK, said)


def _base_models(client: "Luthier") -> Check:
    known = list(client.fine_tuning.base_models())
    gated = [model.id for model in known if model.gated]
    if gated:
        remedy = "They need a hub token: cdk deploy -c hub_token_secret=NAME"
        return Check("base models", OK, f"{len(known)}, of which gated: {', '.join(gated)}.", remedy)
    return Check("base models", OK, f"{len(known)} can be trained.")
