"""`luthier move-in plan` and `run`: jobs of a folder are trained on an open model and answer under their old names."""

import json
import re
import shlex
from contextlib import closing
from pathlib import Path
from typing import Any

import openai
import pytest
from typer.testing import CliRunner

from luthier.cli import app
from luthier.cli.move_in import asking, platform
from luthier.cli.move_in.moved import Moved
from tests.factories import BASE_MODEL, rows
from tests.functional.api.test_openai_client import client_of
from tests.functional.cli.move_in_world import World, move_in, run
from tests.functional.cli.openai_source import KEY, OLD_NAME, OpenAI, old_job, serving

PAIR = {
    "input": {"messages": [{"role": "user", "content": "Hello"}]},
    "preferred_output": [{"role": "assistant", "content": "Good day"}],
    "non_preferred_output": [{"role": "assistant", "content": "No"}],
}
OTHER = "ft:gpt-4o-mini-2024-07-18:acme:support:abc2"


def test_old_code_goes_on_with_another_base_url(world: World) -> None:
    said = run(world, "--all", "--deploy")
    assert "answers" in said
    assert world.ask(OLD_NAME) == "Hello"
    [job] = world.jobs()
    assert (job.model, job.seed, job.status) == (BASE_MODEL, 7, "succeeded")
    assert job.fine_tuned_model.startswith(f"ft:{BASE_MODEL}:org_a:support:")
    assert (job.hyperparameters.n_epochs, job.hyperparameters.batch_size) == (2, 1)
    assert job.hyperparameters.learning_rate_multiplier == 1.8
    assert job.metadata == {"team": "support", "moved_from": "ftjob-1", "moved_name": OLD_NAME}
    assert client_of(world.api).files.content(job.training_file).read() == rows(20)


