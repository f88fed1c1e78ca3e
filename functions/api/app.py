"""What every API surface shares: keys and scopes, error translation, request ids, one log line per request.

A surface module makes a `Surface`, adds its routes and publishes `handler = app.handle`. One request passes
    answer → limit_size → authenticate → limit_rate → authorize → record → decode_ids
    → refuse_unknown_names → RequestValidation → encode → the route
and any of them refuses by raising; `answer` turns what was raised into the surface's error shape.
"""

import json
import re
import time
import uuid
from collections.abc import Callable, Mapping
from re import Pattern
from typing import Any
from urllib.parse import quote, unquote

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler.api_gateway import APIGatewayRestResolver, Response, Route
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError

from functions.api.encoding import to_json
from functions.api.error_shapes import Shape, bounded
from functions.api.validation import RequestValidation, explain, refuse_unknown_names
from luthier import clock, idempotency, wiring
from luthier.accounts.entity import Principal
from luthier.accounts.limits import Window
from luthier.errors import (
    Internal,
    InvalidRequest,
    LuthierError,
    NotFound,
    PayloadTooLarge,
    Unauthenticated,
    Unavailable,
)
from luthier.inference.entity import Answerer
from luthier.wire import LONGEST_NAME

# A function takes 6 MB per request, which base64 makes out of 4.7 MB: a file of 4.5 MB and what a form adds to it.
MAX_BODY_BYTES = 4_600_000
# Seconds, where the error itself does not say how long to wait.
_RETRY_SOON = {429: 1, 503: 1}
# Error codes of AWS services and exceptions of their SDK.
_PASSING = {
    "ConnectTimeoutError", "EndpointConnectionError", "InternalServerError", "LimitExceededException",
    "ProvisionedThroughputExceededException", "ReadTimeoutError", "RequestLimitExceeded", "RequestTimeout",
    "ServiceUnavailable", "SlowDown", "ThrottlingException", "TooManyRequestsException", "TransactionConflictException",
}  # fmt: skip

Next = Callable[["Surface"], Response]
logger = Logger(service="luthier-api", serialize_stacktrace=False)


class MethodNotAllowed(InvalidRequest):
    status = 405
    default_code = "method_not_allowed"


def needs(scope: str) -> list[dict[str, list[str]]]:
    """The scope of a route. One declaration: OpenAPI shows it, `authenticate` demands it."""
    return [{"bearer": [scope]}, {"apiKey": [scope]}]


# For the few routes that answer without a key.
ANYONE: list[dict[str, list[str]]] = []


