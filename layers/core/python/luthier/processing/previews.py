"""Previews of files: what training makes of the riskiest rows, or of any one. One processing each, kept with the file.

A job and not the request, because rows are rendered and tokenized in one place only, the trainer, and because what is
riskiest is known when every row of a file was tokenized.
"""

from dataclasses import dataclass
from typing import Any

from luthier.accounts.entity import Principal
from luthier.catalog.entity import BaseModel
from luthier.datasets import refusals
from luthier.datasets.entity import UPLOADED, WITH_ROWS, Dataset
from luthier.datasets.formats import FORMATS_OF_METHOD
from luthier.datasets.service import DatasetService
from luthier.errors import InvalidRequest, Unprocessable
from luthier.jobs import hyperparameters
from luthier.processing import previewing
from luthier.processing.entity import COMPLETED, FAILED, PREVIEW, Processing
from luthier.processing.evaluations import EvaluationService
from luthier.processing.service import ProcessingService

_LOOK_AGAIN_SECONDS = 15
# Trying again changes nothing about it.
_FINAL = ("bad_base_model",)


@dataclass(frozen=True)
class FilePreview:
    """content: what the trainer's `show.shown` makes, with as many rows as were asked for; None until it is made."""

    dataset: Dataset
    base_model: str
    max_sequence_length: int
    processing_id: str
    content: dict[str, Any] | None

    @property
    def retry_after(self) -> int | None:
        """Seconds after which to ask again; None where that changes nothing."""
        return None if self.content else _LOOK_AGAIN_SECONDS


class PreviewService:
    def __init__(
        self,
        datasets: DatasetService,
        evaluations: EvaluationService,
        processings: ProcessingService,
        s3: Any,
        bucket: str,
    ) -> None:
        """bucket: of the files."""
        self._datasets = datasets
        self._evaluations = evaluations
        self._processings = processings
        self._s3 = s3
        self._bucket = bucket

    def preview(
        self,
        principal: Principal,
        dataset_id: str,
        model: str,
        *,
        limit: int,
        row: int | None = None,
        max_sequence_length: int | None = None,
    ) -> FilePreview:
        """What was made before, else a preview that is begun; ask until it has content.

        model: a base model, or a model by any name, for its base; limit: of rows, up to MOST_ROWS; row: the line (from
        1) to show instead of the riskiest; max_sequence_length: where a job would cut, its default by default.

        What has failed is said once as Unprocessable, and made again by the call after it, unless that cannot change.
        Raises NotFound, Conflict while the content is awaited, InvalidRequest for a file without a good row, a row
        beyond its end or a length beyond the model's.
        """
        dataset = self._datasets.get(principal, dataset_id)
        _require_rows(dataset, row)
        base = self._evaluations.find(principal.organization_id, model).base
        length = _length(base, max_sequence_length)
        spec = {
            "base_model": base.id,
            "revision": base.revision,
            "method": _method_for(dataset),
            "max_sequence_length": length,
            "row": row,
        }
        made = self._made(principal, dataset, base, spec)
        content = None
        if made.status == COMPLETED and made.result:
            content = previewing.read(self._s3, made.result["uri"])
            content["rows"] = content["rows"][:limit]
        return FilePreview(dataset, base.id, length, made.id, content)

    def _made(self, principal: Principal, dataset: Dataset, base: BaseModel, spec: dict[str, Any]) -> Processing:
        wish = (dataset.organization_id, PREVIEW, dataset.id)
        known = self._processings.peek(*wish, spec)
        if known and known.status == FAILED and self._processings.is_news(known, final=_FINAL):
            reason = known.status_reason or {}
            raise Unprocessable(
                f"The rows of {dataset.filename} were not tokenized: {reason.get('message')}",
                code="preview_failed",
                details={"fileId": dataset.id, "processingId": known.id, "reason": reason},
                remedy=reason.get("hint") or "Ask again.",
            )
        folder = dataset.s3_key.rpartition("/")[0]
        context = {"name": dataset.filename, "uri": f"s3://{self._bucket}/{folder}/", "bytes": dataset.bytes}
        return self._processings.ensure(*wish, base.id, spec, principal.user_id, context)


def _require_rows(dataset: Dataset, row: int | None) -> None:
    if dataset.purpose not in WITH_ROWS:
        raise refusals.no_rows(dataset, "file_id")
    if dataset.status == UPLOADED:
        raise refusals.content_missing(dataset)
    if not dataset.rows or not dataset.sha256:
        raise refusals.bad_lines(dataset, "file_id")
    lines = dataset.rows + dataset.bad_lines + dataset.blank_lines
    if row and row > lines:
        raise InvalidRequest(
            f"row is {row}, but {dataset.filename} has {lines} lines.",
            code="invalid_value",
            param="row",
            details={"lines": lines},
            remedy=f"Send 1 to {lines}, or leave it out for the riskiest rows.",
        )


def _method_for(dataset: Dataset) -> str:
    """The first method that learns from rows like the file's: the tokens are the same for others."""
    return next(method for method, formats in FORMATS_OF_METHOD.items() if dataset.format in formats)


def _length(base: BaseModel, asked: int | None) -> int:
    longest = base.max_sequence_length
    if asked and asked > longest:
        raise InvalidRequest(
            f"max_sequence_length is {asked}; {base.id} is trained on up to {longest} tokens.",
            code="invalid_value",
            param="max_sequence_length",
            remedy=f"Send up to {longest}.",
        )
    return asked or hyperparameters.resolve({}, longest=longest)["max_sequence_length"]
