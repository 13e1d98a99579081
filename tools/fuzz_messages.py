"""Messages for `fuzz_serving.py`: good ones of every method, and ones with wrong fields in them."""

import fuzz_pictures
import fuzz_requests
import numpy as np
from fuzz_requests import ODD_NUMBERS, TEXTS, Grpc, Text
from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor as Field
from hypothesis import strategies as st

from dlcv_tf.artifact import inference_messages, tfs_messages
from dlcv_tf.serve import grpc_server

TF_SERVING = "/tensorflow.serving.PredictionService/"
MODEL_SERVICE = "/tensorflow.serving.ModelService/"
KSERVE = "/inference.GRPCInferenceService/"
RELOAD = MODEL_SERVICE + "HandleReloadConfigRequest"
WHOLE = {
    Field.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    Field.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    Field.CPPTYPE_UINT32: (0, 2**32 - 1),
    Field.CPPTYPE_UINT64: (0, 2**64 - 1),
    Field.CPPTYPE_ENUM: (-(2**31), 2**31 - 1),
}
SHORT = (Field.CPPTYPE_ENUM, Field.CPPTYPE_BOOL)
MOST = 300  # values that are added to a list at once


def good_predict() -> list[Grpc]:
    """Returns good calls of TF Serving's services."""
    images = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    calls = []
    for name, tensor in (
        ("images", tfs_messages.tensor(images)),
        ("images", tfs_messages.tensor(images.astype(np.float32))),
        ("images", tfs_messages.tensor(images.astype(np.float16))),
        ("image_bytes", tfs_messages.tensor([fuzz_pictures.pictures()[0]])),
    ):
        request = tfs_messages.PredictRequest()
        request.model_spec.name = {"uint8": "tiny", "float32": "floats", "float16": "halves"}.get(
            {1: "float32", 19: "float16"}.get(tensor.dtype, "uint8")
        )
        if name == "image_bytes":
            request.model_spec.signature_name = name
        request.inputs[name].CopyFrom(tensor)
        request.output_filter.extend(["scores"] if request.model_spec.name == "tiny" else [])
        calls.append(Grpc(TF_SERVING + "Predict", request.SerializeToString()))
    listed = tfs_messages.PredictRequest()
    listed.model_spec.name = "tiny"
    listed.model_spec.version.value = 1
    listed.inputs["images"].dtype = tfs_messages.tensor(images).dtype
    for size in images.shape:
        listed.inputs["images"].tensor_shape.dim.add(size=size)
    listed.inputs["images"].int_val.extend([1, 2, 3])
    calls.append(Grpc(TF_SERVING + "Predict", listed.SerializeToString()))
    return calls


def good_examples() -> list[Grpc]:
    """Returns good calls of the methods that take tf.Example protos, and of the smaller ones."""
    spec = 'name: "tiny" signature_name: "classify"'
    example = 'features { feature { key: "image_bytes" value { bytes_list { value: "x" } } } }'
    listed = f"input {{ example_list {{ examples {{ {example} }} }} }}"
    with_context = (
        f"input {{ example_list_with_context {{ examples {{ }} context {{ {example} }} }} }}"
    )
    classify = "tensorflow/serving/classify"
    texts = {
        "Classify": f"model_spec {{ {spec} }} {listed}",
        "Regress": f"model_spec {{ {spec} }} {with_context}",
        "MultiInference": f'tasks {{ model_spec {{ {spec} }} method_name: "{classify}" }} {listed}',
        "GetModelMetadata": 'model_spec { name: "tiny" } metadata_field: "signature_def"',
    }
    calls = [of_text(TF_SERVING + name, text) for name, text in texts.items()]
    picture = calls[0].body.replace(b"x", b"x")  # as text it is none: a real one goes in its place
    request = tfs_messages.ClassificationRequest.FromString(picture)
    feature = request.input.example_list.examples[0].features.feature["image_bytes"]
    feature.bytes_list.value[0] = fuzz_pictures.pictures()[0]
    return [
        *calls,
        Grpc(calls[0].path, request.SerializeToString()),
        of_text(
            MODEL_SERVICE + "GetModelStatus", 'model_spec { name: "tiny" version { value: 1 }}'
        ),
    ]


def good_infers() -> list[Grpc]:
    """Returns good calls of KServe's methods."""
    tensor = 'name: "images" datatype: "UINT8" shape: [1, 1, 2, 3]'
    typed = f'model_name: "tiny" inputs {{ {tensor} contents {{ uint_contents: [1,2,3,4,5,6] }} }}'
    raw = (
        f'model_name: "tiny" model_version: "1" id: "7" inputs {{ {tensor} }} '
        'outputs { name: "scores" } raw_input_contents: "abcdef" '
        'parameters { key: "signature_name" value { string_param: "serving_default" } }'
    )
    files = (
        'model_name: "negative" inputs { name: "image_bytes" datatype: "BYTES" shape: 1 '
        'contents { bytes_contents: "x" } }'
    )
    floats = (
        'model_name: "floats" inputs { name: "images" datatype: "FP32" shape: [1, 1, 1, 3] '
        "contents { fp32_contents: [1, 2, 3] } }"
    )
    calls = [of_text(KSERVE + "ModelInfer", text) for text in (typed, raw, files, floats)]
    calls.append(of_text(KSERVE + "ModelStreamInfer", raw))
    for name in ("ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics"):
        calls.append(of_text(KSERVE + name, 'name: "tiny" version: "1"'))
    for name in ("ServerLive", "ServerReady", "ServerMetadata", "RepositoryIndex"):
        calls.append(Grpc(KSERVE + name))
    for name in ("RepositoryModelLoad", "RepositoryModelUnload"):
        calls.append(of_text(KSERVE + name, 'model_name: "floats"'))
    return calls


