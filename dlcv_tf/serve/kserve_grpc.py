"""KServe v2 over gRPC: `inference.GRPCInferenceService`, with Triton's model repository extension.

Reference: https://github.com/kserve/open-inference-protocol and Triton's protocol extensions.
Answers hold raw bytes, as Triton's do; requests may hold raw bytes or typed values.
"""

import math
import re

import numpy as np
from google.protobuf import message_factory
from google.protobuf.message import DecodeError

from dlcv_tf import __version__
from dlcv_tf.artifact import inference_messages
from dlcv_tf.serve import kserve_requests, kserve_tensors
from dlcv_tf.serve.call import Call
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.errors import ServingError, invalid
from dlcv_tf.serve.grpc_methods import Method
from dlcv_tf.serve.model import DEFAULT_SIGNATURE, Model
from dlcv_tf.serve.repository import Repository

SERVICE = "inference.GRPCInferenceService"

# Where InferTensorContents lists the values of a datatype.
CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
INDEX_STATES = {"AVAILABLE": "READY", "START": "UNAVAILABLE", "END": "UNAVAILABLE"}


def server_live(request, models: Repository, config: Config, call: Call):
    """Answers that the server lives."""
    return inference_messages.ServerLiveResponse(live=True)


def server_ready(request, models: Repository, config: Config, call: Call):
    """Answers whether the models are loaded."""
    return inference_messages.ServerReadyResponse(ready=models.ready)


def server_metadata(request, models: Repository, config: Config, call: Call):
    """Answers what this server is."""
    return inference_messages.ServerMetadataResponse(
        name="dlcv_tf", version=__version__, extensions=kserve_tensors.EXTENSIONS
    )


def model_ready(request, models: Repository, config: Config, call: Call):
    """Answers whether a model, or a version of it, serves."""
    ready = models.model_ready(request.name, _version(request.version))
    return inference_messages.ModelReadyResponse(ready=ready)


def model_metadata(request, models: Repository, config: Config, call: Call):
    """Answers a model's inputs and outputs: those of its default signature."""
    response = inference_messages.ModelMetadataResponse()
    with models.use(request.name, _version(request.version)) as model:
        call.model, call.version = model.name, model.version
        signature = model.signature(DEFAULT_SIGNATURE)
        response.name, response.platform = model.name, _platform(model)
    versions = models.versions(request.name)
    response.versions.extend(
        str(version.number) for version in reversed(versions) if version.state == "AVAILABLE"
    )
    for kind in ("inputs", "outputs"):
        for tensor in kserve_tensors.metadata(signature[kind]):
            getattr(response, kind).add(**tensor)
    return response


def model_config(request, models: Repository, config: Config, call: Call):
    """Answers a model's Triton configuration; its shapes are whole, so it states no batch size."""
    with models.use(request.name, _version(request.version)) as model:
        call.model, call.version = model.name, model.version
        signature = model.signature(DEFAULT_SIGNATURE)
        result = inference_messages.ModelConfig(name=model.name, platform=_platform(model))
    for target, kind in ((result.input, "inputs"), (result.output, "outputs")):
        for tensor in kserve_tensors.metadata(signature[kind]):
            datatype = "STRING" if tensor["datatype"] == "BYTES" else tensor["datatype"]
            target.add(name=tensor["name"], data_type=f"TYPE_{datatype}", dims=tensor["shape"])
    return inference_messages.ModelConfigResponse(config=result)


def model_infer(request, models: Repository, config: Config, call: Call):
    """Answers a ModelInferRequest."""
    response = inference_messages.ModelInferResponse()
    _infer(request, response, models, call)
    return response


def model_stream_infer(request, models: Repository, config: Config, call: Call):
    """Answers one message of a stream of ModelInferRequests."""
    response = inference_messages.ModelStreamInferResponse()
    _infer(request, response.infer_response, models, call)
    return response


def model_statistics(request, models: Repository, config: Config, call: Call):
    """Answers what a version, or all of them, have answered since they serve."""
    version = _version(request.version)
    listed = models.statistics(request.name, version)
    call.model, call.version = request.name, version or 0
    return inference_messages.ModelStatisticsResponse(model_stats=listed)


def repository_index(request, models: Repository, config: Config, call: Call):
    """Lists all versions of all models, or only those that serve."""
    response = inference_messages.RepositoryIndexResponse()
    for name in models.names():
        tried = models.tried(name)
        for version in tried:
            state = INDEX_STATES.get(version.state, version.state)
            if state == "READY" or not request.ready:
                number, reason = str(version.number), version.error
                response.models.add(name=name, version=number, state=state, reason=reason)
        if not tried and not request.ready:
            response.models.add(name=name, state="UNAVAILABLE", reason=models.error(name))
    return response


def repository_load(request, models: Repository, config: Config, call: Call):
    """Loads a model, or loads it again where its files have changed."""
    models.load_model(request.model_name)
    call.model = request.model_name
    return inference_messages.RepositoryModelLoadResponse()


def repository_unload(request, models: Repository, config: Config, call: Call):
    """Unloads a model."""
    models.unload_model(request.model_name)
    call.model = request.model_name
    return inference_messages.RepositoryModelUnloadResponse()


