"""Endpoint operations and invocations."""

import json
import time
from http import HTTPStatus
from typing import Any
from urllib import error, request

from infra.local.options import ACCOUNT
from infra.local.sagemaker.endpoint_run import EndpointRun
from infra.local.sagemaker.errors import SageMakerError, already_there, invalid, not_found
from infra.local.sagemaker.models import Catalogue
from infra.local.sagemaker.plant import Plant
from infra.local.sagemaker.store import Record, arn

# SageMaker's own limit on one invocation.
INVOCATION_SECONDS = 60
_TIMED_OUT = "Your invocation timed out while waiting for a response from container primary."


class Endpoints:
    """Create, describe, delete, invoke."""

    def __init__(self, plant: Plant, models: Catalogue, configs: Catalogue) -> None:
        self._plant = plant
        self._store = plant.store
        self._models = models
        self._configs = configs

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        """CreateEndpoint: answers at once; the endpoint is Creating until its server answers a ping."""
        name, now = request["EndpointName"], time.time()
        config = self._configs.describe({"EndpointConfigName": request["EndpointConfigName"]})
        for variant in config["ProductionVariants"]:
            self._models.describe({"ModelName": variant["ModelName"]})
        record: Record = {
            "EndpointName": name,
            "EndpointArn": arn("endpoint", name),
            "EndpointConfigName": request["EndpointConfigName"],
            "ProductionVariants": [_variant(variant) for variant in config["ProductionVariants"]],
            "EndpointStatus": "Creating",
            "CreationTime": now,
            "LastModifiedTime": now,
        }
        if not self._store.add("endpoint", name, record, request.get("Tags", [])):
            raise already_there("endpoint", record["EndpointArn"])
        self.run(record)
        return {"EndpointArn": record["EndpointArn"]}

    def run(self, record: Record) -> None:
        """Start the endpoint's server; also after a restart of the cloud."""
        config = self._configs.describe({"EndpointConfigName": record["EndpointConfigName"]})
        model = self._models.describe({"ModelName": config["ProductionVariants"][0]["ModelName"]})
        EndpointRun(self._plant, record["EndpointName"], model).start()

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
        """DeleteEndpoint; one that is still Creating cannot be deleted, as on AWS."""
        record = self.describe(request)
        if record["EndpointStatus"] == "Creating":
            raise invalid(f'Cannot update in-progress endpoint "{record["EndpointArn"]}".')
        self._store.remove("endpoint", request["EndpointName"])
        run = self._plant.live(f"endpoint/{request['EndpointName']}")
        if run:
            run.stop()
        return {}

    def invoke(self, name: str, body: bytes, headers: dict[str, str]) -> tuple[dict[str, str], bytes]:
        """InvokeEndpoint: the container's answer, or ModelError with its status and message."""
        run = self._plant.live(f"endpoint/{name}")
        record = self._store.get("endpoint", name)
        if not isinstance(run, EndpointRun) or record is None or record["EndpointStatus"] != "InService":
            raise SageMakerError("ValidationError", f"Endpoint {name} of account {ACCOUNT} not found.")
        variant = record["ProductionVariants"][0]["VariantName"]
        content_type, answer = _post(f"http://127.0.0.1:{run.port}/invocations", body, headers)
        return {"Content-Type": content_type, "x-Amzn-Invoked-Production-Variant": variant}, answer


def _variant(variant: dict[str, Any]) -> dict[str, Any]:
    count = variant.get("InitialInstanceCount", 1)
    return {"VariantName": variant["VariantName"], "CurrentInstanceCount": count, "DesiredInstanceCount": count}


def _post(url: str, body: bytes, headers: dict[str, str]) -> tuple[str, bytes]:
    passed = {"Content-Type": headers.get("content-type", "application/json")}
    passed.update({"Accept": headers[name]} if (name := "accept") in headers else {})
    call = request.Request(url, data=body, headers=passed, method="POST")
    try:
        with request.urlopen(call, timeout=INVOCATION_SECONDS) as answer:
            return answer.headers.get("Content-Type", "application/json"), answer.read()
    except error.HTTPError as refusal:
        raise _model_error(refusal.code, refusal.read().decode("utf-8", errors="replace")) from refusal
    except OSError as failure:
        raise _model_error(
            0, "Your invocation timed out while waiting for a response from container primary."
        ) from failure


def _model_error(status: int, message: str) -> SageMakerError:
    side = "client" if 400 <= status < 500 else "server"
    return SageMakerError(
        "ModelError",
        f"Received {side} error ({status}) from primary with message {json.dumps(message)}.",
        status=HTTPStatus.FAILED_DEPENDENCY,
        OriginalStatusCode=status,
        OriginalMessage=message,
    )
