"""The two targets of the one template, and everything in which they differ.

The template for one machine differs from the one for AWS in this and nothing else (`tests/infra` compares them):
the asset contents, the runtime and architecture of functions and layers, the synthesizer, the training image,
the tag that gives the emulated REST API a stable id, and that functions which stream are called as all others are: the
emulator has neither the Lambda Web Adapter nor integrations that stream, so the front door streams.
"""

import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from aws_cdk import CliCredentialsStackSynthesizer, DefaultStackSynthesizer, IReusableStackSynthesizer
from aws_cdk.aws_lambda import Architecture, Runtime, RuntimeFamily


@dataclass(frozen=True)
class Flavour:
    """`name` is also the target that `infra.build_deps` builds the dependency layer for.

    streams: whether API Gateway passes answers on in parts.
    """

    name: str
    runtime: Runtime
    architecture: Architecture
    synthesizer: IReusableStackSynthesizer
    api_tags: Mapping[str, str] = field(default_factory=dict)
    streams: bool = False


def aws() -> Flavour:
    return Flavour("aws", Runtime.PYTHON_3_13, Architecture.ARM_64, DefaultStackSynthesizer(), streams=True)


def local() -> Flavour:
    """The emulator runs functions with an interpreter of this version on this machine's processor."""
    return Flavour(
        "local",
        Runtime(f"python{sys.version_info.major}.{sys.version_info.minor}", RuntimeFamily.PYTHON),
        Architecture.ARM_64 if platform.machine() in ("aarch64", "arm64") else Architecture.X86_64,
        # The emulator's IAM enforcement refuses the roles that the default synthesizer publishes assets with.
        CliCredentialsStackSynthesizer(),
        {"ms-custom-id": "1a7e0001"},
    )


FLAVOURS = {"aws": aws, "local": local}
