"""Whether a method takes the rows of a file."""

from dataclasses import asdict

from luthier.datasets.entity import Dataset
from luthier.datasets.formats import FORMATS_OF_METHOD, wrong_columns
from luthier.errors import InvalidRequest


def require(dataset: Dataset, method: str, *, param: str) -> None:
    """Raise InvalidRequest naming the method's columns when the file has others."""
    if dataset.format is None or dataset.format in FORMATS_OF_METHOD[method]:
        return
    finding = wrong_columns(method, dataset.format).at(0)
    raise InvalidRequest(
        f"{param}: {dataset.filename} is not for method {method}. {finding.message}",
        code="invalid_dataset",
        param=param,
        details={"fileId": dataset.id, "findings": [asdict(finding)]},
        remedy=finding.fix,
    )
