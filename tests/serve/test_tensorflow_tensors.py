"""TensorProto to arrays and back: both forms, all types, short lists, and what is refused."""

import numpy as np
import pytest

from dlcv_tf.artifact import tfs_messages
from dlcv_tf.serve import tensorflow_tensors
from dlcv_tf.serve.errors import ServingError

NUMERIC = [name for name in tensorflow_tensors.FIELDS if name != "string"]
LIMIT = 1000


def tensor(dtype, shape, **values):
    message = tfs_messages.TensorProto(dtype=tensorflow_tensors.NUMBERS[dtype], **values)
    for size in shape:
        message.tensor_shape.dim.add(size=size)
    return message


def to_array(message):
    return tensorflow_tensors.to_array(message, "images", LIMIT)


def filled(array, tensor_content=False):
    message = tfs_messages.TensorProto()
    tensorflow_tensors.fill(message, array, tensor_content)
    return message


def example(dtype, large):
    """An array of a type, with values above 127 and below 0 where the type has them."""
    if dtype == "bool":
        return np.array([[True, False, True]])
    limits = np.finfo(dtype) if dtype.startswith("float") else np.iinfo(dtype)
    ends = [limits.min, limits.max] if large else [0, 127]
    return np.array([[*ends, 1], [2, 3, 4]], dtype)


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("tensor_content", [False, True])
@pytest.mark.parametrize("dtype", NUMERIC)
def test_numbers_round_trip(dtype, tensor_content, large):
    array = example(dtype, large)
    message = filled(array, tensor_content)
    assert bool(message.tensor_content) == tensor_content
    assert len(getattr(message, tensorflow_tensors.FIELDS[dtype])) == array.size * (
        not tensor_content
    )
    again = to_array(tfs_messages.TensorProto.FromString(message.SerializeToString()))
    assert again.dtype == array.dtype
    np.testing.assert_array_equal(again, array)


@pytest.mark.parametrize("dtype", NUMERIC)
def test_values_are_where_tensorflow_looks_for_them(dtype):
    tf = pytest.importorskip("tensorflow")
    array = example(dtype, large=True)
    theirs = tf.make_tensor_proto(0)
    theirs.ParseFromString(filled(array).SerializeToString())
    np.testing.assert_array_equal(tf.make_ndarray(theirs), array)


def test_long_lists_of_floats_and_of_small_and_large_integers():
    rng = np.random.default_rng(1)
    for array in (
        rng.normal(size=70_000).astype(np.float32),
        rng.normal(size=(3, 5_000)),
        rng.integers(0, 128, 70_000).astype(np.int32),
        rng.integers(0, 256, 70_000).astype(np.uint8),
        np.array([np.nan, np.inf, -np.inf, -0.0], np.float32),
    ):
        np.testing.assert_array_equal(to_array(filled(array)), array)


def test_strings_are_bytes_whatever_they_hold():
    array = np.array([[b"a\0", "é"], [b"\xff", ""]], dtype=object)
    message = filled(array, tensor_content=True)
    assert list(message.string_val) == [b"a\0", "é".encode(), b"\xff", b""]
    np.testing.assert_array_equal(
        to_array(message), np.array([[b"a\0", "é".encode()], [b"\xff", b""]], dtype=object)
    )


def test_strings_in_tensor_content_are_lengths_and_then_bytes():
    content = bytes([2, 200, 1]) + b"ab" + b"c" * 200
    array = to_array(tensor("string", [2], tensor_content=content))
    assert array.tolist() == [b"ab", b"c" * 200]


def test_a_picture_in_tensor_content_is_not_copied():
    content = bytes(range(48))
    array = to_array(tensor("uint8", [1, 4, 4, 3], tensor_content=content))
    assert array.base is not None and not array.flags.owndata
    np.testing.assert_array_equal(array.ravel(), np.arange(48))


def test_a_scalar_and_nothing_at_all():
    assert to_array(tensor("int32", [], int_val=[7])).shape == ()
    assert to_array(tensor("float32", [0, 3])).shape == (0, 3)
    assert filled(np.zeros((0, 3), np.float32)).tensor_shape.dim[1].size == 3


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (tensor("uint8", [2, 2], int_val=[7]), [[7, 7], [7, 7]]),
        (tensor("float32", [3], float_val=[1, 2]), [1, 2, 2]),
        (tensor("int64", [2]), [0, 0]),
        (tensor("string", [2]), [b"", b""]),
    ],
)
def test_a_short_list_goes_on_with_its_last_value(message, expected):
    assert to_array(message).tolist() == expected


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (tensor("uint8", [2], tensor_content=b"abc"), "got 3 bytes of tensor_content, expected 2"),
        (tensor("uint8", [1], int_val=[1, 2]), "got 2 values, expected 1"),
        (tensor("uint8", [1], int_val=[256]), "do not fit uint8"),
        (tensor("int8", [1], int_val=[-129]), "do not fit int8"),
        (tensor("uint8", [-1], int_val=[1]), "unknown, negative"),
        (tensor("uint8", [1] * 40, int_val=[1]), "rank over 32"),
        (tensor("uint8", [2**40], int_val=[1]), "got 1 values for the 1099511627776 bytes"),
        (tensor("uint8", [2**62, 2**62]), "got 0 values for the "),
        (tensor("string", [2**40], tensor_content=b"a"), "got 1 bytes for 1099511627776 strings"),
        (tensor("string", [2], tensor_content=b"\1\1a"), "no list of strings"),
        (tensor("string", [1], tensor_content=b"\xff" * 9), "no list of strings"),
        (tfs_messages.TensorProto(), "got DataType 0, expected one of"),
        (tfs_messages.TensorProto(dtype=8, scomplex_val=[1, 2]), "got DataType 8"),
    ],
)
def test_what_contradicts_itself_is_refused(message, why):
    with pytest.raises(ServingError, match="tensor parsing error: images") as caught:
        to_array(message)
    assert caught.value.code.name == "INVALID_ARGUMENT"
    assert why in caught.value.message
