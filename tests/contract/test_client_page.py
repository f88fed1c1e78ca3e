"""The Python of the training_models page, run as it is printed; only the client's name and its module are ours."""

import httpx
import pytest

from luthier import ids
from luthier.client import AsyncLuthier, Luthier
from tests.clients import Network
from tests.gateway import Gateway

PRINTED = """
from tensorone import TensorOneClient

client = TensorOneClient(api_key="YOUR_API_KEY")

# List models
models = client.training.models.list(
    type="llm",
    status="ready",
    limit=20
)

for model in models:
    print(f"{model.name} - {model.size.parameters} parameters")

# Get model details
model = client.training.models.get("model_1234567890abcdef")
print(f"Model: {model.name}")
print(f"Accuracy: {model.metrics.validation.accuracy}")
print(f"F1 Score: {model.metrics.validation.f1_score}")

# Deploy model
deployment = client.training.models.deploy(
    model_id="model_1234567890abcdef",
    name="customer-support-chat",
    environment="production",
    gpu_type="a100",
    workers=3,
    scaling={
        "min_workers": 1,
        "max_workers": 10,
        "target_utilization": 0.7
    },
    configuration={
        "max_tokens": 512,
        "temperature": 0.7,
        "top_p": 0.9
    }
)

print(f"Deployment created: {deployment.url}")

# Compare models
comparison = client.training.models.compare(
    models=[
        "model_1234567890abcdef",
        "model_2345678901bcdefg"
    ],
    metrics=["accuracy", "f1_score", "perplexity"]
)

for model_result in comparison.models:
    print(f"{model_result.name}: {model_result.metrics}")
"""
IDS = ("model_1234567890abcdef", "model_2345678901bcdefg")


def make_the_pages_models(api: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two models that the page names."""
    evaluation = {"tuned": {"loss": 0.267, "exact_match": 0.892, "f1": 0.885}}
    for model_id in IDS:
        # A model's id is its job's.
        with monkeypatch.context() as patched:
            new_id = ids.new_id
            own = model_id.removeprefix("model")
            patched.setattr(
                ids,
                "new_id",
                lambda kind, *more, new=new_id, own=own: kind + own if kind == "ftjob" else new(kind, *more),
            )
            job = api.platform.launched()
        assert api.platform.models.of_job(api.platform.complete(job, evaluation=evaluation)).id == model_id


@pytest.fixture
def network(api: Gateway, monkeypatch: pytest.MonkeyPatch) -> Network:
    make_the_pages_models(api, monkeypatch)
    return Network(api)


def test_the_pages_python_runs_with_the_clients_name_swapped(
    network: Network, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LUTHIER_BASE_URL", "http://api.example.test")
    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", lambda _, request: network(request))
    ours = PRINTED.replace("from tensorone", "from luthier.client").replace("TensorOneClient", "Luthier")
    exec(compile(ours.replace("YOUR_API_KEY", network.api.key or ""), "page", "exec"), {})
    # The functions log into the same place.
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("{")]
    names = [network.client().training.models.get(model_id).name for model_id in IDS]
    assert sorted(lines[:2]) == sorted(f"{name} - 135000000 parameters" for name in names)
    assert lines[2:5] == [f"Model: {names[0]}", "Accuracy: 0.892", "F1 Score: 0.885"]
    (deployment,) = network.client().training.deployments.list()
    assert lines[5] == f"Deployment created: {deployment.url}"
    assert (deployment.scaling.max_workers, deployment.configuration.max_tokens) == (10, 512)
    assert [line.split(":")[0] for line in lines[6:]] == names
    assert "'accuracy': 0.892" in lines[6]


def test_download_archive_restore_versions_and_tags_have_the_pages_words(network: Network) -> None:
    models = network.client().training.models
    info = models.download(IDS[0], files=["adapter_config.json"], format="adapter", compression="none")
    assert info.status in ("ready", "preparing")
    assert info.download_url == info.downloadUrl
    assert models.update(IDS[0], tags=["production"], metadata={"use_case": "chat"}).metadata == {"use_case": "chat"}
    archived = models.archive(IDS[0], reason="Replaced by newer version", retention_period="90d")
    assert archived.archived
    assert (archived.status, archived.archived.retention_period) == ("archived", "90d")
    assert models.restore(IDS[0]).status == "ready"
    job = network.api.platform.completed()
    added = network.client().training.versions.create(
        IDS[1], version="v1.1.0", training_job_id=job.id, changelog=["Improved response coherence"]
    )
    assert (added.version, added.training_job_id) == ("v1.1.0", job.id)


def test_both_clients_have_the_same_methods() -> None:
    sync, other = Luthier("k", "http://h"), AsyncLuthier("k", "http://h")
    assert type(sync.training.models) is type(other.training.models)
    assert sync.training.models.deploy.__doc__ == other.training.models.deploy.__doc__ == "Deploy a model."
