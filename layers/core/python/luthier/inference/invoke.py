"""One request to one SageMaker endpoint, in OpenAI's words both ways."""

import json
from typing import Any

from luthier.deployments.entity import Deployment
from luthier.errors import InvalidRequest, Unavailable


class Invoker:
    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime

    def chat(self, deployment: Deployment, body: dict[str, Any]) -> dict[str, Any]:
        """The endpoint's chat.completion. Raises InvalidRequest or Unavailable with the engine's own words."""
        # The component picks the adapter; the engine's own name for the weights is always this.
        asked = body | {"model": "lmi"}
        try:
            answer = self._runtime.invoke_endpoint(
                EndpointName=deployment.endpoint_name,
                InferenceComponentName=deployment.component_name,
                ContentType="application/json",
                Body=json.dumps(asked).encode(),
            )
        except self._runtime.exceptions.ModelError as error:
            raise _engine_error(error.response) from error
        except self._runtime.exceptions.ClientError as error:
            raise Unavailable(
                f"The endpoint of {deployment.model_name} does not answer.",
                code="model_unavailable",
                remedy="Try again; if this lasts, deploy the model again.",
                retry_after=10,
            ) from error
        return json.loads(answer["Body"].read())


def _engine_error(response: dict[str, Any]) -> Exception:
    """The engine's refusal: a 4xx is the caller's, anything else ours."""
    try:
        said = json.loads(response.get("OriginalMessage", ""))["error"]
        message, param = said["message"], said.get("param")
    except (ValueError, KeyError, TypeError):
        message, param = response.get("OriginalMessage") or "The model failed to answer.", None
    if 400 <= response.get("OriginalStatusCode", 500) < 500:
        return InvalidRequest(message, param=param, remedy="Change the request as the message says.")
    return Unavailable(message, code="model_failed", retry_after=5)
