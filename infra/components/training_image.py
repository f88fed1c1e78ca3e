"""The training image: built from `training_container` at deploy time, or one that exists already."""

from pathlib import Path

from aws_cdk import IgnoreMode
from aws_cdk import aws_ecr_assets as ecr_assets
from constructs import Construct

ROOT = Path(__file__).resolve().parent.parent.parent

# The modules of the `luthier` package that the trainer imports. The others stay out, or every change of theirs would
# make a new image of several gigabytes.
LUTHIER = (
    "__init__.py",
    "errors.py",
    "datasets/__init__.py",
    "datasets/cautions.py",
    "datasets/control_tokens.py",
    "datasets/findings.py",
    "datasets/formats.py",
    "datasets/identities.py",
    "datasets/json_objects.py",
    "datasets/lines.py",
    "datasets/mending.py",
    "datasets/messages.py",
    "datasets/plain_rows.py",
    "datasets/preferences.py",
    "datasets/repair.py",
    "datasets/report.py",
    "datasets/row_hashes.py",
    "datasets/rows.py",
    "datasets/secret_patterns.py",
    "datasets/texts.py",
    "datasets/tool_calls.py",
    "jobs/__init__.py",
    "jobs/auto.py",
    "jobs/hyperparameters.py",
    "models/__init__.py",
    "models/behavior.py",
)

# The build context is the repository, for the sake of those modules.
_CONTEXT = [
    "/*",
    "!/training_container/",
    "/training_container/*",
    "!/training_container/Dockerfile",
    "!/training_container/requirements.txt",
    "!/training_container/requirements-eval.txt",
    "!/training_container/requirements-gpu.txt",
    "!/training_container/requirements-wandb.txt",
    "!/training_container/trainer/",
    "!/layers/",
    "/layers/**",
    "!/layers/**/",
    *(f"!/layers/core/python/luthier/{module}" for module in LUTHIER),
    "__pycache__/",
]


def training_image(scope: Construct, prebuilt_uri: str) -> str:
    """URI of the image; GPU instances are x86, whatever builds it."""
    if prebuilt_uri:
        return prebuilt_uri
    image = ecr_assets.DockerImageAsset(
        scope,
        "TrainingImage",
        directory=str(ROOT),
        file="training_container/Dockerfile",
        exclude=_CONTEXT,
        ignore_mode=IgnoreMode.GIT,
        platform=ecr_assets.Platform.LINUX_AMD64,
    )
    return image.image_uri
