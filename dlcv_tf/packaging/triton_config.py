"""Triton's `config.pbtxt`: made as its own ModelConfig message, checked against the ONNX file."""

import json
from collections.abc import Sequence

from google.protobuf import text_format

from dlcv_tf.artifact import inference_messages
from dlcv_tf.errors import InputError
from dlcv_tf.packaging.models import Model

LARGEST_BATCH = 32
PREFERRED = (8, 16, 32)
DELAY = 2000  # microseconds that a request waits for others
QUEUE = 256  # requests; more are refused
QUEUE_TIMEOUT = 5_000_000  # microseconds in the queue; a request may ask for less
ENGINES = "/engines"  # where the container keeps TensorRT's compiled networks

TYPES = {
    "bool": "TYPE_BOOL",
    "uint8": "TYPE_UINT8",
    "uint16": "TYPE_UINT16",
    "uint32": "TYPE_UINT32",
    "uint64": "TYPE_UINT64",
    "int8": "TYPE_INT8",
    "int16": "TYPE_INT16",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "float16": "TYPE_FP16",
    "float32": "TYPE_FP32",
    "float64": "TYPE_FP64",
    "string": "TYPE_STRING",
}


def text(message) -> str:
    """Returns a message as protobuf's text."""
    return text_format.MessageToString(message)


def onnx(versions: Sequence[Model], kind: str = "KIND_GPU"):
    """Returns the ModelConfig of a model's ONNX files.

    Args:
        versions: of one model, the oldest first.
        kind: of the instances: `"KIND_GPU"` or `"KIND_CPU"`.

    Raises:
        InputError: for versions that do not take and answer the same, which Triton cannot have
            under one name.
    """
    config = _config(versions)
    config.backend = "onnxruntime"
    config.default_model_filename = "model.onnx"
    group = config.instance_group.add(count=1)
    group.kind = group.Kind.Value(kind)
    return config


def tensorrt(versions: Sequence[Model]):
    """Returns the same for TensorRT in half precision, for pictures of the network's own size.

    TensorRT compiles for a range of shapes, which takes minutes: so the size is one, the batch not.
    """
    config = onnx(versions)
    newest = versions[-1]
    fixed = _own_size(newest)
    config.input[0].dims[:] = fixed
    shape = "x".join(map(str, fixed))
    profile = {
        kind: f"{config.input[0].name}:{batch}x{shape}"
        for kind, batch in (("min", 1), ("opt", PREFERRED[0]), ("max", LARGEST_BATCH))
    }
    accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator.add()
    accelerator.name = "tensorrt"
    accelerator.parameters.update(
        {
            "precision_mode": "FP16",
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": f"{ENGINES}/{newest.name}",
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": f"{ENGINES}/{newest.name}",
        }
        | {f"trt_profile_{kind}_shapes": value for kind, value in profile.items()}
    )
    return config


def saved_model(versions: Sequence[Model]):
    """Returns the ModelConfig of the SavedModels: for Triton up to 25.02 alone."""
    config = _config(versions)
    config.platform = "tensorflow_savedmodel"
    group = config.instance_group.add(count=1)
    group.kind = group.KIND_GPU
    return config


def check_file(model: Model, path) -> None:
    """Compares an ONNX file with the manifest, as Triton compares it with `config.pbtxt`.

    Raises:
        InputError: for tensors of other names, types or sizes, or a first axis that is not free.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises a class of its own for each status
        raise InputError(f"{path} is no model ONNX Runtime can load: {error}") from None
    for kind, found in (("inputs", session.get_inputs()), ("outputs", session.get_outputs())):
        expected = model.tensors[kind]
        if {tensor.name for tensor in found} != set(expected):
            raise InputError(
                f"got the {kind} {sorted(tensor.name for tensor in found)} in {path}, expected "
                f"{sorted(expected)} as in its manifest: export the model again"
            )
        for tensor in found:
            said = expected[tensor.name]["shape"]
            sizes = [size if isinstance(size, int) else None for size in tensor.shape]
            fits = len(said) == len(sizes) and sizes[:1] == [None]
            fits = fits and all(
                own in (None, given) for own, given in zip(sizes, said, strict=True)
            )
            if not fits:
                raise InputError(
                    f"got {tensor.name} of the shape {tensor.shape} in {path}, expected {said} as "
                    "in its manifest, the first axis free for batches: export the model again"
                )


def _config(versions: Sequence[Model]):
    newest = versions[-1]
    for model in versions[:-1]:
        if json.dumps(model.tensors, sort_keys=True) != json.dumps(newest.tensors, sort_keys=True):
            raise InputError(
                f"got {model.place} and {newest.place}, which do not take and answer the same "
                "tensors, expected versions that do, as Triton has one config.pbtxt for all: "
                "export the newer one by another name"
            )
    config = inference_messages.ModelConfig(name=newest.name, max_batch_size=LARGEST_BATCH)
    for name, spec in newest.tensors["inputs"].items():
        _describe(config.input.add(name=name), spec)
    for name, spec in newest.tensors["outputs"].items():
        output = config.output.add(name=name)
        _describe(output, spec)
        if name == "probabilities":
            output.label_filename = "labels.txt"
    config.version_policy.specific.versions.extend(model.version for model in versions)
    batching = config.dynamic_batching
    batching.preferred_batch_size.extend(PREFERRED)
    batching.max_queue_delay_microseconds = DELAY
    policy = batching.default_queue_policy
    policy.timeout_action = policy.REJECT
    policy.default_timeout_microseconds = QUEUE_TIMEOUT
    policy.allow_timeout_override = True
    policy.max_queue_size = QUEUE
    _add_warm_up(config, newest)
    return config


def _describe(tensor, spec: dict) -> None:
    """Fills in type and sizes without the batch's axis; -1 is any size.

    A tensor of one number a picture has no other axis, which `dims` cannot say: Triton has it as
    [1], and reshapes it to what the network answers.
    """
    tensor.data_type = inference_messages.DataType.Value(TYPES[spec["dtype"]])
    sizes = [-1 if size is None else size for size in spec["shape"][1:]]
    tensor.dims.extend(sizes or [1])
    if not sizes:
        tensor.reshape.SetInParent()


def _own_size(model: Model) -> list[int]:
    """Returns the sizes of one picture, the network's own where any would do."""
    ((_, spec),) = model.tensors["inputs"].items()
    own = [*model.manifest.preprocessing["size"], model.manifest.preprocessing["channels"]]
    return [given or size for given, size in zip(spec["shape"][1:], own, strict=True)]


def _add_warm_up(config, model: Model) -> None:
    """Adds batches of random pictures of the network's own size, which run before it is ready."""
    for batch in (1, *PREFERRED):
        warm_up = config.model_warmup.add(name=f"batch_{batch}", batch_size=batch)
        tensor = warm_up.inputs[config.input[0].name]
        tensor.data_type = config.input[0].data_type
        tensor.dims.extend(_own_size(model))
        tensor.random_data = True
