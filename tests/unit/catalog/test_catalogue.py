"""The rows of the catalogue, and finding one's way in them."""

import botocore.session
import pytest

from luthier.catalog import service as catalog
from luthier.errors import InvalidRequest
from luthier.jobs.hyperparameters import METHODS

CONTEXT_LENGTHS = {
    "google/gemma-4-E2B-it": 128_000,
    "google/gemma-4-E4B-it": 128_000,
    "Qwen/Qwen3.5-2B": 131_072,
    "Qwen/Qwen3.5-4B": 262_144,
    "meta-llama/Llama-3.2-3B-Instruct": 128_000,
    "microsoft/Phi-4-mini-instruct": 128_000,
    "ibm-granite/granite-3.3-2b-instruct": 128_000,
    "bigcode/starcoder2-3b": 16_384,
}
TASKS = ("text-generation", "classification")


@pytest.mark.parametrize(
    ("model_id", "name", "provider", "label", "tasks", "length"),
    [
        ("llama-3.1-8b", "LLaMA 3.1 8B", "meta", "8B", TASKS, 8192),
        ("llama-3.1-70b", "LLaMA 3.1 70B", "meta", "70B", (*TASKS, "summarization"), 8192),
        ("mistral-7b-v0.3", "Mistral 7B v0.3", "mistralai", "7B", TASKS, 32768),
    ],
)
def test_the_documented_base_models_are_listed_as_documented(
    model_id: str, name: str, provider: str, label: str, tasks: tuple[str, ...], length: int
) -> None:
    model = catalog.find_base_model(model_id)
    shown = (model.name, model.provider, model.parameter_label, model.supported_tasks, model.max_sequence_length)
    assert shown == (name, provider, label, tasks, length)
    assert model in catalog.base_models()


def test_the_models_of_the_other_pages_are_listed_with_their_context_lengths() -> None:
    listed = {model.id: model.max_sequence_length for model in catalog.base_models()}
    assert listed.items() >= CONTEXT_LENGTHS.items()
    assert {"meta-llama/Llama-3.3-70B-Instruct", "meta-llama/Llama-2-7b-hf", "smollm2-135m-instruct"} <= set(listed)


@pytest.mark.parametrize(
    ("hardware_id", "name", "memory", "count", "price"),
    [
        ("gpu-a100-40gb", "NVIDIA A100 40GB", 40, 1, 3.5),
        ("gpu-a100-80gb", "NVIDIA A100 80GB", 80, 1, 5.0),
        ("gpu-a100-80gb-x4", "NVIDIA A100 80GB x4", 80, 4, 18.0),
    ],
)
def test_documented_hardware_without_an_instance_stays_listed(
    hardware_id: str, name: str, memory: int, count: int, price: float
) -> None:
    row = catalog.find_hardware(hardware_id)
    assert (row.name, row.gpu_memory_gb, row.gpu_count, row.cost_per_hour) == (name, memory, count, price)
    assert not row.available
    assert catalog.find_hardware(row.nearest or "").available


def test_every_instance_type_is_one_that_sagemaker_trains_on() -> None:
    model = botocore.session.get_session().get_service_model("sagemaker")
    known = set(model.shape_for("TrainingInstanceType").enum)
    for row in catalog.hardware():
        assert set(row.instance_types) <= known
        assert row.available == bool(row.instance_types)
        if row.available:
            assert row.cost_per_hour == row.price_of(row.instance_types[0])
        assert row.price_date
        assert row.price_source


def test_every_base_model_fits_on_its_default_hardware() -> None:
    for model in (*catalog.base_models(), catalog.find_base_model("tiny-llama-test")):
        for method in model.methods:
            assert catalog.choose_hardware(model, method).id == model.default_hardware[method]


def test_every_base_model_takes_every_method() -> None:
    assert {model.methods for model in catalog.base_models()} == {METHODS}


def test_preferences_take_more_memory_and_full_weights_much_more() -> None:
    model = catalog.find_base_model("llama-3.1-8b")

    def smallest(method: str, adapter: str) -> str:
        return catalog.fitting_hardware(model, method, adapter)[0].id

    assert smallest("sft", "lora") == smallest("sft", "qlora") == smallest("dpo", "qlora") == "gpu-l4-24gb"
    assert smallest("dpo", "lora") == "gpu-l40s-48gb"
    assert smallest("sft", "full") == "gpu-l40s-48gb-x4"