class Surface(APIGatewayRestResolver):
    """One public REST contract: its routes, and the shape of its errors.

    slashed_ids: matches the part of a path that is an id holding slashes (`/v1/models/<org/name>`);
    fields: a field's name in the domain's errors → its name on this surface.
    """

    def __init__(
        self,
        name: str,
        shape: Shape,
        slashed_ids: Pattern[str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self._shape = shape
        self._fields = fields or {}
        self._slashed_ids = slashed_ids
        self.not_found(self._refuse_route)
        self.use([answer, limit_size, authenticate, limit_rate, authorize, record, decode_ids])
        self.use([refuse_unknown_names, RequestValidation(), encode])

    def handle(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        """The entry point: a REST API proxy event in, a proxy response out; an answer in parts is put together."""
        response = self.begin(event, context)
        if not isinstance(response["body"], str):
            response["body"] = b"".join(response["body"]).decode()
        return response

    def begin(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        """The same, but for answers that stream: their body is an iterator of bytes, which has to be closed."""
        method = event["httpMethod"]
        routed = {"path": self._routable(event["path"]), "httpMethod": "GET" if method == "HEAD" else method}
        response = self.resolve({**event, **routed}, context)
        # An answer without content is an empty text: not every gateway takes a null.
        return {**response, "body": "" if method == "HEAD" else response["body"] or ""}

    @property
    def routes(self) -> list[Route]:
        return self._static_routes + self._dynamic_routes

    @property
    def principal(self) -> Principal:
        """The caller of the request at hand."""
        return self.context["principal"]

    @property
    def request_id(self) -> str:
        return self.context["request_id"]

    @property
    def base_url(self) -> str:
        """What the client put before the path: scheme, host and, under API Gateway's own names only, the stage."""
        host = self.header("Host") or ""
        stage = f"/{self.current_event.request_context.stage}" if ".execute-api." in host else ""
        return f"{self.header('X-Forwarded-Proto') or 'https'}://{host}{stage}"

    def say_who(self, answered: Answerer) -> None:
        """Let the headers of the answer, the log and the audit log tell which deployment and version has answered."""
        self.append_context(answerer=answered)

    def header(self, name: str) -> str | None:
        """A header of the request at hand; the casing of `name` does not matter."""
        return self.current_event.headers.get(name)

    def refuse(self, exception: Exception) -> Response:
        """Any failure, in this surface's error shape."""
        error = bounded(self._in_own_words(self._known(exception)))
        body = self._shape(error, self.request_id, clock.iso(clock.now()))
        response = Response(error.status, "application/json", to_json(body))
        if retry_after := error.retry_after or _RETRY_SOON.get(error.status):
            response.headers["Retry-After"] = str(retry_after)
        if isinstance(error, Unauthenticated):
            response.headers["WWW-Authenticate"] = "Bearer"
        if isinstance(error, MethodNotAllowed):
            response.headers["Allow"] = ", ".join(error.details["allowed"])
        return response

    def telling(self) -> Callable[[Exception], dict[str, Any]]:
        """What tells of a failure of the request at hand after its answer has begun, in this surface's error shape."""
        request_id = self.request_id

        def tell(exception: Exception) -> dict[str, Any]:
            error = bounded(self._in_own_words(self._understood(exception, request_id)))
            return self._shape(error, request_id, clock.iso(clock.now()))

        return tell

    def _in_own_words(self, error: LuthierError) -> LuthierError:
        if own := self._fields.get(error.param or ""):
            error.message = re.sub(rf"\b{error.param}\b", own, error.message)
            error.param = own
        return error

    def _known(self, exception: Exception) -> LuthierError:
        if isinstance(exception, RequestValidationError):
            return explain(exception.errors(), self.context["_route"])
        return self._understood(exception, self.request_id)

    def _understood(self, exception: Exception, request_id: str) -> LuthierError:
        if isinstance(exception, LuthierError):
            return exception
        logger.error("unexpected failure", request_id=request_id, exc_info=exception)
        if _is_passing(exception):
            return Unavailable("A service that Luthier needs does not answer.", remedy="Try again.", retry_after=2)
        return Internal("Luthier failed to answer.", remedy=f"Report the request id {request_id}.")

    def _routable(self, path: str) -> str:
        # The resolver's `<id>` stops at a slash, and gateways hand ids over both raw and percent-encoded.
        if self._slashed_ids is None:
            return path
        return self._slashed_ids.sub(lambda found: quote(unquote(found[0]), safe=":"), path)

    def _refuse_route(self, _: NotFoundError) -> Response:
        path, method = self.current_event.path, self.current_event.http_method
        allowed = sorted({route.method for route in self.routes if route.rule.match(path)})
        if not allowed:
            message, remedy = f"Nothing answers {method} {path}.", "GET /openapi.json lists every route."
            raise NotFound(message, code="unknown_path", remedy=remedy)
        if method == "OPTIONS":
            return Response(204, headers={"Allow": ", ".join([*allowed, method])})
        message, remedy = f"{path} does not answer {method}.", f"Use {' or '.join(allowed)}."
        raise MethodNotAllowed(message, details={"allowed": allowed}, remedy=remedy)


def _is_passing(exception: Exception) -> bool:
    """Whether this is an AWS failure that time heals. By name: functions do not import the AWS SDK."""
    code = getattr(exception, "response", {}).get("Error", {}).get("Code", "")
    return code in _PASSING or type(exception).__name__ in _PASSING


def answer(app: Surface, following: Next) -> Response:
    """Give the request its id, turn whatever is raised into an answer, and write the one log line."""
    started = time.perf_counter()
    gateway_id = app.current_event.request_context.request_id or str(uuid.uuid4())
    app.append_context(request_id=f"req_{gateway_id.replace('-', '')}")
    try:
        response = following(app)
    except Exception as exception:
        response = app.refuse(exception)
    response.headers["x-request-id"] = app.request_id
    response.headers["Cache-Control"] = "no-store"
    response.headers |= _rate_headers(app.context.get("window")) | _answerer_headers(app.context.get("answerer"))
    _log(app, response, time.perf_counter() - started)
    return response


def _rate_headers(window: Window | None) -> dict[str, str]:
    if window is None:
        return {}
    counts = {"Limit": window.limit, "Remaining": window.remaining, "Reset": window.ends}
    return {f"X-RateLimit-{name}": str(value) for name, value in counts.items()}


def _answerer_headers(answerer: Answerer | None) -> dict[str, str]:
    """Beside a body whose fields are a published contract's."""
    if answerer is None:
        return {}
    version = {"x-luthier-model-version": answerer.version} if answerer.version else {}
    return {"x-luthier-deployment": answerer.deployment_id, **version}


def _log(app: Surface, response: Response, seconds: float) -> None:
    # Neither headers nor bodies: they hold keys and customers' data.
    caller: Principal | None = app.context.get("principal")
    logger.info(
        "request",
        surface=app.name,
        method=app.current_event.http_method,
        route=app.context["_route"].path,
        status=response.status_code,
        milliseconds=round(seconds * 1_000, 1),
        request_id=app.request_id,
        organization_id=caller.organization_id if caller else None,
        key_id=caller.key_id if caller else None,
        **_told(app.context.get("answerer")),
    )


def limit_size(app: Surface, following: Next) -> Response:
    """Refuse what no function could take, before any of it is parsed."""
    event = app.current_event
    size = len(event.body or "") * (3 if event.is_base64_encoded else 4) // 4
    if size > MAX_BODY_BYTES:
        raise PayloadTooLarge(
            f"The body has {size:,} bytes; a request may carry {MAX_BODY_BYTES:,}.",
            remedy="Upload large files by POST /v1/files/presigned, or in parts of 4 MB by POST /v1/uploads.",
            details={"limit_bytes": MAX_BODY_BYTES},
        )
    return following(app)


def authenticate(app: Surface, following: Next) -> Response:
    """Recognise the key. Only the resolver's own 404 route declares no security."""
    if app.context["_route"].security:
        app.append_context(principal=wiring.accounts().authenticate(_raw_key(app), _address(app)))
    return following(app)


def limit_rate(app: Surface, following: Next) -> Response:
    """Count the request for its key and organization, whatever becomes of it, and refuse it over their limits."""
    if "principal" in app.context:
        window = wiring.rate_limiter().count(app.principal)
        app.append_context(window=window)
        if window:
            window.admit()
    return following(app)


def authorize(app: Surface, following: Next) -> Response:
    """Demand the route's scope."""
    for scope in _scopes(app):
        app.principal.require(scope)
    return following(app)


def record(app: Surface, following: Next) -> Response:
    """Put what was done into the audit log; questions, which a scope of reading is enough for, are not recorded."""
    # Before validation puts the body among them.
    in_path = [unquote(value) for value in app.context["_route_args"].values()]
    with idempotency.repeats() as repeated:
        response = following(app)
    scopes = _scopes(app)
    if (
        scopes
        and app.current_event.http_method != "GET"
        and not scopes[0].endswith(":read")
        and response.status_code < 400
    ):
        wiring.audit().record(
            app.principal,
            f"{app.current_event.http_method} {app.context['_route'].openapi_path}",
            resource_id=in_path[0] if in_path else _made(response),
            repeated=bool(repeated),
            status=response.status_code,
            ip=_address(app),
            request_id=app.request_id,
            **_told(app.context.get("answerer")),
        )
    return response


def _told(answerer: Answerer | None) -> dict[str, Any]:
    """Who answered, in the words of the logs."""
    return {"deployment_id": answerer.deployment_id, "model_version": answerer.version} if answerer else {}


def _made(response: Response) -> str | None:
    """The id of what a request made."""
    made = json.loads(response.body) if response.is_json() and response.body else {}
    return made.get("id") or made.get("jobId") or made.get("batchId") or made.get("file", {}).get("id")


def _scopes(app: Surface) -> list[str]:
    security = app.context["_route"].security
    return security[0]["bearer"] if security else []


def _raw_key(app: Surface) -> str:
    scheme, _, credentials = (app.header("Authorization") or "").strip().partition(" ")
    if scheme and not credentials:
        return scheme
    return credentials.strip() if scheme.lower() == "bearer" else app.header("X-API-Key") or ""


def _address(app: Surface) -> str | None:
    """Where the request came from, as API Gateway says; a client cannot write it."""
    return (app.current_event.raw_event["requestContext"].get("identity") or {}).get("sourceIp")


def decode_ids(app: Surface, following: Next) -> Response:
    """Ids of the path as they are, whether the client or the gateway percent-encoded them or not."""
    ids = {name: unquote(value) for name, value in app.context["_route_args"].items()}
    for value in ids.values():
        # In bytes: two ids of a path may make one key of the table.
        if len(value.encode()) > LONGEST_NAME:
            raise NotFound(f"No id is longer than {LONGEST_NAME} bytes.", remedy="Check the path.")
    app.append_context(_route_args=ids)
    return following(app)


def encode(app: Surface, following: Next) -> Response:
    """Serialize what the route returned, while a failure to do so can still be answered."""
    response = following(app)
    if response.is_json() and not isinstance(response.body, str):
        response.body = to_json(response.body)
    return response
