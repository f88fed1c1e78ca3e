"""What clients call a GPU, and what fits on it."""

import pytest

from luthier.catalog import service as catalog
from luthier.deployments import hardware
from luthier.deployments.hardware import CannotDeploy, ModelTooLarge

SMALL = catalog.find_base_model("smollm2-135m-instruct")
LARGE = catalog.find_base_model("llama-3.1-70b")


@pytest.mark.parametrize(
    ("asked", "row"),
    [
        ("a100", "gpu-a100-40gb-x8"),
        ("NVIDIA A100", "gpu-a100-40gb-x8"),
        ("nvidia_a100", "gpu-a100-40gb-x8"),
        ("A100-40GB", "gpu-a100-40gb-x8"),
        ("a100-80gb", "gpu-a100-80gb-x8"),
        ("h100", "gpu-h100-80gb"),
        ("h100-80gb-x8", "gpu-h100-80gb-x8"),
        ("l4", "gpu-l4-24gb"),
        (" L40S ", "gpu-l40s-48gb"),
        ("gpu-a10g-24gb", "gpu-a10g-24gb"),
        (None, "gpu-l4-24gb"),
    ],
)
def test_a_gpu_is_known_by_every_name_that_clients_use(asked: str | None, row: str) -> None:
    assert hardware.choose(SMALL, SMALL.parameters, asked).id == row


@pytest.mark.parametrize("asked", ["v100", "rtx4090", "gpu-a100-40gb", "cpu-4vcpu-16gb", "h", "x" * 90])
def test_a_gpu_that_there_is_not_is_refused_with_those_that_there_are(asked: str) -> None:
    with pytest.raises(CannotDeploy) as refused:
        hardware.choose(SMALL, SMALL.parameters, asked)
    assert refused.value.details["requestedGpuType"] == asked
    assert refused.value.details["availableGpuTypes"][0] == "l4"


def test_of_several_rows_the_cheapest_that_is_large_enough_is_taken() -> None:
    assert hardware.choose(LARGE, LARGE.parameters, "l40s").id == "gpu-l40s-48gb-x4"
    assert hardware.choose(LARGE, LARGE.parameters, None).id == "gpu-l40s-48gb-x4"


def test_a_model_that_fits_nowhere_gets_no_empty_advice() -> None:
    with pytest.raises(ModelTooLarge) as refused:
        hardware.choose(LARGE, 10**12, None)
    assert refused.value.details["suggestions"] == ["Fine-tune a smaller base model."]
