"""Checkpoints from anybody: programs of every kind load, what reaches beyond tensors does not; weights alone."""

from __future__ import annotations

import os
import struct
import warnings
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from pytest_arena import EvaluationError, JobFileError
from pytest_arena.evaluation.validate import validate
from pytest_arena.policies.torch_module import TorchModule, TorchSettings
from tests.jobs import make_job

OBSERVATIONS = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


class MLP(torch.nn.Module):
    """Named by jobs as ``tests.real.test_torch_checkpoints:MLP``."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(4, width), torch.nn.LayerNorm(width), torch.nn.Tanh(), torch.nn.Linear(width, 2)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class Recurrent(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = torch.nn.LSTM(4, 8, batch_first=True), torch.nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, _ = self.lstm(x.unsqueeze(1))
        return self.head(y[:, -1])


class Convolution(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c = torch.nn.Sequential(torch.nn.Conv1d(1, 4, 3), torch.nn.BatchNorm1d(4), torch.nn.ReLU())
        self.head = torch.nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.c(x.unsqueeze(1)).flatten(1))


class Attention(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.t = torch.nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.t(x[:, None])[:, 0, :2]


class Pair(NamedTuple):
    first: torch.Tensor
    count: int


class Flow(torch.nn.Module):
    """Branches, loops, containers, texts, assertions, a fork."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = torch.nn.ModuleList([torch.nn.Linear(4, 4) for _ in range(3)])
        self.names = {"a": 1}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: dict[str, torch.Tensor] = {}
        for i, part in enumerate(self.parts):
            x = part(x)
            found[f"layer {i}"] = x
        if bool(x.sum() > 0):
            x = x * 2
        while int(x.shape[0]) < 0:
            x = x[1:]
        pair = Pair(x, 1)
        assert len(found) == 3, 'they say "it cannot be"\n'
        if x.numel() == 0:
            raise ValueError("nothing to load or save")
        waiting = torch.jit.fork(torch.relu, pair.first)
        return torch.jit.wait(waiting)[:, :2] + float(self.names["a"]) + max(pair.count, 2)


class State(torch.nn.Module):
    """Runs code of its own while it is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.k, self.training = 3, False

    @torch.jit.export
    def __getstate__(self) -> tuple[int, bool]:
        return (self.k, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[int, bool]) -> None:
        self.k, self.training = state[0], state[1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :2] * self.k


class Saves(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.save(x, "pwned")
        return x[:, :2]


class Maps(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        t = torch.from_file("pwned", True, 22, dtype=torch.uint8)
        return x[:, :2] + t.float().sum()


class SavesWhenLoaded(State):
    @torch.jit.export
    def __setstate__(self, state: tuple[int, bool]) -> None:
        torch.save(state[0], "pwned")
        self.k, self.training = state[0], state[1]


def policy(path: Path, **settings: Any) -> TorchModule:
    env: Any = SimpleNamespace(num_envs=3, single_action_space=gymnasium.spaces.Box(-1e9, 1e9, (2,)))
    return TorchModule(TorchSettings(checkpoint=str(path), **settings), env)


def saved(module: Any, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(module, path)
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("how", ["script", "trace", "freeze"])
@pytest.mark.parametrize("kind", [MLP, Recurrent, Convolution, Attention, Flow, State])
def test_programs_of_every_kind(tmp_path: Path, kind: Any, how: str) -> None:
    torch.manual_seed(0)
    module, inputs = kind().eval(), torch.as_tensor(OBSERVATIONS)
    made = torch.jit.trace(module, inputs, check_trace=False) if how == "trace" else torch.jit.script(module)
    path = saved(torch.jit.freeze(made) if how == "freeze" else made, tmp_path / "policy.pt")
    with torch.no_grad():
        expected = module(inputs).numpy()
    np.testing.assert_allclose(policy(path, batch="all").act(OBSERVATIONS), expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "word"), [(Saves, "save"), (Maps, "from_file"), (SavesWhenLoaded, "save")])
def test_programs_that_reach_for_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, word: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = saved(torch.jit.script(kind().eval()), tmp_path / "policy.pt")
    with pytest.raises(EvaluationError, match=rf"uses {word}, which reaches beyond tensors"):
        policy(path)
    assert os.listdir(tmp_path) == ["policy.pt"]


class Noise(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :2] + torch.empty(2).normal_()


class Dropout(torch.nn.Module):
    """Of its functional form: eval mode does not switch it off."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.dropout(self.linear(x), 0.5)


