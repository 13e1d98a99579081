"""A trained task becomes an artifact whose every format answers like Keras, or nothing at all."""

import io
import json
import pathlib

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from PIL import Image

from dlcv_tf import data, export, models, tasks
from dlcv_tf.artifact import manifest as manifests
from dlcv_tf.artifact import pictures, runners, tfs_messages
from dlcv_tf.errors import InputError, RefusedError
from dlcv_tf.export import build, isolated, parity
from tests import helpers


@pytest.fixture(scope="module")
def task():
    """A small convolutional classifier of the digits, trained until its answers mean something."""
    keras.utils.set_random_seed(0)
    dataset, info = data.load("digits", "train")
    network = models.convnet(info.image_shape, 10, filters=(8,), hidden_units=16, dropout=0.0)
    result = tasks.Classifier(network, data.Preprocess((8, 8), 1), info.labels)
    result.compile(keras.optimizers.Adam(0.01))
    batches = data.TrainingBatches(dataset, info.num_examples, 64)
    result.fit(batches.stream(4), epochs=4, steps_per_epoch=19, shuffle=False, verbose=0)
    return result


@pytest.fixture(scope="module")
def test_set():
    return data.load("digits", "test")[0]


@pytest.fixture(scope="module")
def calibration():
    return data.load("digits", "train")[0]


@pytest.fixture(scope="module")
def artifact(task, test_set, calibration, tmp_path_factory):
    root = tmp_path_factory.mktemp("savedmodels")
    return export.export(task, "digits", test=test_set, calibration=calibration, root=root)


def pixels(dataset, count=16):
    images, labels = zip(*dataset.take(count).as_numpy_iterator(), strict=True)
    return np.stack(images), np.array(labels)


def test_directory_and_manifest(artifact, task):
    manifest = manifests.verify(artifact)
    assert artifact.name == "1" and manifest.version == 1 and manifest.name == "digits"
    assert [path.name for path in artifact.parent.iterdir()] == ["1"]
    assert set(manifest.formats) == {"saved_model", "onnx", "tflite", "tflite_int8"}
    assert manifest.labels == task.labels and manifest.task == "Classifier"
    assert manifest.certified_on["pictures"] == 359
    assert {"saved_model.pb", "model.onnx", "model.tflite", "model_int8.tflite"} <= set(
        manifest.files
    )
    for name, entry in manifest.formats.items():
        assert entry["accuracy"] > 0.8, name
        assert entry["bytes"] > 0 and set(entry["latency_ms"]) == {"1", "32"}
        assert entry["worst_error"] <= (1e-4 if entry["bound"] else 0.5), name
    assert manifest.formats["tflite_int8"]["bytes"] < manifest.formats["tflite"]["bytes"] / 2


@pytest.mark.parametrize("format", ["onnx", "tflite", "tflite_int8"])
@pytest.mark.parametrize("size", [(8, 8), (13, 21), (5, 6)])
@pytest.mark.parametrize("batch", [1, 5])
def test_any_size_and_batch(artifact, task, test_set, format, size, batch):
    images = pixels(test_set, batch)[0]
    images = np.rint(pictures.resize(images, size)).astype(np.uint8)
    expected = task.answer(images)
    got = runners.load(artifact, format)(images)
    assert got.keys() == expected.keys()
    tolerance = 0.25 if format == "tflite_int8" else 1e-4
    np.testing.assert_allclose(got["probabilities"], expected["probabilities"], atol=tolerance)
    if format != "tflite_int8":
        np.testing.assert_array_equal(got["classes"], expected["classes"])


def encoded(picture, format="PNG", **options):
    buffer = io.BytesIO()
    Image.fromarray(picture[..., 0]).save(buffer, format, **options)
    return buffer.getvalue()


def test_saved_model_takes_files_of_all_sizes_and_answers_labels(artifact, task, test_set):
    images = pixels(test_set, 3)[0]
    larger = np.rint(pictures.resize(images, (20, 30))).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    files = [encoded(images[0]), encoded(larger[1]), encoded(larger[2], "JPEG", exif=exif)]
    signature = tf.saved_model.load(str(artifact)).signatures["image_bytes"]
    answers = signature(image_bytes=tf.constant(files))
    for row, file in enumerate(files):
        expected = task.answer(pictures.decode(file, channels=1)[None])
        np.testing.assert_allclose(
            answers["probabilities"][row], expected["probabilities"][0], atol=1e-5
        )
        names = [task.labels[number].encode() for number in expected["classes"][0]]
        assert answers["labels"][row].numpy().tolist() == names


def test_onnx_names_its_inputs_outputs_and_dimensions(artifact):
    graph = onnx.load(artifact / "model.onnx").graph
    shapes = {
        tensor.name: [d.dim_param or d.dim_value for d in tensor.type.tensor_type.shape.dim]
        for tensor in [*graph.input, *graph.output]
    }
    assert shapes == {
        "images": ["batch", "height", "width", 1],
        "probabilities": ["batch", 10],
        "classes": ["batch", 5],
        "scores": ["batch", 5],
    }


def test_weights_are_stored_once(artifact, task):
    weights = sum(np.asarray(w).nbytes for w in task.weights)
    assert manifests.Manifest.load(artifact).formats["saved_model"]["bytes"] < weights + 200_000


