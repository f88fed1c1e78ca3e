"""One step of a state machine: its payload in, the payload of the next step out."""

import functools
import json
from collections.abc import Callable
from typing import Any

from luthier.errors import LuthierError

Payload = dict[str, Any]


class StepFailed(Exception):
    """A refusal as the state machine carries it: `{code, message, hint}` in JSON. The only error not tried again."""


def step(work: Callable[[Payload], Payload]) -> Callable[[Payload, Any], Payload]:
    """A Lambda handler around `work`, whose answer is merged into the payload."""

    @functools.wraps(work)
    def handler(event: Payload, context: Any) -> Payload:
        try:
            return event | work(event)
        except LuthierError as error:
            if error.retry_after:
                raise
            reason = {"code": error.code, "message": error.message, "hint": error.remedy}
            raise StepFailed(json.dumps(reason)) from error

    return handler
