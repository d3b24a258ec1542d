from __future__ import annotations

import pytest
import torch

from pytest_arena.errors import EvaluationError
from pytest_arena.simulators.devices import torch_device


@pytest.fixture(params=[0, 2])
def gpus(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    count: int = request.param
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    return count


def test_the_first_gpu_is_taken_where_there_is_one(gpus: int) -> None:
    assert torch_device(None) == ("cuda:0" if gpus else "cpu")
    assert torch_device("cpu") == "cpu"


@pytest.mark.parametrize("wanted", ["cuda", "cuda:1", "cuda:2"])
def test_a_gpu_that_is_not_there_is_a_line(gpus: int, wanted: str) -> None:
    if gpus and wanted != "cuda:2":
        assert torch_device(wanted) == wanted
        return
    has = "it has 2" if gpus else "it has none, or a torch without CUDA"
    with pytest.raises(EvaluationError) as raised:
        torch_device(wanted)
    assert str(raised.value) == (f"environment.device: '{wanted}' needs a GPU that this machine lacks: {has}")


def test_a_word_that_is_no_device_is_a_line() -> None:
    with pytest.raises(EvaluationError, match=r"^environment.device: expected cpu or cuda:N, got 'gpu'$"):
        torch_device("gpu")
