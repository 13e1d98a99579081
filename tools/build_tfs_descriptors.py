"""Writes `dlcv_tf/artifact/tf_serving.binpb`: TensorFlow Serving's protos as one descriptor set.

Needed only when TF Serving's protos change. It imports the generated code of TensorFlow and of
`tensorflow-serving-api`, so it runs in a throw-away environment that has both:

    python3 -m venv tfs-venv
    tfs-venv/bin/pip install tensorflow==2.21.* tensorflow-serving-api==2.21.*
    tfs-venv/bin/python tools/build_tfs_descriptors.py
"""

import pathlib

from google.protobuf import descriptor_pb2
from tensorflow_serving.apis import (
    model_service_pb2,
    prediction_log_pb2,
    prediction_service_pb2,
)

ROOTS = (prediction_service_pb2, model_service_pb2, prediction_log_pb2)
OUTPUT = pathlib.Path(__file__).parents[1] / "dlcv_tf" / "artifact" / "tf_serving.binpb"


def collect(file, found: dict) -> None:
    """Adds a file's descriptor to `found`, after those of every file it imports."""
    if file.name in found:
        return
    for imported in file.dependencies:
        collect(imported, found)
    found[file.name] = descriptor_pb2.FileDescriptorProto.FromString(file.serialized_pb)


def main() -> None:
    """Writes the descriptor set and says how large it is."""
    found = {}
    for root in ROOTS:
        collect(root.DESCRIPTOR, found)
    descriptors = descriptor_pb2.FileDescriptorSet(file=found.values())
    data = descriptors.SerializeToString(deterministic=True)
    OUTPUT.write_bytes(data)
    print(f"{OUTPUT.name}: {len(found)} files, {len(data)} bytes")


if __name__ == "__main__":
    main()
