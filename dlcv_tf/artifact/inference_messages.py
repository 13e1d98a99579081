"""The protocol buffers of KServe v2 with Triton's extensions, and of gRPC's health service.

`inference_messages.ModelInferRequest`, `.ModelConfig`, `.HealthCheckRequest` and every other
message of `inference.binpb`, which is made by `tools/build_descriptors.py`.
"""

from google.protobuf import descriptor_pool

from dlcv_tf.artifact import protos

_PROTOS = protos.Protos("inference.binpb", ("inference", "grpc.health.v1"))


def pool() -> descriptor_pool.DescriptorPool:
    """Returns the private pool that holds the descriptors, services included."""
    return _PROTOS.pool


def __getattr__(name: str):
    """Returns a message class or an enum by its simple name."""
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _PROTOS.find(name)
