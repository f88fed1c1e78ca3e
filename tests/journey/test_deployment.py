"""What runs on this machine is the synthesized template, deployed by the CDK."""

import json

from infra.local.deploy import STACK
from tests.journey.local_cloud import LocalCloud


def test_the_deployed_template_is_the_synthesized_one(cloud: LocalCloud) -> None:
    deployed = cloud.aws("cloudformation").get_template(StackName=STACK)["TemplateBody"]
    synthesized = json.loads((cloud.state_dir / "cdk.out" / f"{STACK}.template.json").read_text(encoding="utf-8"))

    assert (json.loads(deployed) if isinstance(deployed, str) else deployed) == synthesized
