"""The account surface: /v1/organization/*, the API's own description, and the JSON 404 of every unknown path."""

from typing import Annotated, Any, Literal

from aws_lambda_powertools.event_handler.api_gateway import Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from functions.api import reference
from functions.api.app import ANYONE, Surface, needs
from functions.api.error_shapes import openai as error_shape
from functions.api.parameters import After, IdempotencyKey, Limit
from luthier import wiring
from luthier.accounts import schema as accounts
from luthier.audit.schema import AuditPage
from luthier.credits.schema import CreditBalance, LedgerPage
from luthier.usage.schema import Usage

ROOT = "/v1/organization"
KEYS, KEY = f"{ROOT}/api_keys", f"{ROOT}/api_keys/<key_id>"
ADMIN, READ_BILLING = needs("admin"), needs("billing:read")

Moment = Annotated[str | None, Query(max_length=40, description="ISO 8601 or Unix seconds; counts by its UTC day.")]
GroupBy = Annotated[list[Literal["day", "kind", "model"]] | None, Query(description="What rows are told apart by.")]

app = Surface("account", error_shape)
handler = app.handle


@app.post(KEYS, security=ADMIN, summary="Create an API key", status_code=201)
def create_api_key(body: accounts.CreateKey, idempotency_key: IdempotencyKey = None) -> accounts.KeyIssued:
    key, secret = wiring.accounts().create_key(app.principal, body.model_dump(), idempotency_key=idempotency_key)
    return accounts.KeyIssued.of(key, secret)


@app.get(KEYS, security=ADMIN, summary="List API keys")
def list_api_keys(limit: Limit = 20, after: After = None) -> accounts.KeyPage:
    return accounts.KeyPage.of(*wiring.accounts().list_keys(app.principal.organization_id, limit=limit, after=after))


@app.get(KEY, security=ADMIN, summary="Get an API key")
def get_api_key(key_id: str) -> accounts.Key:
    return accounts.Key.model_validate(wiring.accounts().get_key(app.principal.organization_id, key_id))


@app.delete(KEY, security=ADMIN, summary="Revoke an API key")
def revoke_api_key(key_id: str) -> accounts.KeyRevoked:
    return accounts.KeyRevoked.model_validate(wiring.accounts().revoke_key(app.principal.organization_id, key_id))


@app.post(f"{KEY}/rotate", security=ADMIN, summary="Replace an API key, with an overlap", status_code=201)
def rotate_api_key(
    key_id: str, body: accounts.RotateKey | None = None, idempotency_key: IdempotencyKey = None
) -> accounts.KeyIssued:
    asked = (body or accounts.RotateKey()).model_dump()
    key, secret = wiring.accounts().rotate_own_key(app.principal, key_id, **asked, idempotency_key=idempotency_key)
    return accounts.KeyIssued.of(key, secret)


@app.get(f"{ROOT}/credits", security=READ_BILLING, summary="Read the balance of credits")
def get_credits() -> CreditBalance:
    return CreditBalance.of(wiring.credits().get(app.principal), wiring.credits().billing)


@app.get(f"{ROOT}/credits/ledger", security=READ_BILLING, summary="List what changed the credits, newest first")
def list_ledger(limit: Limit = 20, after: After = None) -> LedgerPage:
    return LedgerPage.of(*wiring.credits().ledger(app.principal, limit=limit, after=after))


@app.get(f"{ROOT}/usage", security=READ_BILLING, summary="Sum up what was used")
def get_usage(start_time: Moment = None, end_time: Moment = None, group_by: GroupBy = None) -> Usage:
    return Usage.of(wiring.usage().summary(app.principal, start=start_time, end=end_time, by=group_by))


@app.get(f"{ROOT}/audit_logs", security=ADMIN, summary="List what was done, newest first")
def list_audit_logs(limit: Limit = 20, after: After = None) -> AuditPage:
    return AuditPage.of(*wiring.audit().list(app.principal, limit=limit, after=after))


@app.get("/openapi.json", security=ANYONE, summary="Describe this API", responses={200: {"description": "OpenAPI 3.1"}})
def get_openapi() -> Response[str]:
    return Response(200, "application/json", reference.document())


PAGE: dict[int, Any] = {200: {"description": "A page.", "content": {"text/html": {"schema": {"type": "string"}}}}}


@app.get("/docs", security=ANYONE, summary="Show this API's reference in a browser", responses=PAGE)
def get_reference() -> Response[str]:
    return Response(200, "text/html; charset=utf-8", reference.page(), headers=reference.headers())
