"""Making and removing endpoints and inference components, one idempotent step nearer per call."""

from collections.abc import Iterable
from typing import Any

from luthier.deployments import requests
from luthier.deployments.entity import base_component
from luthier.deployments.requests import Site
from luthier.errors import Unprocessable
from luthier.settings import Settings

UP, WAITING = "up", "waiting"
# An endpoint or component in one of these is on its way.
_CHANGING = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
_NO_CAPACITY = ("capacityerror", "insufficient capacity", "insufficientcapacity", "insufficientinstancecapacity",
                "resourcelimitexceeded", "unable to provision", "not enough capacity")  # fmt: skip


class NoCapacity(Exception):
    """AWS has no such instance now, or the account's quota is used up; the text is AWS's own."""


class Endpoints:
    def __init__(self, sagemaker: Any, settings: Settings) -> None:
        self._sagemaker = sagemaker
        self._settings = settings

    @property
    def image(self) -> str:
        return self._settings.serving_image

    def endpoint(self, name: str) -> dict[str, Any] | None:
        return self._described(self._sagemaker.describe_endpoint, EndpointName=name)

    def component(self, name: str) -> dict[str, Any] | None:
        return self._described(self._sagemaker.describe_inference_component, InferenceComponentName=name)

    def standing(self) -> frozenset[str]:
        """Names of the components that SageMaker has and has not given up, all of Luthier's in one listing."""
        pages = self._sagemaker.get_paginator("list_inference_components").paginate(NameContains="luthier-")
        found = (row for page in pages for row in page["InferenceComponents"])
        return frozenset(row["InferenceComponentName"] for row in found if _stands(row))

    def stand(self, components: Iterable[str]) -> bool:
        """Whether all of these stand; SageMaker may have given one up, or somebody outside Luthier removed it."""
        return all(map(_stands, map(self.component, components)))

    def rests(self, component: str) -> bool:
        described = self.component(component)
        return described is not None and described["InferenceComponentStatus"] == "InService"

    def bring_up(self, site: Site) -> str:
        """WAITING until the site's weights are served, then UP. Raises NoCapacity, or Unprocessable for good."""
        endpoint = self.endpoint(site.endpoint)
        if endpoint is None:
            self._create_endpoint(site)
            return WAITING
        if self._state("endpoint", endpoint["EndpointStatus"], endpoint) == WAITING:
            return WAITING
        component = self.component(site.component)
        if component is None:
            self._once(self._sagemaker.create_inference_component, **requests.component(site))
            return WAITING
        return self._state("model", component["InferenceComponentStatus"], component)

    def add_adapter(self, name: str, endpoint: str, archive_uri: str, tag: str) -> str:
        """WAITING until the adapter is served over the endpoint's weights, then UP. Raises Unprocessable."""
        component = self.component(name)
        if component is None:
            request = requests.adapter(name, endpoint, archive_uri, tag)
            self._once(self._sagemaker.create_inference_component, **request)
            return WAITING
        return self._state("adapter", component["InferenceComponentStatus"], component)

    def roll(self, site: Site, alarm: str) -> None:
        """Begin to serve the site's weights by its image, copy after copy."""
        self._once(self._sagemaker.create_model, **requests.model(site, self._settings.serving_role_arn))
        self._sagemaker.update_inference_component(**requests.rolling_update(site, alarm))

    def served_model(self, component: str) -> str | None:
        """Name of the SageMaker model that a component serves."""
        return ((self.component(component) or {}).get("Specification") or {}).get("ModelName")

    def set_copies(self, component: str, copies: int) -> None:
        described = self.component(component) or {}
        if described.get("RuntimeConfig", {}).get("DesiredCopyCount") != copies:
            self._sagemaker.update_inference_component_runtime_config(
                InferenceComponentName=component, DesiredRuntimeConfig={"CopyCount": copies}
            )

    def remove_component(self, name: str) -> bool:
        """Whether no such component is left; deletes it if there is one."""
        described = self.component(name)
        if described is None:
            return True
        if described["InferenceComponentStatus"] != "Deleting":
            self._gone(self._sagemaker.delete_inference_component, InferenceComponentName=name)
        return False

    def remove(self, name: str) -> bool:
        """Whether nothing is left of an endpoint; removes its adapters, its weights, then itself, as AWS demands."""
        components = self._sagemaker.list_inference_components(EndpointNameEquals=name, MaxResults=100)
        names = [row["InferenceComponentName"] for row in components["InferenceComponents"]]
        if adapters := [found for found in names if found != base_component(name)]:
            for adapter in adapters:
                self.remove_component(adapter)
            return False
        if base_component(name) in names:
            self.remove_component(base_component(name))
            return False
        endpoint = self.endpoint(name)
        if endpoint is not None:
            if endpoint["EndpointStatus"] not in _CHANGING:
                self._gone(self._sagemaker.delete_endpoint, EndpointName=name)
            return False
        self._gone(self._sagemaker.delete_endpoint_config, EndpointConfigName=name)
        for model in self._sagemaker.list_models(NameContains=name, MaxResults=100)["Models"]:
            # Not those of the name with one more digit.
            if model["ModelName"].startswith(f"{name}-"):
                self._gone(self._sagemaker.delete_model, ModelName=model["ModelName"])
        return True

    def _create_endpoint(self, site: Site) -> None:
        """Model, configuration and endpoint; each may be there from an earlier try of this step."""
        role = self._settings.serving_role_arn
        self._once(self._sagemaker.create_model, **requests.model(site, role))
        try:
            self._once(self._sagemaker.create_endpoint_config, **requests.endpoint_config(site, role, least=site.least))
        except self._sagemaker.exceptions.ClientError as error:
            # Some regions keep one instance.
            if site.least or "MinInstanceCount" not in error.response["Error"]["Message"]:
                raise
            self._once(self._sagemaker.create_endpoint_config, **requests.endpoint_config(site, role, least=1))
        self._once(self._sagemaker.create_endpoint, **requests.endpoint(site))

    def _state(self, what: str, status: str, described: dict[str, Any]) -> str:
        if status == "InService":
            return UP
        if status in _CHANGING:
            return WAITING
        reason = described.get("FailureReason") or status
        if any(word in reason.casefold() for word in _NO_CAPACITY):
            raise NoCapacity(reason)
        raise Unprocessable(
            f"The {what} did not come up: {reason}",
            code="deployment_failed",
            remedy="The endpoint's log group tells more; then deploy again.",
        )

    def _described(self, describe: Any, **name: str) -> dict[str, Any] | None:
        try:
            return describe(**name)
        except self._sagemaker.exceptions.ClientError as error:
            if error.response["Error"]["Code"] == "ValidationException":
                return None
            raise

    def _once(self, create: Any, **request: Any) -> None:
        """Make what may be there already. Raises NoCapacity where a quota is used up."""
        try:
            create(**request)
        except self._sagemaker.exceptions.ClientError as error:
            said = error.response["Error"]
            if said["Code"] in ("ResourceLimitExceeded", "InsufficientCapacity"):
                raise NoCapacity(said["Message"]) from error
            if said["Code"] != "ValidationException" or "already exist" not in said["Message"].casefold():
                raise

    def _gone(self, delete: Any, **name: str) -> None:
        """Delete what may be gone, or may not be deletable yet: who asks again sees."""
        try:
            delete(**name)
        except self._sagemaker.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "ValidationException":
                raise


def _stands(described: dict[str, Any] | None) -> bool:
    return described is not None and described["InferenceComponentStatus"] not in ("Failed", "Deleting")