class Counter(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.n = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.n += 1
        return x[:, :2] + self.n


class Buffer(torch.nn.Module):
    """Changed through a view of it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen[1:].add_(1)
        return x[:, :2] + self.seen


class Past(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.past = [torch.zeros(1, 4)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.past.append(x)
        return self.past[-2][:, :2]


class Careful(torch.nn.Module):
    """Changes only what it has made itself; its statistics, dropout and batch norm stand still."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.ones(4))
        self.layers = torch.nn.Sequential(
            torch.nn.BatchNorm1d(4), torch.nn.Dropout(), torch.nn.Linear(4, 2), torch.nn.ReLU(inplace=True)
        )
        self.lstm = torch.nn.LSTM(4, 4, num_layers=2, dropout=0.5, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.sub(self.mean).clamp_(-5, 5)
        y = self.layers(self.lstm(x[:, None])[0][:, 0])
        y[:, 0] = 3.0
        for _ in range(2):
            y.mul_(2)
        return y


class Appended(Buffer):
    """What is kept is changed through a list that it was put into."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = [x]
        parts.append(self.seen)
        parts[1].add_(1)
        return x[:, :2] + self.seen


class Replaced(Buffer):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = [x]
        parts[0] = self.seen
        parts[0].add_(1)
        return x[:, :2] + self.seen


class Named(Buffer):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts: dict[str, torch.Tensor] = {}
        parts["seen"] = self.seen
        parts["seen"].add_(1)
        return x[:, :2] + self.seen


class Gathers(torch.nn.Module):
    """Puts what it has made itself into a list, and changes that."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = [x[:, :1]]
        for i in range(1, 2):
            parts.append(x[:, i : i + 1] + 1)
        parts[1] = parts[1] * 2
        return torch.cat(parts, dim=1)


STATELESS = [MLP, Recurrent, Convolution, Attention, Flow, State, Careful, Gathers]
STATEFUL = [Noise, Dropout, Counter, Buffer, Past, Appended, Replaced, Named]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [*STATELESS, *STATEFUL])
def test_programs_that_draw_or_remember_are_not_reproducible(tmp_path: Path, kind: Any) -> None:
    script = torch.jit.script(kind().eval())
    for how in (script, torch.jit.freeze(script)):
        made = policy(saved(how, tmp_path / "policy.pt"))
        assert made.reproducible == made.deterministic == (kind in STATELESS)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [MLP, Recurrent, Convolution, Attention, Careful, Noise, Dropout, Buffer])
@pytest.mark.parametrize("training", [False, True])
def test_exported_and_traced_programs_that_draw_or_remember(
    tmp_path: Path, kind: Any, training: bool
) -> None:
    module = kind().train(training)
    trained = kind in (Convolution, Attention, Careful) and training  # batch norm adapts, dropout draws
    program = torch.export.export(module, (torch.zeros(3, 4),))
    torch.export.save(program, tmp_path / "policy.pt2")
    traced = torch.jit.trace(module, torch.zeros(3, 4), check_trace=False)
    for path in (tmp_path / "policy.pt2", saved(traced, tmp_path / "policy.pt")):
        made = policy(path)
        assert made.reproducible == made.deterministic == (kind in STATELESS and not trained)


