"""The JavaScript client, a program of its own, against the real functions behind an address of this machine."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from functions.api.build_openapi import SURFACES
from infra import build_client_js, node
from luthier.client import LuthierError
from luthier.client import errors as python_errors
from luthier.client.names import snake
from luthier.webhooks import signing
from tests.contract.test_client_page import IDS, make_the_pages_models
from tests.contract.test_error_shapes import FAMILIES, SHAPES
from tests.factories import BASE_MODEL, principal, rows
from tests.functional.downloads.test_downloads import report
from tests.functional.processing import world
from tests.gateway import Gateway
from tests.loopback import Loopback, serving

PACKAGE = Path(__file__).parents[2] / "clients" / "js"
PRINTED = """
import { TensorOneClient } from '@tensorone/sdk';

const client = new TensorOneClient({ apiKey: 'YOUR_API_KEY' });

// List models
const models = await client.training.models.list({
  type: 'llm',
  status: 'ready',
  limit: 20
});

models.forEach(model => {
  console.log(`${model.name} - ${model.size.parameters} parameters`);
});

// Get model details
const model = await client.training.models.get('model_1234567890abcdef');
console.log(`Model: ${model.name}`);
console.log(`Accuracy: ${model.metrics.validation.accuracy}`);
console.log(`F1 Score: ${model.metrics.validation.f1Score}`);

// Deploy model
const deployment = await client.training.models.deploy('model_1234567890abcdef', {
  name: 'customer-support-chat',
  environment: 'production',
  gpuType: 'a100',
  workers: 3,
  scaling: {
    minWorkers: 1,
    maxWorkers: 10,
    targetUtilization: 0.7
  },
  configuration: {
    maxTokens: 512,
    temperature: 0.7,
    topP: 0.9
  }
});

console.log(`Deployment created: ${deployment.url}`);

// Download model
const downloadInfo = await client.training.models.download('model_1234567890abcdef', {
  files: ['pytorch_model.bin', 'config.json'],
  format: 'pytorch',
  compression: 'zip'
});

