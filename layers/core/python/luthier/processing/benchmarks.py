"""Finding what a model is judged on: an organization's own file, or a benchmark that the operator has put up.

The operator's are folders `benchmarks/<name>/` of the base-models bucket, each with lm-eval task files and their JSONL.
"""

import difflib
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from luthier.datasets import refusals
from luthier.datasets.entity import ERROR, UPLOADED, WITH_ROWS, Dataset
from luthier.datasets.service import DatasetService
from luthier.errors import InvalidRequest
from luthier.processing.evaluating import ROWS, TASKS
from luthier.settings import Settings

_FOLDER = "benchmarks/"
# Answers generated of an eval set where nobody says how many; lm-eval's tasks are judged whole.
DEFAULT_EXAMPLES = 100


@dataclass(frozen=True)
class Benchmark:
    """`content` is a hash that changes with what is asked; `uri` an S3 prefix, mounted as the channel `channel`."""

    name: str
    channel: str
    content: str
    uri: str

    def spec(self, max_examples: int | None) -> dict[str, Any]:
        """What makes two evaluations of one model the same."""
        most = (max_examples or DEFAULT_EXAMPLES) if self.channel == ROWS else None
        return {"content": self.content, "max_examples": most}

    @property
    def context(self) -> dict[str, Any]:
        return {"benchmark": self.name, "channel": self.channel, "uri": self.uri}


class Benchmarks:
    def __init__(self, s3: Any, datasets: DatasetService, settings: Settings) -> None:
        self._s3 = s3
        self._datasets = datasets
        self._settings = settings

    def find(self, organization_id: str, names: list[str]) -> list[Benchmark]:
        """The benchmark of each name, each once. Raises InvalidRequest, naming the place in the list."""
        known: list[str] | None = None
        found: dict[str, Benchmark] = {}
        for number, name in enumerate(names):
            param = f"benchmarks[{number}]"
            if dataset := self._datasets.referred(organization_id, name):
                found[name] = self._rows(name, dataset, param)
                continue
            known = self.known() if known is None else known
            if name not in known:
                raise _unknown(name, param, known)
            found[name] = self._tasks(name)
        return list(found.values())

    def known(self) -> list[str]:
        """The names of the operator's benchmarks."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._settings.base_models_bucket, Prefix=_FOLDER, Delimiter="/"
        )
        folders = (folder["Prefix"] for page in pages for folder in page.get("CommonPrefixes", []))
        return [folder.removeprefix(_FOLDER).rstrip("/") for folder in folders]

    def _rows(self, name: str, dataset: Dataset, param: str) -> Benchmark:
        if dataset.purpose not in WITH_ROWS:
            raise refusals.no_rows(dataset, param)
        if dataset.status == UPLOADED:
            raise refusals.not_ready(dataset, param)
        if dataset.status == ERROR or not dataset.sha256:
            raise refusals.bad_lines(dataset, param)
        if not dataset.filename.endswith(".jsonl"):
            raise InvalidRequest(
                f"{param}: {dataset.filename} is not called as an eval set must be: NAME.jsonl.",
                param=param,
                remedy="Upload it again under a name that ends with .jsonl.",
            )
        folder = dataset.s3_key.rpartition("/")[0]
        return Benchmark(name, ROWS, dataset.sha256, f"s3://{self._settings.data_bucket}/{folder}/")

    def _tasks(self, name: str) -> Benchmark:
        bucket, prefix = self._settings.base_models_bucket, f"{_FOLDER}{name}/"
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        objects = sorted((entry["Key"], entry["ETag"]) for page in pages for entry in page.get("Contents", []))
        content = hashlib.sha256(json.dumps(objects).encode()).hexdigest()
        return Benchmark(name, TASKS, content, f"s3://{bucket}/{prefix}")


def _unknown(name: str, param: str, known: list[str]) -> InvalidRequest:
    shown = repr(name if len(name) <= 80 else f"{name[:77]}…")
    listed = f"The operator's benchmarks: {', '.join(known) or 'none'}."
    return InvalidRequest(
        f"{param}: the benchmark {shown} is not known.",
        code="unknown_benchmark",
        param=param,
        details={"available": known, "nearest": difflib.get_close_matches(name, known, n=3, cutoff=0.5)},
        remedy=f"Name a file of yours by its id or name, or one of these. {listed}",
    )
