"""TensorFlow Serving's protocol buffers without TensorFlow.

`tfs_messages.PredictRequest`, `.PredictionLog`, `.GetModelStatusResponse`, `.TensorProto` and every
other message of TF Serving and of the TensorFlow messages they hold. They live in a descriptor pool
of their own, so that TensorFlow may be imported beside them. `tf_serving.binpb` is made by
`tools/build_descriptors.py`.
"""

import numpy as np
from google.protobuf import descriptor_pool

from dlcv_tf.artifact import protos

_PROTOS = protos.Protos("tf_serving.binpb", ("tensorflow.serving", "tensorflow", "google.protobuf"))

# TensorFlow's DataType (types.proto) by the names NumPy and the manifest use.
DATA_TYPES = {
    "float32": "DT_FLOAT",
    "float64": "DT_DOUBLE",
    "float16": "DT_HALF",
    "int8": "DT_INT8",
    "int16": "DT_INT16",
    "int32": "DT_INT32",
    "int64": "DT_INT64",
    "uint8": "DT_UINT8",
    "uint16": "DT_UINT16",
    "uint32": "DT_UINT32",
    "uint64": "DT_UINT64",
    "bool": "DT_BOOL",
    "string": "DT_STRING",
}


def pool() -> descriptor_pool.DescriptorPool:
    """Returns the private pool that holds TF Serving's descriptors, services included."""
    return _PROTOS.pool


def tensor(values) -> "TensorProto":  # noqa: F821 (made by __getattr__)
    """Returns a TensorProto of an array; text and bytes become DT_STRING.

    Args:
        values: an array, a list of strings or bytes, or a number.
    """
    array = np.asarray(values)
    is_string = array.dtype.kind in "OSU"
    message = _PROTOS.find("TensorProto")(
        dtype=_PROTOS.find("DataType").Value(
            DATA_TYPES["string" if is_string else array.dtype.name]
        )
    )
    for size in array.shape:
        message.tensor_shape.dim.add(size=size)
    if is_string:
        # From the values, not the array: NumPy's fixed-width bytes lose trailing zeros.
        flat = np.array(values, dtype=object).ravel()
        message.string_val.extend(v.encode() if isinstance(v, str) else bytes(v) for v in flat)
    else:
        message.tensor_content = array.astype(array.dtype.newbyteorder("<")).tobytes()
    return message


def __getattr__(name: str):
    """Returns a message class or an enum by its simple name."""
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _PROTOS.find(name)
