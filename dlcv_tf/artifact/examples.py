"""Serialized tf.Example protos to arrays, without TensorFlow."""

import numpy as np
from google.protobuf.message import DecodeError

from dlcv_tf.artifact import tfs_messages
from dlcv_tf.errors import InputError


def feature(serialized: np.ndarray, name: str) -> np.ndarray:
    """Returns one feature of some examples, a string of bytes in each, as `tf.io.parse_example`.

    Args:
        serialized: (batch,) object array of bytes, each a tf.Example.
        name: of the feature.

    Returns:
        (batch,) object array of bytes.

    Raises:
        InputError: for what is no tf.Example, and for a feature that is missing, of another type,
            or of another number of values than one; mostly in TensorFlow's words.
    """
    values = np.empty(len(serialized), dtype=object)
    for index, data in enumerate(serialized):
        try:
            example = tfs_messages.Example.FromString(data)
        except DecodeError:
            raise InputError(f"Could not parse example input, value: example {index}") from None
        found = example.features.feature
        kind = found[name].WhichOneof("kind") if name in found else None
        where = f"Name: <unknown>, Key: {name}, Index: {index}."
        if kind is None:
            raise InputError(
                f"Name: <unknown>, Feature: {name} (data type: string) is required but could not "
                f"be found in example {index}."
            )
        if kind != "bytes_list":
            got = {"float_list": "float", "int64_list": "int64"}[kind]
            raise InputError(
                f"{where} Data types don't match. Data type: {got} but expected type: string"
            )
        if len(found[name].bytes_list.value) != 1:
            got = len(found[name].bytes_list.value)
            raise InputError(
                f"{where} Number of bytes values != expected. Values size: {got} but output shape: "
                "[]"
            )
        values[index] = found[name].bytes_list.value[0]
    return values
