"""One request to one SageMaker endpoint, in OpenAI's words both ways."""

import json
import logging
from collections.abc import Generator
from contextlib import closing
from typing import Any

from luthier.deployments.entity import Deployment
from luthier.errors import InvalidRequest, LuthierError, Unavailable
from luthier.inference import chunks

logger = logging.getLogger(__name__)

# What SageMaker says of a component that has no copies; the refused request is what wakes it.
_ASLEEP = "no capacity to process this request"
_WAKING_SECONDS = 30
# What has to be counted has to be known also of an answer that nobody reads to its end; the second one is vLLM's.
_STREAMED = {"stream": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True}}
TOO_LONG = "context_length_exceeded"
# What asks for the single most likely token: vLLM refuses the 0 that OpenAI takes.
_LEAST_TOP_P = 1e-6
# Codes of an engine's refusals that are passed on.
ENGINE_CODES = (TOO_LONG, "unsupported_parameter", "unsupported_schema")
# What engines say of a request that is too long, where they give it no code.
_TOO_LONG_WORDS = "maximum context length"


class Invoker:
    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime

    def chat(self, deployment: Deployment, body: dict[str, Any]) -> dict[str, Any]:
        """The deployment's chat.completion. Raises as `chat_component`."""
        return self.chat_component(deployment.endpoint_name, deployment.component_name, body)

    def chat_component(self, endpoint: str, component: str, body: dict[str, Any]) -> dict[str, Any]:
        """The chat.completion of one inference component of an endpoint: an adapter's, or the base model's alone.

        Raises InvalidRequest or Unavailable with the engine's own words, Unavailable with the code model_sleeping when
        the component has no copies.
        """
        answer = self._call(self._runtime.invoke_endpoint, endpoint, component, body)
        return json.loads(answer["Body"].read())

    def stream(self, deployment: Deployment, body: dict[str, Any]) -> Generator[dict[str, Any]]:
        """The deployment's answer in OpenAI's chunks, with the usage so far. Raises as `chat_component`, at once or
        in between."""
        call, asked = self._runtime.invoke_endpoint_with_response_stream, body | _STREAMED
        answer = self._call(call, deployment.endpoint_name, deployment.component_name, asked)
        return _chunks(answer["Body"])

    def _call(self, operation: Any, endpoint: str, component: str, body: dict[str, Any]) -> dict[str, Any]:
        if body.get("top_p") == 0:
            body = body | {"top_p": _LEAST_TOP_P}
        try:
            answer: dict[str, Any] = operation(
                EndpointName=endpoint,
                InferenceComponentName=component,
                ContentType="application/json",
                # The component picks the adapter; the engine's own name for the weights is always this.
                Body=json.dumps(body | {"model": "lmi"}).encode(),
            )
        except self._runtime.exceptions.ModelError as error:
            raise _engine_error(error.response) from error
        except self._runtime.exceptions.ClientError as error:
            raise _endpoint_error(error.response["Error"].get("Message", "")) from error
        return answer


def _chunks(events: Any) -> Generator[dict[str, Any]]:
    """Of a stream of events, which is closed at the end: that is what the engine notices."""
    with closing(events):
        try:
            for chunk in chunks.read(event["PayloadPart"]["Bytes"] for event in events if "PayloadPart" in event):
                if "error" in chunk:
                    raise _said(chunk["error"], refused=chunk["error"].get("type") == "invalid_request_error")
                yield chunk
        except LuthierError:
            raise
        except Exception as error:
            # Whatever can happen to a connection: the event stream's own errors are those of three libraries.
            logger.warning("An answer broke off: %r", error)
            raise chunks.broken_off() from error


def _endpoint_error(message: str) -> LuthierError:
    """SageMaker's refusal, before any engine has seen the request."""
    if _ASLEEP in message:
        return Unavailable(
            "The deployment sleeps, and this request wakes it.",
            code="model_sleeping",
            remedy="Try again when it is up.",
            retry_after=_WAKING_SECONDS,
        )
    return Unavailable(
        "The endpoint does not answer.",
        code="model_unavailable",
        remedy="Try again; if this lasts, deploy the model again.",
        retry_after=10,
    )


def _engine_error(response: dict[str, Any]) -> LuthierError:
    """The engine's refusal: a 4xx is the caller's, anything else ours."""
    try:
        said = json.loads(response.get("OriginalMessage", ""))["error"]
        said["message"]
    except (ValueError, KeyError, TypeError):
        said = {"message": response.get("OriginalMessage") or "The model failed to answer."}
    return _said(said, refused=400 <= response.get("OriginalStatusCode", 500) < 500)


def _said(said: dict[str, Any], *, refused: bool) -> LuthierError:
    message, code = said["message"], said.get("code")
    if not refused:
        return Unavailable(message, code="model_failed", retry_after=5)
    if code not in ENGINE_CODES:
        code = TOO_LONG if _TOO_LONG_WORDS in message else None
    return InvalidRequest(message, code=code, param=said.get("param"), remedy="Change the request as the message says.")