def test_the_commands_of_the_readme_lead_from_an_account_to_the_old_names(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commands = re.findall(r"^luthier (move-in .*)", (Path(__file__).parents[3] / "README.md").read_text(), re.MULTILINE)
    export, plan, move = (shlex.split(command, comments=True) for command in commands)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with serving(OpenAI()) as source:
        for number in (1, 2, 3):
            source.add(old_job(number), rows(20 + number))
        del source.contents["file-train3"]
        for words in ([*export, "--from-url", source.url], plan, move):
            found = CliRunner().invoke(app, words, input="y\n")
            assert found.exit_code == 0, f"{words} {found.output} {found.exception!r}"
    assert "The content of file-train3 (train.jsonl) is not in the folder" in found.output
    assert (world.ask(OLD_NAME), world.ask(OTHER)) == ("Hello", "Hello")
    assert [job.metadata["moved_metrics"] for job in world.jobs()] == ["step=20 train_loss=0.05"] * 2


def test_what_was_moved_is_not_moved_again(world: World) -> None:
    run(world, "--all")
    before = [len(world.jobs()), len(world.files()), world.deployments()]
    assert before == [1, 1, []]
    assert "begun before" in run(world, "--all", "--deploy")
    assert (len(world.jobs()), len(world.files()), len(world.deployments())) == (1, 1, 1)
    asked = len(world.luthier.asked)
    run(world, "--all", "--deploy")
    assert [one for one in world.luthier.asked[asked:] if one.startswith("POST /v1/")] == []
    assert (len(world.jobs()), len(world.deployments())) == (1, 1)


@pytest.mark.parametrize("answered", [False, True])
def test_a_run_that_is_cut_off_anywhere_goes_on_and_makes_nothing_twice(
    world: World, monkeypatch: pytest.MonkeyPatch, answered: bool
) -> None:
    """answered: whether it dies after the answer has come, or before the request goes out."""
    world.add(old_job(2))
    inner, left = asking.Api._tried, [0]

    def dying(api: asking.Api, *sent: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] == 0 and not answered:
            raise KeyboardInterrupt
        answer = inner(api, *sent, **options)
        if left[0] == 0:
            raise KeyboardInterrupt
        return answer

    monkeypatch.setattr(asking.Api, "_tried", dying)
    words = ["move-in", "run", str(world.folder), "--all", "--base", BASE_MODEL, "--yes", "--deploy"]
    for deaths in range(1, 60):
        # Each time it gets a little further than the last time.
        left[0] = deaths
        if CliRunner().invoke(app, words).exit_code == 0:
            break
    assert deaths > 5
    assert [job.status for job in world.jobs()] == ["succeeded"] * 2
    # Both jobs have learnt from the same content.
    assert (len(world.files()), len(world.deployments())) == (1, 2)
    assert (world.ask(OLD_NAME), world.ask(OTHER)) == ("Hello", "Hello")


def test_nothing_starts_before_the_price_is_agreed_to(world: World) -> None:
    said = move_in(world, "run", "--all", "--base", BASE_MODEL, "--deploy", status=1, said="n\n")
    assert "USD" in said
    assert "Deployments cost by the hour" in said
    [job] = world.jobs()
    assert (job.status, job.to_dict()["status_reason"]["code"]) == ("queued", "awaiting_start")
    assert "trained" in move_in(world, "run", "--all", "--base", BASE_MODEL, said="y\n")
    move_in(world, "run", "--all", "--base", BASE_MODEL, "--deploy", status=1, said="n\n")
    assert world.deployments() == []
    assert [job.status for job in world.jobs()] == ["succeeded"]


def test_a_job_that_goes_on_from_anothers_model_does_so_here(world: World) -> None:
    world.add(old_job(2, model=OLD_NAME))
    assert "what becomes of ftjob-1" in move_in(world, "plan", "--base", BASE_MODEL)
    run(world, "--job", "ftjob-2", "--deploy")
    first, second = world.jobs()
    assert (first.model, second.model) == (BASE_MODEL, f"{BASE_MODEL}-support")
    assert world.ask(OTHER) == "Hello"
    # The one that it goes on from was not asked for.
    assert len(world.deployments()) == 1


def test_what_fails_is_told_and_tried_anew_the_next_time(world: World) -> None:
    world.add(old_job(2, model=OLD_NAME))
    world.fails = {"ftjob-1"}
    said = run(world, "--all", status=1)
    assert "is failed: It ran out of memory." in said
    assert "ftjob-1, from which it goes on, has no model here." in said
    world.fails = set()
    run(world, "--all")
    assert [job.status for job in world.jobs()] == ["failed", "succeeded", "succeeded"]


def test_what_the_platform_has_lost_is_sent_again(world: World) -> None:
    run(world)
    client = client_of(world.api)
    assert world.api.delete(f"/api/v1/fine-tuning/jobs/{world.jobs()[0].id}").status == 204
    client.files.delete(world.files()[0].id)
    run(world)
    assert (len(world.jobs()), len(world.files())) == (1, 1)


def test_another_base_is_another_job_and_the_alias_moves(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run(world, "--all", "--deploy")
    move_in(world, "run", "--all", "--base", "tiny-llama-test", "--yes", "--deploy")
    assert [job.model for job in world.jobs()] == [BASE_MODEL, "tiny-llama-test"]
    alias = world.api.get(f"/v2/training/aliases/{OLD_NAME}").json()
    assert (len(alias["previous"]), alias["routes"][0]["model"]) == (1, "tiny-llama-test-support")
    assert len(world.files()) == 1


def test_preferences_move_with_their_beta_and_a_validation_file(world: World) -> None:
    hyperparameters = {"beta": 0.2, "n_epochs": 1, "batch_size": "auto", "learning_rate_multiplier": "auto"}
    method = {"type": "dpo", "dpo": {"hyperparameters": hyperparameters}}
    pairs = b"".join(json.dumps(PAIR | {"n": n}).encode() + b"\n" for n in range(20))
    world.add(old_job(2, method=method, validation_file="file-held"), pairs)
    (world.folder / "files" / "file-held.jsonl").write_bytes(json.dumps(PAIR).encode())
    run(world, "--job", "ftjob-2")
    [job] = world.jobs()
    assert (job.method.type, job.method.dpo.hyperparameters.beta) == ("dpo", 0.2)
    assert client_of(world.api).files.retrieve(job.validation_file).filename == "file-held.jsonl"


def test_the_last_checkpoints_metrics_are_kept_on_the_job(world: World) -> None:
    lines = [
        {"object": "fine_tuning.job.checkpoint", "id": f"c{step}", "fine_tuning_job_id": "ftjob-1",
         "step_number": step, "metrics": {"step": step, "train_loss": 1 / step, "valid_loss": None}}
        for step in (20, 10)
    ]  # fmt: skip
    (world.folder / "jobs" / "ftjob-1.checkpoints.jsonl").write_text("\n".join(map(json.dumps, lines)))
    run(world)
    assert world.jobs()[0].metadata["moved_metrics"] == "step=20 train_loss=0.05"


def test_a_large_file_goes_in_parts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "PART_BYTES", 1000)
    run(world)
    assert client_of(world.api).files.content(world.files()[0].id).read() == rows(20)
    assert len([one for one in world.luthier.asked if one.endswith("/parts")]) == 3


def test_rows_that_only_openai_takes_are_rewritten(world: World) -> None:
    function = {
        "name": "track",
        "description": "Where a parcel is.",
        "parameters": {"type": "object", "properties": {}},
    }
    said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    good = rows(10)
    world.add(old_job(), good + json.dumps({"messages": said, "functions": [function]}).encode() + b"\n" + good)
    assert "rows are rewritten" in move_in(world, "plan")
    run(world)
    sent = client_of(world.api).files.content(world.files()[0].id).read()
    assert sent.startswith(good)
    assert sent.endswith(good)
    assert json.loads(sent.splitlines()[10]) == {
        "messages": said,
        "tools": [{"type": "function", "function": function}],
    }


IMAGE = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}
ANSWER = {"role": "assistant", "content": "A cat."}
PICTURE = rows(2) + json.dumps({"messages": [IMAGE, ANSWER]}).encode()


