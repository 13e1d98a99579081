"""TF Serving's warm-up file for an export that lacks it, without TensorFlow."""

import functools
import struct

import numpy as np

from dlcv_tf.artifact import answers, tfs_messages
from dlcv_tf.packaging.models import Model

FILE = "assets.extra/tf_serving_warmup_requests"


def requests(model: Model) -> bytes:
    """Returns a TFRecord of one grey picture for each signature, as pixels and as a file.

    Args:
        model: whose manifest gives the picture's size and channels.
    """
    preprocessing = model.manifest.preprocessing
    own = [1, *preprocessing["size"], preprocessing["channels"]]
    made = b""
    for signature, tensors in model.manifest.signatures.items():
        log = tfs_messages.PredictionLog()
        request = log.predict_log.request
        request.model_spec.name = model.name
        request.model_spec.signature_name = signature
        for name, spec in tensors["inputs"].items():
            if spec["dtype"] == "string":
                grey = np.full(own[1:3], 128, np.uint8)
                value = tfs_messages.tensor([answers.png(grey)])
            else:
                shape = [given or size for given, size in zip(spec["shape"], own, strict=True)]
                value = tfs_messages.tensor(np.full(shape, 128, spec["dtype"]))
            request.inputs[name].CopyFrom(value)
        made += record(log.SerializeToString())
    return made


def record(data: bytes) -> bytes:
    """Returns one record of a TFRecord file: length and data, each with its masked CRC-32C."""
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def _checksum(data: bytes) -> bytes:
    remainder = 0xFFFFFFFF
    table = _table()
    for byte in data:
        remainder = table[(remainder ^ byte) & 0xFF] ^ (remainder >> 8)
    crc = remainder ^ 0xFFFFFFFF
    # TFRecord masks it, so that checksums of data that holds checksums stay good ones.
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return struct.pack("<I", masked)


@functools.cache
def _table() -> list[int]:
    """Returns CRC-32C of each byte (Castagnoli's polynomial, reflected)."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table
