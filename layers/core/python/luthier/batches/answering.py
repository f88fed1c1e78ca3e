"""One request of a batch: asked until it has an outcome."""

import json
import logging
import time
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from luthier import ids
from luthier.accounts.entity import Principal
from luthier.batches.entity import CHAT, FILE, TEXT, Batch, Line, Outcome
from luthier.errors import Internal, InvalidRequest, LuthierError
from luthier.inference.entity import Completion
from luthier.inference.readiness import SLEEPING
from luthier.inference.schema import ChatRequest, CompletionRequest
from luthier.inference.service import InferenceService
from luthier.usage.service import UsageService

logger = logging.getLogger(__name__)

# Pauses between the tries of one request, in seconds; a refusal that says for how long is heard up to the last.
PAUSES = (1, 5)
# An answer that takes longer is given up, as on the API.
ANSWER_SECONDS = 480
_SHAPES: dict[str, type[ChatRequest | CompletionRequest]] = {CHAT: ChatRequest, TEXT: CompletionRequest}
# The model comes up by itself: the batch waits, and no try is counted.
_AWAITED = (SLEEPING, "model_not_ready")


class Held(Exception):
    """The model comes up; ask again in `seconds`."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"The model is awaited for {seconds} s.")
        self.seconds = seconds


class Desk:
    """Asks. inference: must not meter, which whoever keeps the outcome does."""

    def __init__(
        self, inference: InferenceService, usage: UsageService, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._inference = inference
        self._usage = usage
        self._sleep = sleep

    def answer(self, batch: Batch, line: Line) -> Outcome:
        """What becomes of a request. Raises Held."""
        asked = json.loads(line.text)
        known = {
            "custom_id": asked["custom_id"],
            "end": line.end,
            "request_id": ids.new_id("batch_req"),
            "metadata": asked.get("metadata"),
        }
        started = time.perf_counter()
        try:
            answered = self._ask(batch, asked["body"])
        except LuthierError as error:
            return Outcome(**known, error=told(error))
        latency = round(1_000 * (time.perf_counter() - started))
        cost = self._usage.price_of(answered.content.get("usage") or {})
        return Outcome(
            **known,
            body=answered.content,
            model=answered.by.model,
            deployment_id=answered.by.deployment_id,
            version=answered.by.version,
            latency_ms=latency,
            cost=cost,
        )

    def _ask(self, batch: Batch, body: dict[str, Any]) -> Completion:
        question = _of_file(body, batch.endpoint) if batch.door == FILE else body
        principal = Principal(batch.organization_id, batch.user_id, batch.key_id, ("inference:write",))
        for pause in (*PAUSES, None):
            try:
                return self._inference.complete(principal, question, seconds=ANSWER_SECONDS)
            except LuthierError as error:
                if error.code in _AWAITED:
                    raise Held(error.retry_after or PAUSES[-1]) from error
                if pause is None or not (error.status >= 500 or error.status == 429):
                    raise
                self._sleep(min(error.retry_after or pause, PAUSES[-1]))
            except Exception as error:
                # A connection that broke, or a service that was busy; anything else is broken the next time too.
                logger.exception("A request of %s failed.", batch.id)
                if pause is None:
                    raise Internal("Luthier failed to ask the model.", remedy="Send the request again.") from error
                self._sleep(pause)
        raise AssertionError("The last try has no pause.")


def told(error: LuthierError) -> dict[str, Any]:
    """A refusal as an outcome keeps it; the message with its remedy."""
    return {
        "status": error.status,
        "code": error.code,
        "message": error.sentence(),
        "param": error.param,
        "details": error.details,
    }


def _of_file(body: dict[str, Any], endpoint: str) -> dict[str, Any]:
    """A line's body as the same request alone would be asked. Raises InvalidRequest."""
    if body.get("stream"):
        raise InvalidRequest(
            "A batch does not stream.", code="streaming_unsupported", param="stream", remedy="Leave it out."
        )
    try:
        return _SHAPES[endpoint].model_validate(body).for_engine()
    except ValidationError as fault:
        first = fault.errors()[0]
        param = ".".join(map(str, first["loc"]))
        unknown = first["type"] == "extra_forbidden"
        message = f"Unknown field `{param}`." if unknown else f"`{param}`: {first['msg']}."
        code = "unknown_field" if unknown else "missing_field" if first["type"] == "missing" else "invalid_value"
        raise InvalidRequest(message, code=code, param=param) from None
