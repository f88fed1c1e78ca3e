"""The requests and answers that the page of the fine_tuning surface documents, one per endpoint.

Ids, times and measured values stand for their type; what a test may compare by value, it names.
"""

from typing import Any

ID, TIME = "ftjob_abc123", "2025-02-01T10:00:00Z"

CREATE: dict[str, Any] = {
    "name": "Customer Support Classifier",
    "baseModel": "llama-3.1-8b",
    "trainingDataset": "ds_train_001",
    "description": "Fine-tuned on 10k support tickets for intent classification",
    "validationFile": "validation_data.jsonl",
    "hyperparameters": {"epochs": 3, "learningRate": 0.0002, "batchSize": 8, "warmupSteps": 100},
    "suffix": "support-v1",
}
CREATED = {"id": ID, "name": CREATE["name"], "baseModel": "llama-3.1-8b", "status": "queued", "createdAt": TIME}

ROW = {
    "id": ID, "name": CREATE["name"], "baseModel": "llama-3.1-8b", "status": "running",
    "description": CREATE["description"], "owner": "user_456", "organizationId": "org_xyz",
    "trainedTokens": 1250000, "startedAt": TIME, "finishedAt": None, "createdAt": TIME, "updatedAt": TIME,
}  # fmt: skip
LIST = {"count": 15, "limit": 20, "offset": 0, "jobs": [ROW]}

JOB = {
    "id": ID, "name": CREATE["name"], "baseModel": "llama-3.1-8b", "status": "running",
    "description": CREATE["description"], "owner": "user_456", "organizationId": "org_xyz",
    "trainingDataset": "ds_train_001", "trainingFile": "training_data.jsonl",
    "validationFile": "validation_data.jsonl", "hyperparameters": CREATE["hyperparameters"], "resultModel": None,
    "trainedTokens": 1250000, "error": None, "metrics": {"trainingLoss": 0.342, "validationLoss": 0.389, "epoch": 2},
    "startedAt": TIME, "finishedAt": None, "createdAt": TIME, "updatedAt": TIME,
}  # fmt: skip

STOPPED = {"id": ID, "status": "stopped", "message": "Fine-tuning job stopped successfully"}
RESTARTED = {"id": ID, "status": "queued", "message": "Fine-tuning job restarted successfully"}
DEPLOYED = {
    "id": ID, "resultModel": "llama-3.1-8b-support-v1", "status": "deployed",
    "message": "Fine-tuned model deployed successfully",
}  # fmt: skip

LOGS = {"jobId": ID, "logs": [{"timestamp": TIME, "level": "info", "message": "Training started with 3 epochs"}]}
METRICS = {
    "jobId": ID,
    "metrics": {
        "trainingLoss": 0.342, "validationLoss": 0.389, "currentEpoch": 2, "totalEpochs": 3, "trainedTokens": 1250000,
        "steps": [{"step": 100, "trainingLoss": 0.85, "validationLoss": 0.91, "learningRate": 0.0002}],
    },
}  # fmt: skip
STATS = {"total": 15, "running": 2, "completed": 8, "failed": 3, "queued": 2}

BASE_MODELS = [
    {"id": "llama-3.1-8b", "name": "LLaMA 3.1 8B", "provider": "meta", "parameterCount": "8B",
     "supportedTasks": ["text-generation", "classification"], "maxSequenceLength": 8192},
    {"id": "llama-3.1-70b", "name": "LLaMA 3.1 70B", "provider": "meta", "parameterCount": "70B",
     "supportedTasks": ["text-generation", "classification", "summarization"], "maxSequenceLength": 8192},
    {"id": "mistral-7b-v0.3", "name": "Mistral 7B v0.3", "provider": "mistralai", "parameterCount": "7B",
     "supportedTasks": ["text-generation", "classification"], "maxSequenceLength": 32768},
]  # fmt: skip
HARDWARE = [
    {"id": "gpu-a100-40gb", "name": "NVIDIA A100 40GB", "gpuMemory": "40GB", "gpuCount": 1, "costPerHour": 3.50},
    {"id": "gpu-a100-80gb", "name": "NVIDIA A100 80GB", "gpuMemory": "80GB", "gpuCount": 1, "costPerHour": 5.00},
    {"id": "gpu-a100-80gb-x4", "name": "NVIDIA A100 80GB x4", "gpuMemory": "80GB", "gpuCount": 4, "costPerHour": 18.00},
]

ESTIMATE = {"baseModel": "llama-3.1-8b", "datasetSize": 50000}
ESTIMATED = ESTIMATE | {"estimatedCost": 42.50, "estimatedTimeMinutes": 180, "currency": "USD"}

SCOPES = {
    "GET /jobs": "fine-tuning:read",
    "POST /jobs": "fine-tuning:write",
    "GET /jobs/{job_id}": "fine-tuning:read",
    "DELETE /jobs/{job_id}": "fine-tuning:write",
    "POST /jobs/{job_id}/stop": "fine-tuning:write",
    "POST /jobs/{job_id}/restart": "fine-tuning:write",
    "POST /jobs/{job_id}/deploy": "fine-tuning:write",
    "GET /jobs/{job_id}/logs": "fine-tuning:read",
    "GET /jobs/{job_id}/metrics": "fine-tuning:read",
    "GET /stats": "fine-tuning:read",
    "GET /base-models": "fine-tuning:read",
    "GET /hardware": "fine-tuning:read",
    "POST /estimate-cost": "fine-tuning:read",
}
LIST_PARAMETERS = {"status", "baseModel", "search", "limit", "offset", "sort"}