def _infer(request, response, models: Repository, call: Call) -> None:
    """Answers a ModelInferRequest into a ModelInferResponse."""
    with models.use(request.model_name, _version(request.model_version)) as model:
        with call.stage("parse"):
            parameters = _values(request.parameters)
            kserve_requests.set_deadline(parameters, call)
            inputs = _inputs(request)
            name = kserve_tensors.signature_name(model, parameters, [*inputs])
            kserve_tensors.check_inputs(model, inputs, name)
            wanted = _wanted(request, model, name)
        outputs = model.predict(inputs, name, call, wanted)
    with call.stage("render"):
        response.model_name, response.model_version = model.name, str(model.version)
        response.id = request.id
        for output in wanted:
            array = outputs[output]
            datatype = kserve_tensors.datatype_of(array)
            response.outputs.add(name=output, datatype=datatype, shape=array.shape)
            response.raw_output_contents.append(kserve_tensors.to_bytes(array))


def _inputs(request) -> dict[str, np.ndarray]:
    """Returns the arrays of a ModelInferRequest."""
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise invalid(
            f"expected {len(request.inputs)} raw_input_contents, one for each input, got {len(raw)}"
        )
    arrays: dict[str, np.ndarray] = {}
    for index, tensor in enumerate(request.inputs):
        if tensor.name in arrays:
            raise invalid(f"input '{tensor.name}' already exists in request")
        if "shared_memory_region" in tensor.parameters:
            raise invalid(f"got input '{tensor.name}' in shared memory, expected it in the request")
        shape = tuple(tensor.shape)
        kserve_tensors.check_shape(shape, tensor.name)
        if raw:
            array = kserve_tensors.from_bytes(raw[index], tensor.datatype, shape, tensor.name)
        else:
            array = _from_contents(tensor, shape)
        arrays[tensor.name] = array
    return arrays


def _from_contents(tensor, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the array of an input that holds typed values."""
    dtype = kserve_tensors.numpy_type(tensor.datatype, tensor.name)
    if tensor.datatype not in CONTENTS:
        raise invalid(
            f"got {tensor.datatype} values of '{tensor.name}', expected them as raw bytes"
        )
    values = getattr(tensor.contents, CONTENTS[tensor.datatype])
    if len(values) != math.prod(shape):
        raise invalid(
            f"got {len(values)} values in {CONTENTS[tensor.datatype]} of input '{tensor.name}', "
            f"expected {math.prod(shape)} for its shape"
        )
    if dtype == "string":
        array = np.empty(len(values), dtype=object)
        array[:] = list(values)
        return array.reshape(shape)
    array = np.array(values)
    if array.size and "int" in dtype:
        limits = np.iinfo(dtype)
        if not limits.min <= array.min() <= array.max() <= limits.max:
            raise invalid(f"got values of '{tensor.name}' that do not fit {tensor.datatype}")
    return array.astype(dtype).reshape(shape)


def _wanted(request, model: Model, signature: str) -> list[str]:
    """Returns the names of the outputs that are asked for: all if none is named."""
    known = model.signature(signature)["outputs"]
    for output in request.outputs:
        if output.name not in known:
            raise invalid(f"unexpected inference output '{output.name}' for model '{model.name}'")
    return list(dict.fromkeys(output.name for output in request.outputs)) or list(known)


def _version(text: str) -> int | None:
    """Returns the version of a request, None for the newest."""
    if not text:
        return None
    if not re.fullmatch("[0-9]{1,19}", text):
        raise invalid(
            f"got model version '{text[:64]}', expected a whole number, or none for the newest"
        )
    return int(text)


def _values(parameters) -> dict:
    """Returns InferParameters as Python's values."""
    return {
        name: getattr(value, value.WhichOneof("parameter_choice"))
        for name, value in parameters.items()
        if value.WhichOneof("parameter_choice")
    }


def _platform(model: Model) -> str:
    return f"dlcv_{model.executor.name}"


def _stream_error(data: bytes, error: ServingError):
    """Returns the message of a stream that tells of an error, with the id of its request."""
    response = inference_messages.ModelStreamInferResponse(error_message=error.message)
    try:
        response.infer_response.id = inference_messages.ModelInferRequest.FromString(data).id
    except DecodeError:
        pass
    return response


_ANSWERS = {
    "ServerLive": ("live", server_live),
    "ServerReady": ("ready", server_ready),
    "ServerMetadata": ("server_metadata", server_metadata),
    "ModelReady": ("model_ready", model_ready),
    "ModelMetadata": ("metadata", model_metadata),
    "ModelConfig": ("config", model_config),
    "ModelStatistics": ("statistics", model_statistics),
    "ModelInfer": ("infer", model_infer),
    "ModelStreamInfer": ("infer", model_stream_infer),
    "RepositoryIndex": ("index", repository_index),
    "RepositoryModelLoad": ("load", repository_load),
    "RepositoryModelUnload": ("unload", repository_unload),
}


def _methods() -> dict[str, Method]:
    """Returns the methods of the service by their paths."""
    service = inference_messages.pool().FindServiceByName(SERVICE)
    methods = {}
    for method_name, (name, answer) in _ANSWERS.items():
        request_class = message_factory.GetMessageClass(
            service.methods_by_name[method_name].input_type
        )
        on_error = _stream_error if answer is model_stream_infer else None
        methods[f"/{SERVICE}/{method_name}"] = Method(
            "kserve_grpc", name, request_class, answer, on_error
        )
    return methods


METHODS = _methods()