@pytest.mark.parametrize(
    ("job", "content", "reason"),
    [
        (old_job(2, method={"type": "reinforcement"}), rows(20), "reinforcement fine-tuning is not supported"),
        (old_job(2), PICTURE, "file-train2.jsonl, line 3, /messages/0/content: a picture, sound or document"),
        (old_job(2), rows(2) + b"{broken\n", "file-train2.jsonl, line 3: "),
        (old_job(2), b"", "The file has no rows"),
        (old_job(2, status="failed", fine_tuned_model=None), rows(20), "It is failed"),
        (old_job(2, model="ft:gpt-4o::gone"), rows(20), "goes on from ft:gpt-4o::gone, which no earlier job"),
        (old_job(2, validation_file="file-gone"), rows(20), "The content of file-gone is not in the folder"),
    ],
)
def test_what_cannot_be_trained_again_is_listed_with_the_reason(
    world: World, job: dict[str, Any], content: bytes, reason: str
) -> None:
    world.add(job, content)
    assert reason in move_in(world, "plan")
    assert reason in run(world, "--all")
    assert [job.metadata["moved_from"] for job in world.jobs()] == ["ftjob-1"]
    assert reason in run(world, "--job", "ftjob-2", status=2)


def test_what_goes_on_from_a_job_that_cannot_be_trained_again_cannot_either(world: World) -> None:
    world.add(old_job(1), b"")
    world.add(old_job(2, model=OLD_NAME))
    said = run(world, "--all", status=2)
    assert "ftjob-2: It goes on from what ftjob-1 has made, which cannot be trained again." in said
    assert "None of the jobs can be trained again." in said
    assert world.jobs() == []


def test_of_two_runs_at_once_in_a_folder_the_second_is_refused(world: World) -> None:
    with closing(Moved(world.folder, "https://api.example.test")):
        assert "Another run is at work" in run(world, status=2)
    run(world)


def test_a_folder_that_cannot_be_written_to_is_told(world: World) -> None:
    (world.folder / ".moved.json.lock").mkdir()
    assert ".moved.json.lock: Is a directory." in run(world, status=2)
    assert world.jobs() == []


