"""What TF Serving says about models, as its own protos: status and metadata, for REST and gRPC."""

from dlcv_tf.artifact import tfs_messages
from dlcv_tf.serve.model import Model
from dlcv_tf.serve.repository import Version

PREDICT_METHOD = "tensorflow/serving/predict"


def model_status(versions: list[Version]):
    """Returns the GetModelStatusResponse of some versions of one model."""
    response = tfs_messages.GetModelStatusResponse()
    for version in versions:
        response.model_version_status.add(
            version=version.number,
            state=tfs_messages.ModelVersionStatus.State.Value(version.state),
            status=tfs_messages.StatusProto(
                error_code=int(version.code), error_message=version.error
            ),
        )
    return response


def model_spec(model: Model):
    """Returns the ModelSpec of a loaded version."""
    spec = tfs_messages.ModelSpec(name=model.name)
    spec.version.value = model.version
    return spec


def signature_defs(model: Model):
    """Returns the SignatureDefMap of a loaded version."""
    result = tfs_messages.SignatureDefMap()
    for name, signature in model.signatures.items():
        definition = result.signature_def[name]
        definition.method_name = signature.get("method", PREDICT_METHOD)
        for tensors, prefix in (("inputs", f"{name}_"), ("outputs", "")):
            for tensor_name, spec in signature[tensors].items():
                info = getattr(definition, tensors)[tensor_name]
                info.name = f"{prefix}{tensor_name}:0"
                info.dtype = tfs_messages.DataType.Value(tfs_messages.DATA_TYPES[spec["dtype"]])
                for size in spec["shape"]:
                    info.tensor_shape.dim.add(size=-1 if size is None else size)
    return result
