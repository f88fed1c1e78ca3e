"""Asking a model: one verb behind every surface's door."""

import time
from typing import Any

from luthier import ids
from luthier.accounts.entity import Principal
from luthier.deployments.entity import ACTIVE, DEPLOYING
from luthier.deployments.service import DeploymentService
from luthier.errors import Conflict, Unavailable
from luthier.inference.entity import Answered
from luthier.inference.invoke import Invoker
from luthier.usage.service import UsageService


class InferenceService:
    def __init__(self, deployments: DeploymentService, invoker: Invoker, usage: UsageService) -> None:
        self._deployments = deployments
        self._invoker = invoker
        self._usage = usage

    def chat(self, principal: Principal, body: dict[str, Any]) -> dict[str, Any]:
        """An OpenAI chat completion from the deployment of `body["model"]`, any of the model's names.

        Raises NotFound for an unknown model, Conflict for one that is not deployed, Unavailable while it comes up,
        InsufficientCredits where tokens cost something and no credits are left.
        """
        name = body["model"]
        deployment = self._deployments.find(principal.organization_id, name)
        if deployment and deployment.status == DEPLOYING:
            raise Unavailable(
                f"Model {name!r} is being deployed.",
                code="model_not_ready",
                remedy="Try again in a few seconds.",
                retry_after=5,
            )
        if deployment is None or deployment.status != ACTIVE:
            raise Conflict(
                f"Model {name!r} is not deployed.",
                code="model_not_deployed",
                param="model",
                details=deployment.status_reason if deployment else None,
                remedy="Deploy it first.",
            )
        self._usage.admit_inference(principal)
        answer = self._invoker.chat(deployment, body)
        self._meter(principal, deployment.model_name, answer.get("usage") or {})
        defaults = {"id": ids.new_id("chatcmpl", "-"), "object": "chat.completion", "created": int(time.time())}
        return defaults | answer | {"model": name}

    def ask(self, principal: Principal, body: dict[str, Any]) -> Answered:
        """The same for surfaces that show a text, how long it took and what it cost. Raises as `chat`."""
        started = time.perf_counter()
        completion = self.chat(principal, body)
        return Answered.of(
            completion,
            latency_ms=round(1000 * (time.perf_counter() - started)),
            cost=self._usage.price_of(completion.get("usage") or {}),
        )

    def _meter(self, principal: Principal, model: str, tokens: dict[str, Any]) -> None:
        self._usage.meter_inference(
            principal,
            model,
            prompt_tokens=tokens.get("prompt_tokens") or 0,
            completion_tokens=tokens.get("completion_tokens") or 0,
        )
