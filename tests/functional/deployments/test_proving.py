"""The proof as part of a deployment's run: the record is read from S3, adapter and base model are asked on the host."""

import io
import json
from typing import Any

import pytest

from luthier.deployments.entity import Deployment
from tests.factories import CARD, Platform, principal

A = principal("org_a")
BASE, TUNED, OTHER = -1.0, -2.0, -3.5


def served(platform: Platform, adapter: float, base: float = BASE) -> None:
    """Let every component answer the word `yes` twice, the adapter's and the base's with their own likelihoods."""

    def invoke(**request: Any) -> dict[str, Any]:
        logprob = base if request["InferenceComponentName"].endswith("-base") else adapter
        content = [{"token": "yes", "logprob": logprob, "top_logprobs": []}] * 2
        answer = {"choices": [{"message": {"content": "yesyes"}, "logprobs": {"content": content}}]}
        return {"Body": io.BytesIO(json.dumps(answer).encode())}

    platform.runtime.invoke_endpoint = invoke  # type: ignore[method-assign]


def deployed(platform: Platform, proof: Any) -> Deployment:
    job = platform.launched(A)
    if proof:
        platform.put_artifact(f"org_a/jobs/{job.id}/m/proof.json", json.dumps(proof))
    files = [*CARD["files"], {"path": "proof.json", "size": 9, "sha256": "0" * 64}]
    return platform.deployed(A, platform.complete(job, files=files).result_model or "")


PROOF = {
    "format_version": 1,
    "max_tokens": 2,
    "prompts": [
        {
            "messages": [{"role": "user", "content": f"Question {number}?"}],
            "base": [["yes", BASE], ["yes", BASE]],
            "tuned": [["yes", TUNED], ["yes", TUNED]],
        }
        for number in range(32)
    ],
}


def test_the_numbers_of_the_proof_stand_on_the_deployment(platform: Platform) -> None:
    served(platform, TUNED, BASE + 0.01)
    made = deployed(platform, PROOF)
    assert made.status == "active"
    assert made.proof is not None
    assert (made.proof["verdict"], made.proof["prompts"], made.proof["tokens"]) == ("proven", 32, 64)
    assert (made.proof["noise"], made.proof["tolerance"]) == (0.01, 0.02)
    assert platform.deployments.get(A, made.id).proof == made.proof


@pytest.mark.parametrize(
    ("adapter", "question"),
    [
        (BASE, "Is the tuning applied at all? No"),
        (OTHER, "Is it the right one? No"),
        (-2.1, "log-probabilities agree? No"),
    ],
)
def test_a_deployment_that_is_not_proven_fails_and_says_which_question(
    platform: Platform, adapter: float, question: str
) -> None:
    served(platform, adapter)
    made = deployed(platform, PROOF)
    assert made.status == "failed"
    assert made.status_reason is not None
    assert made.status_reason["code"] == "deployment_failed"
    assert question in made.status_reason["message"]


@pytest.mark.parametrize(
    "proof", [None, {"format_version": 1, "prompts": [], "failed": "oom", "message": "No memory."}]
)
def test_a_model_without_a_record_is_active_and_unproven(platform: Platform, proof: Any) -> None:
    made = deployed(platform, proof)
    assert (made.status, (made.proof or {})["verdict"]) == ("active", "unproven")
