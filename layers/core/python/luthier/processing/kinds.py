"""The kinds of processing: one module each, which plans the SageMaker job and takes in what it wrote."""

from typing import Any, Protocol

from luthier.processing import adopting, evaluating, packaging, previewing
from luthier.processing.entity import ADOPT, EVALUATE, PACKAGE, PREVIEW, Processing
from luthier.processing.plan import Plan, Workshop


class Kind(Protocol):
    """Both functions may run twice and mean the same."""

    def plan(self, processing: Processing, workshop: Workshop, base_uri: str) -> Plan:
        """The job to run. base_uri: the S3 prefix of the staged base model. Raises LuthierError where none can run."""
        ...

    def settle(self, processing: Processing, workshop: Workshop, output_uri: str) -> dict[str, Any]:
        """The result, and whatever else changes by it. output_uri: the S3 prefix of what the job left in `model/`.

        Raises LuthierError where that is not what was wanted: then the processing has failed for this reason.
        """
        ...


KINDS: dict[str, Kind] = {EVALUATE: evaluating, PACKAGE: packaging, ADOPT: adopting, PREVIEW: previewing}
