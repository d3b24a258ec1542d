"""Whether a PyTorch program computes from its input alone: it draws no random numbers and remembers nothing.

Its operators are looked at, not its results: one that draws or remembers rarely may not do so in a trial.
Where that is not certain, the worse is assumed: episodes of such a program are not put together from two
runs.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

_DRAW = frozenset(
    (
        "alpha_dropout_",
        "dropout_",
        "feature_alpha_dropout",
        "feature_alpha_dropout_",
        "feature_dropout",
        "feature_dropout_",
        "initial_seed",
        "manual_seed",
        "scaled_dot_product_attention",
        "seed",
    )
)
"""Operators that use the random generator though PyTorch does not mark them so."""
_ONLY_IN_TRAINING = ("train", "training")
"""Arguments of operators that draw: without it they do not."""
_SHARES = ("dropout", "dropout_p")
"""And of what share of the values is drawn."""
_NORMS = {"batch_norm": "training", "instance_norm": "use_input_stats"}
"""Operators that change the running statistics given to them -> the argument that says so."""

_FILLS = frozenset(f"aten::{name}" for name in ("append", "extend", "insert", "update", "_set_item"))
"""Operators that put something into a list or dict."""


def script_keeps_nothing(module: Any, remembered: frozenset[str] = frozenset()) -> bool:
    """Tell it of a TorchScript module in eval mode; its attributes *remembered* do not count."""
    torch: Any = importlib.import_module("torch")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Without what its flags and numbers rule out: dropout and batch_norm have their training in them.
            frozen = (
                torch.jit.freeze(module, optimize_numerics=False) if hasattr(module, "training") else module
            )
            return not any(_keeps(node, remembered) for node in _nodes(frozen.inlined_graph))
    except (RuntimeError, AttributeError, TypeError, ValueError):
        return False


def module_keeps_nothing(module: Any) -> bool:
    """Tell it of a module of one's own in eval mode: False where TorchScript cannot express it."""
    torch: Any = importlib.import_module("torch")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            script = torch.jit.script(module)
    except Exception:  # whatever its compiler raises of code that is none of its language
        return False
    return script_keeps_nothing(script)


def export_keeps_nothing(program: Any) -> bool:
    """Tell it of an exported program."""
    signature = program.graph_signature
    given = frozenset(signature.user_inputs)
    if signature.buffers_to_mutate or any(True for name in program.graph_module.named_children()):
        return False
    return not any(_node_keeps(node, given) for node in program.graph.nodes)


@cache
def _draws_at_all(operator: str) -> bool:
    torch: Any = importlib.import_module("torch")
    space, _, name = operator.partition("::")
    packet = getattr(getattr(torch.ops, space), name, None)
    tagged = packet is not None and any(
        torch.Tag.nondeterministic_seeded in getattr(packet, overload).tags for overload in packet.overloads()
    )
    return tagged or name in _DRAW


def _draws_or_adapts(operator: str, given: Mapping[str, Any]) -> bool:
    """Whether an operator draws or changes statistics; *given* has what is known of its arguments."""
    name = operator.partition("::")[2]
    if name in _NORMS:
        return given.get("running_mean", 0) is not None and given.get(_NORMS[name]) is not False
    if any(given.get(key) is False for key in _ONLY_IN_TRAINING):
        return False
    return _draws_at_all(operator) and not any(given.get(key) == 0 for key in _SHARES)


def _nodes(block: Any) -> Iterator[Any]:
    """Yield all nodes of a TorchScript graph, with those of its branches, loops and forks."""
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _nodes(inner)
        if node.hasAttribute("Subgraph"):
            yield from _nodes(node.g("Subgraph"))


def _arguments(node: Any) -> list[tuple[Any, Any]]:
    """Return (argument of the schema, value) of a node of a TorchScript graph; none without a schema."""
    torch: Any = importlib.import_module("torch")
    schema = node.schema()
    if schema == "(no schema)":
        return []
    return list(zip(torch._C.parse_schema(schema).arguments, node.inputs(), strict=False))


def _keeps(node: Any, remembered: frozenset[str]) -> bool:
    kind = node.kind()
    if kind == "prim::SetAttr" or kind.startswith("prim::Call") or "Python" in kind or kind.startswith("^"):
        return True
    arguments = _arguments(node)
    known = {a.name: v.toIValue() for a, v in arguments if v.node().kind() == "prim::Constant"}
    if kind.startswith(("aten::", "prims::")) and _draws_or_adapts(kind, known):
        return True
    if kind in _FILLS:  # what is in a list can be written to through it
        return any(_is_kept(value, set(), remembered) for _, value in arguments if _holds_numbers(value))
    return any(_is_kept(value, set(), remembered) for argument, value in arguments if _is_written(argument))


def _holds_numbers(value: Any) -> bool:
    """Whether *value* is a tensor or a container, not the number of a place in one."""
    return str(value.type()) not in ("int", "str", "float", "bool", "NoneType")


def _is_written(argument: Any) -> bool:
    return argument.alias_info is not None and bool(argument.alias_info.is_write)


def _is_kept(value: Any, seen: set[str], remembered: frozenset[str]) -> bool:
    """Whether *value* is, or may share memory with, an attribute, not *remembered*, or a constant."""
    if value.debugName() in seen:
        return False
    seen.add(value.debugName())
    node = value.node()
    if node.kind() in ("prim::Constant", "prim::GetAttr"):
        return node.kind() == "prim::Constant" or node.s("name") not in remembered
    return any(_is_kept(source, seen, remembered) for source in _sources(node, value))


def _sources(node: Any, value: Any) -> list[Any]:
    """Return the values whose memory that output of *node* may share."""
    torch: Any = importlib.import_module("torch")
    at = [output.debugName() for output in node.outputs()].index(value.debugName())
    if node.kind() == "prim::If":
        return [list(block.outputs())[at] for block in node.blocks()]
    if node.kind() == "prim::Loop":
        (body,) = node.blocks()
        return [list(body.outputs())[at + 1], list(node.inputs())[at + 2]]
    if node.kind() == "prim::Param":
        return []
    if (schema := node.schema()) == "(no schema)":
        return list(node.inputs())
    returned = torch._C.parse_schema(schema).returns
    if not any(one.alias_info is not None for one in returned):
        return []
    return [found for argument, found in _arguments(node) if argument.alias_info is not None]


def _node_keeps(node: Any, given: frozenset[str]) -> bool:
    """Whether a node of an exported program draws or remembers; *given* are the names of its inputs."""
    schema = getattr(node.target, "_schema", None)
    if node.op != "call_function" or schema is None:
        return False
    given_by_name = dict(zip((a.name for a in schema.arguments), node.args, strict=False)) | dict(node.kwargs)
    arguments = [(a, given_by_name.get(a.name, a.default_value)) for a in schema.arguments]
    if _draws_or_adapts(schema.name, {argument.name: value for argument, value in arguments}):
        return True
    return any(_is_lasting(value, given) for argument, value in arguments if _is_written(argument))


def _is_lasting(node: Any, given: frozenset[str]) -> bool:
    """Whether *node* is, or may share memory with, what an exported program keeps."""
    if node.op in ("placeholder", "get_attr"):
        return node.name not in given
    schema = getattr(node.target, "_schema", None)
    if schema is not None and not any(one.alias_info is not None for one in schema.returns):
        return False
    return any(_is_lasting(source, given) for source in node.all_input_nodes)
