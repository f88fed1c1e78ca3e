"""The trainer's worker on a machine that has next to no memory to use: its ladder goes to the last rung."""

import os
import sys

os.environ["LUTHIER_WORKER"] = "1"
from trainer import memory, train

if __name__ == "__main__":
    memory.USABLE = 1e-9
    sys.exit(train.main())
