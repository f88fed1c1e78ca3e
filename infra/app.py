"""Builds the template: `python -m infra.app [-c key=value …] [-o FOLDER] [--check]`, or by the CDK CLI.

Context: `flavour` (aws or local), `trainer_image_uri` (use this training image instead of building one),
`hub_url`, `hub_token_secret` (name of the Secrets Manager secret that holds the hub's token), `stack_name`, and every
setting of `luthier.settings` that may be chosen, such as `billing` (on or off).
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra import build_deps, node

if TYPE_CHECKING:
    from aws_cdk import App

CDK_JSON = Path(__file__).resolve().parent.parent / "cdk.json"
# Locally nothing pulls an image: the plug-in runs the container's program itself.
LOCAL_IMAGE = "luthier/trainer:local"


def build(context: Mapping[str, Any], *, outdir: str | None = None, deps: Path | None = None) -> "App":
    """The app, not yet synthesized. `deps`: folder of the dependency layer, by default the one built for the flavour.

    The CDK CLI hands its context and output folder over in the environment; both win over what is given here.
    """
    node.prepare()
    from aws_cdk import App

    from infra.flavours import FLAVOURS
    from infra.stacks.platform import HUB_URL, LuthierStack, Options
    from luthier.settings import Settings

    # Only the CLI reads cdk.json.
    app = App(context={**json.loads(CDK_JSON.read_text())["context"], **context}, outdir=outdir)

    def chosen(key: str, default: str = "") -> str:
        return app.node.try_get_context(key) or default

    flavour = chosen("flavour", "aws")
    if flavour not in FLAVOURS:
        raise ValueError(f"context flavour={flavour} is unknown; use one of {', '.join(FLAVOURS)}.")
    options = Options(
        deps=deps or build_deps.folder(flavour),
        trainer_image_uri=chosen("trainer_image_uri", LOCAL_IMAGE if flavour == "local" else ""),
        hub_url=chosen("hub_url", HUB_URL),
        hub_token_secret=chosen("hub_token_secret"),
        settings={name: chosen(name, str(default)) for name, default in Settings.choices().items()},
    )
    Settings.load({Settings.environment_name(name): value for name, value in options.settings.items()})
    LuthierStack(app, chosen("stack_name", "Luthier"), flavour=FLAVOURS[flavour](), options=options)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m infra.app", description="Build Luthier's CloudFormation template.")
    parser.add_argument("-c", "--context", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("-o", "--output", metavar="FOLDER", help="folder of the cloud assembly")
    parser.add_argument("--deps", type=Path, metavar="FOLDER", help="folder of the built dependency layer")
    parser.add_argument("--check", action="store_true", help="check the template against cdk-nag's AwsSolutions rules")
    options = parser.parse_args(arguments)
    if odd := [pair for pair in options.context if "=" not in pair]:
        parser.error(f"context {odd[0]} has no value; write KEY=VALUE.")
    try:
        app = build(dict(pair.split("=", 1) for pair in options.context), outdir=options.output, deps=options.deps)
        if options.check:
            _add_checks(app)
        app.synth()
    except (RuntimeError, ValueError) as error:
        sys.exit(str(error))


def _add_checks(app: "App") -> None:
    """A violation is printed and ends the run with status 1."""
    from aws_cdk import Validations
    from cdk_nag import AwsSolutionsChecks

    Validations.of(app).add_plugins(AwsSolutionsChecks(app))


if __name__ == "__main__":
    main()
