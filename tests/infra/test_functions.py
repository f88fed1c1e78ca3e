"""The table of functions, and what the template makes of it."""

import os
from pathlib import Path

import pytest

from infra import catalog
from infra.rows import Function
from luthier.settings import Settings
from tests.infra.template import Template, text

# What the Lambda Web Adapter starts.
ADAPTED = "functions/api/serve.sh"
ROOT = Path(__file__).resolve().parent.parent.parent
# What a folder holds beside its functions.
HELPERS = {
    "api": {
        *("app", "build_openapi", "encoding", "error_shapes", "event_stream", "multipart", "parameters"),
        *("reference", "server", "validation"),
        # Routes of the training_models surface.
        *(
            "training_aliases",
            "training_deployments",
            "training_downloads",
            "training_evaluations",
            "training_imports",
            "training_registry",
        ),
        # Routes of the openai, tuning and endpoints surfaces.
        *("batches", "checkpoint_permissions", "previews", "tuning_batches", "endpoint_runs", "uploads"),
    },
    "pipeline": {"step"},
    "events": set(),
}


def _handler(row: Function) -> str:
    return ADAPTED if row.streams else row.handler


def test_every_function_of_the_catalogue_has_its_file_and_every_file_its_row() -> None:
    for folder, helpers in HELPERS.items():
        files = {path.stem for path in (ROOT / "functions" / folder).glob("*.py")} - {"__init__"}
        assert files - helpers == {row.name for row in catalog.FUNCTIONS if row.folder == folder}


def test_every_row_becomes_one_function_with_its_handler_memory_and_timeout(template: Template) -> None:
    made = {
        (row["Handler"], row["MemorySize"], row["Timeout"])
        for row in template.of_type("AWS::Lambda::Function").values()
    }
    assert made == {(_handler(row), row.memory, row.timeout) for row in catalog.FUNCTIONS}


def test_the_functions_run_on_arm_with_python_3_13(template: Template) -> None:
    for function in template.of_type("AWS::Lambda::Function").values():
        assert (function["Runtime"], function["Architectures"]) == ("python3.13", ["arm64"])


def test_every_function_has_its_own_role_and_its_own_log_group_with_retention(template: Template) -> None:
    functions = template.of_type("AWS::Lambda::Function").values()
    assert len({function["Role"]["Fn::GetAtt"][0] for function in functions}) == len(functions)
    for function in functions:
        group = template.resources[function["LoggingConfig"]["LogGroup"]["Ref"]]["Properties"]
        assert group["LogGroupName"] == f"/aws/lambda/{function['FunctionName']}"
        assert group["RetentionInDays"] == 90


def test_every_function_has_both_layers_and_is_traced(template: Template) -> None:
    for function in template.of_type("AWS::Lambda::Function").values():
        assert len(function["Layers"]) == (3 if function["Handler"] == ADAPTED else 2)
        assert function["TracingConfig"] == {"Mode": "Active"}


def test_every_name_of_the_environment_is_a_field_of_the_settings() -> None:
    for row in catalog.FUNCTIONS:
        assert set(row.env) <= set(Settings.__dataclass_fields__), row.name


def test_a_function_sees_the_settings_of_its_row_and_no_others(template: Template) -> None:
    for row in catalog.FUNCTIONS:
        given = template.function(f"{row.folder}.{row.name}")["Environment"]["Variables"]
        luthier = {name for name in given if name.startswith("LUTHIER_")}
        surface = {"LUTHIER_SURFACE"} if row.streams else set()
        assert luthier == {Settings.environment_name(name) for name in row.env} | surface


@pytest.mark.parametrize("row", catalog.API, ids=lambda row: row.name)
def test_no_api_function_outlives_the_gateways_patience(row: Function) -> None:
    assert row.timeout <= (900 if row.streams else 29)


def test_a_function_that_streams_is_served_through_the_web_adapter(template: Template) -> None:
    made = [row for row in template.of_type("AWS::Lambda::Function").values() if row["Handler"] == ADAPTED]
    for function in made:
        assert "LambdaAdapterLayerArm64" in text(function["Layers"][-1])
        variables = function["Environment"]["Variables"]
        assert (variables["AWS_LAMBDA_EXEC_WRAPPER"], variables["AWS_LWA_INVOKE_MODE"]) == (
            "/opt/bootstrap",
            "response_stream",
        )
    named = {function["Environment"]["Variables"]["LUTHIER_SURFACE"] for function in made}
    assert named == {row.name for row in catalog.API if row.streams}
    script = ROOT / ADAPTED
    assert os.access(script, os.X_OK)
    assert 'functions.api.server "$LUTHIER_SURFACE"' in script.read_text()


def test_the_functions_asset_keeps_its_package_name_and_hides_no_layer(template: Template, assets: Path) -> None:
    [folder] = [path for path in assets.glob("asset.*") if (path / "functions").is_dir()]
    assert [path.name for path in folder.iterdir()] == ["functions"]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".py", ".json", ".sh"}
    assert not [path for path in files if "luthier" in path.parts]


def test_the_core_layer_holds_the_luthier_package_and_no_bytecode(template: Template, assets: Path) -> None:
    [folder] = [path for path in assets.glob("asset.*") if (path / "python" / "luthier").is_dir()]
    assert not list(folder.rglob("*.pyc"))
