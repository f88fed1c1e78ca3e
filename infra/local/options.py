"""What the local cloud is started with, and where its files lie."""

import os
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
REGION = "us-east-1"
ACCOUNT = "000000000000"
# The emulator takes an unknown key as the account's root user.
ROOT_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}


@dataclass(frozen=True)
class Options:
    """Choices of one start; every path is derived from `state_dir`.

    Args:
        state_dir: everything the cloud keeps; deleting it is a factory reset.
        port: where the API answers at `/` (loopback only).
        aws_port: where the emulated AWS services answer (loopback only).
        base_model: what is seeded into the base-model bucket: `demo`, `tiny` or `none`.
        trainer_python: the interpreter that runs training and serving children.
        wait_scale: Step Functions waits and retry pauses are multiplied by this.
        hub_url: where base models that are not seeded are copied from; empty: the template's default.
        context: `key=value` choices of the stack, as `cdk deploy -c` takes them.
        verbose: log what the emulator does.
    """

    state_dir: Path = field(default_factory=lambda: REPOSITORY / ".luthier")
    port: int = 8080
    aws_port: int = 4566
    base_model: str = "demo"
    trainer_python: Path = field(default_factory=lambda: REPOSITORY / ".venv-trainer" / "bin" / "python")
    wait_scale: float = 0.05
    hub_url: str = ""
    context: tuple[str, ...] = ()
    verbose: bool = False

    def __post_init__(self) -> None:
        # Children run in folders of their own, so no path may depend on where the cloud was started.
        object.__setattr__(self, "state_dir", self.state_dir.resolve())

    @property
    def snapshot(self) -> Path:
        return self.state_dir / "state" / "snapshot.json"

    @property
    def emulator_state(self) -> Path:
        return self.state_dir / "state"

    @property
    def buckets(self) -> Path:
        return self.state_dir / "buckets"

    @property
    def sagemaker(self) -> Path:
        return self.state_dir / "sagemaker"

    @property
    def temporary(self) -> Path:
        return self.state_dir / "tmp"

    @property
    def log(self) -> Path:
        return self.state_dir / "cloud.log"

    @property
    def env_file(self) -> Path:
        return self.state_dir / "env"

    @property
    def base_url(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def aws_url(self) -> str:
        return f"http://127.0.0.1:{self.aws_port}"

    def aws_environment(self) -> dict[str, str]:
        """The variables that point any AWS client at this cloud, as its root user."""
        return {
            "AWS_ENDPOINT_URL": self.aws_url,
            "AWS_ENDPOINT_URL_S3": self.aws_url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            **ROOT_CREDENTIALS,
        }


def trainer_python_from_environment() -> Path:
    """LUTHIER_TRAINER_PYTHON, or the virtual environment that `make` builds."""
    given = os.environ.get("LUTHIER_TRAINER_PYTHON")
    return Path(given) if given else Options().trainer_python
