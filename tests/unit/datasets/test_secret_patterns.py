"""Likely secrets: found in every text that is trained on, and never repeated by the finding."""

import json

import pytest

from luthier.datasets.report import examine
from luthier.datasets.secret_patterns import places_to_look, secrets_in

SECRETS = {
    "an AWS access key id": "AKIAIOSFODNN7EXAMPLE",
    "a private key": "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC",
    "a GitHub token": "ghs_" + "0aB9" * 9,
    "a GitLab token": "glpat-" + "0aB9_" * 4,
    "a Slack token": "xoxb-" + "1234567890-abcdef",
    "an API key of the form sk-…": "sk-proj-" + "a1B2" * 10,
    "a Hugging Face token": "hf_" + "abCD12" * 6,
    "a Google API key": "AIza" + "Sy0_-" * 7,
    "a Stripe key": "sk_live_" + "a1B2" * 6,
    "a JSON Web Token": "eyJhbGciOiJIUzI1NiJ9aa.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
}


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("before", ["", "key=", "line\n", "“"])
def test_a_secret_is_found_where_it_lies_and_not_repeated(kind: str, before: str) -> None:
    rows = [{"prompt": f"p{n}", "completion": "c"} for n in range(3)]
    rows.append({"prompt": f"{before}{SECRETS[kind]} is it", "completion": "c"})
    for ascii_only in (True, False):
        lines = [json.dumps(row, ensure_ascii=ascii_only) for row in rows]
        report = examine(["\n".join(lines).encode()])
        (finding,) = report.findings
        assert (finding.line, finding.code, finding.pointer, finding.level) == (
            4,
            "likely_secret",
            "/prompt",
            "warning",
        )
        assert kind in finding.message
        assert SECRETS[kind][4:] not in str(finding)
        assert report.ok


def test_a_github_token_of_the_fine_grained_kind_is_found() -> None:
    assert list(secrets_in("github_pat_" + "a1B2_" * 6)) == ["a GitHub token"]


@pytest.mark.parametrize(
    "text",
    [
        "task-oriented-dialogue-with-many-parts", "AKIA", "-----BEGIN PRIVATE KEY-----", "hf_hub_download",
        "eyJ", "sk-learn-and-scikit-learn-and-more", "a_very_long_identifier_with_k_live_in_it", "xoxb-short", "ghp_x",
    ],
)  # fmt: skip
def test_what_only_looks_a_little_like_a_secret_is_none(text: str) -> None:
    assert list(secrets_in(text)) == []


def test_secrets_in_messages_and_calls_have_their_pointer() -> None:
    call = {"function": {"name": "f", "arguments": {"a/b": SECRETS["a GitHub token"]}}}
    messages = [{"role": "assistant", "tool_calls": [call]}, {"role": "assistant", "content": "sk-" + "a1B2" * 10}]
    report = examine([json.dumps({"messages": messages, "id": SECRETS["a Stripe key"]}).encode()])
    assert [finding.pointer for finding in report.findings] == [
        "/messages/0/tool_calls/0/function/arguments/a~1b",
        "/messages/1/content",
    ]


def test_prose_has_no_place_to_look() -> None:
    assert places_to_look(b"Just a well-known story, by J. K. Zzyzx_: nothing to see - at all.") == []
