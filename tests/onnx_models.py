"""Small ONNX models, node by node: no exporter is needed, and each shape is what a test says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


def _saved(path: Path, nodes: list[Any], inputs: Any, outputs: Any, weights: dict[str, Any]) -> Path:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "policy",
        [value(name, kind, shape) for name, kind, shape in inputs],
        [value(name, kind, shape) for name, kind, shape in outputs],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    return path


def linear(path: Path, size: int, actions: int, rows: Any = "batch", extra: bool = False) -> Path:
    """Write tanh(obs @ w); with *extra* it has the outputs actions and value. Its weights are seeded."""
    weights = {"w": np.random.default_rng(1).normal(size=(size, actions)).astype(np.float32)}
    nodes = [helper.make_node("MatMul", ["obs", "w"], ["y"]), helper.make_node("Tanh", ["y"], ["actions"])]
    outputs = [("actions", FLOAT, [rows, actions])]
    if extra:
        outputs.append(("y", FLOAT, [rows, actions]))
    return _saved(path, nodes, [("obs", FLOAT, [rows, size])], outputs, weights)


def counting(
    path: Path, size: int, actions: int, rows: Any = "batch", names: tuple[str, str] = ("h_in", "h_out")
) -> Path:
    """Write a model that adds up what it saw: h_out = h_in + obs; actions = tanh(h_out @ w).

    Its state has the shape (1, rows, size), as PyTorch's LSTM has it.
    """
    weights = {
        "w": np.random.default_rng(2).normal(size=(size, actions)).astype(np.float32) * 0.1,
        "first": np.array([0], np.int64),
    }
    before, after = names
    nodes = [
        helper.make_node("Unsqueeze", ["obs", "first"], ["seen"]),
        helper.make_node("Add", [before, "seen"], [after]),
        helper.make_node("Squeeze", [after, "first"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
        helper.make_node("Tanh", ["y"], ["actions"]),
    ]
    state = [1, rows, size]
    inputs = [("obs", FLOAT, [rows, size]), (before, FLOAT, state)]
    return _saved(path, nodes, inputs, [("actions", FLOAT, [rows, actions]), (after, FLOAT, state)], weights)


def two_inputs(path: Path, channels_first: tuple[int, int, int], size: int, actions: int) -> Path:
    """Write a model of an image (C, H, W) and a state (size,): the mean of the image is added to each action."""
    weights = {
        "w": np.random.default_rng(3).normal(size=(size, actions)).astype(np.float32),
        "axes": np.array([1, 2, 3], np.int64),
        "flat": np.array([-1, 1], np.int64),
    }
    nodes = [
        helper.make_node("ReduceMean", ["image", "axes"], ["mean"]),
        helper.make_node("Reshape", ["mean", "flat"], ["column"]),
        helper.make_node("MatMul", ["state", "w"], ["y"]),
        helper.make_node("Add", ["y", "column"], ["action"]),
    ]
    inputs = [("image", FLOAT, ["n", *channels_first]), ("state", FLOAT, ["n", size])]
    return _saved(path, nodes, inputs, [("action", FLOAT, ["n", actions])], weights)


def noisy(path: Path, size: int) -> Path:
    """Write a model that adds random numbers."""
    nodes = [
        helper.make_node("RandomNormalLike", ["obs"], ["noise"]),
        helper.make_node("Add", ["obs", "noise"], ["actions"]),
    ]
    shape = ["batch", size]
    return _saved(path, nodes, [("obs", FLOAT, shape)], [("actions", FLOAT, shape)], {})
