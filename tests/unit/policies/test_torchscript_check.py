"""What a TorchScript archive says is read before it is loaded: it may compute, and nothing else."""

from __future__ import annotations

import zipfile

import pytest

from pytest_arena.policies.torchscript_check import checked_script

CLASS = """class M(Module):
  __parameters__ = ["weight", ]
  __buffers__ = []
  weight : Tensor
  __annotations__["0"] = __torch__.torch.nn.modules.linear.Linear
  def forward(self: __torch__.M,
    x: Tensor) -> Tensor:
    {}
    return torch.add(x, getattr(self, "0").weight, alpha=1)
"""


def members(line: str) -> dict[str, bytes]:
    return {
        "data.pkl": b"pickled",
        "constants.pkl": b"pickled",
        "version": b"3\n",
        "data/0": b"1234",
        "code/__torch__.py": CLASS.format(line).encode("utf-8"),
        "code/__torch__.py.debug_pkl": b"not needed",
        "extra/notes": b"not needed",
    }


@pytest.mark.parametrize(
    "line",
    [
        "y = annotate(List[int], [ops.prim.NumToTensor(3), CONSTANTS.c0])",
        "y = ops.quantized.linear(x, self.packed)",
        'if torch.eq(1, 2): ops.prim.RaiseException("no checkpoint to load here")',
        "y = unchecked_cast(Tensor, fork(torch.relu, x))",
        "for _0 in range(3): pass",
    ],
)
def test_what_computes_is_loaded_and_nothing_beside_it(line: str) -> None:
    with zipfile.ZipFile(checked_script(members(line))) as copy:
        names = ["data.pkl", "constants.pkl", "version", "data/0", "code/__torch__.py"]
        assert copy.namelist() == [f"archive/{name}" for name in names]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('y = torch.from_file("x", True, 22)', "from_file"),
        ('torch.save(x, "x")', "save"),
        ('y = ops.aten.from_file("x")', "from_file"),
        ('x.save("x")', "save"),
        ('y = ("x").from_file(True)', "from_file"),
        ("y = torch.save", "torch.save"),
        ("y = rpc_sync(0, x)", "rpc_sync"),
        ("y = ops.c10d.allreduce_(x)", "ops.c10d.allreduce_"),
        ('y = ops.image.write_file("x", x)', "ops.image.write_file"),
        ("y = __torch__.torch.classes.inductor.AOTIModelRunner(x)", "__torch__.torch.classes.inductor"),
        ("import os", "import os"),
        ('y = "\\"; torch.save(x, 1) #"', "save"),
        ("y = (((", "cannot be read as TorchScript"),
        ("y = " + "(" * 5000 + "1" + ")" * 5000, "cannot be read as TorchScript"),
        ("# é", "cannot be read as TorchScript"),
        ("# comment\r    torch.relu(x)", "cannot be read as TorchScript"),
    ],
)
def test_what_reaches_further_is_refused_by_name(line: str, words: str) -> None:
    with pytest.raises(ValueError, match=r"code/__torch__\.py") as raised:
        checked_script(members(line))
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_compiled_classes_in_a_pickle() -> None:
    pickled = b"c__torch__.torch.classes.dist_rpc.WorkerInfo"
    with pytest.raises(ValueError, match=r"data\.pkl uses torch\.classes\.dist_rpc"):
        checked_script({**members("pass"), "data.pkl": pickled})
    checked_script(
        {**members("pass"), "data.pkl": b"__torch__.torch.classes.quantized.LinearPackedParamsBase"}
    )
