"""`trainer.convert`, its first argument as CONVERT_FORMATS: a fork does not see what a test puts into os.environ."""

import os
import sys

from trainer import convert


def main() -> int:
    os.environ["CONVERT_FORMATS"] = sys.argv.pop(1)
    return convert.main()
