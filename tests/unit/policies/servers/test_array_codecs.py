"""Arrays in messages, there and back."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from pytest_arena.policies.servers import gr00t, openpi, vla_eval
from pytest_arena.policies.servers.arrays import packed, received_array, unpacked

CODECS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "openpi": (openpi.encode, openpi.decode),
    "vla_eval": (vla_eval.encode, vla_eval.decode),
    "vla_eval png": (partial(vla_eval.encode, images="png"), vla_eval.decode),
    "gr00t": (gr00t.encode, gr00t.decode),
}
DTYPES = [np.uint8, np.int64, np.float32, np.float64, np.float16, np.bool_, ">f4", ">i2"]
ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda kind: arrays(kind, array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4))
)


@pytest.fixture(params=CODECS, ids=lambda name: name.replace(" ", "_"))
def codec(request: pytest.FixtureRequest) -> tuple[Callable[..., Any], Callable[..., Any]]:
    return CODECS[request.param]


def there_and_back(codec: tuple[Callable[..., Any], Callable[..., Any]], value: Any) -> Any:
    return unpacked(packed(value, codec[0]), codec[1])


@pytest.mark.parametrize("name", CODECS)
@given(array=ARRAYS, turned=st.booleans())
def test_an_array_comes_back_equal_and_owned(name: str, array: Any, turned: bool) -> None:
    array = array.T[::-1] if turned and array.ndim else array  # not contiguous
    got = there_and_back(CODECS[name], {"a": array})["a"]
    assert got.shape == array.shape
    assert got.dtype == array.dtype.newbyteorder("=") or name == "gr00t"
    np.testing.assert_array_equal(got, array)
    assert got.flags.writeable


@pytest.mark.parametrize(
    "bad", [np.array([None]), np.array([1j]), np.zeros(1, "f4,f4"), np.array(["text"]), object()]
)
def test_what_holds_no_numbers_is_not_sent(codec: Any, bad: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        packed({"a": bad}, codec[0])


def test_texts_numbers_and_large_arrays_come_back(codec: Any) -> None:
    large = np.random.default_rng(0).integers(0, 255, 20_000_000, np.uint8)
    value = {
        "prompt": "pick up the Äpfel 🍎 and 苹果",
        "n": np.float32(0.5),
        "flag": np.bool_(True),
        "large": large,
    }
    got = there_and_back(codec, value)
    assert (got["prompt"], got["n"], got["flag"]) == (value["prompt"], 0.5, True)
    np.testing.assert_array_equal(got["large"], large)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("form", ["raw", "png", "jpeg"])
def test_images_of_vla_eval_keep_their_shape(form: Any, channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 255, (20, 30, channels), np.uint8)
    encoded = partial(vla_eval.encode, images=form)
    got = there_and_back((encoded, vla_eval.decode), {"a": image})["a"]
    assert got.shape == image.shape
    if form != "jpeg" or channels != 3:
        np.testing.assert_array_equal(got, image)


@pytest.mark.parametrize(
    ("data", "dtype", "shape"),
    [
        (bytes(8), "<f4", [3]),
        (bytes(8), "<f4", [-2]),
        (bytes(8), "<f4", [2.0]),
        (bytes(8), "<f4", [10**18, 10**18]),
        (bytes(8), "O", [1]),
        (bytes(8), "no type", [2]),
        (bytes(8), None, None),
        ("12345678", "<f4", [2]),
        (None, "<f4", [0]),
        (b"", "U0", [10**15]),
    ],
)
def test_an_array_that_does_not_fit_its_bytes_is_refused(data: Any, dtype: Any, shape: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        received_array(data, dtype, shape)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_one_line(message: bytes) -> None:
    for _, decode in CODECS.values():
        assert "\n" not in refusal(message, decode)


def refusal(message: bytes, decode: Any) -> str:
    try:
        unpacked(message, decode)
    except ValueError as error:
        return str(error)
    return ""


def test_no_pickle_is_loaded() -> None:
    class Code:
        def __reduce__(self) -> Any:
            return (pytest.fail, ("code was run",))

    file = io.BytesIO()
    np.save(file, np.array([Code()]), allow_pickle=True)
    for content in (file.getvalue(), pickle.dumps(Code()), b"", b"\x93NUMPY"):
        message = msgpack.packb({"__ndarray_class__": True, "as_npy": content})
        with pytest.raises(ValueError, match="cannot be read"):
            unpacked(message, gr00t.decode)
