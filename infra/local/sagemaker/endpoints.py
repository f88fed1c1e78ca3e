"""Endpoint operations and invocations. An endpoint is what inference components stand on; it runs nothing itself."""

import json
import time
from http import HTTPStatus
from http.client import HTTPException
from typing import Any
from urllib import error, request

from infra.local.options import ACCOUNT
from infra.local.sagemaker import event_stream
from infra.local.sagemaker.autoscaling import Autoscaling
from infra.local.sagemaker.components import Components, NoCapacity
from infra.local.sagemaker.errors import SageMakerError, already_there, invalid, not_found
from infra.local.sagemaker.models import Catalogue
from infra.local.sagemaker.plant import Plant
from infra.local.sagemaker.store import Record, arn
from infra.local.sagemaker.streams import ContainerStream

# SageMaker's own limit on one invocation.
INVOCATION_SECONDS = 60
_TIMED_OUT = "Your invocation timed out while waiting for a response from container primary."


class Endpoints:
    """Create, describe, list, update, delete, invoke."""

    def __init__(self, plant: Plant, configs: Catalogue, components: Components, autoscaling: Autoscaling) -> None:
        self._store = plant.store
        self._configs = configs
        self._components = components
        self._autoscaling = autoscaling

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        """CreateEndpoint. Nothing has to start, so it is InService at once."""
        name, now = request["EndpointName"], time.time()
        config = self._configs.describe({"EndpointConfigName": request["EndpointConfigName"]})
        if any("ModelName" in variant for variant in config["ProductionVariants"]):
            raise invalid("The local cloud serves inference components only: leave ModelName out of the variants.")
        record: Record = {
            "EndpointName": name,
            "EndpointArn": arn("endpoint", name),
            "EndpointConfigName": request["EndpointConfigName"],
            "ProductionVariants": [_variant(variant) for variant in config["ProductionVariants"]],
            "EndpointStatus": "InService",
            "CreationTime": now,
            "LastModifiedTime": now,
        }
        if not self._store.add("endpoint", name, record, request.get("Tags", [])):
            raise already_there("endpoint", record["EndpointArn"])
        return {"EndpointArn": record["EndpointArn"]}

    def update(self, request: dict[str, Any]) -> dict[str, Any]:
        """UpdateEndpoint: another configuration."""
        record = self.describe(request)
        config = self._configs.describe({"EndpointConfigName": request["EndpointConfigName"]})
        variants = [_variant(variant) for variant in config["ProductionVariants"]]
        changes = {"EndpointConfigName": request["EndpointConfigName"], "ProductionVariants": variants}
        self._store.update("endpoint", request["EndpointName"], **changes)
        return {"EndpointArn": record["EndpointArn"]}

    def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        record = self._store.get("endpoint", request["EndpointName"])
        if record is None:
            raise not_found("endpoint", arn("endpoint", request["EndpointName"]))
        return record

    def list(self, request: dict[str, Any]) -> dict[str, Any]:
        """ListEndpoints, newest first, all on one page."""
        members = ("EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime", "EndpointStatus")
        found = sorted(self._store.all("endpoint"), key=lambda record: -record["CreationTime"])
        return {"Endpoints": [{key: record[key] for key in members} for record in found]}

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        """DeleteEndpoint; refused while inference components stand on it, as on AWS."""
        record = self.describe(request)
        if self._components.any_on(request["EndpointName"]):
            raise invalid(
                f'Cannot delete endpoint "{record["EndpointArn"]}": it hosts inference components. Delete them first.'
            )
        self._store.remove("endpoint", request["EndpointName"])
        return {}

    def invoke(self, name: str, body: bytes, headers: dict[str, str]) -> tuple[dict[str, str], bytes]:
        """InvokeEndpoint: the container's answer, or ModelError with its status and message."""
        variant, address, passed = self._route(name, headers)
        content_type, answer = _post(f"{address}/invocations", body, passed)
        return {"Content-Type": content_type, "x-Amzn-Invoked-Production-Variant": variant}, answer

    def stream(self, name: str, body: bytes, headers: dict[str, str]) -> tuple[dict[str, str], ContainerStream]:
        """InvokeEndpointWithResponseStream: the container's answer as it comes, or ModelError as above."""
        variant, address, passed = self._route(name, headers)
        try:
            stream = ContainerStream(f"{address}/invocations", body, passed)
            if stream.answer.status >= HTTPStatus.BAD_REQUEST:
                raise _model_error(stream.answer.status, stream.answer.read().decode("utf-8", errors="replace"))
        except (OSError, HTTPException) as failure:
            raise _model_error(0, _TIMED_OUT) from failure
        return {
            "Content-Type": event_stream.CONTENT_TYPE,
            "X-Amzn-SageMaker-Content-Type": stream.answer.headers.get("Content-Type", ""),
            "x-Amzn-Invoked-Production-Variant": variant,
        }, stream

    def _route(self, name: str, headers: dict[str, str]) -> tuple[str, str, dict[str, str]]:
        """The variant, the address of the container, and the headers that it gets."""
        record = self._store.get("endpoint", name)
        if record is None:
            raise SageMakerError("ValidationError", f"Endpoint {name} of account {ACCOUNT} not found.")
        component = headers.get("x-amzn-sagemaker-inference-component")
        if not component:
            raise SageMakerError("ValidationError", "Inference Component Name header is required for this endpoint.")
        try:
            address, picked = self._components.address_of(name, component)
        except NoCapacity as asleep:
            self._autoscaling.wake(asleep.component)
            raise
        passed = {"Content-Type": headers.get("content-type", "application/json"), **picked}
        passed.update({"Accept": headers[name]} if (name := "accept") in headers else {})
        return record["ProductionVariants"][0]["VariantName"], address, passed


def _variant(variant: dict[str, Any]) -> dict[str, Any]:
    count = variant.get("InitialInstanceCount", 1)
    return {"VariantName": variant["VariantName"], "CurrentInstanceCount": count, "DesiredInstanceCount": count}


def _post(url: str, body: bytes, headers: dict[str, str]) -> tuple[str, bytes]:
    call = request.Request(url, data=body, headers=headers, method="POST")
    try:
        with request.urlopen(call, timeout=INVOCATION_SECONDS) as answer:
            return answer.headers.get("Content-Type", "application/json"), answer.read()
    except error.HTTPError as refusal:
        raise _model_error(refusal.code, refusal.read().decode("utf-8", errors="replace")) from refusal
    except OSError as failure:
        raise _model_error(0, _TIMED_OUT) from failure


def _model_error(status: int, message: str) -> SageMakerError:
    side = "client" if 400 <= status < 500 else "server"
    return SageMakerError(
        "ModelError",
        f"Received {side} error ({status}) from primary with message {json.dumps(message)}.",
        status=HTTPStatus.FAILED_DEPENDENCY,
        OriginalStatusCode=status,
        OriginalMessage=message,
    )
