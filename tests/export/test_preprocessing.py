"""Statistics of the training pictures go into every exported file, and answer like Keras."""

import keras
import numpy as np
import onnx
import pytest

from dlcv_tf import data, export, models, tasks
from dlcv_tf.artifact import manifest as manifests
from dlcv_tf.artifact import runners


@pytest.mark.slow
@pytest.mark.parametrize("how", ["mean_image", "whiten"])
def test_an_export_contains_the_preprocessing(how, tmp_path):
    keras.utils.set_random_seed(0)
    images, labels = data.digits.arrays("train")
    preprocess = data.Preprocess.fitted(images, how, epsilon=100.0)
    network = models.mlp(preprocess.compute_output_shape((None,))[1:], 10, hidden_units=(32,))
    task = tasks.Classifier(network, preprocess, [str(number) for number in range(10)])
    task.compile(keras.optimizers.Adam(0.01))
    task.fit(images, labels, batch_size=64, epochs=5, verbose=0)
    test, calibration = (data.load("digits", split)[0] for split in ("test", "train"))
    directory = export.export(task, how, test=test, calibration=calibration, root=tmp_path)
    assert manifests.verify(directory).preprocessing["how"] == how
    raw = data.digits.arrays("test")[0][:20]  # uint8, as a client sends them
    expected = task.answer(raw)["probabilities"]
    for format in ("saved_model", "onnx", "tflite"):
        if format != "saved_model":
            got = runners.load(directory, format)(raw)["probabilities"]
            np.testing.assert_allclose(got, expected, atol=1e-4, err_msg=format)
        assert manifests.verify(directory).formats[format]["worst_error"] < 1e-4
    stored = [
        onnx.numpy_helper.to_array(tensor).ravel()
        for tensor in onnx.load(directory / "model.onnx").graph.initializer
    ]
    for weight in preprocess.weights:
        values = np.asarray(weight).ravel()
        assert any(
            array.size == values.size and np.allclose(np.sort(array), np.sort(values))
            for array in stored
        ), f"{weight.name} is not in the ONNX file"
