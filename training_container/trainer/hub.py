"""The model hub, through huggingface_hub: which files make up a model, and each of them on disk."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from trainer.failures import Failure

WEIGHTS = ".safetensors"
# What loading a model and its tokenizer reads. Code (.py) and pickles (.bin, .pt, …) are never taken.
SUFFIXES = (WEIGHTS, ".json", ".jinja", ".model", ".txt")
KEPT_NAMES = ("LICENSE", "NOTICE", "USE_POLICY")
PICKLE_INDEX = ".bin.index.json"


@dataclass(frozen=True)
class File:
    """size in bytes and sha256 (hex) as far as the hub tells them."""

    path: str
    size: int | None
    sha256: str | None


@dataclass(frozen=True)
class Listing:
    """The files to take, small ones first; `commit` is what the revision stood for when it was listed."""

    model: str
    commit: str
    files: list[File]


class Hub:
    """`token` None: nothing is sent, not even one that lies on this machine."""

    def __init__(self, url: str, token: str | None) -> None:
        self._url = url.rstrip("/")
        self._token = token or False

    def listing(self, model: str, revision: str) -> Listing:
        """Raises Failure: model_not_found, gated_model, no_safetensors, network."""
        from huggingface_hub import HfApi

        with _failures(model, revision):
            api = HfApi(endpoint=self._url, token=self._token)
            info = api.model_info(model, revision=revision, files_metadata=True)
        found = [_file(sibling) for sibling in info.siblings or []]
        return Listing(model, info.sha or revision, _wanted(model, found))

    def download(self, listing: Listing, file: File, folder: Path) -> Path:
        """The file below `folder`. Raises Failure as `listing` does, and OSError on a full disk."""
        from huggingface_hub import hf_hub_download

        with _failures(listing.model, listing.commit):
            path = hf_hub_download(
                listing.model,
                file.path,
                revision=listing.commit,
                endpoint=self._url,
                token=self._token,
                local_dir=folder,
            )
        return Path(path)


def _file(sibling: Any) -> File:
    sha256 = sibling.lfs.sha256 if sibling.lfs else None
    return File(sibling.rfilename, sibling.size, sha256)


def _wanted(model: str, found: list[File]) -> list[File]:
    chosen = [file for file in found if _is_wanted(file.path)]
    weights = [file for file in chosen if file.path.endswith(WEIGHTS)]
    if not weights:
        published = sorted({PurePosixPath(file.path).suffix for file in found})
        raise Failure("no_safetensors", f"{model} is not published as safetensors, only as: {', '.join(published)}.")
    # Some repositories carry the same weights a second time in the publisher's own layout (consolidated.safetensors).
    standard = [file for file in weights if file.path.startswith("model")] or weights
    others = [file for file in chosen if file not in weights]
    return sorted([*others, *standard], key=lambda file: (file.path.endswith(WEIGHTS), file.size or 0, file.path))


def _is_wanted(path: str) -> bool:
    # Folders hold other formats (onnx/, original/, gguf/); a snapshot that transformers loads is flat.
    if "/" in path or path.endswith(PICKLE_INDEX):
        return False
    return path.endswith(SUFFIXES) or path.startswith(KEPT_NAMES)


@contextmanager
def _failures(model: str, revision: str) -> Iterator[None]:
    """Turn the hub's answers into failures that say what to do."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise Failure("gated_model", f"{model} is gated, and the hub token may not read it.") from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        if _is_refused(error) and not error.response.headers.get("X-Error-Code"):
            raise Failure("gated_model", f"The hub refuses access to {model}.") from error
        raise Failure("model_not_found", f"The hub has no model {model} at revision {revision}.") from error
    except errors.HfHubHTTPError as error:
        if _is_refused(error):
            raise Failure("gated_model", f"The hub refuses access to {model}.") from error
        raise Failure("network", f"The hub answered {error.response.status_code} for {model}.") from error
    except (errors.LocalEntryNotFoundError, errors.FileMetadataError, errors.HTTPError) as error:
        raise Failure("network", f"The hub cannot be reached: {error}") from error


def _is_refused(error: Any) -> bool:
    return error.response.status_code in (401, 403)


def configure() -> None:
    """Has to run before huggingface_hub is imported: this is the one program that talks to a hub."""
    os.environ["HF_HUB_OFFLINE"] = "0"
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