def test_warm_up_requests_run_and_show_drawn_pictures(artifact, task):
    records = list(tf.data.TFRecordDataset(str(artifact / build.write_warmup.__globals__["FILE"])))
    loaded = tf.saved_model.load(str(artifact))
    seen = set()
    for record in records:
        request = tfs_messages.PredictionLog.FromString(record.numpy()).predict_log.request
        assert request.model_spec.name == "digits"
        signature = loaded.signatures[request.model_spec.signature_name]
        ((name, tensor),) = request.inputs.items()
        proto = tf.make_tensor_proto(0)
        proto.ParseFromString(tensor.SerializeToString())
        values = tf.constant(tf.make_ndarray(proto))
        answers = signature(**{name: values})
        assert answers["probabilities"].shape == (values.shape[0], 10)
        seen.add((request.model_spec.signature_name, int(values.shape[0])))
    assert seen == {(s, n) for s in ("serving_default", "image_bytes") for n in (1, 8)}


def test_next_version_and_no_overwriting(artifact, task, test_set, calibration):
    assert build.next_version(artifact.parent) == 2
    with pytest.raises(InputError, match="exists already"):
        export.export(
            task,
            "digits",
            test=test_set,
            calibration=calibration,
            root=artifact.parent.parent,
            version=1,
        )


def test_a_failed_bound_names_format_and_figure_and_leaves_nothing(
    task, test_set, calibration, tmp_path, monkeypatch
):
    monkeypatch.setattr(parity, "FLOAT_BOUND", 0.0)
    with pytest.raises(export.ExportError, match=r"\w+ differs .* by [0-9.e-]+ in a"):
        export.export(task, "digits", test=test_set, calibration=calibration, root=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_crashing_converter_is_named_and_leaves_nothing(
    task, test_set, calibration, tmp_path, monkeypatch
):
    monkeypatch.setattr(isolated, "__name__", "json.nothing")
    with pytest.raises(isolated.ConversionError, match="the onnx converter ended with status 1"):
        export.export(task, "digits", test=test_set, calibration=calibration, root=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_version_intact(
    artifact, task, test_set, calibration, monkeypatch
):
    before = manifests.verify(artifact)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(manifests.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        export.export(
            task, "digits", test=test_set, calibration=calibration, root=artifact.parent.parent
        )
    assert [path.name for path in artifact.parent.iterdir()] == ["1"]
    assert manifests.verify(artifact) == before


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_a_number_is_a_failure(bad):
    good = np.full((4, 3), 1 / 3, np.float32)
    broken = good.copy()
    broken[2, 1] = bad
    assert parity.worst_error(good, good) == 0
    with pytest.raises(export.ExportError, match="onnx differs"):
        parity.check_bounds(
            "onnx", parity.worst_error(broken, good), 0.0, bound=1e-4, accuracy_bound=0.001
        )


def test_accuracy_bound():
    parity.check_bounds("tflite_int8", 0.3, 0.0099, bound=np.inf, accuracy_bound=0.01)
    with pytest.raises(export.ExportError, match="accuracy of tflite_int8 differs .* 1.10 points"):
        parity.check_bounds("tflite_int8", 0.3, 0.011, bound=np.inf, accuracy_bound=0.01)


def test_answers_that_are_not_the_best_are_refused(task, test_set):
    expected = parity.reference(task, test_set.take(80))

    def swapped(images):
        answers = {name: np.asarray(v) for name, v in task.answer(images).items()}
        return answers | {"classes": answers["classes"][:, ::-1]}

    with pytest.raises(export.ExportError, match="are not the best"):
        parity.certify("onnx", swapped, expected, other_sizes=False)


def test_manifest_is_readable_json(artifact):
    values = json.loads((artifact / "manifest.json").read_text())
    assert values["signatures"]["image_bytes"]["inputs"] == {
        "image_bytes": {"dtype": "string", "shape": [None]}
    }
    assert values["preprocessing"]["size"] == [8, 8]
    assert pathlib.Path(artifact / values["formats"]["onnx"]["path"]).is_file()


def test_wrong_calibration_size_is_refused(task, test_set, tmp_path):
    wrong = data.load("digits", "train", image_size=(9, 9))[0]
    with pytest.raises(InputError, match=r"expected the network's \(8, 8\)"):
        export.export(task, "digits", test=test_set, calibration=wrong, root=tmp_path)


@pytest.mark.parametrize("name", ["a/b", "../x", ".hidden", "with:colon", ""])
def test_a_name_that_cannot_be_served_is_refused(name, task, test_set, calibration, tmp_path):
    with pytest.raises(InputError, match="expected letters, digits"):
        export.export(task, name, test=test_set, calibration=calibration, root=tmp_path / "models")
    assert list(tmp_path.iterdir()) == []


def test_fewer_pictures_than_wanted_are_said(task, test_set, calibration):
    facts = build._with_count({}, 40)
    assert facts["certified_on"]["note"] == "all 40 pictures there are; 256 wanted"
    assert "note" not in build._with_count({}, 256)["certified_on"]


def test_helpers_notice_a_difference():
    with pytest.raises(AssertionError):
        helpers.assert_equal(np.array([np.nan]), np.array([np.nan]))


def test_class_names_may_be_of_any_alphabet(task, test_set, tmp_path):
    labels = ["Käse", "猫", *"23456789"]
    named = tasks.Classifier(task.network, task.preprocess, labels)
    expected = parity.reference(named, test_set.take(4))
    export.export_saved_model(named, tmp_path)
    assert parity.certify_bytes(tmp_path, named, expected) < 1e-4


def test_a_full_disk_is_said_in_tensorflows_stead(
    task, test_set, calibration, tmp_path, monkeypatch
):
    def full(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(build, "export_saved_model", full)
    with pytest.raises(RefusedError, match="nothing was exported: No space left"):
        export.export(task, "digits", test=test_set, calibration=calibration, root=tmp_path)
    assert list(tmp_path.iterdir()) == []
