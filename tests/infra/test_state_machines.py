"""The state machines: what the ASL files say, checked against what AWS would accept."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.model import Shape

from infra import catalog, node
from infra.components.state_machines import PIPELINE, definition_of, placeholders
from luthier.jobs.entity import Job
from luthier.processing import launches
from luthier.processing.entity import Processing, id_of
from luthier.processing.plan import Plan
from tests.infra.template import Template

MACHINES = ("training", "deployment", "processing")
ASL_VALIDATOR = Path(__file__).resolve().parents[2] / "infra" / "node_modules" / ".bin" / "asl-validator"
PLATFORM_WORDS = {"TrainingImage", "TrainingRoleArn", "StagingRoleArn", "ProcessingRoleArn", "DataKeyArn"}


@pytest.mark.parametrize("name", MACHINES)
def test_the_file_is_valid_states_language(name: str) -> None:
    checked = subprocess.run(
        [node.find(), ASL_VALIDATOR, "--json-path", PIPELINE / f"{name}.asl.json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("training", (*catalog.TRAINING_STEPS, catalog.STAGING_STEP)),
        ("deployment", (*catalog.DEPLOYMENT_STEPS, catalog.STAGING_STEP)),
        ("processing", (*catalog.PROCESSING_STEPS, catalog.STAGING_STEP)),
    ],
)
def test_the_file_names_exactly_the_steps_of_the_catalogue(name: str, steps: tuple[catalog.Function, ...]) -> None:
    assert placeholders(definition_of(name)) - PLATFORM_WORDS == {f"{row.pascal_name}Arn" for row in steps}


@pytest.mark.parametrize("name", MACHINES)
def test_every_placeholder_has_a_substitution_and_every_substitution_a_placeholder(
    name: str, template: Template
) -> None:
    machine = template.named("AWS::StepFunctions::StateMachine", name.title())
    assert set(machine["DefinitionSubstitutions"]) == placeholders(machine["DefinitionString"])


@pytest.mark.parametrize("name", MACHINES)
def test_a_state_calls_the_function_of_its_own_name(name: str) -> None:
    for state, definition in _states(name):
        if definition.get("Resource") == "arn:aws:states:::lambda:invoke":
            assert definition["Arguments"]["FunctionName"] == f"${{{state}Arn}}"


@pytest.mark.parametrize("name", MACHINES)
def test_the_machine_logs_everything_but_the_data_and_is_traced(name: str, template: Template) -> None:
    machine = template.named("AWS::StepFunctions::StateMachine", name.title())
    assert machine["LoggingConfiguration"]["Level"] == "ALL"
    assert not machine["LoggingConfiguration"].get("IncludeExecutionData")
    assert machine["TracingConfiguration"] == {"Enabled": True}


@pytest.mark.parametrize("name", MACHINES)
def test_whatever_goes_wrong_ends_in_the_settling_step(name: str) -> None:
    states = dict(_states(name))
    [settle] = [state for state in states if state in ("SettleJob", "SettleDeployment", "SettleProcessing")]
    [last] = [state for state, definition in states.items() if definition.get("End") or definition["Type"] == "Succeed"]
    assert last in (settle, "Settled")
    for state, definition in states.items():
        if definition["Type"] == "Task" and state != settle:
            assert any(catch["ErrorEquals"] == ["States.ALL"] for catch in definition["Catch"]), state


@pytest.mark.parametrize("name", MACHINES)
def test_sagemaker_accepts_what_the_machine_asks_of_it(name: str) -> None:
    shape = _create_training_job()
    for state, definition in _states(name):
        if definition.get("Resource", "").startswith("arn:aws:states:::sagemaker:"):
            assert definition["Resource"] == "arn:aws:states:::sagemaker:createTrainingJob.sync"
            assert list(_faults(definition["Arguments"], shape, state)) == []


def test_a_misspelt_argument_would_be_found() -> None:
    shape = _create_training_job()
    arguments = json.loads(definition_of("training"))["States"]["Train"]["Arguments"]
    arguments["ResourceConfig"]["InstanceTyp"] = arguments["ResourceConfig"].pop("InstanceType")
    arguments["EnableNetworkIsolation"] = "yes"
    del arguments["RoleArn"]
    assert sorted(_faults(arguments, shape, "Train")) == [
        "Train has no RoleArn",
        "Train.EnableNetworkIsolation is no boolean",
        "Train.ResourceConfig.InstanceTyp is unknown",
    ]


def test_training_runs_without_network_and_only_staging_has_one() -> None:
    isolated = {
        state: definition["Arguments"]["EnableNetworkIsolation"]
        for name in MACHINES
        for state, definition in _states(name)
        if definition.get("Resource", "").startswith("arn:aws:states:::sagemaker:")
    }
    assert isolated == {"Train": True, "Process": True, "CopyBaseModel": False}


def test_the_names_of_training_jobs_are_those_that_roles_and_rules_are_bound_to() -> None:
    job = Job.__new__(Job)
    object.__setattr__(job, "id", "ftjob_01hzy")
    object.__setattr__(job, "attempt", 1)
    assert job.execution_name.startswith("ftjob-")
    processing = Processing(id_of("org_a", "evaluate", "model_x", {}), *("",) * 4, {}, *("",) * 3)
    assert (processing.next_launch("").training_job_name or "").startswith("proc-")


def test_a_job_of_a_processing_starts_with_all_that_its_plan_says() -> None:
    """The step takes over what `launches.request` names, and nothing of it is lost."""
    processing = Processing("proc_1", "org_a", "evaluate", "m", "b", {}, "u", "", "").next_launch("")
    asked = launches.request(processing, Plan("trainer.evaluate", {"base": "s3://b/"}, "cpu-4vcpu-16gb", 30), "a")
    assert set(re.findall(r"input\.launch\.(\w+)", definition_of("processing"))) - {"status", "seconds"} == set(asked)


def _states(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from json.loads(definition_of(name))["States"].items()


def _create_training_job() -> Shape:
    model = botocore.session.get_session().get_service_model("sagemaker")
    shape = model.operation_model("CreateTrainingJob").input_shape
    assert shape is not None
    return shape


def _faults(value: Any, shape: Shape, path: str) -> Iterator[str]:
    """What the service would refuse; a JSONata expression may yield anything."""
    if isinstance(value, str) and value.startswith("{%"):
        return
    match shape.type_name:
        case "structure":
            yield from (f"{path} has no {name}" for name in shape.required_members if name not in value)
            for name, member in value.items():
                if name in shape.members:
                    yield from _faults(member, shape.members[name], f"{path}.{name}")
                else:
                    yield f"{path}.{name} is unknown"
        case "list":
            for number, member in enumerate(value):
                yield from _faults(member, shape.member, f"{path}[{number}]")
        case "map":
            for name, member in value.items():
                yield from _faults(member, shape.value, f"{path}.{name}")
        case kind:
            expected = {"string": str, "integer": int, "long": int, "boolean": bool}[kind]
            if not isinstance(value, expected):
                yield f"{path} is no {kind}"
            elif getattr(shape, "enum", None) and value not in shape.enum:
                yield f"{path} is none of {shape.enum}"


@pytest.mark.parametrize("name", MACHINES)
def test_every_function_is_tried_again_unless_it_refused(name: str) -> None:
    states = json.loads((PIPELINE / f"{name}.asl.json").read_text())["States"].values()
    retries = [state["Retry"] for state in states if state.get("Resource", "").endswith("lambda:invoke")]
    assert retries
    for refused, anything in retries:
        assert (refused["ErrorEquals"], refused["MaxAttempts"]) == (["StepFailed"], 0)
        assert anything["ErrorEquals"] == ["States.ALL"]
        assert anything["MaxAttempts"] > 0
