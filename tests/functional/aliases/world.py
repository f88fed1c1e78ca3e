"""Two deployed models of one organization, and a runtime in which a test breaks one of them."""

from typing import Any

import pytest

from luthier.accounts.entity import Principal
from luthier.aliases.entity import Alias, Rollback
from luthier.aliases.service import Wanted
from luthier.deployments.entity import Deployment
from luthier.inference.entity import Completion
from tests.factories import Platform, principal
from tests.fakes import RuntimeExceptions

A = principal("org_a")


class World:
    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.old, self.new = self.deployed("old"), self.deployed("new")
        self._invoke = platform.runtime.invoke_endpoint_with_response_stream
        # component → what it is refused with
        self.broken: dict[str, Exception] = {}
        platform.runtime.invoke_endpoint_with_response_stream = self._invoked  # type: ignore[method-assign]

    def deployed(self, suffix: str, who: Principal = A) -> Deployment:
        return self.platform.deployed(who, self.platform.completed(who, suffix=suffix).result_model or "")

    def put(self, name: str = "support", rollback: Rollback | None = None, **weights: float) -> Alias:
        """weights: of the deployments called so here."""
        routes = [Wanted(deployment_id=getattr(self, one).id, weight=weight) for one, weight in weights.items()]
        return self.platform.aliases.put(A, name, routes=routes, rollback=rollback)

    def get(self, name: str = "support") -> Alias:
        return self.platform.aliases.get(A, name)

    def ask(self, name: str = "support") -> Completion:
        return self.platform.inference.complete(A, {"model": name, "messages": [{"role": "user", "content": "hello"}]})

    def asked(self, times: int, name: str = "support") -> dict[str, int]:
        """How many of so many requests each deployment has answered; "" are those that nobody has."""
        found: dict[str, int] = {}
        for _ in range(times):
            try:
                who = self.ask(name).by.deployment_id
            except Exception:
                who = ""
            found[who] = found.get(who, 0) + 1
        return found

    def breaks(self, deployment: Deployment, error: Exception | None = None, status: int = 500) -> None:
        said = {"Error": {"Code": "ModelError"}, "OriginalStatusCode": status, "OriginalMessage": "CUDA error"}
        self.broken[deployment.component_name] = error or RuntimeExceptions.ModelError(said, "InvokeEndpoint")

    def _invoked(self, **request: Any) -> dict[str, Any]:
        if error := self.broken.get(request["InferenceComponentName"]):
            raise error
        return self._invoke(**request)


@pytest.fixture
def world(platform: Platform) -> World:
    return World(platform)
