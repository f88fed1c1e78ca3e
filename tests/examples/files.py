"""Examples of files and uploads, of the models that OpenAI's clients see, and of asking models."""

import json

from tests.examples.recording import Recorder
from tests.factories import BASE_MODEL, principal, rows
from tests.functional.processing import world
from tests.previewed import PREVIEW

FILES, UPLOADS = "/v1/files", "/v1/uploads"
ROWS = rows(2)


def files(api: Recorder) -> None:
    platform = api.platform
    made = api.form(FILES, "train.jsonl", ROWS, purpose="fine-tune")["id"]
    api.get(f"{FILES}?purpose=fine-tune&limit=20")
    api.get(f"{FILES}/{made}")
    api.get(f"{FILES}/{made}/content")
    preview = f"{FILES}/{made}/preview?model={BASE_MODEL}&limit=2"
    begun = api.get(preview).json()["processing_id"]
    world.finish(platform, platform.processings.get("org_a", begun), {"preview.json": PREVIEW})
    api.get(preview)
    foreign = b'{"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}\n'
    bad = api.form(FILES, "foreign.jsonl", foreign, purpose="fine-tune")["id"]
    api.get(f"{FILES}/{bad}/report")
    api.post(f"{FILES}/{bad}/repair")
    api.delete(f"{FILES}/{bad}")
    announced = api.made(f"{FILES}/presigned", {"filename": "large.jsonl", "bytes": len(ROWS), "purpose": "fine-tune"})
    stored = platform.datasets.get(principal(), announced["file"]["id"])
    platform.s3.put_object(Bucket=platform.settings.data_bucket, Key=stored.s3_key, Body=ROWS)
    api.post(f"{FILES}/{stored.id}/complete")


def uploads(api: Recorder) -> None:
    wish = {"filename": "train.jsonl", "purpose": "fine-tune", "bytes": len(ROWS), "mime_type": "text/jsonl"}
    made, other = (f"{UPLOADS}/{api.made(UPLOADS, wish)['id']}" for _ in range(2))
    part = api.form(f"{made}/parts", "part", ROWS, field="data")["id"]
    api.post(f"{made}/complete", {"part_ids": [part]})
    api.post(f"{other}/cancel")


def models(api: Recorder) -> None:
    job = api.platform.completed(suffix="tickets")
    api.get("/v1/models")
    api.get(f"/v1/models/{job.result_model}")
    api.delete(f"/v1/models/{job.result_model}")


def asking(api: Recorder) -> None:
    made = api.platform.deployed(principal(), BASE_MODEL)
    messages = [
        {"role": "system", "content": "You answer tickets."},
        {"role": "user", "content": "Where is my parcel?"},
    ]
    chat = {"model": BASE_MODEL, "messages": messages, "max_tokens": 200}
    completion = {"model": BASE_MODEL, "prompt": "Where is my parcel?", "max_tokens": 200}
    for path, body in (("/v1/chat/completions", chat), ("/v1/completions", completion)):
        api.post(path, body)
        api.post(path, body | {"stream": True})
    api.get("/api/v1/playground/models")
    api.post("/api/v1/playground/completions", chat)
    single = {"prompt": "Where is my parcel?", "temperature": 0.7, "maxTokens": 200}
    api.post(f"/v1/models/{BASE_MODEL}/inference", single)
    api.post("/v1/playground/inference", {"modelId": BASE_MODEL, **single})
    for root in (f"/v2/{made.id}", f"/v2/endpoints/{made.id}"):
        _run(api, root)
    _batches(api)


def _run(api: Recorder, root: str) -> None:
    asked = {"input": {"prompt": "Where is my parcel?", "max_tokens": 200}}
    api.get(f"{root}/health?check=detailed")
    api.post(f"{root}/runsync", asked)
    later = {**asked, "callbackUrl": "https://app.example.com/answered", "tags": {"team": "support"}}
    answered = api.made(f"{root}/runasync", later)["id"]
    api.answer_batches()
    api.get(f"{root}/status/{answered}")
    api.post(f"{root}/cancel/{api.made(f'{root}/runasync', asked)['id']}")


def _batches(api: Recorder) -> None:
    requests = [{"id": "1", "prompt": "Where is my parcel?"}, {"id": "2", "prompt": "When do you open?"}]
    wish = {"modelId": BASE_MODEL, "requests": requests, "webhookUrl": "https://app.example.com/answered"}
    made, other = (f"/v1/batch/inference/{api.made('/v1/batch/inference', wish)['batchId']}" for _ in range(2))
    api.post(f"{other}/cancel")
    api.answer_batches()
    api.get(made)
    body = {"model": BASE_MODEL, "messages": [{"role": "user", "content": "Where is my parcel?"}]}
    line = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    file = api.platform.datasets.upload(
        principal(), filename="in.jsonl", purpose="batch", content=json.dumps(line).encode() + b"\n"
    )
    wish = {"input_file_id": file.id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    made, other = (f"/v1/batches/{api.made('/v1/batches', wish)['id']}" for _ in range(2))
    api.post(f"{other}/cancel")
    api.answer_batches()
    api.get(made)
    api.get("/v1/batches?limit=20")
