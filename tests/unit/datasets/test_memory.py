"""Memory of a report: at most 300 MB and 16 bytes a row, whatever the file holds."""

import json
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Iterable

import pytest

from luthier.datasets.report import Report
from luthier.datasets.row_hashes import MOST_IN_DICT, MOST_IN_MEMORY, RowHashes

MOST, MOST_PER_ROW = 300_000_000, 16
# What the interpreter and its modules take of it.
REST = 60_000_000
MEGABYTE = 1_000_000

# Reads twice as many bytes as it may hold, and prints what it held at most. VmHWM is this process's own; ru_maxrss
# would begin with that of the process that started it.
PROGRAM = """
import re, sys
from pathlib import Path
from luthier.datasets.report import Report
from luthier.datasets.row_hashes import RowHashes

rows, limits = int(sys.argv[1]), map(int, sys.argv[2:])
report = Report(hashes=RowHashes(*limits))
for start in range(0, rows, 500):
    lines = ['{"prompt": "%d", "completion": "%s"}\\n' % (row, "a b c" * 600) for row in range(start, start + 500)]
    report.feed("".join(lines).encode())
report.close()
assert (report.rows, report.hashes.spilled) == (rows, bool(sys.argv[2:])), report.counts
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024)
"""


@pytest.mark.parametrize("limits", [[], [1_000, 20_000]], ids=["hashes in memory", "hashes in a file"])
def test_a_report_stays_small_over_a_file_that_is_not(limits: list[int]) -> None:
    rows = 200_000
    command = [sys.executable, "-c", PROGRAM, str(rows), *map(str, limits)]
    held = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert held <= MOST + MOST_PER_ROW * rows < rows * 3_000


def test_hashes_take_what_the_rest_leaves_while_their_table_grows() -> None:
    """Peaks per row are measured on small tables; large ones have the same shape."""
    in_dict, in_table = peak_of_hashes(20_000, in_dict=20_000), peak_of_hashes(50_000, in_dict=0)
    assert in_dict * MOST_IN_DICT <= MOST - REST
    slots = 1 << 12
    while (rows := slots * 2 // 3) < MOST_IN_MEMORY:
        assert in_table * rows <= MOST - REST + MOST_PER_ROW * rows
        slots *= 2


def peak_of_hashes(most: int, in_dict: int) -> float:
    """Bytes per row at the worst of many moments."""
    dice = random.Random(0)
    hashes, worst = RowHashes(in_dict), 0.0
    tracemalloc.start()
    for row in range(1, most + 1):
        hashes.add(dice.getrandbits(64), row)
        if row >= most // 8:
            worst = max(worst, tracemalloc.get_traced_memory()[1] / row)
            tracemalloc.reset_peak()
    tracemalloc.stop()
    return worst


def held(lines: Iterable[bytes]) -> tuple[int, Report]:
    """Bytes that a report holds after it has read the lines."""
    report = Report()
    tracemalloc.start()
    for line in lines:
        report.feed(line)
    del line
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return size, report


def test_long_conversations_are_not_held() -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}] * 500
    # Each has another order of speakers.
    lines = [json.dumps({"messages": turns[:number] + turns[number + 1 :]}).encode() + b"\n" for number in range(100)]
    size, report = held(lines)
    assert (report.rows, report.ok) == (100, True)
    assert size < MEGABYTE


def test_long_names_in_findings_are_not_held() -> None:
    def lines() -> Iterable[bytes]:
        for number in range(20):
            key = str(number) * 500_000
            tool = {"type": "function", "function": {"name": "f", "parameters": {key: "ghp_" + "a1B2" * 9}}}
            yield json.dumps({"messages": [{"role": "assistant", "content": key}], "tools": [tool]}).encode() + b"\n"

    size, report = held(lines())
    assert report.counts == {"likely_secret": 20}
    assert report.findings[1].pointer.startswith("/tools/0/function/parameters/111")
    assert report.findings[1].pointer.endswith("…")
    assert size < MEGABYTE


def test_a_file_of_hashes_changes_nothing_that_is_found() -> None:
    dice = random.Random(0)
    lines = [b'{"text": "%d"}\n' % dice.randrange(300) for _ in range(500)]
    reports = []
    for limits in ((), (20, 50)):
        train, validation = RowHashes(*limits), RowHashes(*limits)
        trained = Report(hashes=train)
        trained.feed(b"".join(lines[:300]))
        report = Report(hashes=validation, against=train)
        report.feed(b"".join(lines[300:]))
        reports.append([trained.close().findings, report.close().findings])
        assert train.spilled == validation.spilled == bool(limits)
        train.close()
        validation.close()
    assert reports[0] == reports[1]
    assert {finding.code for finding in reports[0][1]} == {"duplicate_row", "overlap"}
