"""Each method has its columns, its memory and its price."""

import json

import pytest

from luthier.errors import InvalidRequest
from luthier.jobs.hyperparameters import METHODS
from tests.factories import Platform, principal
from tests.gateway import Gateway, api

__all__ = ["api"]

A = principal()
PAIR = {"prompt": "Open a ticket.", "chosen": "Done: T-1.", "rejected": "No."}
ROWS = {
    "sft": {"prompt": "Open a ticket.", "completion": "Done: T-1."},
    "dpo": PAIR,
    "orpo": PAIR,
    "kto": {"prompt": "Open a ticket.", "completion": "Done: T-1.", "label": True},
}
COLUMNS = {"dpo": "chosen", "orpo": "chosen", "kto": "label"}


def dataset(platform: Platform, method: str) -> str:
    """Rows of a method, no two alike."""
    lines = [json.dumps(ROWS[method] | {"prompt": f"Open ticket {number}."}) for number in range(60)]
    return platform.dataset(A, "\n".join(lines).encode()).id


@pytest.mark.parametrize("method", METHODS)
def test_every_method_starts_on_rows_of_its_columns(platform: Platform, method: str) -> None:
    job = platform.launched(A, method=method, training_dataset=dataset(platform, method))
    config = platform.s3.get_object(Bucket="luthier-data", Key=f"org_a/jobs/{job.id}/1/config/job.json")["Body"].read()
    asked = json.loads(config)
    assert (asked["method"], "beta" in asked["hyperparameters"]) == (method, method != "sft")
    assert isinstance(asked["hyperparameters"]["learning_rate"], float)
    assert job.auto == (["validation_share"] if method == "sft" else ["learning_rate", "validation_share"])


@pytest.mark.parametrize("method", COLUMNS)
@pytest.mark.parametrize("param", ["trainingDataset", "validationFile"])
def test_rows_of_other_columns_are_refused_naming_those_of_the_method(
    platform: Platform, method: str, param: str
) -> None:
    right, wrong = dataset(platform, method), dataset(platform, "sft")
    files = {"training_dataset": wrong if param == "trainingDataset" else right, "validation_file": wrong}
    with pytest.raises(InvalidRequest, match=COLUMNS[method]) as refused:
        platform.job(A, method=method, **files)
    assert (refused.value.code, refused.value.param) == ("invalid_dataset", param)
    assert refused.value.details["findings"][0]["code"] == "wrong_columns"
    assert platform.jobs.stats(A).total == 0


def test_pairs_are_refused_for_supervised_training(platform: Platform) -> None:
    with pytest.raises(InvalidRequest, match="chosen") as refused:
        platform.job(A, training_dataset=dataset(platform, "dpo"))
    assert "dpo" in (refused.value.remedy or "")


def test_a_reference_model_makes_a_run_dearer(platform: Platform) -> None:
    pairs = dataset(platform, "dpo")
    costs = [
        platform.job(
            A, method=method, training_dataset=pairs, base_model="llama-3.1-70b", hyperparameters={"epochs": 100}
        ).cost["estimate"]
        for method in ("orpo", "dpo")
    ]
    assert costs[0] < costs[1]


def test_the_speed_of_one_method_says_nothing_about_another(platform: Platform) -> None:
    platform.completed(A)
    speeds = [
        platform.calibration.tokens_per_second("smollm2-135m-instruct", "cpu-4vcpu-16gb", f"{method}/lora")
        for method in ("sft", "dpo")
    ]
    assert (speeds[0], speeds[1]) == (100.0, None)


@pytest.mark.parametrize("method", ["dpo", "orpo", "kto"])
def test_the_tuning_surface_takes_every_method_it_documents(api: Gateway, method: str) -> None:
    body = {
        "baseModel": "smollm2-135m-instruct",
        "dataset": dataset(api.platform, method),
        "trainingMethod": method,
        "hyperparameters": {"beta": 0.2, "epochs": "auto"},
    }
    created = api.post("/v1/fine-tune", body)
    assert created.status == 201, created.text
    shown = api.get(f"/v1/fine-tune/{created.json()['jobId']}").json()
    assert (shown["trainingMethod"], shown["hyperparameters"]["beta"]) == (method, 0.2)
    assert shown["autoHyperparameters"] == ["epochs", "learningRate", "validationShare"]


def test_the_tuning_surface_names_its_own_field_when_the_columns_are_wrong(api: Gateway) -> None:
    body = {"baseModel": "smollm2-135m-instruct", "dataset": dataset(api.platform, "sft"), "trainingMethod": "kto"}
    refused = api.post("/v1/fine-tune", body)
    error = refused.json()["error"]
    assert (refused.status, error["code"], error["details"]["param"]) == (400, "INVALID_DATASET", "dataset")
    assert "label" in error["message"]
