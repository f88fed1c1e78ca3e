"""Writes `infra/images.json`, AWS's serving image by region: `python -m infra.build_images`.

To be run where the dependency group `images` is installed. The SDK ships the registries of
each region with it, so this needs no network; at 720 MB it is no part of anything else.
"""

import json
from pathlib import Path

TABLE = Path(__file__).resolve().parent / "images.json"
FRAMEWORK, VERSION = "djl-lmi", "0.38.0"


def serving_images() -> dict[str, str]:
    """URI of the LMI (vLLM) image by region; the isolated partitions are left out."""
    from sagemaker.core import image_uris  # type: ignore[import-not-found]

    regions = sorted(image_uris.config_for_framework(FRAMEWORK)["versions"][VERSION]["registries"])
    return {
        region: image_uris.retrieve(FRAMEWORK, region, version=VERSION) for region in regions if "iso" not in region
    }


if __name__ == "__main__":
    TABLE.write_text(json.dumps({"serving": serving_images()}, indent=2) + "\n")
