"""What changes a model's module leaves other models as they were. The kernels themselves need a GPU: test_gpu.py."""

from types import SimpleNamespace

import torch

from trainer import kernels


def test_nothing_is_changed_without_a_gpu() -> None:
    model = SimpleNamespace(device=torch.device("cpu"))
    assert not kernels.use(model)


def test_a_changed_class_goes_back_and_a_changed_function_asks_where_its_tensor_is() -> None:
    class Norm:
        pass

    def rotate(tensor: object) -> str:
        return "plain"

    module = SimpleNamespace(Norm=Norm, rotate=rotate, other=1)
    before = dict(vars(module))
    module.Norm, module.rotate = object, lambda tensor: "fast"
    kernels._keep_for_others(module, before)
    assert module.Norm is Norm
    assert module.other == 1
    assert module.rotate(SimpleNamespace(is_cuda=False)) == "plain"
    assert module.rotate(SimpleNamespace(is_cuda=True)) == "fast"
