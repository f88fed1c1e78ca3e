"""The guides keep their word: their blocks run against the real functions, and what they name exists."""

import json
import os
import re
import shutil
import subprocess
from typing import Any

import httpx
import pytest

from luthier.catalog import service as catalog
from luthier.catalog.entity import BaseModel
from luthier.webhooks.sender import Outcome, Sender
from tests.clients import BASE_URL, Network, no_pauses
from tests.contract.test_readme import GUIDES, ROOT
from tests.factories import principal
from tests.gateway import Gateway
from tests.loopback import serving

CODES = (ROOT / "ERRORS.md").read_text() + (ROOT / "EVENTS.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDES, re.DOTALL)


COMMANDS = [block for block in blocks("sh") if not block.startswith("# needs ")]


@pytest.fixture(autouse=True)
def _friendly_receivers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is sent a webhook takes it."""

    async def send(sender: Sender, post: Any) -> Outcome:
        return Outcome(milliseconds=1, status=200, text="ok")

    monkeypatch.setattr(Sender, "send", send)


@pytest.mark.skipif(not shutil.which("curl"), reason="The commands are curl's.")
@pytest.mark.parametrize("commands", COMMANDS)
def test_commands_are_answered(api: Gateway, commands: str) -> None:
    api.platform.failed()
    with serving(api) as server:
        told = {"PATH": os.environ["PATH"], "LUTHIER_BASE_URL": server.url, "LUTHIER_API_KEY": str(api.key)}
        ran = subprocess.run(
            ["bash", "-euc", commands], env=told, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
        )
    assert (ran.returncode, bool(ran.stdout)) == (0, True), ran.stderr
    assert len(server.sent) == commands.count("curl ")


def test_the_python_of_all_guides_runs_from_top_to_bottom(
    api: Gateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    network, platform = Network(api), api.platform

    def progress(_: float) -> None:
        (job,) = network.client().fine_tuning.jobs.list()
        if job.status != "completed":
            platform.complete(platform.launch(platform.fresh_by_id(job.id)))
        else:
            (deployment,) = network.client().training.deployments.list()
            platform.run_deployment(platform.deployments.get(principal(), deployment.id))

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", lambda _, request: network(request))
    monkeypatch.setenv("LUTHIER_API_KEY", str(api.key))
    monkeypatch.setenv("LUTHIER_BASE_URL", BASE_URL)
    monkeypatch.chdir(ROOT)
    no_pauses(monkeypatch, progress)
    api.post("/v1/webhooks", {"url": "https://app.example.com/hooks", "events": ["training.completed"]})
    exec(compile("\n".join(blocks("python")), "GUIDES", "exec"), {})
    assert capsys.readouterr().out.splitlines()[-4:] == [
        "llama-3.1-70b-tickets", "13.12", "200", "training.completed delivered",
    ]  # fmt: skip


def test_the_row_of_a_base_model_is_whole_and_right_about_its_hardware() -> None:
    [row] = map(json.loads, blocks("json"))
    known = json.loads((ROOT / "layers/core/python/luthier/catalog/catalog.json").read_text())["base_models"][0]
    assert list(row) == list(known)
    model = BaseModel(**row)
    for method, hardware in row["default_hardware"].items():
        assert catalog.choose_hardware(model, method).id == hardware


@pytest.mark.parametrize("codes", re.findall(r"^\| (`[^|]+`) \|", GUIDES, re.MULTILINE))
def test_every_code_is_one_that_is_documented(codes: str) -> None:
    for code in codes.split(", "):
        assert f"| {code} |" in CODES
