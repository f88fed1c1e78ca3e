"""The gates before a deployment: strict synthesis, cdk-nag, cfn-lint. Each runs once, on the template for AWS."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.infra.template import Template

CFN_LINT = Path(sys.executable).parent / "cfn-lint"


@pytest.fixture(scope="module")
def report(deps: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """What each validation plugin said, by its name, after a run with every check on."""
    outdir = tmp_path_factory.mktemp("checked")
    command = [sys.executable, "-m", "infra.app", "--check", "--deps", str(deps), "--output", str(outdir)]
    command += ["-c", "trainer_image_uri=registry.example/trainer:1", "-c", "hub_token_secret=hub-token"]
    command += ["-c", "dataset_buckets=their-data"]
    environment = os.environ | {"CDK_VALIDATION": "true"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    reports = json.loads((outdir / "validation-report.json").read_text())["pluginReports"]
    return {report["pluginName"]: report for report in reports}


def test_cdk_nag_finds_nothing_that_is_not_answered(report: dict[str, dict]) -> None:
    assert report["AwsSolutions"]["conclusion"] == "success"
    assert report["AwsSolutions"]["violations"] == []


def test_every_answer_to_cdk_nag_gives_its_reason(report: dict[str, dict]) -> None:
    answers = report["AwsSolutions"]["suppressedViolations"]
    assert answers
    assert [answer["ruleName"] for answer in answers if len(answer["reason"]) < 20] == []


def test_no_validator_of_the_cdk_itself_objects(report: dict[str, dict]) -> None:
    assert {name: found["conclusion"] for name, found in report.items() if found["conclusion"] != "success"} == {}


def test_cfn_lint_has_no_complaint(assets: Path, template: Template) -> None:
    # W3005: CDK says in DependsOn what a reference says already.
    command = [str(CFN_LINT), "-i", "W3005", "--", str(assets / "Luthier.template.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
