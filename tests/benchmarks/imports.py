"""Import time of every handler against bare Python and against the libraries that it cannot do without."""

import subprocess
import sys
import time

from infra.catalog import FUNCTIONS

REFERENCES = {
    "bare Python": "pass",
    "pydantic": "import pydantic",
    "powertools resolver": "from aws_lambda_powertools.event_handler import APIGatewayRestResolver",
}


def main(runs: int) -> None:
    programs = REFERENCES | {row.handler: f"import {row.handler.rpartition('.')[0]}" for row in FUNCTIONS}
    best = {name: min(_seconds(program) for _ in range(runs)) for name, program in programs.items()}
    bare = best["bare Python"]
    print(f"{'import':55s} {'ms':>7s} {'x bare Python':>14s}")
    for name, seconds in best.items():
        print(f"{name:55s} {1000 * seconds:7.0f} {seconds / bare:14.1f}")


def _seconds(program: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.perf_counter() - start
