from __future__ import annotations

import pytest

from pytest_arena import EvaluationError
from pytest_arena.simulators import devices
from pytest_arena.simulators.devices import (
    MASK,
    POSITION,
    UNMASKED,
    lift_device_mask,
    own_device,
    torch_device,
)

torch = pytest.importorskip("torch")


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
    with pytest.raises(EvaluationError, match=r"^policy.device: expected cpu or cuda:N, got 'gpu'$"):
        torch_device("gpu", "policy.device")


def test_the_first_gpu_is_the_workers_own_with_and_without_a_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_lifted", False)
    monkeypatch.setenv(MASK, "5")
    monkeypatch.setenv(UNMASKED, "4,5")
    monkeypatch.setenv(POSITION, "1")
    assert [own_device(wanted) for wanted in ("cpu", "cuda", "cuda:0")] == ["cpu", "cuda", "cuda:0"]
    lift_device_mask()
    assert [own_device(wanted) for wanted in ("cpu", "cuda", "cuda:0")] == ["cpu", "cuda:1", "cuda:1"]
    assert own_device("cuda:0") == "cuda:1"


def test_where_nobody_has_a_mask_devices_are_what_they_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_lifted", False)
    monkeypatch.delenv(UNMASKED, raising=False)
    monkeypatch.setenv(POSITION, "1")
    lift_device_mask()
    assert own_device("cuda:0") == "cuda:0"
