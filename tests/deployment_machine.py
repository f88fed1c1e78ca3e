"""The deployment state machine of functions/pipeline/deployment.asl.json, one task at a time."""

import json
from typing import Any

from luthier.deployments.entity import ACTIVE, Deployment
from luthier.deployments.pipeline import DeploymentPipeline
from luthier.deployments.probe import Probe
from luthier.errors import LuthierError

MODEL_URI = "s3://luthier-base-models/smollm2/main/"


class FakeProbe:
    """The real probe, until a test says that it fails."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self.failing: LuthierError | None = None

    def prove(self, deployment: Deployment) -> dict[str, Any]:
        if self.failing:
            raise self.failing
        return self._probe.prove(deployment)


class DeploymentMachine:
    """An execution of one run. `step` carries out the task of the state at hand; what it raises is caught as there."""

    def __init__(self, pipeline: DeploymentPipeline, made: Deployment, model_uri: str = MODEL_URI) -> None:
        self._pipeline = pipeline
        self._where = (made.organization_id, made.id, made.run)
        self._model_uri = model_uri if made.goal == ACTIVE else ""
        self.state = "PlaceDeployment"
        self.payload: dict[str, Any] = {"placement": {"status": ""}, "proof": None, "error": None}

    def step(self) -> bool:
        """Whether the run is over."""
        try:
            match self.state:
                case "PlaceDeployment":
                    self._place()
                case "ProveDeployment":
                    self.payload["proof"] = self._pipeline.prove(*self._where)
                    self.state = "SettleDeployment"
                case _:
                    return self._settle()
        except LuthierError as error:
            reason = {"code": error.code, "message": error.message, "hint": error.remedy}
            cause = json.dumps({"errorMessage": json.dumps(reason)})
            self.payload["error"] = {"Error": "StepFailed", "Cause": cause}
            self.state = "SettleDeployment"
        return False

    def _place(self) -> None:
        self.payload["placement"] = self._pipeline.place(*self._where, self._model_uri)
        after = {"placed": "ProveDeployment", "gone": "SettleDeployment"}
        self.state = after.get(self.payload["placement"]["status"], self.state)

    def _settle(self) -> bool:
        settled = self._pipeline.settle(
            *self._where,
            status=self.payload["placement"]["status"],
            proof=self.payload["proof"],
            error=self.payload["error"],
        )
        self.payload["error"], self.state = None, "PlaceDeployment"
        return settled
