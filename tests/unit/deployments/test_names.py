"""Names that SageMaker takes: at most 63 characters, never the same for two attempts, all beginning with luthier-."""

import re
from dataclasses import replace

from luthier.deployments.entity import Deployment, Host, id_of
from luthier.deployments.requests import Site

MADE = Deployment(
    id=id_of("org_a", "model_x", "production", "chat"),
    organization_id="org_a",
    target="model_x",
    name="chat",
    kind="dedicated",
    hardware="gpu-l4-24gb",
    base_model="smollm2-135m-instruct",
    model_name="x",
    created_at="2026-01-01T00:00:00Z",
    updated_at="2026-01-01T00:00:00Z",
    started_at="2026-01-01T00:00:00Z",
    attempt=9999,
)
HOST = Host("meta-llama/Llama-3.3-70B-Instruct", "gpu-l4-24gb", left_at="2026-01-01T00:00:00Z", attempt=9999)


def site(endpoint: str, **fields: object) -> Site:
    known = {"model_uri": "s3://b/m/", "image": "i", "instance_type": "ml.g6.2xlarge", "gpus": 1, "with_adapters": True}
    return Site(**{"endpoint": endpoint, "copies": 1, "least": 0, "most": 1, "tag": "o"} | known | fields)  # type: ignore[arg-type]


def test_every_name_is_one_that_sagemaker_takes() -> None:
    for endpoint in (MADE.own_name, HOST.name):
        for name in (endpoint, site(endpoint).component, site(endpoint).model):
            assert re.fullmatch(r"luthier-[a-z0-9-]{1,55}", name)
    assert len(MADE.execution_name) <= 80


def test_the_same_wish_has_the_same_id_and_no_two_share_one() -> None:
    wishes = [("a", "b", "c", "d"), ("a", "bc", "", "d"), ("ab", "", "c", "d"), ("a", "b", "d", "c")]
    assert len({id_of(*wish) for wish in wishes}) == 4
    assert id_of(*wishes[0]) == id_of(*wishes[0])


def test_another_image_is_another_model() -> None:
    first = site("luthier-host-1")
    assert first.model == replace(first, copies=3).model
    assert len({first.model, replace(first, image="j").model, replace(first, model_uri="s3://b/n/").model}) == 3


def test_a_request_names_the_adapter_or_the_weights() -> None:
    assert MADE.component_name == f"{MADE.own_name}-base"
    tuned = replace(MADE, adapter_uri="s3://b/serving/adapter.tar.gz", host="luthier-host-1")
    assert (tuned.endpoint_name, tuned.component_name) == ("luthier-host-1", MADE.own_name)
    assert tuned.base_component_name == "luthier-host-1-base"
