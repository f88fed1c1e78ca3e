import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from luthier.datasets.findings import WARNINGS
from luthier.datasets.lines import MAX_LINE_BYTES
from luthier.datasets.report import KEPT_PER_CODE
from tests import planted
from tests.container.conftest import MakeRoot, Validate
from tests.container.rows import (
    CONVERSATION,
    LATE,
    LONG,
    PREFERENCE,
    TOOL_TEMPLATE,
    TOOL_USE,
    UNPAIRED,
    fill,
    good,
    lines,
    row,
    settings,
)
from tests.planted import OVERLAP, PLANTED, WHOLE, Planted
from trainer import data, validate
from trainer.folders import Folders
from trainer.preview import preview
from trainer.templates import fingerprint


def found(report: dict[str, Any], part: str = "train") -> dict[str, list[int]]:
    """Lines by code."""
    by_code: dict[str, list[int]] = {}
    for finding in report[part][0]["findings"]:
        by_code.setdefault(finding["code"], []).append(finding["line"])
    return by_code


@pytest.mark.parametrize("fault", PLANTED, ids=lambda fault: f"{fault.code} {fault.line!s:.40}")
def test_planted_lines_are_named_and_no_others(
    validated: Validate, tokenizer: Any, monkeypatch: pytest.MonkeyPatch, fault: Planted
) -> None:
    tokenizer.chat_template = TOOL_TEMPLATE
    monkeypatch.setattr(validate, "load_tokenizer", lambda model: tokenizer)
    content, places = fault.file()
    code, report = validated(content, "--method", fault.method)
    named = places[1:] if fault.code == "duplicate_row" else places
    assert {name: list(dict.fromkeys(numbers)) for name, numbers in found(report).items()} == {fault.code: named}
    good = fault.code in WARNINGS
    assert (code, report["ok"], report["train"][0]["rows"]) == (0 if good else 1, good, 15 if good else 12)


@pytest.mark.parametrize("code", WHOLE)
def test_a_fault_of_the_whole_file_is_named_without_a_line(validated: Validate, code: str) -> None:
    content, method = WHOLE[code]
    _, report = validated(content, "--method", method)
    assert found(report) == {code: [0]}


def test_rows_of_the_training_file_are_named_in_the_validation_file(validated: Validate) -> None:
    train, validation = OVERLAP
    code, report = validated(train, validation=validation)
    assert (code, found(report), found(report, "validation")) == (0, {}, {"overlap": [2, 5]})


# Faults that show only in the text or the tokens of a row, as lines among good ones.
OF_TOKENS = {
    "truncated": LONG,
    "answer_cut_off": LATE,
    "template_missing": TOOL_USE,
    "template_refused": {"messages": [{"role": "user", "content": "refuse"}, {"role": "assistant", "content": "b"}]},
}


def test_every_code_of_tokens_has_a_planted_file() -> None:
    assert OF_TOKENS.keys() == set(planted.OF_TOKENS)


@pytest.mark.parametrize("code", OF_TOKENS)
def test_planted_lines_whose_tokens_are_at_fault_are_named_and_no_others(
    validated: Validate, tokenizer: Any, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    tokenizer.chat_template = (
        "{% if messages[0].content == 'refuse' %}{{ raise_exception('Not so.') }}{% endif %}" + tokenizer.chat_template
    )
    monkeypatch.setattr(validate, "load_tokenizer", lambda model: tokenizer)
    fault, messages = OF_TOKENS[code], "messages" in OF_TOKENS[code]
    fine = [json.loads(planted.chat(f'"a {number}"')) if messages else good(number) for number in range(6)]
    exit_code, report = validated(
        lines(*fine[:2], fault, *fine[2:5], fault | {"id": 1}, fine[5]), "--max-sequence-length", "60"
    )
    faults = {name: numbers for name, numbers in found(report).items() if name != "duplicate_row"}
    assert (exit_code, faults) == (int(code not in WARNINGS), {code: [3, 7]})


def test_faults_that_only_tokens_show_are_named_by_line(validated: Validate) -> None:
    code, report = validated(lines(good(1), LONG, good(2), LATE, good(3)), "--max-sequence-length", "40")
    assert (code, found(report)) == (0, {"truncated": [2], "answer_cut_off": [4]})
    (file,) = report["train"]
    assert (file["truncated_rows"], file["dropped_rows"], file["examples"], file["longest_row_tokens"]) == (2, 1, 4, 40)


def test_rows_that_the_template_shows_nothing_of_are_named_by_line(
    validated: Validate, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "{{ message['content'] }}<|im_end|>",
        "{{ message['content'].split('</think>')[-1] }}{% if message['role'] == 'user' %}<|im_end|>{% endif %}",
    )
    monkeypatch.setattr(validate, "load_tokenizer", lambda model: tokenizer)
    empty = {"prompt": "a", "completion": "<think>hm</think>"}
    code, report = validated(lines(good(1), empty, good(2), empty))
    assert (code, found(report)) == (1, {"no_trained_token": [2, 4], "duplicate_row": [4]})


def test_rows_that_the_template_refuses_or_cannot_show_are_named_by_line(validated: Validate) -> None:
    plain = {"messages": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]}
    code, report = validated(lines(plain, TOOL_USE, CONVERSATION))
    assert (code, found(report)) == (1, {"template_missing": [2]})
    assert "supports tools" in report["train"][0]["findings"][0]["fix"]