console.log(`Download URL: ${downloadInfo.downloadUrl}`);
"""
DOWNLOAD: dict[str, Any] = {
    "files": ["pytorch_model.bin", "config.json"],
    "format": "pytorch",
    "compression": "zip",
}


@pytest.fixture
def server(api: Gateway) -> Iterator[Loopback]:
    with serving(api) as server:
        yield server


def run(script: str, server: Loopback | None = None, **environment: str) -> str:
    """What a module prints that runs beside the built package, whose own name leads to it."""
    if not (PACKAGE / "dist" / "index.js").exists():
        raise AssertionError("The JavaScript client is not built. Run `make clients/js/dist`.")
    if server:
        environment |= {"LUTHIER_BASE_URL": server.url, "LUTHIER_API_KEY": server.api.key or ""}
    command = [str(node.find()), "--input-type=module", "-"]
    ran = subprocess.run(
        command, input=script, cwd=PACKAGE, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_pages_javascript_runs_with_the_clients_name_swapped(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = server.api
    make_the_pages_models(api, monkeypatch)
    began = api.post(f"/v2/training/models/{IDS[0]}/download", DOWNLOAD).json()
    made = api.platform.processings.get("org_a", began["processingId"])
    world.finish(api.platform, made, report("pytorch", "zip", *DOWNLOAD["files"]))
    ours = PRINTED.replace("@tensorone/sdk", "@luthier/sdk").replace("TensorOneClient", "Luthier")
    lines = run(ours.replace("YOUR_API_KEY", api.key or ""), server).splitlines()
    names = [api.get(f"/v2/training/models/{model_id}").json()["name"] for model_id in IDS]
    assert sorted(lines[:2]) == sorted(f"{name} - 135000000 parameters" for name in names)
    assert lines[2:5] == [f"Model: {names[0]}", "Accuracy: 0.892", "F1 Score: 0.885"]
    (deployment,) = api.get("/v2/training/deployments").json()["deployments"]
    assert lines[5].startswith("Deployment created: http")
    assert lines[5].endswith(f"/v2/{deployment['id']}/runsync")
    assert (deployment["scaling"]["maxWorkers"], deployment["configuration"]["maxTokens"]) == (10, 512)
    assert lines[6].startswith("Download URL: http")


def test_a_job_is_made_once_whatever_is_lost_and_watched_to_its_end(server: Loopback) -> None:
    server.faults = ["", "lost", "lost"]
    seen = run(
        f"""
        import {{ Luthier }} from "@luthier/sdk";
        const client = new Luthier();
        const file = await client.files.upload({json.dumps(rows(3).decode())}, {{ filename: "a.jsonl" }});
        const job = await client.fineTuning.jobs.create({{
          name: "Tickets", baseModel: "{BASE_MODEL}", trainingDataset: file.id,
          hyperparameters: {{ learningRate: 0.0002 }}, evaluation: {{ maxExamples: 7 }},
        }});
        const ids = [];
        const listed = client.fineTuning.jobs.list({{ limit: 1, baseModel: "{BASE_MODEL}" }});
        for await (const row of listed) ids.push(row.id);
        await job.wait({{ timeout: 1 }}).catch((error) => console.log(error.name, error.resource.status));
        await client.fineTuning.jobs.stop(job.id);
        const stopped = await job.wait({{ onProgress: (now) => console.log(now.status) }});
        const {{ hyperparameters, evaluation }} = stopped;
        console.log(ids.length, ids[0] === job.id, hyperparameters.learningRate, evaluation.maxExamples);
        """,
        server,
    )
    assert seen.splitlines() == ["WaitTimedOut queued", "stopped", "1 true 0.0002 7"]
    assert server.sent.count("POST /api/v1/fine-tuning/jobs") == 3


def test_a_file_arrives_the_way_that_fits_its_size_whatever_is_lost(server: Loopback) -> None:
    contents = [rows(count).decode() for count in (5, 20, 60)]
    server.faults = ["lost", ""] * 20
    seen = run(
        f"""
        import {{ Luthier }} from "@luthier/sdk";
        import {{ PACE }} from "./dist/core.js";
        import {{ LIMITS }} from "./dist/uploading.js";
        PACE.first = 5;
        Object.assign(LIMITS, {{ oneRequest: 1000, part: 700, inParts: 5000 }});
        const client = new Luthier();
        for (const content of {json.dumps(contents)}) {{
          const file = await client.files.upload(new Blob([content]), {{ filename: "train.jsonl" }});
          const again = new TextDecoder().decode(await client.files.content(file.id));
          console.log(file.status, file.rows, again === content);
        }}
        console.log((await client.files.list()).length);
        """,
        server,
    )
    assert seen.splitlines() == ["processed 5 true", "processed 20 true", "processed 60 true", "3"]
    doors = ["POST /v1/files", "POST /v1/uploads", "POST /v1/files/presigned"]
    assert [server.sent.count(door) > 0 for door in doors] == [True] * 3
    assert any(sent.startswith("PUT /") and ".amazonaws.com/" in sent for sent in server.sent)


def test_a_chat_answers_whole_and_in_parts(server: Loopback) -> None:
    platform = server.api.platform
    model = platform.deployed(principal(), platform.completed(suffix="v1").result_model or "").model_name
    seen = run(
        f"""
        import {{ Luthier }} from "@luthier/sdk";
        const client = new Luthier();
        const asked = {{ model: "{model}", messages: [{{ role: "user", content: "Tell me more" }}], maxTokens: 50 }};
        const whole = await client.chat.completions.create(asked);
        console.log(whole.choices[0].message.content, whole.usage.completionTokens);
        const parts = [];
        for await (const chunk of await client.chat.completions.create({{ ...asked, stream: true }})) {{
          parts.push(chunk.choices[0].delta.content ?? "");
        }}
        console.log(parts.join(""), parts.length > 1);
        console.log((await client.inference.run("{model}", {{ prompt: "Hello there" }})).text);
        """,
        server,
    )
    assert seen.splitlines() == ["Tell me more 3", "Tell me more true", "Hello there"]


def test_an_event_that_the_platform_signs_is_verified() -> None:
    secret, body = signing.new_secret(), '{"event": "training.completed", "data": {"name": "Grüße"}}'
    headers = signing.headers(
        "evt_1", "training.completed", int(time.time()), body.encode(), [signing.new_secret(), secret]
    )
    seen = run(
        f"""
        import {{ verify }} from "@luthier/sdk";
        const sent = [{json.dumps(body)}, {json.dumps(headers)}];
        console.log((await verify(...sent, "{secret}")).data.name);
        await verify(...sent, "{signing.new_secret()}").catch((error) => console.log(error.name));
        """
    )
    assert seen.splitlines() == ["Grüße", "SignatureInvalid"]


def test_every_family_of_every_surface_is_understood_as_in_python() -> None:
    answers = []
    for surface in SURFACES:
        for family in FAMILIES:
            raised = family("Message.", param="scaling.minWorkers", remedy="Remedy.", details={"reason": None})
            answers.append((raised.status, json.dumps(SHAPES[surface](raised, "req_1", "2026-01-01T00:00:00Z"))))
    seen = run(
        f"""
        import {{ errorOfAnswer }} from "./dist/errors.js";
        const told = {json.dumps(answers)}.map(([status, text]) => {{
          const {{ name, message, code, field, requestId, remedy, details }} = errorOfAnswer(status, text, "req_1");
          return [name, message, code, field ?? null, requestId, remedy, details ?? null];
        }});
        console.log(JSON.stringify(told));
        """
    )
    for (status, text), (*told, details) in zip(answers, json.loads(seen), strict=True):
        expected: LuthierError = python_errors.of_answer(status, text, request_id="req_1")
        told[3] = told[3] and ".".join(map(snake, told[3].split(".")))
        assert told == [
            type(expected).__name__, expected.message, expected.code, expected.field, "req_1", expected.remedy
        ]  # fmt: skip
        assert details == expected.details


def test_the_generated_files_are_what_the_document_says() -> None:
    written = {name: (build_client_js.FOLDER / name).read_text() for name in build_client_js.rendered()}
    assert written == build_client_js.rendered(), "run `make client`"
