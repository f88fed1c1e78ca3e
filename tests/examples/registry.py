"""Examples of the training_models surface: the registry, imports, downloads, evaluations, deployments, aliases."""

from tests.contract.test_training_models_registry import whole
from tests.examples.recording import Recorder
from tests.factories import principal
from tests.functional.downloads.test_downloads import report
from tests.functional.imports import world as imports
from tests.functional.processing import world

ROOT = "/v2/training"
MODELS = f"{ROOT}/models"
WHO = principal()


def registry(api: Recorder) -> None:
    model = f"{MODELS}/{whole(api.platform).id}"
    api.get(f"{MODELS}?status=deployed&limit=50")
    api.get(model)
    api.patch(
        model, {"description": "Answers support tickets", "tags": ["production"], "metadata": {"team": "support"}}
    )
    job = api.platform.completed()
    api.post(
        f"{model}/versions",
        {"version": "v1.1.0", "trainingJobId": job.id, "description": "More tickets", "changelog": ["20 % more rows"]},
    )
    api.get(f"{model}/versions")
    api.get(f"{model}/versions/v1.1.0")
    old = f"{MODELS}/{api.platform.completed(suffix='old').result_model}"
    api.post(f"{old}/archive", {"reason": "Replaced by v1.1.0", "retention_period": "90d"})
    api.post(f"{old}/restore")
    api.delete(old)


def importing(api: Recorder) -> None:
    begun = api.made(imports.IMPORTS, imports.body(name="tickets-from-elsewhere", tags=["imported"]))
    imports.put(begun, imports.ADAPTER)
    made = f"{imports.IMPORTS}/{begun['id']}"
    api.post(f"{made}/complete")
    checked = imports.processing(api.platform, begun["id"])
    world.finish(api.platform, checked, {"model_card.json": imports.CARD})
    api.get(made)


def downloading(api: Recorder) -> None:
    path = f"{MODELS}/{world.model(api.platform, WHO).id}/download"
    ready = api.made(path, {"format": "adapter", "compression": "none"})
    packed = {"format": "adapter", "compression": "zip"}
    begun = api.platform.processings.get("org_a", api.made(path, packed)["processingId"])
    world.finish(api.platform, begun, report("adapter", "zip", "adapter_config.json", "adapter_model.safetensors"))
    for token in (ready["downloadToken"], api.made(path, packed)["downloadToken"]):
        api.stranger().get(f"{ROOT}/downloads/{token}")


def judging(api: Recorder) -> None:
    platform = api.platform
    world.eval_set(platform, WHO)
    world.task_folder(platform)
    first, second = (world.model(platform, WHO).id for _ in range(2))
    asked = {"benchmarks": ["custom_eval_suite", "hellaswag"], "max_examples": 100}
    for row in api.made(f"{MODELS}/{first}/evaluate", asked)["evaluations"]:
        left = world.TABLE if row["benchmark"] == "custom_eval_suite" else world.TASKS_TABLE
        world.finish(platform, platform.processings.get("org_a", row["id"]), {"evaluation.json": left})
    api.get(f"{MODELS}/{first}/evaluations")
    api.get(f"{MODELS}/{first}/evaluations/{row['id']}")
    api.post(f"{MODELS}/compare", {"models": [first, second], "metrics": ["accuracy", "perplexity"]})


def deploying(api: Recorder) -> None:
    platform = api.platform
    old, new = (platform.completed(suffix=suffix).result_model or "" for suffix in ("old", "new"))
    wish = {"name": "support", "environment": "production", "configuration": {"max_tokens": 400, "temperature": 0.2}}
    deployed = []
    for name in (old, new):
        made = api.made(f"{MODELS}/{name}/deploy", wish | {"name": name})["deployment"]["id"]
        platform.run_deployment(platform.deployments.get(WHO, made))
        deployed.append(made)
    one = f"{ROOT}/deployments/{deployed[0]}"
    api.get(f"{ROOT}/deployments")
    api.get(f"{MODELS}/{old}/deployments")
    api.get(one)
    api.patch(one, {"configuration": {"temperature": 0.1}})
    _alias(api, *deployed)
    for verb in ("pause", "resume"):
        api.post(f"{one}/{verb}")
        platform.run_deployment(platform.deployments.get(WHO, deployed[0]))
    api.delete(one)


def _alias(api: Recorder, old: str, new: str) -> None:
    alias = f"{ROOT}/aliases/support"
    routes = [{"deploymentId": old, "weight": 90}, {"deploymentId": new, "weight": 10}]
    rollback = {"maxErrorRate": 0.05, "minimumRequests": 20, "windowSeconds": 300}
    api.send("PUT", alias, {"routes": routes, "rollback": rollback})
    api.get(f"{ROOT}/aliases")
    api.get(alias)
    api.delete(alias)