def test_a_default_that_cannot_do_gives_way_to_the_cheapest_that_can() -> None:
    small, large = catalog.find_base_model("smollm2-135m-instruct"), catalog.find_base_model("llama-3.1-8b")
    assert catalog.choose_hardware(small, "sft", adapter="full").id == "cpu-4vcpu-16gb"
    assert catalog.choose_hardware(small, "sft", adapter="qlora").id == "gpu-l4-24gb"
    assert catalog.choose_hardware(large, "sft", adapter="full").id == "gpu-l40s-48gb-x4"


def test_four_bit_weights_are_refused_without_a_gpu() -> None:
    with pytest.raises(InvalidRequest, match="no GPU") as caught:
        catalog.choose_hardware(
            catalog.find_base_model("smollm2-135m-instruct"), "sft", "cpu-4vcpu-16gb", adapter="qlora"
        )
    assert (caught.value.code, caught.value.param) == ("gpu_required", "hardware")
    assert "gpu-l4-24gb" in caught.value.details["fits"]


def test_full_weights_that_no_hardware_holds_are_refused_naming_the_adapters_that_do() -> None:
    with pytest.raises(InvalidRequest, match="GB with adapter full") as caught:
        catalog.choose_hardware(catalog.find_base_model("llama-3.1-70b"), "sft", adapter="full")
    assert (caught.value.param, caught.value.details) == ("hyperparameters.adapter", {"fits": ["lora", "qlora"]})


def test_every_base_model_is_pinned_to_a_commit() -> None:
    for model in catalog.base_models():
        assert len(model.revision) == 40
        int(model.revision, 16)


@pytest.mark.parametrize("name", ["meta-llama/Llama-3.1-8B-Instruct", "LLAMA-3.1-8B", "llama-3.1-8b"])
def test_a_base_model_answers_to_its_id_and_its_hub_id_in_any_case(name: str) -> None:
    assert catalog.find_base_model(name).id == "llama-3.1-8b"


def test_no_two_base_models_share_a_name() -> None:
    models = [*catalog.base_models(), catalog.find_base_model("tiny-llama-test")]
    names = [name.casefold() for model in models for name in {model.id, model.hub_id, *model.aliases}]
    assert len(names) == len(set(names))


def test_the_test_model_is_found_but_not_listed() -> None:
    assert catalog.find_base_model("tiny-llama-test") not in catalog.base_models()


def test_an_unknown_base_model_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(InvalidRequest, match=r"llama3\.1-8b") as caught:
        catalog.find_base_model("llama3.1-8b", param="model")
    assert (caught.value.code, caught.value.param) == ("unknown_base_model", "model")
    assert caught.value.details["nearest"][0] == "llama-3.1-8b"


def test_an_unlisted_model_is_never_proposed() -> None:
    with pytest.raises(InvalidRequest) as caught:
        catalog.find_base_model("tiny-llama-tets")
    assert "tiny-llama-test" not in caught.value.sentence()


def test_a_name_like_nothing_gets_the_whole_list() -> None:
    with pytest.raises(InvalidRequest) as caught:
        catalog.find_base_model("?" * 500)
    assert len(caught.value.message) < 200
    assert "mistral-7b-v0.3" in (caught.value.remedy or "")


@pytest.mark.parametrize(
    ("requested", "code"),
    [
        ("gpu-a100-40gb", "hardware_unavailable"),
        ("gpu-a10g-24gb", "hardware_too_small"),
        ("cpu-4vcpu-16gb", "hardware_too_small"),
    ],
)
def test_hardware_that_cannot_run_a_model_is_refused_naming_what_fits(requested: str, code: str) -> None:
    model = catalog.find_base_model("llama-3.1-70b")
    with pytest.raises(InvalidRequest) as caught:
        catalog.choose_hardware(model, "sft", requested)
    fits = [row.id for row in catalog.fitting_hardware(model)]
    assert (caught.value.code, caught.value.param) == (code, "hardware")
    assert caught.value.details["fits"] == fits
    assert caught.value.details["nearest"] in fits
    assert all(hardware_id in caught.value.sentence() for hardware_id in fits)


def test_unknown_hardware_and_unknown_methods_are_refused_with_the_choices() -> None:
    model = catalog.find_base_model("llama-3.1-8b")
    with pytest.raises(InvalidRequest, match="gpu-b900") as unknown:
        catalog.choose_hardware(model, "sft", "gpu-b900")
    assert "gpu-l40s-48gb" in unknown.value.details["available"]
    with pytest.raises(InvalidRequest, match="magic") as method:
        catalog.choose_hardware(model, "magic")
    assert (method.value.param, method.value.details) == ("method", {"methods": list(METHODS)})


def test_fitting_hardware_comes_cheapest_first() -> None:
    prices = [row.cost_per_hour for row in catalog.fitting_hardware(catalog.find_base_model("llama-3.1-8b"))]
    assert prices == sorted(prices)
