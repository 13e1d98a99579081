"""TensorFlow Serving's gRPC services: PredictionService and ModelService.

The rules and texts are those of `servables/tensorflow/` and `model_servers/` of
https://github.com/tensorflow/serving.
"""

import contextlib
from collections.abc import Iterator

import numpy as np
from google.protobuf import message_factory

from dlcv_tf.artifact import tfs_messages
from dlcv_tf.serve import tensorflow_examples, tensorflow_messages, tensorflow_tensors
from dlcv_tf.serve.call import Call
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.errors import Code, ServingError, invalid
from dlcv_tf.serve.grpc_methods import Method
from dlcv_tf.serve.model import DEFAULT_SIGNATURE, Model
from dlcv_tf.serve.repository import Repository

MOST_NAMED = 1000  # inputs that an error names
# TensorFlow's names of types (DataTypeString), where they are not NumPy's.
_TYPE_NAMES = {"float32": "float", "float64": "double", "float16": "half"}


def predict(request, models: Repository, config: Config, call: Call):
    """Answers a PredictRequest."""
    with _model(request, models) as model:
        spec = request.model_spec
        name = spec.signature_name or DEFAULT_SIGNATURE
        if name not in model.signatures:
            message = f'Serving signature key "{name}" not found.'
            raise ServingError(Code.FAILED_PRECONDITION, message)
        signature = model.signatures[name]
        with call.stage("parse"):
            inputs = _inputs(request.inputs, signature["inputs"], config.max_body)
            wanted = _wanted(request.output_filter, signature["outputs"])
        outputs = model.predict(inputs, name, call, wanted)
    with call.stage("render"):
        response = tfs_messages.PredictResponse()
        _fill_spec(response.model_spec, spec.name, model, name)
        for alias in wanted:
            tensorflow_tensors.fill(response.outputs[alias], outputs[alias], config.tensor_content)
    return response


def classify(request, models: Repository, config: Config, call: Call):
    """Answers a ClassificationRequest."""
    with _model(request, models) as model:
        spec = request.model_spec
        result = tensorflow_examples.classify(model, spec.signature_name, request.input, call)
    response = tfs_messages.ClassificationResponse(result=result)
    _fill_spec(response.model_spec, spec.name, model, spec.signature_name)
    return response


def regress(request, models: Repository, config: Config, call: Call):
    """Answers a RegressionRequest."""
    with _model(request, models) as model:
        spec = request.model_spec
        result = tensorflow_examples.regress(model, spec.signature_name, request.input, call)
    response = tfs_messages.RegressionResponse(result=result)
    _fill_spec(response.model_spec, spec.name, model, spec.signature_name)
    return response


def multi_inference(request, models: Repository, config: Config, call: Call):
    """Answers a MultiInferenceRequest: several signatures of one model on the same examples."""
    if not request.tasks:
        raise invalid("Inference request has no tasks specified")
    specs = [task.model_spec for task in request.tasks]
    if not all(spec.name for spec in specs):
        raise invalid("Found ModelSpec with an empty model name.")
    if any(spec.name != specs[0].name for spec in specs):
        raise invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
    response = tfs_messages.MultiInferenceResponse()
    with models.use(*_choice(specs[0])) as model:
        results = tensorflow_examples.infer(model, request.tasks, request.input, call)
    for spec, result in zip(specs, results, strict=True):
        _fill_spec(result.model_spec, spec.name, model, spec.signature_name or DEFAULT_SIGNATURE)
        response.results.append(result)
    return response


def get_model_metadata(request, models: Repository, config: Config, call: Call):
    """Answers a GetModelMetadataRequest: the signatures."""
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    if not request.metadata_field:
        raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
    for field in request.metadata_field:
        if field != "signature_def":
            raise invalid(f"Metadata field {field} is not supported")
    response = tfs_messages.GetModelMetadataResponse()
    with _model(request, models) as model:
        call.model, call.version = model.name, model.version
        response.model_spec.CopyFrom(tensorflow_messages.model_spec(model))
        response.metadata["signature_def"].Pack(tensorflow_messages.signature_defs(model))
    return response


def get_model_status(request, models: Repository, config: Config, call: Call):
    """Answers a GetModelStatusRequest; a label in it makes no difference, as in TF Serving."""
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    name, version, _ = _choice(request.model_spec)
    versions = models.versions(name, version)
    call.model = name
    return tensorflow_messages.model_status(versions)


