"""The requests a version runs before it serves: TF Serving's recorded ones, or one made up."""

import os
import pathlib
import struct

import numpy as np
from google.protobuf.message import DecodeError

from dlcv_tf.artifact import answers, tfs_messages
from dlcv_tf.artifact.manifest import ArtifactError, Manifest
from dlcv_tf.serve import tensorflow_tensors
from dlcv_tf.serve.errors import ServingError

FILE = pathlib.Path("assets.extra", "tf_serving_warmup_requests")
MOST_RECORDS = 1000  # as in TF Serving
MOST_BYTES = 2**30  # of an array in a record
_SIZE = struct.Struct("<Q")
_CHECKSUM = 4  # bytes; the manifest's checksum of the whole file is the one that is verified


def requests(
    directory: str | os.PathLike, manifest: Manifest
) -> list[tuple[str, dict[str, np.ndarray]]]:
    """Returns signature and inputs of each request.

    Args:
        directory: the artifact.
        manifest: its own.

    Raises:
        ArtifactError: for a file of requests that is damaged or too long.
    """
    path = pathlib.Path(directory) / FILE
    if not path.is_file():
        return _made_up(manifest)
    try:
        records = _records(path.read_bytes())
        logs = [tfs_messages.PredictionLog.FromString(record) for record in records]
    except (DecodeError, struct.error) as error:
        raise ArtifactError(f"{path} holds no warm-up requests: {error}") from None
    if len(logs) > MOST_RECORDS:
        raise ArtifactError(f"{path} has {len(logs)} records, expected at most {MOST_RECORDS}")
    found = []
    for log in logs:
        if log.WhichOneof("log_type") == "predict_log":
            request = log.predict_log.request
            try:
                inputs = {
                    name: tensorflow_tensors.to_array(tensor, name, MOST_BYTES)
                    for name, tensor in request.inputs.items()
                }
            except ServingError as error:
                raise ArtifactError(f"{path} holds a wrong request: {error}") from None
            found.append((request.model_spec.signature_name, inputs))
    return found or _made_up(manifest)


def picture(directory: str | os.PathLike, manifest: Manifest) -> np.ndarray:
    """Returns one picture (1, height, width, channels) to measure an executor with."""
    for _, inputs in requests(directory, manifest):
        if "images" in inputs:
            return inputs["images"][:1]
    return _grey(manifest)


def _made_up(manifest: Manifest) -> list[tuple[str, dict[str, np.ndarray]]]:
    images = _grey(manifest)
    made = [("serving_default", {"images": images})]
    if "image_bytes" in manifest.signatures:
        files = np.array([answers.png(images[0, ..., 0])], dtype=object)
        made.append(("image_bytes", {"image_bytes": files}))
    return made


def _grey(manifest: Manifest) -> np.ndarray:
    spec = manifest.signatures["serving_default"]["inputs"]["images"]
    size = [*manifest.preprocessing["size"], manifest.preprocessing["channels"]]
    shape = [1, *(given or own for given, own in zip(spec["shape"][1:], size, strict=True))]
    return np.full(shape, 128, spec["dtype"])


def _records(data: bytes) -> list[bytes]:
    """Returns the records of a TFRecord file."""
    found, offset = [], 0
    while offset < len(data):
        (size,) = _SIZE.unpack_from(data, offset)
        start = offset + _SIZE.size + _CHECKSUM
        if start + size + _CHECKSUM > len(data):
            raise struct.error("it is cut short")
        found.append(data[start : start + size])
        offset = start + size + _CHECKSUM
    return found
