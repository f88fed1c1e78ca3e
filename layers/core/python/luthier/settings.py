"""Every setting of the platform, in one typed table that is read once per process.

A function sees its settings as environment variables; `infra/catalog.py` decides which function gets which.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any


def _setting(sentence: str, default: str = "") -> Any:
    return field(default=default, metadata={"sentence": sentence})


@dataclass(frozen=True)
class Settings:
    """One row per setting; the environment variable is `LUTHIER_` and the field's name in capitals."""

    table: str = _setting("Name of the DynamoDB table.")
    data_bucket: str = _setting("Bucket of uploads and of the data that each job trains on.")
    base_models_bucket: str = _setting("Bucket of staged base models.")
    artifacts_bucket: str = _setting("Bucket of checkpoints, metrics and finished models.")
    event_bus: str = _setting("Name of the EventBridge bus that carries Luthier's events.")
    training_state_machine_arn: str = _setting("State machine that runs one attempt of a job.")
    deployment_state_machine_arn: str = _setting("State machine that brings one deployment up.")
    serving_image: str = _setting("Container image that answers requests on SageMaker endpoints.")
    serving_role_arn: str = _setting("Role of SageMaker models and endpoints.")
    hub_url: str = _setting("Hub that base models are staged from.", "https://huggingface.co")
    hub_token_secret: str = _setting("Secrets Manager secret that holds the hub token; empty: no token.")

    @staticmethod
    def environment_name(name: str) -> str:
        return f"LUTHIER_{name.upper()}"

    @classmethod
    def load(cls, environment: Mapping[str, str]) -> "Settings":
        """Settings of this process. A setting that a function is not given stays empty."""
        present = {f.name: environment.get(cls.environment_name(f.name)) for f in fields(cls)}
        return cls(**{name: value for name, value in present.items() if value})
