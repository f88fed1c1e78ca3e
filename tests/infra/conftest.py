"""Both templates, synthesized once per session. Every test of this tier reads them; none needs a network or Docker."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.infra.template import Template


@pytest.fixture(scope="session")
def deps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dependency layer without dependencies: what is in it makes no difference to the template."""
    folder = tmp_path_factory.mktemp("deps")
    (folder / "python").mkdir()
    (folder / "python" / "stub.py").write_text("")
    return folder


@pytest.fixture(scope="session")
def assemblies(deps: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The cloud assembly of each flavour, made one right after the other so that both see the same sources."""
    return {flavour: _synthesize(flavour, deps, tmp_path_factory.mktemp(flavour)) for flavour in ("aws", "local")}


@pytest.fixture(scope="session")
def assets(assemblies: dict[str, Path]) -> Path:
    """The cloud assembly for AWS: the template beside the staged assets."""
    return assemblies["aws"]


@pytest.fixture(scope="session")
def template(assets: Path) -> Template:
    """The template for AWS."""
    return _read(assets)


@pytest.fixture(scope="session")
def local_template(assemblies: dict[str, Path]) -> Template:
    """The template for one machine."""
    return _read(assemblies["local"])


@pytest.fixture(scope="session", autouse=True)
def _quick_synthesis() -> Iterator[None]:
    # CloudFormation's own validator takes ten seconds; one test, in test_gates.py, has it on.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CDK_VALIDATION", "false")
        for name in ("CDK_OUTDIR", "CDK_CONTEXT_JSON", "PYTHONDONTWRITEBYTECODE"):
            patch.delenv(name, raising=False)
        yield


def _synthesize(flavour: str, deps: Path, outdir: Path) -> Path:
    from infra import app

    # A given image, because building one starts with reading the whole build context.
    context = {"flavour": flavour, "trainer_image_uri": "registry.example/trainer:1", "hub_token_secret": "hub-token"}
    context["dataset_buckets"] = "their-data, more-data=acme, more-data=umbrella"
    app.build(context, outdir=str(outdir), deps=deps).synth()
    return outdir


def _read(assembly: Path) -> Template:
    return Template(json.loads((assembly / "Luthier.template.json").read_text()))
