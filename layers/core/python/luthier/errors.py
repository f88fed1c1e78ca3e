"""Every error that Luthier raises on purpose, in families by what the caller can do about it.

    LuthierError
    ├── InvalidRequest        400  change the request
    ├── Unauthenticated       401  send a valid key
    ├── InsufficientCredits   402  add credits or raise the cap
    ├── Forbidden             403  use a key with the scope
    ├── NotFound              404  check the id
    ├── Conflict              409  wait, or bring the resource into the required state
    ├── PayloadTooLarge       413  upload another way
    ├── Unprocessable         422  the request is well-formed but contradicts an earlier one
    ├── RateLimited           429  wait `retry_after` seconds
    ├── Internal              500  report the request id
    ├── NotEnabled            501  ask the operator to switch it on
    └── Unavailable           503  try again after `retry_after` seconds

`code` is lower_snake and stable; a surface's translator may change its casing, never its meaning.
"""

from typing import Any, ClassVar

# Characters of a caller's text in a message.
_SHOWN = 80


class LuthierError(Exception):
    """Base of the tree.

    message: one sentence that names the field and the rule; remedy: one sentence that says what to do;
    param: path of the offending field (`hyperparameters.learningRate`); details: JSON-able extras;
    retry_after: seconds.
    """

    status: ClassVar[int] = 500
    default_code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        remedy: str | None = None,
        details: Any = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.param = param
        self.remedy = remedy
        self.details = details
        self.retry_after = retry_after

    def sentence(self) -> str:
        """The message with its remedy, for people."""
        return f"{self.message} {self.remedy}" if self.remedy else self.message


class InvalidRequest(LuthierError):
    status = 400
    default_code = "invalid_request"


class Unauthenticated(LuthierError):
    status = 401
    default_code = "unauthorized"


class InsufficientCredits(LuthierError):
    status = 402
    default_code = "insufficient_credits"


class Forbidden(LuthierError):
    status = 403
    default_code = "scope_required"


class NotFound(LuthierError):
    status = 404
    default_code = "not_found"


class Conflict(LuthierError):
    status = 409
    default_code = "state_conflict"


class PayloadTooLarge(LuthierError):
    status = 413
    default_code = "payload_too_large"


class Unprocessable(LuthierError):
    status = 422
    default_code = "unprocessable"


class RateLimited(LuthierError):
    status = 429
    default_code = "rate_limited"


class Internal(LuthierError):
    status = 500
    default_code = "internal_error"


class NotEnabled(LuthierError):
    status = 501
    default_code = "not_enabled"


class Unavailable(LuthierError):
    status = 503
    default_code = "unavailable"


def quoted(text: str) -> str:
    """What a caller has sent, as a message repeats it: in quotes, and not all of what is long."""
    return repr(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}…")
