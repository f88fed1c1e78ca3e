"""Inference component operations: what is declared here, `component_run` serves."""

import threading
import time
from typing import Any

from infra.local.sagemaker.component_run import KIND, ComponentRun, base_of
from infra.local.sagemaker.errors import SageMakerError, already_there, invalid, not_found
from infra.local.sagemaker.models import Catalogue
from infra.local.sagemaker.plant import Plant
from infra.local.sagemaker.store import Record, arn

_NO_CAPACITY = (
    "Inference Component has no capacity to process this request. ApplicationAutoScaling may be in-progress (if "
    "configured) or try to increase the capacity by invoking UpdateInferenceComponentRuntimeConfig API."
)


class Components:
    """Create, describe, list, update, delete; and where the requests of one go.

    configs: the endpoint configurations, whose ExecutionRoleArn the containers work under.
    """

    def __init__(self, plant: Plant, models: Catalogue, configs: Catalogue) -> None:
        self._plant = plant
        self._store = plant.store
        self._models = models
        self._configs = configs
        # Two requests must not start two servers of one component.
        self._starting = threading.Lock()

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        """CreateInferenceComponent: answers at once, Creating until its server, or the server of its base, has it."""
        name, now = request["InferenceComponentName"], time.time()
        endpoint = self._store.get("endpoint", request["EndpointName"])
        if endpoint is None:
            raise not_found("endpoint", arn("endpoint", request["EndpointName"]))
        if endpoint["EndpointStatus"] != "InService":
            raise invalid(
                f'Cannot create an inference component on endpoint "{endpoint["EndpointArn"]}": not InService.'
            )
        specification = request.get("Specification") or {}
        self._check(request, specification)
        copies = (request.get("RuntimeConfig") or {}).get("CopyCount", 1)
        record: Record = {
            "InferenceComponentName": name,
            "InferenceComponentArn": arn(KIND, name),
            "EndpointName": request["EndpointName"],
            "EndpointArn": endpoint["EndpointArn"],
            "VariantName": request.get("VariantName", "main"),
            "Specification": specification,
            "InferenceComponentStatus": "Creating",
            "RuntimeConfig": {"DesiredCopyCount": copies, "CurrentCopyCount": 0},
            "CreationTime": now,
            "LastModifiedTime": now,
        }
        if not self._store.add(KIND, name, record, request.get("Tags", [])):
            raise already_there("inference component", record["InferenceComponentArn"])
        self.run(record)
        return {"InferenceComponentArn": record["InferenceComponentArn"]}

    def _check(self, request: dict[str, Any], specification: dict[str, Any]) -> None:
        base = specification.get("BaseInferenceComponentName")
        if base is None:
            if "ModelName" not in specification:
                raise invalid("The local cloud serves inference components with a ModelName or a base component.")
            self._models.describe({"ModelName": specification["ModelName"]})
            return
        if self.describe({"InferenceComponentName": base})["EndpointName"] != request["EndpointName"]:
            raise invalid(f"The base inference component {base} is on another endpoint.")
        if not (specification.get("Container") or {}).get("ArtifactUrl"):
            raise invalid("An adapter inference component needs Container.ArtifactUrl.")
        if request.get("RuntimeConfig"):
            raise invalid("RuntimeConfig cannot be specified for an adapter inference component.")

    def run(self, record: Record) -> None:
        """Start what a component needs; also after a restart of the cloud."""
        if base := base_of(record):
            if run := self._run_of(base):
                run.adapters_changed()
            return
        with self._starting:
            name = record["InferenceComponentName"]
            if record["RuntimeConfig"]["DesiredCopyCount"] == 0 or self._run_of(name):
                return
            model = self._models.describe({"ModelName": record["Specification"]["ModelName"]})
            ComponentRun(self._plant, name, model, self._role(record, model)).start()

    def _role(self, record: Record, model: Record) -> str:
        endpoint = self._store.get("endpoint", record["EndpointName"]) or {}
        config = self._configs.describe({"EndpointConfigName": endpoint["EndpointConfigName"]})
        return str(config.get("ExecutionRoleArn") or model["ExecutionRoleArn"])

    def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        record = self._store.get(KIND, request["InferenceComponentName"])
        if record is None:
            raise not_found("inference component", arn(KIND, request["InferenceComponentName"]))
        return record if base_of(record) is None else {k: v for k, v in record.items() if k != "RuntimeConfig"}

    def list(self, request: dict[str, Any]) -> dict[str, Any]:
        """ListInferenceComponents, newest first, all on one page."""
        members = ("InferenceComponentName", "InferenceComponentArn", "EndpointName", "EndpointArn", "VariantName",
                   "CreationTime", "LastModifiedTime", "InferenceComponentStatus")  # fmt: skip
        found = [
            record
            for record in self._store.all(KIND)
            if request.get("EndpointNameEquals", record["EndpointName"]) == record["EndpointName"]
            and request.get("NameContains", "") in record["InferenceComponentName"]
            and request.get("StatusEquals", record["InferenceComponentStatus"]) == record["InferenceComponentStatus"]
        ]
        found.sort(key=lambda record: -record["CreationTime"])
        return {"InferenceComponents": [{key: record[key] for key in members} for record in found]}

    def update(self, request: dict[str, Any]) -> dict[str, Any]:
        """UpdateInferenceComponent: other weights or another number of copies, by a new server."""
        record = self._settled(request["InferenceComponentName"])
        specification = record["Specification"] | (request.get("Specification") or {})
        changed = self._store.update(KIND, record["InferenceComponentName"], Specification=specification)
        if changed and specification != record["Specification"]:
            self._store.update(KIND, record["InferenceComponentName"], InferenceComponentStatus="Updating")
            self._restart(changed)
        if "RuntimeConfig" in request:
            self.set_copies(record["InferenceComponentName"], request["RuntimeConfig"]["CopyCount"])
        return {"InferenceComponentArn": record["InferenceComponentArn"]}

    def update_copies(self, request: dict[str, Any]) -> dict[str, Any]:
        """UpdateInferenceComponentRuntimeConfig."""
        record = self._settled(request["InferenceComponentName"])
        self.set_copies(record["InferenceComponentName"], request["DesiredRuntimeConfig"]["CopyCount"])
        return {"InferenceComponentArn": record["InferenceComponentArn"]}

    def set_copies(self, name: str, copies: int) -> None:
        """More or fewer copies: from none up a server starts, down to none it ends."""
        record = self._store.get(KIND, name)
        if record is None or record["RuntimeConfig"]["DesiredCopyCount"] == copies:
            return
        run = self._run_of(name)
        serving = copies if run and run.address else 0
        changed = self._store.update(
            KIND, name, RuntimeConfig={"DesiredCopyCount": copies, "CurrentCopyCount": serving}
        )
        if copies == 0 and run:
            run.stop()
        elif changed and run is None:
            self.run(changed)
        elif run and run.is_ending:
            # Woken while it falls asleep.
            threading.Thread(target=self._run_after, args=(run, name), daemon=True).start()

    def hold_within(self, name: str, least: int, most: int) -> None:
        """Copies as many as Application Auto Scaling lets there be, once a component answers or sleeps."""
        record = self._store.get(KIND, name)
        if record and record["InferenceComponentStatus"] == "InService":
            self.set_copies(name, min(max(record["RuntimeConfig"]["DesiredCopyCount"], least), most))

    def _run_after(self, run: ComponentRun, name: str) -> None:
        run.join()
        if (record := self._store.get(KIND, name)) and record["InferenceComponentStatus"] != "Deleting":
            self.run(record)

    def _settled(self, name: str) -> Record:
        record = self._store.get(KIND, name)
        if record is None:
            raise not_found("inference component", arn(KIND, name))
        if base_of(record):
            raise invalid("The runtime configuration of an adapter inference component cannot be changed.")
        if record["InferenceComponentStatus"] in ("Creating", "Updating", "Deleting"):
            raise invalid(f'Cannot update in-progress inference component "{record["InferenceComponentArn"]}".')
        return record

    def _restart(self, record: Record) -> None:
        run = self._run_of(record["InferenceComponentName"])
        if run:
            run.stop()
            run.join(15)
        self.run(record)

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        """DeleteInferenceComponent: Deleting until its server has let it go; a base goes after its adapters."""
        name = request["InferenceComponentName"]
        record = self._store.get(KIND, name)
        if record is None:
            raise not_found("inference component", arn(KIND, name))
        if adapters := [row for row in self._store.all(KIND) if base_of(row) == name]:
            raise invalid(
                f'Cannot delete inference component "{record["InferenceComponentArn"]}": it is the base of '
                f"{len(adapters)} adapter inference components. Delete them first."
            )
        self._store.update(KIND, name, InferenceComponentStatus="Deleting")
        run = self._run_of(base_of(record) or name)
        if run is None:
            self._store.remove(KIND, name)
        elif base_of(record):
            run.adapters_changed()
        else:
            run.stop()
            threading.Thread(target=self._remove_after, args=(run, name), daemon=True).start()
        return {}

    def _remove_after(self, run: ComponentRun, name: str) -> None:
        run.join()
        self._store.remove(KIND, name)

    def recover(self, record: Record) -> None:
        """After a restart of the cloud: its server is gone, and what was being deleted is."""
        name = record["InferenceComponentName"]
        if record["InferenceComponentStatus"] == "Deleting":
            self._store.remove(KIND, name)
        elif record["InferenceComponentStatus"] != "Failed":
            changed = self._store.update(KIND, name, InferenceComponentStatus="Creating")
            if base_of(record) is None and record["RuntimeConfig"]["DesiredCopyCount"] == 0:
                self._store.update(KIND, name, InferenceComponentStatus="InService")
            elif changed:
                self.run(changed)

    def any_on(self, endpoint: str) -> bool:
        """Whether a component stands on the endpoint."""
        return any(record["EndpointName"] == endpoint for record in self._store.all(KIND))

    def address_of(self, endpoint: str, name: str) -> tuple[str, dict[str, str]]:
        """Address of the server, and headers that pick the adapter. Raises NoCapacity or another SageMakerError."""
        record = self._store.get(KIND, name)
        if record is None or record["EndpointName"] != endpoint:
            raise SageMakerError("ValidationError", f"Inference Component {name} of endpoint {endpoint} not found.")
        base = base_of(record) or name
        standing = self._store.get(KIND, base) or record
        # It has no copies while it sleeps, nor while it wakes.
        if standing["InferenceComponentStatus"] == "InService" and standing["RuntimeConfig"]["CurrentCopyCount"] == 0:
            raise NoCapacity(base)
        run = self._run_of(base)
        address = run.address if run else None
        if run is None or address is None or record["InferenceComponentStatus"] != "InService":
            raise SageMakerError("ServiceUnavailable", f"Inference Component {name} is not in service.", status=503)
        run.used_at = time.monotonic()
        picked = {"X-Amzn-SageMaker-Adapter-Identifier": name} if base != name else {}
        return address, picked

    def idle_seconds(self, name: str) -> float:
        """How long no request has come to a component that serves; 0 where it does not."""
        run = self._run_of(name)
        return time.monotonic() - run.used_at if run and run.address else 0.0

    def _run_of(self, name: str) -> ComponentRun | None:
        run = self._plant.live(f"component/{name}")
        return run if isinstance(run, ComponentRun) else None


class NoCapacity(SageMakerError):
    """A request found a component without copies."""

    def __init__(self, component: str) -> None:
        super().__init__("ValidationError", _NO_CAPACITY)
        self.component = component