def test_one_platform_moves_into_another_with_what_its_own_api_tells(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run(world)
    monkeypatch.setenv("OPENAI_API_KEY", str(world.api.key))
    exported = str(tmp_path / "luthier")
    words = ["move-in", "export", "--to", exported, "--from-url", f"{world.luthier.url}/v1"]
    found = CliRunner().invoke(app, words)
    assert (found.exit_code, "Not to be had" in found.output) == (0, False), found.output
    [job] = world.jobs()
    files = tmp_path / "luthier" / "files"
    assert (files / f"{job.training_file}.jsonl").read_bytes() == rows(20)
    assert (files / f"{job.result_files[0]}.csv").read_text().startswith("step")
    found = CliRunner().invoke(app, ["move-in", "plan", exported, "--base", BASE_MODEL])
    assert job.fine_tuned_model in found.output


def test_a_plan_shows_prices_and_sends_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    said = move_in(world, "plan", "--base", BASE_MODEL)
    for word in ("ftjob-1", OLD_NAME, "supervised", "20", BASE_MODEL, "about", "USD"):
        assert word in said
    assert "llama-3.1-8b" in move_in(world, "plan")
    assert (world.jobs(), world.files()) == ([], [])
    assert not (world.folder / "moved.json").exists()
    monkeypatch.delenv("LUTHIER_BASE_URL")
    assert "For prices and base models set LUTHIER_BASE_URL" in move_in(world, "plan")


def test_a_base_or_a_key_that_is_wrong_ends_the_command(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    said = move_in(world, "run", "--all", "--base", "llama-9", "--yes", status=2)
    assert "the base model 'llama-9' is not known" in said
    assert "llama-3.1-8b" in said
    monkeypatch.setenv("LUTHIER_API_KEY", "lt_wrong")
    said = run(world, status=2)
    assert "does not know the key in LUTHIER_API_KEY" in said
    assert "lt_wrong" not in said
    monkeypatch.delenv("LUTHIER_API_KEY")
    assert "Set LUTHIER_BASE_URL and LUTHIER_API_KEY" in run(world, status=2)


def test_the_scopes_of_the_readme_are_enough_and_a_missing_one_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    scopes = {f"{noun}:{right}" for noun in ("files", "fine-tuning", "models") for right in ("read", "write")}
    monkeypatch.setenv("LUTHIER_API_KEY", str(world.api.caller(*scopes - {"files:write"}).key))
    said = run(world, "--all", "--deploy", status=2)
    assert "files:write" in said
    assert "LUTHIER_API_KEY needs the right" in said
    monkeypatch.setenv("LUTHIER_API_KEY", str(world.api.caller(*scopes).key))
    run(world, "--all", "--deploy")
    assert world.ask(OLD_NAME) == "Hello"


def test_which_jobs_must_be_said(world: World) -> None:
    for words in ([], ["--all", "--job", "ftjob-1"]):
        assert "--all" in move_in(world, "run", *words, "--base", BASE_MODEL, status=2)
    assert "There is no job ftjob-9" in run(world, "--job", "ftjob-9", status=2)


def test_an_alias_that_cannot_be_made_is_told_and_the_model_stays(world: World) -> None:
    world.add(old_job(fine_tuned_model="ft:gpt-4o:äcme:support:x"))
    said = run(world, "--all", "--deploy", status=1)
    assert "An alias cannot be called" in said
    assert [one["status"] for one in world.deployments()] == ["active"]


def test_too_many_jobs_at_once_take_turns(world: World) -> None:
    world.add(old_job(2))
    key = {"LUTHIER_KEY_CONCURRENT_JOBS": "1"}
    with pytest.MonkeyPatch.context() as patched:
        from luthier import wiring

        wiring.reset()
        for name, value in key.items():
            patched.setenv(name, value)
        assert "waits until another job ends" in run(world, "--all")
    assert [job.status for job in world.jobs()] == ["succeeded"] * 2


def test_an_answer_that_is_lost_is_asked_for_again_and_nothing_is_made_twice(world: World) -> None:
    world.luthier.losing = {"POST /v1/files", "POST /v1/fine_tuning/jobs", "/start", "/deploy", "PUT /v2/training"}
    assert "answers" in run(world, "--all", "--deploy")
    assert not world.luthier.losing
    assert (len(world.jobs()), len(world.files()), len(world.deployments())) == (1, 1, 1)


def test_openais_client_sees_the_moved_job_by_its_old_id(world: World) -> None:
    run(world)
    client: openai.OpenAI = client_of(world.api)
    [found] = client.fine_tuning.jobs.list(metadata={"moved_from": "ftjob-1"})
    assert found.status == "succeeded"
