"""One feature of serialized tf.Example protos, as tf.io.parse_example reads it."""

import numpy as np
import pytest

from dlcv_tf.artifact import examples, tfs_messages
from dlcv_tf.errors import InputError


def serialized(*features):
    """Serializes one example for each dict of features."""
    return np.array(
        [
            tfs_messages.Example(features={"feature": feature}).SerializeToString()
            for feature in features
        ],
        dtype=object,
    )


def octets(*values):
    return tfs_messages.Feature(bytes_list={"value": values})


def test_a_feature_of_each_example():
    both = serialized({"a": octets(b"x\0"), "b": octets(b"")}, {"a": octets(b"y")})
    assert examples.feature(both, "a").tolist() == [b"x\0", b"y"]


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ({}, r"Feature: a \(data type: string\) is required but could not be found in example 1"),
        ({"a": tfs_messages.Feature()}, "is required but could not be found in example 1"),
        (
            {"a": tfs_messages.Feature(float_list={"value": [1]})},
            "Key: a, Index: 1. Data types don't match. Data type: float but expected type: string",
        ),
        ({"a": octets(b"x", b"y")}, "Number of bytes values != expected. Values size: 2"),
        ({"a": octets()}, "Number of bytes values != expected. Values size: 0"),
    ],
)
def test_an_example_without_it_is_named(feature, message):
    with pytest.raises(InputError, match=message):
        examples.feature(serialized({"a": octets(b"x")}, feature), "a")


def test_what_is_no_example_is_named():
    with pytest.raises(InputError, match="Could not parse example input, value: example 0"):
        examples.feature(np.array([b"\xff\xff"], dtype=object), "a")
