"""The requests that the page of the tuning surface documents, as its curl calls send them, and its error body."""

import json
from typing import Any

ID, TIME = "job-uuid", "2025-11-08T14:22:31Z"

# curl -H "Authorization: Bearer YOUR_API_KEY" -H "Content-Type: application/json" -d '…'
FINE_TUNE = """{
    "baseModel": "meta-llama/Llama-3.3-70B-Instruct",
    "dataset": "s3://your-bucket/dataset.jsonl",
    "trainingMethod": "sft",
    "hyperparameters": {
      "learningRate": 0.0001,
      "epochs": 3,
      "batchSize": 64
    },
    "webhookUrl": "https://app.yourdomain.com/fine-tune-callback"
  }"""
FIELDS: dict[str, Any] = json.loads(FINE_TUNE)

STARTED = {"jobId": ID, "status": "queued", "baseModel": FIELDS["baseModel"], "createdAt": TIME}
STATUS = STARTED | {
    "trainingMethod": "sft",
    "dataset": "file-1",
    "hyperparameters": FIELDS["hyperparameters"],
    "webhookUrl": FIELDS["webhookUrl"],
    "progress": {"percent": 40.0, "step": 4, "totalSteps": 10, "secondsRemaining": 6.0},
    "metrics": {"loss": 0.5, "evalLoss": None, "epoch": 0.8, "tokens": 400, "durationSeconds": None},
    "artifact": None,
    "error": None,
}
ERROR = {"error": {"message": "Invalid API key", "code": "UNAUTHORIZED", "details": None}}
CODES = {
    401: "UNAUTHORIZED",
    402: "INSUFFICIENT_CREDITS",
    404: "NOT_FOUND",
    429: "RATE_LIMITED",
    500: "INTERNAL_ERROR",
}
