"""The start of a run is not spent on packages it has no use for."""

import importlib.util
import subprocess
import sys

import pytest

from tests.container.conftest import MakeRoot
from trainer import imports

SCRIPT = """
import sys
from trainer import train
code = train.main()
print(code, *[name for name in ("bitsandbytes", "scipy", "sklearn", "sacrebleu", "lm_eval") if sys.modules.get(name)])
"""


def test_a_hidden_package_is_not_there_until_the_block_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with imports.without("colorsys", "no_such_package"):
        assert importlib.util.find_spec("colorsys") is None
        with pytest.raises(ImportError):
            import colorsys
    import colorsys

    assert colorsys.rgb_to_hsv(1, 1, 1)
    assert "no_such_package" not in sys.modules


def test_what_is_imported_already_is_not_hidden() -> None:
    with imports.without("json"):
        import json

        assert json.loads("1") == 1


@pytest.mark.parametrize(
    ("adapter", "gpu", "hidden"),
    [("lora", False, True), ("lora", True, False), ("qlora", False, False), ("full", True, True)],
)
def test_bitsandbytes_is_left_out_where_no_4_bit_weights_can_come(adapter: str, gpu: bool, hidden: bool) -> None:
    assert imports.unused_quantization(adapter, gpu=gpu) == (("bitsandbytes",) if hidden else ())


def test_a_lora_run_on_a_cpu_imports_neither_quantization_nor_evaluation_packages(make_root: MakeRoot) -> None:
    root = make_root(hyperparameters={"epochs": 1}, evaluation={"generate": False})
    command = [sys.executable, "-c", SCRIPT, "--root", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "0", done.stderr