def good_configs() -> list[str]:
    """Returns the text of good configurations; base paths start in the models directory."""
    return [
        'model_config_list { config { name: "tiny" base_path: "tiny" } }',
        'model_config_list { config { name: "tiny" base_path: "tiny" model_platform: "tensorflow" '
        'model_version_policy { specific { versions: 1 } } version_labels { key: "stable" value: 1 '
        '} } config { name: "n" base_path: "negative" model_version_policy { all { } } '
        'logging_config { sampling_config { sampling_rate: 0.5 } } } }',
        'model_config_list { config { name: "a" base_path: "tiny" model_version_policy { latest { '
        "num_versions: 2 } } } }",
    ]  # fmt: skip


def good_reloads() -> list[Grpc]:
    """Returns good calls that change what is served."""
    return [of_text(RELOAD, f"config {{ {text} }}") for text in good_configs()]


@st.composite
def wrong_calls(draw, good: list[Grpc]) -> Grpc:
    """A call in whose message some fields are other ones."""
    call = draw(st.sampled_from(good))
    message = grpc_server.METHODS[call.path].request_class.FromString(call.body)
    for _ in range(draw(st.integers(0, 4))):
        change(draw, message)
    return Grpc(call.path, fuzz_requests.damaged(draw, message.SerializeToString()))


@st.composite
def wrong_configs(draw) -> Text:
    """The text of a configuration with other fields, or other characters, in it."""
    message = tfs_messages.ModelServerConfig()
    text_format.Parse(
        draw(st.sampled_from(good_configs())), message, descriptor_pool=tfs_messages.pool()
    )
    for _ in range(draw(st.integers(0, 3))):
        change(draw, message)
    text = text_format.MessageToString(message, as_one_line=draw(st.booleans()))
    odd = st.sampled_from(["{" * 2000, '"', "'\\xff'", "\\", "[a.b]", "#", "0x", "-", "a: 1", "<"])
    if draw(st.booleans()):
        start = draw(st.integers(0, len(text)))
        text = text[:start] + draw(odd) + text[start + draw(st.integers(0, 3)) :]
    return Text(fuzz_requests.damaged(draw, text.encode()))


def change(draw, message) -> None:
    """Changes one field of a message, or of one inside it."""
    fields = message.DESCRIPTOR.fields
    held = [field for field, _ in message.ListFields() if field.message_type is not None]
    if held and draw(st.integers(0, 3)):  # mostly deep down, where good messages have something
        inner = _inner(draw, message, draw(st.sampled_from(held)))
        if inner is not None and inner.DESCRIPTOR.fields:
            change(draw, inner)
        return
    if not fields:
        return
    field = draw(st.sampled_from(list(fields)))
    if draw(st.integers(0, 5)) == 0:
        message.ClearField(field.name)
    elif _is_map(field):
        _add_to_map(draw, message, field)
    elif field.is_repeated:
        _add_to_list(draw, getattr(message, field.name), field)
    elif field.message_type is not None:
        getattr(message, field.name).SetInParent()
    else:
        setattr(message, field.name, draw(_scalars(field)))


def _inner(draw, message, field):
    """Returns a message inside a field, None where there is none."""
    held = getattr(message, field.name)
    if _is_map(field):
        value = field.message_type.fields_by_name["value"]
        if value.message_type is None:
            _add_to_map(draw, message, field)
            return None
        return held[draw(st.sampled_from(sorted(held)))] if held else None
    if field.is_repeated:
        return held[draw(st.integers(0, len(held) - 1))]
    return held


def _add_to_map(draw, message, field) -> None:
    key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
    held, name = getattr(message, field.name), draw(_scalars(key))
    if value.message_type is None:
        held[name] = draw(_scalars(value))
    else:
        held[name].SetInParent()


def _add_to_list(draw, held, field) -> None:
    how = draw(st.integers(0, 3))
    if how == 0 and held:
        del held[draw(st.integers(0, len(held) - 1))]
    elif field.message_type is not None:
        if held and how == 1:
            held.append(held[0])
        else:
            held.add()
    elif held and how == 1:
        held[0] = draw(_scalars(field))
    else:
        times = draw(st.sampled_from([1, 1, 1, 2, 33, MOST]))
        held.extend([draw(_scalars(field))] * times)


def _scalars(field) -> st.SearchStrategy:
    """Returns a strategy of the values of a field that is no message."""
    if field.cpp_type in WHOLE:
        least, most = WHOLE[field.cpp_type]
        odd = [number for number in ODD_NUMBERS if least <= number <= most]
        if field.cpp_type == Field.CPPTYPE_ENUM:
            odd = [value.number for value in field.enum_type.values] + [-1, 10**6]
        return st.sampled_from(odd)
    if field.cpp_type == Field.CPPTYPE_BOOL:
        return st.booleans()
    if field.cpp_type in (Field.CPPTYPE_FLOAT, Field.CPPTYPE_DOUBLE):
        return st.floats(width=32)
    if field.type == Field.TYPE_BYTES:
        return st.one_of(
            st.binary(max_size=16),
            st.sampled_from([bytes(12), b"\xff" * 12, b"\x01\x80", *fuzz_pictures.pictures()[:3]]),
        )
    return TEXTS


def _is_map(field) -> bool:
    inner = field.message_type
    return inner is not None and inner.GetOptions().map_entry


def of_text(path: str, text: str) -> Grpc:
    """Returns the call of a method with a message that is given as text."""
    message = grpc_server.METHODS[path].request_class()
    pools = inference_messages if path.startswith(KSERVE) else tfs_messages
    text_format.Parse(text, message, descriptor_pool=pools.pool())
    return Grpc(path, message.SerializeToString())
