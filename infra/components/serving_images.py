"""The serving image of each region, from the pinned table that `infra/build_images.py` writes."""

import json
from pathlib import Path

from aws_cdk import Aws, CfnMapping
from constructs import Construct

TABLE = Path(__file__).resolve().parent.parent / "images.json"


def serving_image(scope: Construct) -> str:
    """URI of AWS's LMI (vLLM) image in the region that the stack is deployed to."""
    rows = json.loads(TABLE.read_text())["serving"]
    mapping = CfnMapping(scope, "ServingImages", mapping={region: {"uri": uri} for region, uri in rows.items()})
    return mapping.find_in_map(Aws.REGION, "uri")
