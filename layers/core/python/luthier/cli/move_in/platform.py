"""Luthier's API, as far as moving in needs it."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from luthier.cli.move_in import asking
from luthier.cli.move_in.asking import Api, Refused
from luthier.cli.stop import Stop

# Above this a file goes in parts of as much: a request reaches a function, which takes no more.
PART_BYTES = 4_000_000
_PURPOSE = "fine-tune"
POLL_SECONDS = 5.0


class Platform:
    def __init__(self, api: Api) -> None:
        self._api = api
        self.url = api.url

    def file(self, file_id: str) -> dict[str, Any] | None:
        return self._found(f"/v1/files/{file_id}")

    def upload(self, path: Path, filename: str, key: str) -> str:
        """The id of the file, checked. key: the same for the same content. Raises Stop for one with bad rows."""
        if path.stat().st_size <= PART_BYTES:
            file = self._api.ask(
                "POST",
                "/v1/files",
                data={"purpose": _PURPOSE},
                files={"file": (filename, path.read_bytes())},
                headers={"Idempotency-Key": key},
            )
        else:
            file = self._upload_in_parts(path, filename, key)
        while file["status"] == "uploaded":
            asking.sleep(POLL_SECONDS)
            file = self._api.get(f"/v1/files/{file['id']}")
        if file["status"] != "processed":
            message = f"The platform refuses {filename}: {file.get('status_details')}"
            raise Stop(message, f"GET /v1/files/{file['id']}/report lists every bad line.")
        return str(file["id"])

    def _upload_in_parts(self, path: Path, filename: str, key: str) -> dict[str, Any]:
        size = path.stat().st_size
        wish = {"purpose": _PURPOSE, "filename": filename, "bytes": size, "mime_type": "application/jsonl"}
        upload = self._api.post("/v1/uploads", wish, key=key)
        if upload["status"] in ("cancelled", "expired") or (upload["status"] == "completed" and not upload["file"]):
            # Begun an hour ago or longer by a run that was cut off, or deleted since.
            upload = self._api.post("/v1/uploads", wish)
        if upload["status"] == "pending":
            place, parts = f"/v1/uploads/{upload['id']}", []
            with path.open("rb") as content:
                while data := content.read(PART_BYTES):
                    parts.append(self._api.ask("POST", f"{place}/parts", files={"data": data})["id"])
            upload = self._api.post(f"{place}/complete", {"part_ids": parts})
        return dict(upload["file"])

    def estimate(self, base: str, rows: int) -> str:
        """The price with usual hyperparameters, as a text."""
        found = self._api.post("/api/v1/fine-tuning/estimate-cost", {"baseModel": base, "datasetSize": rows})
        return f"{found['estimatedCost']:.2f} {found['currency']}"

    def base_models(self) -> list[str]:
        return [row["id"] for row in self._api.get("/api/v1/fine-tuning/base-models")["models"]]

    def create(self, body: dict[str, Any], key: str) -> dict[str, Any]:
        return self._api.post("/v1/fine_tuning/jobs", body, key=key)

    def job(self, job_id: str) -> dict[str, Any] | None:
        return self._found(f"/v1/fine_tuning/jobs/{job_id}")

    def start(self, job_id: str) -> dict[str, Any]:
        return self._api.post(f"/v1/fine_tuning/jobs/{job_id}/start")

    def deploy(self, model: str) -> dict[str, Any]:
        """The deployment of a model, on its way or there. Repeating it is safe."""
        answer = self._api.post(f"/v2/training/models/{quote(model, safe=':')}/deploy")
        return dict(answer["deployment"])

    def deployment(self, deployment_id: str) -> dict[str, Any]:
        return self._api.get(f"/v2/training/deployments/{deployment_id}")

    def alias(self, name: str, deployment_id: str, description: str) -> None:
        """Let requests under a name go to a deployment. Repeating it is safe."""
        wish = {"routes": [{"deploymentId": deployment_id}], "description": description}
        self._api.ask("PUT", f"/v2/training/aliases/{quote(name, safe=':')}", json=wish)

    def _found(self, path: str) -> dict[str, Any] | None:
        try:
            return self._api.get(path)
        except Refused as refused:
            if refused.http_status == 404:
                return None
            raise
