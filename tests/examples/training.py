"""Examples of the surfaces on which jobs are made: fine_tuning, tuning, openai_fine_tuning."""

import json
import time

from luthier import clock
from luthier.jobs.entity import Job
from tests.examples.recording import Recorder
from tests.factories import BASE_MODEL, metrics_line, principal, rows

FINE_TUNING, TUNING, OPENAI = "/api/v1/fine-tuning", "/v1/fine-tune", "/v1/fine_tuning/jobs"
METRICS = [
    metrics_line(step, time=f"2026-01-01T00:00:0{step}Z", learning_rate=0.0002, validation_loss=0.9 / step)
    for step in (2, 4)
]
WHOLE = ("adapter_config.json", "adapter_model.safetensors", "complete.json")


def fine_tuning(api: Recorder) -> None:
    platform, jobs = api.platform, f"{FINE_TUNING}/jobs"
    file = platform.dataset(content=rows(60)).id
    api.post(
        f"{FINE_TUNING}/estimate-cost", {"baseModel": "llama-3.1-8b", "datasetSize": 50000, "hardware": "gpu-h100-80gb"}
    )
    for listed in ("base-models", "hardware"):
        api.get(f"{FINE_TUNING}/{listed}")
    made = api.made(
        jobs,
        {
            "name": "Tickets",
            "baseModel": BASE_MODEL,
            "trainingDataset": file,
            "description": "Answers support tickets",
            "hyperparameters": {"epochs": 3, "learningRate": 0.0002, "batchSize": 8},
            "suffix": "tickets",
            "maxCost": 20,
        },
    )
    job = f"{jobs}/{made['id']}"
    running = platform.launch(platform.fresh_by_id(made["id"]))
    platform.watcher.metrics_written(platform.write_metrics(running, *METRICS))
    _say(api, platform.fresh(running))
    api.get(f"{jobs}?status=running&limit=20&sort=createdAt:desc")
    api.get(job)
    api.get(f"{job}/logs?lines=100")
    api.get(f"{job}/metrics")
    api.get(f"{FINE_TUNING}/stats")
    api.post(f"{job}/stop")
    platform.training_job(platform.fresh(running), "Stopped")
    platform.pipeline.settle(platform.step(running))
    api.post(f"{job}/restart")
    again = platform.launch(platform.fresh(running))
    done = platform.complete(again)
    platform.deployed(principal(), done.result_model or "")
    api.post(f"{job}/deploy")
    other = platform.failed()
    api.delete(f"{jobs}/{other.id}")


def _say(api: Recorder, job: Job) -> None:
    """Let the job's container write a line."""
    group, stream = "/aws/sagemaker/TrainingJobs", f"{job.training_job_name}/algo-1-1"
    logs = api.platform.logs
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    line = {"timestamp": clock.iso(api.platform.clock()), "level": "info", "message": "Training started with 3 epochs"}
    # CloudWatch takes nothing that is older than two weeks.
    event = {"timestamp": int(time.time() * 1000), "message": json.dumps(line)}
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[event])


def tuning(api: Recorder) -> None:
    platform = api.platform
    file = platform.dataset(content=rows(60)).id
    wish = {
        "baseModel": BASE_MODEL,
        "dataset": file,
        "trainingMethod": "sft",
        "hyperparameters": {"learningRate": 0.0001, "epochs": 3, "batchSize": 8},
        "webhookUrl": "https://app.example.com/fine-tuned",
    }
    made = api.made(TUNING, wish)["jobId"]
    running = platform.launch(platform.fresh_by_id(made))
    platform.watcher.metrics_written(platform.write_metrics(running, *METRICS))
    api.get(f"{TUNING}/{made}")
    api.post(f"{TUNING}/{made}/pause")
    platform.training_job(platform.fresh(running), "Stopped")
    platform.pipeline.settle(platform.step(running))
    api.post(f"{TUNING}/{made}/resume", {"maxCost": 20})
    api.post(f"{TUNING}/{made}/stop")


def openai_fine_tuning(api: Recorder) -> None:
    platform = api.platform
    key = platform.kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["KeyId"]
    platform.kms.create_alias(AliasName=platform.settings.manifest_key_id, TargetKeyId=key)
    file = platform.dataset(content=rows(60)).id
    supervised = {"hyperparameters": {"n_epochs": 3, "batch_size": "auto", "learning_rate_multiplier": 1}}
    wish = {
        "model": BASE_MODEL,
        "training_file": file,
        "method": {"type": "supervised", "supervised": supervised},
        "suffix": "support",
        "seed": 7,
        "metadata": {"team": "support"},
        "cost": {"cap": 20},
    }
    made = f"{OPENAI}/{api.made(OPENAI, wish)['id']}"
    api.post(f"{made}/pause")
    api.post(f"{made}/resume", {"cost": {"cap": 40}})
    job = platform.launch(platform.fresh_by_id(made.rpartition("/")[2]))
    platform.watcher.metrics_written(platform.write_metrics(job, *METRICS))
    for name in WHOLE:
        platform.put_artifact(f"org_a/jobs/{job.id}/checkpoints/1/checkpoint-4/{name}", "x")
    platform.complete(platform.fresh(job))
    api.get(made)
    api.get(f"{OPENAI}?limit=20")
    api.get(f"{made}/events?limit=20")
    _share(api, api.get(f"{made}/checkpoints").json()["data"][0]["fine_tuned_model_checkpoint"])
    signed = api.get(f"{made}/manifest").json()
    api.post(f"{made}/rerun", {name: signed[name] for name in ("manifest", "signature")})
    waiting = api.made(OPENAI, {"model": BASE_MODEL, "training_file": file, "auto_start": False})["id"]
    api.post(f"{OPENAI}/{waiting}/start")
    api.post(f"{OPENAI}/{waiting}/cancel")
    api.post(f"{OPENAI}/{_diverged(api)}/retry", {"apply_suggestion": True})


def _share(api: Recorder, checkpoint: str) -> None:
    permissions = f"/v1/fine_tuning/checkpoints/{checkpoint}/permissions"
    given = api.made(permissions, {"project_ids": ["org_b"]})["data"][0]["id"]
    api.get(permissions)
    api.delete(f"{permissions}/{given}")


def _diverged(api: Recorder) -> str:
    """A job whose failure says what to change."""
    job = api.platform.launched()
    said = {"attempt": 1, "code": "nan_loss", "message": "NaN.", "hint": "Lower the learning rate."}
    said["suggestion"] = {"hyperparameters": {"learning_rate": 4e-5, "warmup_steps": 20}}
    api.platform.put_artifact(f"org_a/jobs/{job.id}/checkpoints/1/failure.json", json.dumps(said))
    api.platform.training_job(job, "Failed", FailureReason=f"AlgorithmError: {json.dumps(said)}, exit code: 1")
    api.platform.pipeline.settle(api.platform.step(job))
    return job.id
