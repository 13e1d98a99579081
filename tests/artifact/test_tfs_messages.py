"""TF Serving's messages without TensorFlow: names, tensors, and bytes that TensorFlow reads."""

import subprocess
import sys

import numpy as np
import pytest

from dlcv_tf.artifact import tfs_messages


def test_messages_of_both_packages_are_found_by_name():
    for name, full_name in {
        "PredictRequest": "tensorflow.serving.PredictRequest",
        "PredictionLog": "tensorflow.serving.PredictionLog",
        "GetModelStatusResponse": "tensorflow.serving.GetModelStatusResponse",
        "ModelServerConfig": "tensorflow.serving.ModelServerConfig",
        "SignatureDefMap": "tensorflow.serving.SignatureDefMap",
        "TensorProto": "tensorflow.TensorProto",
        "Any": "google.protobuf.Any",
    }.items():
        assert getattr(tfs_messages, name).DESCRIPTOR.full_name == full_name
    assert tfs_messages.DataType.Value("DT_STRING") == 7
    with pytest.raises(AttributeError, match="no message or enum 'Nonsense'"):
        _ = tfs_messages.Nonsense


def test_both_services_are_described():
    service = tfs_messages.pool().FindServiceByName("tensorflow.serving.PredictionService")
    assert [method.name for method in service.methods] == [
        "Classify",
        "Regress",
        "Predict",
        "MultiInference",
        "GetModelMetadata",
    ]
    tfs_messages.pool().FindServiceByName("tensorflow.serving.ModelService")


def test_any_packs_in_the_private_pool():
    packed = tfs_messages.Any()
    packed.Pack(tfs_messages.SignatureDefMap(signature_def={"a": tfs_messages.SignatureDef()}))
    assert packed.type_url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    unpacked = tfs_messages.SignatureDefMap()
    assert packed.Unpack(unpacked)
    assert list(unpacked.signature_def) == ["a"]


def test_tensorflow_reads_the_bytes_beside_us():
    tf = pytest.importorskip("tensorflow")
    for values in (
        np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
        np.array([1.5, np.nan], np.float32),
        np.array([True, False]),
        np.array(-3, np.int64),
    ):
        theirs = tf.make_tensor_proto(0)
        theirs.ParseFromString(tfs_messages.tensor(values).SerializeToString())
        np.testing.assert_array_equal(tf.make_ndarray(theirs), values)
    theirs.ParseFromString(tfs_messages.tensor([b"a\0", "é"]).SerializeToString())
    assert list(theirs.string_val) == [b"a\0", "é".encode()]
    assert tf.make_ndarray(theirs).shape == (2,)


def test_predict_request_round_trip():
    request = tfs_messages.PredictRequest()
    request.model_spec.name = "net"
    request.model_spec.version.value = 7
    request.inputs["images"].CopyFrom(tfs_messages.tensor(np.zeros((1, 2, 2, 3), np.uint8)))
    log = tfs_messages.PredictionLog(predict_log={"request": request})
    again = tfs_messages.PredictionLog.FromString(log.SerializeToString())
    tensor = again.predict_log.request.inputs["images"]
    assert tensor.dtype == tfs_messages.DataType.Value("DT_UINT8")
    assert [dim.size for dim in tensor.tensor_shape.dim] == [1, 2, 2, 3]
    assert again.predict_log.request.model_spec.version.value == 7


def test_the_room_imports_no_tensorflow():
    code = """
import sys
from dlcv_tf.artifact import manifest, pictures, runners, tfs_messages
tfs_messages.PredictRequest(), tfs_messages.DataType
loaded = {name.partition(".")[0] for name in sys.modules} & {"tensorflow", "keras"}
sys.exit(f"imported {loaded}" if loaded else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