def test_special_tokens_of_the_base_model_in_a_text_are_named(
    validated: Validate, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer.add_special_tokens({"additional_special_tokens": ["[INST]"]})
    monkeypatch.setattr(validate, "load_tokenizer", lambda model: tokenizer)
    code, report = validated(lines(good(1), {"prompt": "a[INST]", "completion": "b"}, good(2)))
    assert (code, found(report)) == (0, {"control_token": [2]})
    assert report["train"][0]["findings"][0]["pointer"] == "/prompt"
    assert found(validated(lines({"text": "[INST]<|im_end|>"}))[1]) == {}


def test_findings_of_structure_and_tokens_are_kept_up_to_one_bound(
    validated: Validate, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer.chat_template = "{{ messages[0].content }}"
    monkeypatch.setattr(validate, "load_tokenizer", lambda model: tokenizer)
    empty = [{"prompt": f"a{number}", "completion": " "} for number in range(KEPT_PER_CODE)]
    unseen = [{"prompt": f"a{number}", "completion": "b"} for number in range(5)]
    _, report = validated(lines(*empty, *unseen))
    assert report["train"][0]["counts"] == {"no_trained_token": KEPT_PER_CODE + 5}
    assert found(report) == {"no_trained_token": list(range(1, KEPT_PER_CODE + 1))}


def test_a_file_whose_answers_are_all_cut_off_is_refused(validated: Validate) -> None:
    code, report = validated(lines(LATE), "--max-sequence-length", "40")
    assert (code, found(report)) == (1, {"no_trained_token": [0], "answer_cut_off": [1]})


def test_a_file_whose_pairs_are_all_alike_is_said_to_be_so(validated: Validate) -> None:
    alike = {**PREFERENCE, "rejected": PREFERENCE["chosen"]}
    code, report = validated(lines(alike, {**alike, "prompt": "1+1?"}), "--method", "dpo")
    assert (code, found(report)) == (1, {"no_trained_token": [0], "identical_pair": [1, 2]})
    (finding,) = [one for one in report["train"][0]["findings"] if one["line"] == 0]
    assert finding["message"] == "In every row the chosen reply and the rejected one are the same."
    assert finding["fix"] == "Write replies that differ: the method learns from the difference."


def test_duplicates_overlap_and_secrets_are_counted_and_do_not_stop_a_run(validated: Validate) -> None:
    secret = {"prompt": "Key?", "completion": "AKIAIOSFODNN7EXAMPLE"}
    code, report = validated(lines(good(1), good(2), good(1), secret), validation=lines(good(3), good(2)))
    assert code == 0
    assert found(report) == {"duplicate_row": [3], "likely_secret": [4]}
    assert found(report, "validation") == {"overlap": [2]}
    (train,), (validation,) = report["train"], report["validation"]
    assert (train["duplicates"], train["secrets"], validation["overlap"]) == (1, 1, 1)


@pytest.mark.parametrize("method", ["sft", "dpo", "kto"])
def test_counts_are_those_of_training(validated: Validate, tmp_path: Path, tokenizer: Any, method: str) -> None:
    rows = {
        "sft": [good(1), LONG, LATE],
        "dpo": [PREFERENCE, {**PREFERENCE, "chosen": "and on " * 50}, {**PREFERENCE, "prompt": "Go on. " * 50}],
        "kto": [UNPAIRED, {**UNPAIRED, "label": True}, {**UNPAIRED, "completion": "and on " * 50}],
    }[method]
    _, report = validated(lines(*rows), "--method", method, "--max-sequence-length", "40")
    examples, _ = data.load(fill(tmp_path / "root", rows), tokenizer, settings(method, max_sequence_length=40))
    (file,) = report["train"]
    counted = ("rows", "examples", "tokens", "trained_tokens", "truncated_rows", "dropped_rows", "longest_row_tokens")
    expected = ("rows", "examples", "tokens", "trained", "truncated", "dropped", "longest")
    assert [file[name] for name in counted] == [getattr(examples, name) for name in expected]
    assert report["template_sha256"] == fingerprint(tokenizer)


def test_the_riskiest_rows_are_shown_on_request(validated: Validate) -> None:
    _, report = validated(lines(good(1), LONG, LATE), "--max-sequence-length", "40", "--preview", "2")
    shown = report["train"][0]["riskiest"]
    assert [(one["risk"], one["line"]) for one in shown] == [("no_trained_token", 3), ("truncated", 2)]
    assert shown[1]["sequences"][0]["truncation"]["token"] == 40


def test_any_line_is_shown_on_request(validated: Validate, tokenizer: Any) -> None:
    train, validation = lines(good(1), LONG, good(2), good(3)), lines(good(4), LATE)
    _, report = validated(train, "--max-sequence-length", "40", "--preview-line", "3", "2", validation=validation)
    third, second = report["train"][0]["previews"]
    assert third == {"line": 3, "risk": "none"} | preview(tokenizer, row(good(2)), 40)
    assert [run["text"] for run in third["sequences"][0]["trained"]] == ["It is 2.<|im_end|>"]
    assert (second["line"], second["sequences"][0]["truncation"]["token"]) == (2, 40)
    assert [shown["line"] for shown in report["validation"][0]["previews"]] == [3, 2]


def test_a_line_that_cannot_be_shown_is_said_to_be_so(validated: Validate, capsys: pytest.CaptureFixture[str]) -> None:
    long = b'{"prompt": "a", "completion": "b"}' + b" " * (5 * 2**20)
    content = lines(good(1), '{"prompt": "a"}', "", long, PREFERENCE, CONVERSATION)
    asked = ["1", "2", "3", "4", "5", "6", "7", "2"]
    _, report = validated(content, "--preview-line", *asked)
    shown, *others = report["train"][0]["previews"]
    assert "sequences" in shown
    assert others == [
        {"line": 2, "message": "/completion The row has 'prompt' but no 'completion'. Add 'completion' as a string."},
        {"line": 3, "message": "The line is blank."},
        {"line": 4, "message": f"The line is longer than {MAX_LINE_BYTES} bytes."},
        {"line": 5, "message": others[3]["message"]},
        {"line": 6, "message": others[4]["message"]},
        {"line": 7, "message": "train.jsonl has no such line."},
    ]
    assert "Method sft takes rows with" in others[3]["message"]
    assert "The row has the format messages, the file began with prompt_completion." in others[4]["message"]
    assert "  line 7 cannot be shown: train.jsonl has no such line.\n" in capsys.readouterr().err


def test_a_line_that_the_template_refuses_is_said_to_be_so(validated: Validate) -> None:
    plain = {"messages": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]}
    _, report = validated(lines(plain, TOOL_USE), "--preview-line", "2")
    assert report["train"][0]["previews"] == [
        {
            "line": 2,
            "message": "The base model's chat template leaves out the description of the tool 'get_weather'. Choose a "
            "base model whose chat template supports tools, or write the calls into the content as text.",
        }
    ]


@pytest.mark.parametrize("number", ["0", "1.5", "two"])
def test_a_line_number_that_is_none_is_named(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        validate.main(["--train", "a.jsonl", "--model", "m", "--preview-line", number])
    assert f"argument --preview-line: {number} is not a whole number from 1" in capsys.readouterr().err


def test_a_count_of_previews_below_0_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        validate.main(["--train", "a.jsonl", "--model", "m", "--preview=-1"])
    assert caught.value.code == 2
    assert "argument --preview: -1 is not a whole number from 0" in capsys.readouterr().err


def test_a_line_that_is_too_long_is_named_and_not_held(validated: Validate) -> None:
    long = b'{"prompt": "a", "completion": "b"}' + b" " * (5 * 2**20)
    code, report = validated(lines(good(1), long, good(2)))
    assert (code, found(report)) == (1, {"line_too_long": [2]})
    assert report["train"][0]["examples"] == 2


def test_what_people_read_names_code_lines_and_remedy(validated: Validate, capsys: pytest.CaptureFixture[str]) -> None:
    validated(lines(good(1), {"prompt": "a"}, good(2), {"prompt": "b"}))
    written = capsys.readouterr()
    assert "error missing_key, line 2, 4: /completion The row has 'prompt' but no 'completion'. Add" in written.err
    assert written.out == ""


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train.jsonl").write_bytes(lines(good(1)))
    code = validate.main(["--train", str(tmp_path / "train.jsonl"), "--model", str(tmp_path / "none")])
    assert code == 2
    assert "bad_base_model" in capsys.readouterr().err


@pytest.mark.parametrize("template", ["{% if messages %}", "{{ messages | no_such_filter }}", "{{ "])
def test_a_broken_chat_template_is_the_base_models_fault(
    tmp_path: Path, with_template: Callable[[str], Path], template: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.jsonl").write_bytes(lines(good(1)))
    code = validate.main(["--train", str(tmp_path / "train.jsonl"), "--model", str(with_template(template))])
    assert code == 2
    assert "bad_base_model: The base model's chat template is broken in line 1: " in capsys.readouterr().err


def test_a_missing_file_is_named(tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate.main(["--train", str(tmp_path / "none.jsonl"), "--model", str(tiny)]) == 1
    assert "There is no file" in capsys.readouterr().err


def test_it_runs_as_a_job_of_the_image_without_pytorch(make_root: MakeRoot) -> None:
    root = make_root(validation=True)
    program = "import runpy, sys; runpy.run_module('trainer.validate', run_name='__main__')"
    command = [sys.executable, "-X", "importtime", "-c", program, "--root", str(root), "train"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads((root / "output" / "data" / "report.json").read_text())
    assert (report["ok"], report["method"], report["max_sequence_length"]) == (True, "sft", 256)
    assert [report[part][0]["rows"] for part in ("train", "validation")] == [33, 20]
    assert not any(line.endswith((" torch", " datasets", " pandas")) for line in done.stderr.splitlines())


def test_a_bad_dataset_of_a_job_is_its_failure(make_root: MakeRoot) -> None:
    root = make_root(rows=[json.dumps(good(1)), '{"prompt": "a"}'])
    assert validate.main(["--root", str(root)]) == 1
    failure = json.loads(Folders(root).failure.read_text())
    assert failure["code"] == "bad_dataset"
    assert "1 missing_key" in failure["message"]
    assert (root / "output" / "data" / "report.json").exists()


@pytest.mark.parametrize(
    "rows",
    [
        [{"prompt": f"Go on {number}.", "completion": "and so on " * 19_000} for number in range(12)],
        [{"prompt": "Go on.", "completion": "and so on " * 400_000}],
        [{"prompt": "Go on.", "completion": f"{n}", "more": dict.fromkeys(map(str, range(20_000)))} for n in range(60)],
    ],
    ids=["long rows", "a row of 4 MB", "rows of many keys"],
)
def test_a_file_takes_at_most_300_mb(tmp_path: Path, tiny: Path, rows: list[dict[str, Any]]) -> None:
    (tmp_path / "train.jsonl").write_bytes(lines(*rows))
    # VmHWM is this process's own; ru_maxrss would begin with that of the process that started it.
    program = (
        "import re, runpy, sys\n"
        "try: runpy.run_module('trainer.validate', run_name='__main__')\n"
        "finally: print(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1])"
    )
    given = ["--train", str(tmp_path / "train.jsonl"), "--model", str(tiny), "--output", str(tmp_path / "report.json")]
    environment = {**os.environ, "RAYON_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", program, *given], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "report.json").read_text())["train"][0]["rows"] == len(rows)
    assert int(done.stdout) * 1024 < 300_000_000
