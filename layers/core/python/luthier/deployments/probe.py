"""The proof of what has none: a base model, or a model without recorded answers, has to answer one question."""

import json
from typing import Any

from luthier.deployments.entity import Deployment
from luthier.errors import Unavailable
from luthier.inference.invoke import Invoker

_QUESTION = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4, "temperature": 0}


class Probe:
    def __init__(self, invoker: Invoker) -> None:
        self._invoker = invoker

    def prove(self, deployment: Deployment) -> dict[str, Any]:
        """`{prompts: 1}`. Raises Unavailable unless a choice comes back."""
        answer = self._invoker.chat(deployment, dict(_QUESTION))
        if not answer.get("choices"):
            raise Unavailable(f"The endpoint answered the probe without a choice: {json.dumps(answer)[:200]}")
        return {"prompts": 1}