class Opaque(MLP):
    """TorchScript cannot express it; only its author can know."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(torch.as_tensor(x.numpy()))


class Declared(Opaque):
    reproducible = True


@pytest.mark.filterwarnings("ignore")
def test_modules_of_the_jobs_own_that_draw_or_remember(tmp_path: Path) -> None:
    for kind in (MLP, Recurrent, Careful, Dropout, Buffer, Appended, Opaque, Declared):
        torch.save(kind().state_dict(), tmp_path / "weights.pt")
        made = policy(tmp_path / "weights.pt", module=f"{__name__}:{kind.__name__}")
        stateless = kind in (MLP, Recurrent, Careful, Declared)
        assert made.reproducible == made.deterministic == stateless, kind


class Both(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x[:, :2], x


class Complex(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :2].to(torch.complex64)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("batch", ["all", "single"])
@pytest.mark.parametrize(
    ("kind", "words"),
    [(Both, r"of shape \(3, 2\), got tuple"), (Complex, "real actions, got torch.complex64")],
)
def test_an_output_of_another_kind_is_named(tmp_path: Path, batch: str, kind: Any, words: str) -> None:
    path = saved(torch.jit.script(kind()), tmp_path / "policy.pt")
    with pytest.raises(EvaluationError, match=r"policy\.pt: expected (actions )?" + words):
        policy(path, batch=batch).act(OBSERVATIONS)


MODULE = "tests.real.test_torch_checkpoints:MLP"


def safetensors(path: Path, weights: dict[str, Any]) -> Path:
    header, data = "", b""
    for name, tensor in weights.items():
        content = tensor.numpy().tobytes()
        place = f'{{"dtype":"F32","shape":{list(tensor.shape)},"data_offsets":[{len(data)},{len(data + content)}]}}'
        header, data = f'{header},"{name}":{place}', data + content
    text = ('{"__metadata__":{"format":"pt"}' + header + "}").encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def weights_file(path: Path, weights: dict[str, Any]) -> Path:
    if path.suffix == ".safetensors":
        return safetensors(path, weights)
    torch.save(weights, path)
    return path


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_weights_of_a_module_of_the_jobs_own(tmp_path: Path, name: str) -> None:
    module = MLP(5).eval()
    made = policy(weights_file(tmp_path / name, module.state_dict()), module=MODULE, kwargs={"width": 5})
    with torch.no_grad():
        expected = module(torch.as_tensor(OBSERVATIONS)).numpy()
    np.testing.assert_allclose(made.act(OBSERVATIONS), expected, atol=1e-6)
    assert made.identity["module"] == MODULE


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_weights_of_another_module(tmp_path: Path, name: str) -> None:
    weights = {"other": torch.zeros(1), **MLP(5).state_dict()}
    del weights["layers.3.bias"]
    with pytest.raises(EvaluationError) as raised:
        policy(weights_file(tmp_path / name, weights), module=MODULE)
    assert str(raised.value) == (
        f"checkpoint {tmp_path / name} cannot be read: expected the weights of MLP: the file lacks layers.3.bias; "
        "has other, which the module has not; layers.0.weight has the shape (5, 4), the module (8, 4), "
        "layers.0.bias has the shape (5,), the module (8,), layers.1.weight has the shape (5,), the module (8,), "
        "layers.1.bias has the shape (5,), the module (8,), layers.3.weight has the shape (2, 5), the module (2, 8)"
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.to("meta"), "is on the device meta, without numbers"),
        (lambda w: w.to_sparse(), "is torch.sparse_coo, the module has torch.strided"),
        (lambda w: w.to_sparse_csr(), "is torch.sparse_csr, the module has torch.strided"),
        (lambda w: torch.nested.nested_tensor(list(w)), "is a nested tensor"),
        (
            lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8),
            r"is quantized \(torch.qint8\), the module has torch.float32",
        ),
        (
            lambda w: w.to(torch.complex64),
            "is torch.complex64, the module has torch.float32, which cannot hold",
        ),
        (lambda w: w.half(), None),
    ],
)
def test_weights_that_cannot_be_copied_number_by_number(
    tmp_path: Path, change: Any, words: str | None
) -> None:
    weights = MLP().state_dict()
    weights["layers.0.weight"] = change(weights["layers.0.weight"])
    torch.save(weights, tmp_path / "weights.pt")
    if words is None:
        assert policy(tmp_path / "weights.pt", module=MODULE).act(OBSERVATIONS).shape == (3, 2)
        return
    with pytest.raises(EvaluationError, match=rf"weights\.pt cannot be read: .* layers\.0\.weight {words}"):
        policy(tmp_path / "weights.pt", module=MODULE)


class Picky(MLP):
    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        raise KeyError("format 2")


class Nowhere(MLP):
    def __init__(self) -> None:
        super().__init__()
        self.to("meta")


@pytest.mark.parametrize(
    ("kind", "words"), [(Picky, "Picky does not take its weights"), (Nowhere, "no place")]
)
def test_modules_that_take_no_weights(tmp_path: Path, kind: Any, words: str) -> None:
    torch.save(MLP().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(EvaluationError, match=rf"weights\.pt cannot be read: .*{words}"):
        policy(tmp_path / "weights.pt", module=f"{__name__}:{kind.__name__}")


class Trap:
    def __reduce__(self) -> Any:
        return os.mkdir, ("pwned",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"layers": Trap()}, "expected tensors and plain containers only"),
        ({"model": {"a": torch.zeros(1)}, "step": 3}, "expected a state dict, .* got the keys model, step"),
        ([torch.zeros(1)], "expected a state dict, .* got list"),
    ],
)
def test_what_is_no_state_dict(tmp_path: Path, monkeypatch: Any, content: Any, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(EvaluationError, match=words):
        policy(tmp_path / "weights.pt", module=MODULE)
    assert os.listdir(tmp_path) == ["weights.pt"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "its header has no length"),
        (struct.pack("<Q", 2**60) + b"{}", "its header has no length"),
        (struct.pack("<Q", 2) + b"[]", "its header is no object"),
        (struct.pack("<Q", 2) + b"{}", "it has none"),
        (struct.pack("<Q", 12) + b'{"a": [1,2]}', "a: expected a dtype, a shape and offsets within the file"),
        (
            struct.pack("<Q", 57) + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,4]   }}' + b"1234",
            r"a: expected float32 of the shape \[9\], got 4 bytes",
        ),
        (
            struct.pack("<Q", 57) + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,40]  }}' + b"1234",
            "a: expected a dtype, a shape and offsets within the file",
        ),
    ],
)
def test_what_is_no_safetensors_file(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(EvaluationError, match=words):
        policy(path, module=MODULE)


def test_a_checkpoint_that_unpacks_to_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "policy.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a/data.pkl", bytes(70 * 2**20))
    for settings in ({}, {"module": MODULE}):
        with pytest.raises(
            EvaluationError, match=r"it unpacks from \d+ bytes to \d+, which no checkpoint does"
        ):
            policy(path, **settings)


def test_a_checkpoint_that_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "policy.pt"
    os.mkfifo(path)
    with pytest.raises(EvaluationError, match="expected a file, got a pipe"):
        policy(path)
    with pytest.raises(EvaluationError, match="No such file"):
        policy(tmp_path / "nowhere.pt")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"module": "tests.real.nowhere:MLP"}, "policy.module: cannot import 'tests.real.nowhere'"),
        ({"module": "tests.real.test_torch_checkpoints:MPL"}, "policy.module: module .* has no 'MPL'"),
        ({"module": MODULE, "kwargs": {"witdh": 3}}, "policy.kwargs.witdh: unknown setting of MLP"),
        ({"kwargs": {"width": 3}}, "policy.kwargs: expected module beside it"),
    ],
)
def test_mistakes_are_found_before_anything_runs(tmp_path: Path, settings: Any, words: str) -> None:
    (tmp_path / "w.pt").write_bytes(b"")
    with pytest.raises(JobFileError, match=words):
        validate(make_job(policy={"type": "torch", "checkpoint": str(tmp_path / "w.pt"), **settings}))
