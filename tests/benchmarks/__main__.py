"""python -m tests.benchmarks [imports|get_job|auth_cost|list_pages|list_models|webhooks …] [--runs N]"""

import argparse
import importlib

BENCHMARKS = ("imports", "get_job", "auth_cost", "list_pages", "list_models", "webhooks", "dataset_validator")


def main() -> None:
    parser = argparse.ArgumentParser(description="Ratios against a named reference in the same run.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument("--runs", type=int, default=7, help="repetitions, of which the best counts (default 7)")
    asked = parser.parse_args()
    for name in asked.names or BENCHMARKS:
        if name not in BENCHMARKS:
            parser.error(f"no benchmark {name!r}; there are {', '.join(BENCHMARKS)}")
        module = importlib.import_module(f"tests.benchmarks.{name}")
        print(f"\n{(module.__doc__ or '').splitlines()[0]}")
        module.main(asked.runs)


if __name__ == "__main__":
    main()
