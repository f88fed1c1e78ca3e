"""A faulty line for every code that the validator can give, and good files to plant it in.

`#` stands for a number, so that no row is another one's copy.
"""

import random
from dataclasses import dataclass

REPLY = '{"role": "assistant", "content": "b"}'
TOOL = '{"type": "function", "function": {"name": "f"}}'
CALL = '{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}'
SECRET = "ghp_" + "a1B2" * 9


def chat(content: str = '"a #"', *, role: str = '"user"', more: str = "", beside: str = "") -> str:
    """A conversation of a message and a reply; more: keys of the message; beside: keys of the row."""
    return f'{{"messages": [{{"role": {role}, "content": {content}{more}}}, {REPLY}]{beside}}}'


def called(more: str = "", *, call: str = CALL, answer: str = '"c"', tools: str = TOOL) -> str:
    """A conversation with a call and its answer."""
    messages = [
        '{"role": "user", "content": "a #"}',
        f'{{"role": "assistant", "content": null, "tool_calls": [{call}]}}',
        f'{{"role": "tool", "tool_call_id": {answer}, "content": "8"{more}}}',
    ]
    return f'{{"messages": [{", ".join(messages)}, {REPLY}], "tools": [{tools}]}}'


# By method: lines of two good rows, which take turns.
GOOD = {
    "sft": (chat(), chat('"a“ #"')),
    "dpo": ('{"prompt": "a #", "chosen": "b", "rejected": "c"}', '{"prompt": "d #", "chosen": "e", "rejected": "f"}'),
    "kto": (
        '{"prompt": "a #", "completion": "b", "label": true}',
        '{"prompt": "a #", "completion": "c", "label": false}',
    ),
}


@dataclass(frozen=True)
class Planted:
    """A line that gets one finding or several of one code, among the good rows of a method."""

    code: str
    line: str | bytes
    method: str = "sft"

    def numbered(self, number: int) -> bytes:
        return _numbered(self.line, number)

    def file(self, *, faults: int = 3, rows: int = 12) -> tuple[bytes, list[int]]:
        """Good rows with the fault at random places, the same at every call, and the numbers of its lines."""
        dice = random.Random(f"{self.code} {self.line!r}")
        # The first row decides the format.
        places = sorted(dice.sample(range(2, rows + faults + 1), faults))
        lines = [
            self.numbered(number) if number in places else _numbered(GOOD[self.method][number % 2], number)
            for number in range(1, rows + faults + 1)
        ]
        return b"\n".join(lines) + b"\n", places


def _numbered(line: str | bytes, number: int) -> bytes:
    return (line.encode() if isinstance(line, str) else line).replace(b"#", b"%d" % number)


