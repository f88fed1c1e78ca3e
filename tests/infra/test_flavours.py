"""The laptop and the cloud are the same: what may differ between both templates is a closed list."""

import json
import platform
import sys
from collections.abc import Iterator
from typing import Any

from infra import catalog
from tests.infra.template import Template

# Path of a property, `*` for any logical id, and why it may differ.
MAY_DIFFER = {
    # The dependency layer is built for the interpreter that runs it.
    "Resources.*.Properties.Content.S3Key": "asset contents",
    "Resources.*.Properties.Runtime": "runtime",
    "Resources.*.Properties.CompatibleRuntimes": "runtime",
    "Resources.*.Properties.Architectures": "architecture",
    "Resources.*.Properties.CompatibleArchitectures": "architecture",
    # Where nothing streams, a function that could is called as any other; the front door streams.
    "Resources.*.Properties.Handler": "web adapter",
    "Resources.*.Properties.Layers": "web adapter",
    "Resources.*.Properties.Environment.Variables.AWS_LAMBDA_EXEC_WRAPPER": "web adapter",
    "Resources.*.Properties.Environment.Variables.AWS_LWA_INVOKE_MODE": "web adapter",
    "Resources.*.Properties.Environment.Variables.AWS_LWA_READINESS_CHECK_PROTOCOL": "web adapter",
    "Resources.*.Properties.Environment.Variables.LUTHIER_SURFACE": "web adapter",
    "Resources.*.Properties.Integration.Uri.Fn::Join": "streaming integration",
    "Resources.*.Properties.Integration.ResponseTransferMode": "streaming integration",
    "Resources.*.Properties.Integration.TimeoutInMillis": "streaming integration",
    # The default synthesizer checks the version of the bootstrap stack; the stack itself has neither part.
    "Parameters": "synthesizer",
    "Rules": "synthesizer",
}
API_TAG = "ms-custom-id"


def test_both_templates_differ_in_nothing_but_the_closed_list(template: Template, local_template: Template) -> None:
    ours, theirs = _comparable(local_template), _comparable(template)
    assert sorted(set(_differences(theirs, ours, ())) - set(MAY_DIFFER)) == []


def test_the_local_template_runs_on_this_interpreter_and_processor(local_template: Template) -> None:
    machine = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
    for function in local_template.of_type("AWS::Lambda::Function").values():
        assert function["Runtime"] == f"python{sys.version_info.major}.{sys.version_info.minor}"
        assert function["Architectures"] == [machine]


def test_only_the_local_api_has_a_fixed_id(template: Template, local_template: Template) -> None:
    tags = local_template.one("AWS::ApiGateway::RestApi")["Tags"]
    assert [tag["Key"] for tag in tags] == [API_TAG]
    assert "Tags" not in template.one("AWS::ApiGateway::RestApi")


def test_only_the_functions_that_stream_differ_in_how_they_are_called(
    template: Template, local_template: Template
) -> None:
    ours, theirs = (each.of_type("AWS::Lambda::Function") for each in (local_template, template))
    different = {name for name, function in theirs.items() if function["Handler"] != ours[name]["Handler"]}
    assert {theirs[name]["FunctionName"] for name in different} == {
        theirs[name]["FunctionName"] for name in theirs if len(theirs[name]["Layers"]) == 3
    }
    assert {ours[name]["Handler"] for name in different} == {row.handler for row in catalog.API if row.streams}


def test_the_comparison_finds_a_difference(template: Template) -> None:
    changed = _comparable(template)
    table = next(name for name in changed["Resources"] if name.startswith("StorageTable"))
    changed["Resources"][table]["Properties"]["BillingMode"] = "PROVISIONED"
    found = list(_differences(_comparable(template), changed, ()))
    assert found == ["Resources.*.Properties.BillingMode"]


def _comparable(template: Template) -> dict[str, Any]:
    """A copy without the tag that pins the emulated API's id, and without what only follows from it."""
    [deployment] = template.of_type("AWS::ApiGateway::Deployment")
    # The id of a deployment ends in a hash over the API, its tags included.
    document = json.loads(json.dumps(template.document).replace(deployment, "ApiDeployment"))
    for resource in document["Resources"].values():
        if resource["Type"] == "AWS::ApiGateway::RestApi":
            resource["Properties"].pop("Tags", None)
    return document


def _differences(left: Any, right: Any, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(left.keys() | right.keys()):
            step = "*" if path == ("Resources",) else key
            if key not in left or key not in right:
                yield ".".join((*path, step))
            else:
                yield from _differences(left[key], right[key], (*path, step))
    elif left != right:
        yield ".".join(path)
