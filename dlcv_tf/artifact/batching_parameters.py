"""TensorFlow Serving's BatchingParameters, whose proto no published package holds."""

import functools
import os
import pathlib

from google.protobuf import descriptor_pb2, message_factory, text_format

from dlcv_tf.artifact import tfs_messages
from dlcv_tf.errors import InputError

_FIELD = descriptor_pb2.FieldDescriptorProto
# Fields by number, as in servables/tensorflow/session_bundle_config.proto.
_FIELDS = {
    1: ("max_batch_size", "Int64Value"),
    2: ("batch_timeout_micros", "Int64Value"),
    3: ("max_enqueued_batches", "Int64Value"),
    4: ("num_batch_threads", "Int64Value"),
    5: ("thread_pool_name", "StringValue"),
    6: ("allowed_batch_sizes", "repeated"),
    7: ("pad_variable_length_inputs", "bool"),
    8: ("enable_large_batch_splitting", "BoolValue"),
    9: ("max_execution_batch_size", "Int64Value"),
}


@functools.cache
def message():
    """Returns the message class, for `google.protobuf.text_format`."""
    file = descriptor_pb2.FileDescriptorProto(
        name="dlcv_tf/batching_parameters.proto",
        package="tensorflow.serving",
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    described = file.message_type.add(name="BatchingParameters")
    for number, (name, kind) in _FIELDS.items():
        field = described.field.add(name=name, number=number, label=_FIELD.LABEL_OPTIONAL)
        if kind == "repeated":
            field.label, field.type = _FIELD.LABEL_REPEATED, _FIELD.TYPE_INT64
        elif kind == "bool":
            field.type = _FIELD.TYPE_BOOL
        else:
            field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".google.protobuf.{kind}"
    pool = tfs_messages.pool()
    pool.Add(file)
    found = pool.FindMessageTypeByName("tensorflow.serving.BatchingParameters")
    return message_factory.GetMessageClass(found)


def read(path: str | os.PathLike):
    """Reads a file of BatchingParameters in protobuf's text form.

    Args:
        path: the file that TF Serving gets as `--batching_parameters_file`.

    Returns:
        The message, its sizes checked.

    Raises:
        InputError: for a file that is missing or wrong.
    """
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
        parameters = text_format.Parse(text, message()())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the batching parameters {path}: {error}") from None
    except text_format.ParseError as error:
        raise InputError(
            f"{path} holds no BatchingParameters: {error}; expected lines such as "
            "`max_batch_size { value: 32 }`"
        ) from None
    for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads"):
        if parameters.HasField(name) and getattr(parameters, name).value < 1:
            got = getattr(parameters, name).value
            raise InputError(f"{path}: got {name} {got}, expected at least 1")
    if parameters.batch_timeout_micros.value < 0:
        got = parameters.batch_timeout_micros.value
        raise InputError(f"{path}: got batch_timeout_micros {got}, expected at least 0")
    sizes = list(parameters.allowed_batch_sizes)
    largest = parameters.max_batch_size.value
    if sizes and (sizes != sorted(set(sizes)) or sizes[0] < 1 or sizes[-1] != largest):
        raise InputError(
            f"{path}: got allowed_batch_sizes {sizes}, expected increasing sizes of which the last "
            f"is max_batch_size, {largest}"
        )
    return parameters