PLANTED = [
    Planted("invalid_json", "{"),
    Planted("invalid_json", '{"messages": [,]}'),
    Planted("invalid_json", "{}{}"),
    Planted("invalid_json", chat("NaN")),
    Planted("invalid_json", chat('"\t"')),
    Planted("not_an_object", "[]"),
    Planted("invalid_utf8", chat('"X"').encode().replace(b"X", b"\xfe")),
    Planted("invalid_utf8", chat('"X"').encode().replace(b"X", b"\xed\xa0\x80")),
    Planted("duplicate_key", chat(more=', "content": "c"')),
    Planted("duplicate_key", chat(more=', "role": "user"')),
    Planted("duplicate_key", chat(more=', "content" : "\\u0022"')),
    Planted("duplicate_key", '{"messages": [], "messages": []}'),
    Planted("line_too_long", '{"messages": "' + "x" * 5_000_000 + '"}'),
    Planted("unknown_format", '{"conversations": [{"from": "human", "value": "a"}]}'),
    Planted("unknown_format", '{"instruction": "a", "output": "b"}'),
    Planted("ambiguous_format", '{"prompt": "a", "completion": "b", "text": "c"}'),
    Planted("missing_key", '{"prompt": "a"}'),
    Planted("missing_key", '{"prompt": "a"}', "dpo"),
    Planted("missing_key", called(answer="null")),
    Planted("mixed_formats", '{"prompt": "a", "completion": "b"}'),
    Planted("wrong_columns", '{"question": "a"}'),
    Planted("wrong_columns", '{"prompt": "a", "chosen": "b", "rejected": "c"}'),
    Planted("wrong_columns", chat(), "dpo"),
    Planted("wrong_columns", '{"prompt": "a", "completion": "b"}', "kto"),
    Planted("wrong_type", chat("7")),
    Planted("wrong_type", '{"messages": {}}'),
    Planted("wrong_type", '{"prompt": "a", "completion": "b", "label": "good"}', "kto"),
    Planted("empty_messages", '{"messages": []}'),
    Planted("too_many_messages", '{"messages": [' + f"{REPLY}, " * 1_000 + REPLY + "]}"),
    Planted("no_trained_token", '{"messages": [{"role": "user", "content": "a"}]}'),
    Planted("no_trained_token", chat('" "', role='"assistant"')),
    Planted("no_trained_token", '{"prompt": "a", "chosen": "b", "rejected": ""}', "dpo"),
    Planted("unknown_role", chat(role='"human"')),
    Planted("misplaced_system", f'{{"messages": [{REPLY}, {{"role": "system", "content": "b"}}]}}'),
    Planted(
        "misplaced_role",
        '{"prompt": [{"role": "user", "content": "a"}], "chosen": [{"role": "user", "content": "b"}], "rejected": "c"}',
        "dpo",
    ),
    Planted("missing_content", chat("null")),
    Planted("control_character", chat('"\\u0007"')),
    Planted("control_character", chat('"\\b"')),
    Planted("invalid_unicode", chat('"\\ud800"')),
    Planted("unsupported_key", chat(more=', "weight": 0')),
    Planted("unsupported_key", chat(beside=', "functions": [{"name": "f"}]')),
    Planted("unsupported_weight", chat(role='"assistant"', more=', "weight": 2')),
    Planted("unsupported_tool", called(tools=TOOL.replace('"type": "function"', '"type": "retrieval"'))),
    Planted("invalid_tool_call", called(call=CALL.replace('"{}"', '"{"'))),
    Planted("unknown_tool_call", called(answer='"d"')),
    Planted("unknown_tool_call", chat(role='"tool"')),
    Planted("duplicate_row", chat('"twice"')),
    Planted("likely_secret", chat(f'"# {SECRET}"')),
    Planted("likely_secret", chat('"my key is AKIAIOSFODNN7EXAMPLE. #"')),
    Planted("likely_secret", chat('"-----BEGIN RSA PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC #"')),
    Planted("control_token", chat('"# b<|im_end|>\\n<|im_start|>assistant\\n"')),
    Planted("control_token", chat('"# \\u003c|eot_id|\\u003e"')),
    Planted("control_token", chat('"# <end_of_turn>"')),
    Planted("control_token", chat('"# \\u003Cstart_of_turn>"')),
    Planted("control_token", '{"prompt": "a #", "chosen": "b<|im_end|>", "rejected": "c"}', "dpo"),
    Planted("undeclared_tool", called(tools=TOOL.replace('"f"', '"g"'))),
    Planted("identical_pair", '{"prompt": "a #", "chosen": "b", "rejected": "b"}', "dpo"),
]
# Faults of a file as a whole, which are at line 0: the file and the method it is for.
WHOLE = {
    "empty_file": (b"\n  \n", "sft"),
    "one_label": (b"".join(_numbered(GOOD["kto"][0] + "\n", number) for number in range(5)), "kto"),
}
# A validation file whose lines 2 and 5 are among the training file's rows.
OVERLAP = tuple(
    b"".join(_numbered(chat() + "\n", number) for number in numbers) for numbers in (range(10), (20, 3, 21, 22, 9))
)
# Codes that only somebody who has the model's tokenizer can give.
OF_TOKENS = ("truncated", "answer_cut_off", "template_missing", "template_refused")
