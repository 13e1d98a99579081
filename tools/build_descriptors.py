"""Writes the descriptor sets of `dlcv_tf/artifact/`, which stand for generated protobuf code.

Needed only when the protos change. `tf_serving.binpb` holds TensorFlow Serving's, `inference.binpb`
those of KServe v2 (with Triton's extensions) and of gRPC's health service. The packages imported
here hold generated code of their own, so this runs in a throw-away environment:

    python3 -m venv protos-venv
    protos-venv/bin/pip install tensorflow==2.21.* tensorflow-serving-api==2.21.* \
        tritonclient[grpc]==2.73.* grpcio-health-checking==1.75.*
    protos-venv/bin/python tools/build_descriptors.py
"""

import pathlib

from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2
from tensorflow_serving.apis import model_service_pb2, prediction_log_pb2, prediction_service_pb2
from tritonclient.grpc import service_pb2

ROOTS = {
    "tf_serving.binpb": (prediction_service_pb2, model_service_pb2, prediction_log_pb2),
    "inference.binpb": (service_pb2, health_pb2),
}
FOLDER = pathlib.Path(__file__).parents[1] / "dlcv_tf" / "artifact"


def collect(file, found: dict) -> None:
    """Adds a file's descriptor to `found`, after those of every file it imports."""
    if file.name in found:
        return
    for imported in file.dependencies:
        collect(imported, found)
    found[file.name] = descriptor_pb2.FileDescriptorProto.FromString(file.serialized_pb)


def main() -> None:
    """Writes the descriptor sets and says how large they are."""
    for name, roots in ROOTS.items():
        found = {}
        for root in roots:
            collect(root.DESCRIPTOR, found)
        descriptors = descriptor_pb2.FileDescriptorSet(file=found.values())
        data = descriptors.SerializeToString(deterministic=True)
        (FOLDER / name).write_bytes(data)
        print(f"{name}: {len(found)} files, {len(data)} bytes")


if __name__ == "__main__":
    main()
