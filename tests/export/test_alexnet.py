"""AlexNet's two towers and its local response normalisation go into every exported file."""

import keras
import numpy as np
import pytest

from dlcv_tf import data, export, models, tasks
from dlcv_tf.artifact import manifest as manifests
from dlcv_tf.artifact import runners


@pytest.mark.slow
def test_grouped_alexnet_answers_alike_in_every_format(tmp_path):
    keras.utils.set_random_seed(0)
    loaded = (data.load("shapes", split, image_size=(67, 67))[0] for split in ("val", "test"))
    calibration, test = (dataset.take(200) for dataset in loaded)
    network = models.alexnet(
        (67, 67, 3), 6, (8, 16, 16, 16, 16), hidden_units=64, dropout=0.0, grouped=True
    )
    for number in (1, 2):
        network.get_layer(f"norm{number}").alpha = 0.5  # the paper's hardly shows here
    task = tasks.Classifier(network, data.Preprocess((67, 67), 3, 128.0, 64.0), data.shapes.LABELS)
    task.compile(keras.optimizers.Adam(1e-3))
    task.fit(calibration.batch(20), epochs=6, shuffle=False, verbose=0)
    directory = export.export(
        task, "alexnet", test=test, calibration=calibration, root=tmp_path / "savedmodels"
    )
    formats = manifests.verify(directory).formats
    assert formats.keys() >= {"saved_model", "onnx", "tflite"}
    assert all(formats[name]["worst_error"] < 1e-4 for name in ("saved_model", "onnx", "tflite"))
    pictures = np.stack([image for image, _ in test.take(8).as_numpy_iterator()])
    expected = task.answer(pictures)["probabilities"].numpy()
    assert np.ptp(expected, axis=0).max() > 0.05  # answers differ by far more than the bound
    for name in ("onnx", "tflite"):
        got = runners.load(directory, name)(pictures)["probabilities"]
        np.testing.assert_allclose(got, expected, atol=1e-4, err_msg=name)
