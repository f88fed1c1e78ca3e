"""What a row of the catalogue is: a function, and what calls it."""

from dataclasses import dataclass

from infra.grants import Grant


@dataclass(frozen=True)
class OnTableStream:
    """Called with inserted items whose sort key starts with `sort_key_prefix`."""

    sort_key_prefix: str


@dataclass(frozen=True)
class OnTrainingJobChange:
    """Called when SageMaker reports that a training job changed its state."""


@dataclass(frozen=True)
class OnArtifact:
    """Called when an object whose key ends with `suffix` is written into the artifacts bucket."""

    suffix: str


@dataclass(frozen=True)
class EveryMinutes:
    minutes: int


@dataclass(frozen=True)
class OnQueue:
    """Called with messages of the queue that `infra/components/events.py` calls so, `batch` at most at a time.

    window: seconds to wait for a batch to fill; concurrency: how many calls at once.
    """

    queue: str
    batch: int = 10
    window: int = 0
    concurrency: int = 50


Trigger = OnTableStream | OnQueue | OnTrainingJobChange | OnArtifact | EveryMinutes


@dataclass(frozen=True)
class Function:
    """One row: memory in MB, timeout in seconds, `routes` as API Gateway writes them
    (`POST /path` takes that method only), `env` as fields of Settings; `streams`: its answers may come in parts."""

    folder: str
    name: str
    grants: tuple[Grant, ...]
    env: tuple[str, ...]
    routes: tuple[str, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    memory: int = 512
    timeout: int = 60
    streams: bool = False

    @property
    def handler(self) -> str:
        return f"functions.{self.folder}.{self.name}.handler"

    @property
    def pascal_name(self) -> str:
        """The name as logical ids and ASL substitutions write it: `prepare_dataset` is `PrepareDataset`."""
        return self.name.title().replace("_", "")

    @property
    def physical_name(self) -> str:
        return self.name.replace("_", "-")
