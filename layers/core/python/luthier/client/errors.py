"""What the client raises, in families by what the caller can do about it.

LuthierError
├── ConfigurationError    say which key and which address to use
├── ConnectionFailed      check address and network; nothing or half an answer came
├── InvalidRequest        400, 422 and the rest of 4xx: change the request
├── AuthenticationError   401  send a valid key
├── PaymentRequired       402  add credits or raise the cap
├── PermissionDenied      403  use a key with the scope
├── NotFound              404  check the id
├── Conflict              409  wait, or bring the resource into the required state
├── RateLimited           429  wait `retry_after` seconds
├── ServiceUnavailable    5xx  try again later, or report the request id
├── UnexpectedAnswer      the answer is not what this version knows: update the client
├── WorkFailed            what was waited for failed; `resource` says why
└── WaitTimedOut          what was waited for is not done yet
"""

import json
import re
from typing import Any, ClassVar

from luthier.client.names import snake

# The codes that some surfaces have for a whole family, in the words of ERRORS.md.
_GENERAL = {
    "resource_not_found": "not_found",
    "endpoint_not_found": "not_found",
    "forbidden": "scope_required",
    "rate_limit_exceeded": "rate_limited",
    "semantic_error": "unprocessable",
    "service_unavailable": "unavailable",
    "validation_error": "invalid_request",
    "invalid_input": "invalid_request",
}


class LuthierError(Exception):
    """Base of the tree.

    code: as in ERRORS.md, the same whichever route answered; field: path of the offending field in the client's
    spelling (`hyperparameters.learning_rate`); request_id: what to name in a report; remedy: what to do, in one
    sentence; status: of HTTP, None where no answer came; details: what the server added; retry_after: seconds.
    """

    own_code: ClassVar[str] = "error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        field: str | None = None,
        request_id: str | None = None,
        remedy: str | None = None,
        status: int | None = None,
        details: Any = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.own_code
        self.field = field
        self.request_id = request_id
        self.remedy = remedy
        self.status = status
        self.details = details
        self.retry_after = retry_after

    def __str__(self) -> str:
        # A server's message ends with a remedy of its own.
        said = f"{self.message} {self.remedy}" if self.remedy and self.status is None else self.message
        place = f", request {self.request_id}" if self.request_id else ""
        return f"{said} [{self.code}{place}]"


class ConfigurationError(LuthierError):
    own_code = "configuration"


class ConnectionFailed(LuthierError):
    own_code = "connection_failed"


class InvalidRequest(LuthierError):
    own_code = "invalid_request"


class AuthenticationError(LuthierError):
    own_code = "unauthorized"


class PaymentRequired(LuthierError):
    own_code = "insufficient_credits"


class PermissionDenied(LuthierError):
    own_code = "scope_required"


class NotFound(LuthierError):
    own_code = "not_found"


class Conflict(LuthierError):
    own_code = "state_conflict"


class RateLimited(LuthierError):
    own_code = "rate_limited"


class ServiceUnavailable(LuthierError):
    own_code = "unavailable"


class UnexpectedAnswer(LuthierError):
    own_code = "unexpected_answer"


class WorkFailed(LuthierError):
    """`resource`: the job, deployment, batch or file as it is now."""

    own_code = "failed"

    def __init__(self, message: str, *, resource: Any, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.resource = resource


class WaitTimedOut(LuthierError):
    """`resource`: as it was when the time was up; it goes on."""

    own_code = "wait_timed_out"

    def __init__(self, message: str, *, resource: Any, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.resource = resource


_FAMILIES: dict[int, type[LuthierError]] = {
    401: AuthenticationError,
    402: PaymentRequired,
    403: PermissionDenied,
    404: NotFound,
    409: Conflict,
    429: RateLimited,
}


def of_answer(
    status: int, text: str, *, request_id: str | None = None, retry_after: float | None = None
) -> LuthierError:
    """The error in an answer, from any surface's shape, or from whatever a proxy has answered instead."""
    family = _FAMILIES.get(status, ServiceUnavailable if status >= 500 else InvalidRequest)
    body = _object(text)
    told = body["error"] if isinstance(body.get("error"), dict) else body
    message = told.get("message") or f"The server answered {status}: {' '.join(text.split())[:200] or 'nothing'}"
    details = told.get("details")
    facts = details if isinstance(details, dict) else {}
    # On /v2 `error` is the code and `code` the status.
    word = body["error"] if isinstance(body.get("error"), str) else told.get("code")
    code = _code(str(word or family.own_code), facts)
    field = told.get("param") or facts.get("param") or facts.get("field")
    return family(
        str(message),
        code=code,
        field=_spelled(field),
        request_id=request_id or body.get("request_id"),
        remedy=_remedy(code),
        status=status,
        details=details,
        retry_after=retry_after,
    )


def of_event(error: dict[str, Any]) -> LuthierError:
    """The error that ends a stream. Its status is the one that its code always comes with."""
    from luthier.error_codes import ERRORS

    code = str(error.get("code") or "internal_error").lower()
    status = next((row.status for row in ERRORS if row.code == code), 500)
    return of_answer(status, json.dumps({"error": error}))


def _object(text: str) -> dict[str, Any]:
    try:
        body = json.loads(text)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _code(word: str, facts: dict[str, Any]) -> str:
    code = word.lower()
    return str(facts.get("reason") or _GENERAL[code]).lower() if code in _GENERAL else code


def _spelled(field: Any) -> str | None:
    return re.sub(r"\w+", lambda word: snake(word[0]), field) if isinstance(field, str) else None


def _remedy(code: str) -> str | None:
    # The table costs a millisecond that only a failure pays.
    from luthier.error_codes import ERRORS

    return next((row.remedy for row in ERRORS if row.code == code), None)