def reload_config(request, models: Repository, config: Config, call: Call):
    """Answers a ReloadConfigRequest: serves the models it lists from now on, and no others."""
    if request.config.WhichOneof("config") != "model_config_list":
        raise invalid(
            "ServerModelConfig type not supported by HandleReloadConfigRequest. Only "
            "ModelConfigList is currently supported"
        )
    models.reload(request.config)
    response = tfs_messages.ReloadConfigResponse()
    response.status.error_code = int(Code.OK)
    return response


@contextlib.contextmanager
def _model(request, models: Repository) -> Iterator[Model]:
    """Holds the model that a request's ModelSpec names."""
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    with models.use(*_choice(request.model_spec)) as model:
        yield model


def _choice(spec) -> tuple[str, int | None, str | None]:
    """Returns name, version and label of a ModelSpec."""
    if not spec.name:
        raise invalid("ModelSpec has no name specified.")
    choice = spec.WhichOneof("version_choice")
    version = spec.version.value if choice == "version" else None
    label = spec.version_label if choice == "version_label" else None
    return spec.name, version, label


def _fill_spec(target, name: str, model: Model, signature_name: str) -> None:
    """Writes who answered: the name as it was asked for, the version, the signature."""
    target.name = name
    target.version.value = model.version
    target.signature_name = signature_name


def _inputs(sent, expected: dict[str, dict], max_bytes: int) -> dict[str, np.ndarray]:
    """Returns the arrays of a request's inputs, which must be those of the signature."""
    if len(sent) != len(expected):
        if len(sent) > MOST_NAMED:
            raise invalid(f"input size does not match signature: {len(sent)}!={len(expected)}")
        names = sorted(sent), sorted(expected)
        extra, missing = sorted({*sent} - {*expected}), sorted({*expected} - {*sent})
        got, wanted, extra, missing = (",".join(list) for list in (*names, extra, missing))
        raise invalid(
            f"input size does not match signature: {len(sent)}!={len(expected)} len({{{got}}}) != "
            f"len({{{wanted}}}). Sent extra: {{{extra}}}. Missing but required: {{{missing}}}."
        )
    arrays = {}
    for index, (alias, tensor) in enumerate(sent.items()):
        if alias not in expected:
            raise invalid(
                f"input tensor alias not found in signature: {alias}. Inputs expected to be in the "
                f"set {{{','.join(sorted(expected))}}}."
            )
        array = tensorflow_tensors.to_array(tensor, alias, max_bytes)
        got, wanted = tensorflow_tensors.NAMES[tensor.dtype], expected[alias]["dtype"]
        if got != wanted:
            got, wanted = _TYPE_NAMES.get(got, got), _TYPE_NAMES.get(wanted, wanted)
            raise invalid(
                f"Expects arg[{index}] to be {wanted} but {got} is provided (input {alias})"
            )
        arrays[alias] = array
    return arrays


def _wanted(output_filter, outputs: dict[str, dict]) -> list[str]:
    """Returns the names of the outputs that a request asks for: all if it names none."""
    wanted: list[str] = []
    for alias in output_filter:
        if alias not in outputs:
            raise invalid(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in "
                f"the set {{{','.join(sorted(outputs))}}}."
            )
        if alias in wanted:
            raise invalid(f"duplicate output tensor alias: {alias}")
        wanted.append(alias)
    return wanted or list(outputs)


_ANSWERS = {
    "PredictionService": {
        "Predict": ("predict", predict),
        "Classify": ("classify", classify),
        "Regress": ("regress", regress),
        "MultiInference": ("multi_inference", multi_inference),
        "GetModelMetadata": ("metadata", get_model_metadata),
    },
    "ModelService": {
        "GetModelStatus": ("status", get_model_status),
        "HandleReloadConfigRequest": ("reload", reload_config),
    },
}


def _methods() -> dict[str, Method]:
    """Returns the methods of both services by their paths."""
    methods = {}
    for service_name, answers in _ANSWERS.items():
        service = tfs_messages.pool().FindServiceByName(f"tensorflow.serving.{service_name}")
        for method in service.methods:
            name, answer = answers[method.name]
            request_class = message_factory.GetMessageClass(method.input_type)
            path = f"/{service.full_name}/{method.name}"
            methods[path] = Method("tensorflow_grpc", name, request_class, answer)
    return methods


METHODS = _methods()
