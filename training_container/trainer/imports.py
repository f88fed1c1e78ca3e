"""What a run need not import: packages that the libraries load for no other reason than that they are installed.

Measured at the start of an sft run, in seconds of processor time: bitsandbytes 2.0 to 3.2, scipy 0.3, of 10.5 in all.
"""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Losses of object detection and assisted generation; evaluation imports them itself where it needs them.
UNUSED = ("scipy", "sklearn")


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Make packages look as if they were not installed, unless they are imported already."""
    hidden = [name for name in names if name not in sys.modules and importlib.util.find_spec(name)]
    # An entry of None is what `import` and `find_spec` take for "not there".
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def unused_quantization(adapter: str, *, gpu: bool) -> tuple[str, ...]:
    """bitsandbytes, unless the run may come to 4-bit weights: with "qlora", or as LoRA's last resort on a GPU.

    To be hidden for the whole run, since PEFT imports it with the first adapter and remembers whether it is there.
    """
    return () if adapter == "qlora" or (adapter == "lora" and gpu) else ("bitsandbytes",)
