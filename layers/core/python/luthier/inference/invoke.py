"""One request to one SageMaker endpoint, in OpenAI's words both ways."""

import json
from typing import Any

from luthier.deployments.entity import Deployment
from luthier.errors import InvalidRequest, LuthierError, Unavailable

# What SageMaker says of a component that has no copies; the refused request is what wakes it.
_ASLEEP = "no capacity to process this request"
_WAKING_SECONDS = 30


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
        try:
            answer = self._runtime.invoke_endpoint(
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
        return json.loads(answer["Body"].read())


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
        message, param = said["message"], said.get("param")
    except (ValueError, KeyError, TypeError):
        message, param = response.get("OriginalMessage") or "The model failed to answer.", None
    if 400 <= response.get("OriginalStatusCode", 500) < 500:
        return InvalidRequest(message, param=param, remedy="Change the request as the message says.")
    return Unavailable(message, code="model_failed", retry_after=5)
