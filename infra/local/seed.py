"""What a fresh cloud is given: a base model in its bucket, and an API key."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.local.commands import Commands
from infra.local.options import REPOSITORY, Options
from infra.local.preflight import PLATFORM_PYTHON, Refusal

ORGANIZATION = "org_local"
_KEY_MARK = "/luthier/local/api-key"
_CATALOG = REPOSITORY / "layers" / "core" / "python" / "luthier" / "catalog" / "catalog.json"
# Choice on the command line → the builder's module and the model's id in the catalogue.
BASE_MODELS = {
    "demo": ("demo.demo_model", "smollm2-135m-instruct"),
    "tiny": ("demo.tiny_model", "tiny-llama-test"),
}
ClientFactory = Callable[[str], Any]


def stage_base_model(
    options: Options, client: ClientFactory, bucket: str, commands: Commands, say: Callable[[str], None]
) -> str | None:
    """Build the chosen model and put it where `StageBaseModel` looks; returns its id. A staged model stays."""
    if options.base_model == "none":
        return None
    module, model_id = BASE_MODELS[options.base_model]
    s3, prefix = client("s3"), f"{model_id}/{_revision(model_id)}"
    if s3.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/manifest.json").get("KeyCount"):
        return model_id
    say(f"Staging the base model {model_id} …")
    with tempfile.TemporaryDirectory(dir=options.temporary) as draft:
        folder = _build(options, commands, module, Path(draft) / model_id)
        _upload(s3, bucket, prefix, folder, {"model": model_id, "revision": _revision(model_id)})
    return model_id


def _upload(s3: Any, bucket: str, prefix: str, folder: Path, about: dict[str, str]) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        s3.upload_file(str(path), bucket, f"{prefix}/{path.relative_to(folder).as_posix()}")
    manifest = {
        **about,
        "files": [_described(path, folder) for path in files],
        "staged_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    # Last: whoever finds it may read the rest.
    s3.put_object(Bucket=bucket, Key=f"{prefix}/manifest.json", Body=json.dumps(manifest, indent=2).encode())


def _revision(model_id: str) -> str:
    models = json.loads(_CATALOG.read_text(encoding="utf-8"))["base_models"]
    return str(next(model["revision"] for model in models if model["id"] == model_id))


def _build(options: Options, commands: Commands, module: str, target: Path) -> Path:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "training_container")}
    command = [str(options.trainer_python), "-m", module, str(target)]
    done = commands.run(command, environment)
    if done.code:
        raise Refusal(f"The base model {target.name} could not be built: {done.last_complaint}")
    return target


def _described(path: Path, folder: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {"path": path.relative_to(folder).as_posix(), "size": path.stat().st_size, "sha256": sha256}


def api_key(options: Options, client: ClientFactory, table: str, commands: Commands) -> str:
    """The key in the env file while the table still knows it, else a new one with every scope."""
    ssm, kept = client("ssm"), read_env(options.env_file).get("LUTHIER_API_KEY", "")
    try:
        if kept and ssm.get_parameter(Name=_KEY_MARK)["Parameter"]["Value"] == _mark(kept):
            return kept
    except ssm.exceptions.ParameterNotFound:
        pass
    key = _issue(options, table, commands)
    # Written after the key, so a snapshot that has the mark has the key too.
    ssm.put_parameter(Name=_KEY_MARK, Value=_mark(key), Type="String", Overwrite=True)
    return key


def _mark(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _issue(options: Options, table: str, commands: Commands) -> str:
    command = [str(PLATFORM_PYTHON), "-c", "from luthier.cli import main; main()", "keys", "create"]
    command += ["--org", ORGANIZATION, "--name", "local cloud", "--table", table, "--json"]
    done = commands.run(command, {**os.environ, **options.aws_environment()})
    if done.code:
        raise Refusal(f"No API key could be issued: {done.last_complaint}")
    return str(json.loads(done.output)["key"])


def write_env(path: Path, values: dict[str, str]) -> None:
    """Write KEY=VALUE lines for shells and clients; readable by this user alone, for it holds a key."""
    temporary = path.with_suffix(".tmp")
    temporary.touch(mode=0o600)
    temporary.write_text("".join(f"{name}={value}\n" for name, value in values.items()), encoding="utf-8")
    temporary.replace(path)


def read_env(path: Path) -> dict[str, str]:
    """The file's KEY=VALUE lines; empty when there is none."""
    if not path.exists():
        return {}
    return dict(line.split("=", 1) for line in path.read_text(encoding="utf-8").splitlines() if "=" in line)
