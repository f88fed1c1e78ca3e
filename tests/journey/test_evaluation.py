"""Evaluating a trained model on the running cloud, and comparing it with its base by what was measured."""

from typing import Any

from tests.journey.customer import TICKETS, Customer
from tests.journey.local_cloud import MODEL, LocalCloud, wait_for

MODELS = "/v2/training/models"
SUITE = "custom_eval_suite"


def evaluated(customer: Customer, model: str, **wish: Any) -> dict[str, Any]:
    """The ended evaluation of a model on the eval set."""
    asked = customer.call("POST", f"{MODELS}/{model}/evaluate", json={"benchmarks": [SUITE], **wish})
    place = f"{MODELS}/{model}/evaluations/{asked['evaluations'][0]['id']}"

    def look() -> dict[str, Any] | None:
        found = customer.call("GET", place)
        return found if found["status"] in ("completed", "failed") else None

    return dict(wait_for(look, 180, f"the evaluation of {model}"))


def upload_suite(customer: Customer, rows: int) -> None:
    lines = b"".join(TICKETS.read_bytes().splitlines(keepends=True)[:rows])
    files = {"file": (f"{SUITE}.jsonl", lines, "application/jsonl")}
    customer.call("POST", "/v1/files", files=files, data={"purpose": "evals"})


def test_a_model_is_evaluated_and_compared_with_its_base(
    cloud: LocalCloud, completed: dict[str, Any], customer: Customer
) -> None:
    upload_suite(customer, rows=8)
    model = completed["resultModel"]
    # A comparison generates as many answers as nobody has asked for otherwise.
    done = evaluated(customer, model)
    assert done["status"] == "completed", done["error"]
    assert done["metrics"]["loss"] < done["baseMetrics"]["loss"]
    assert done["score"] is not None
    assert done["seconds"] > 0
    assert evaluated(customer, model) == done

    alone = evaluated(customer, MODEL)
    assert alone["status"] == "completed", alone["error"]
    wish = {"models": [model, MODEL], "metrics": ["loss"], "benchmarks": [SUITE]}
    comparison = customer.call("POST", f"{MODELS}/compare", json=wish)["comparison"]
    assert comparison["pending"] == []
    scores = [row["benchmarks"][SUITE] for row in comparison["models"]]
    assert scores == [done["score"], alone["score"]]
