"""Detectors, segmenters and their kin answer like Keras in every format, decoding included."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import data, export, models, tasks
from dlcv_tf.artifact import manifest as manifests
from dlcv_tf.artifact import runners
from dlcv_tf.errors import InputError
from dlcv_tf.export import parity, undecoded
from dlcv_tf.tasks import methods

SIZE = (32, 48)
LABELS = ["a", "b", "c"]
JOINTS = [f"joint{number}" for number in range(4)]
COUNT = 12
ANCHORS = {"strides": [4, 8], "sizes": [[[8, 8], [6, 12]], [[20, 14]]]}
NARROW = {"widths": (4, 8, 8), "depths": (1, 1, 1)}
GRIDS = NARROW | {"strides": (4, 8), "anchors_per_cell": (2, 1)}
TWO_STAGE = {"width": 4, "anchor_sizes": (8, 16), "num_proposals": 12, "hidden_units": (8,)}


def detector(network, method, task=tasks.Detector):
    return task(network, preprocess(), LABELS, method, score_threshold=0.1, max_detections=9)


def preprocess():
    return data.Preprocess(SIZE, 3, 128.0, 64.0)


def ssd():
    return detector(models.ssd((*SIZE, 3), 3, **GRIDS), methods.AnchorMethod(**ANCHORS))


def mask_rcnn():
    network = models.mask_rcnn(
        (*SIZE, 3), 3, TWO_STAGE, mask_filters=(4,), num_joints=4, joint_filters=(4,)
    )
    method = methods.MaskRCNN(samples=8, rpn_samples=8, joint_weight=1.0)
    return detector(network, method, tasks.InstanceSegmenter)


def segnet():
    network = models.segnet((*SIZE, 3), 3, filters=(4, 8), depths=(1, 1))
    return tasks.Segmenter(network, preprocess(), LABELS)


def heatmaps():
    network = models.joint_heatmaps((*SIZE, 3), 4, widths=(4, 8, 8), stride=2)
    return tasks.PoseEstimator(network, preprocess(), JOINTS)


def examples(task):
    """Returns random blobs with random targets of the task's kind, unbatched."""
    random = np.random.default_rng(0)
    coarse = random.normal(128, 60, (COUNT, 4, 6, 3)).repeat(8, axis=1).repeat(8, axis=2)
    images = np.clip(coarse + random.normal(0, 20, coarse.shape), 0, 255).astype(np.uint8)
    low = random.uniform(0, 20, (COUNT, 2, 2))
    boxes = np.concatenate([low, low + random.uniform(8, 12, low.shape)], -1).astype(np.float32)
    classes = random.integers(0, 3, (COUNT, 2)).astype(np.int32)
    flags = {"valid": np.ones((COUNT, 2), bool), "ignored": np.zeros((COUNT, 2), bool)}
    masks = random.integers(0, 2, (COUNT, 2, *SIZE)).astype(np.uint8)
    joints = random.uniform(0, 32, (COUNT, 2, 4, 3)).astype(np.float32)
    joints[..., 2] = 1
    things = {"boxes": boxes, "classes": classes, **flags}
    targets = {
        "boxes": things,
        "masks": things | {"masks": masks, "joints": joints},
        "class_map": random.integers(0, 3, (COUNT, *SIZE)).astype(np.uint8),
        "joints": {"joints": joints[:, 0]},
    }[task.targets]
    return tf.data.Dataset.from_tensor_slices((images, targets))


def spread(task):
    """Makes an untrained network's answers differ from picture to picture and place to place."""
    random = np.random.default_rng(1)
    for variable in task.network.weights:
        if variable.path.endswith(("bias", "beta")):
            variable.assign(random.normal(0, 0.3, variable.shape))
        elif variable.path.endswith(("moving_mean", "gamma", "moving_variance")):
            variable.assign(random.uniform(0.5, 1.5, variable.shape))
    return task


@pytest.fixture(scope="module")
def detector_artifact(tmp_path_factory):
    """The SSD network, trained for a moment, exported in all formats."""
    keras.utils.set_random_seed(0)
    task = spread(ssd())
    dataset = examples(task)
    task.compile(keras.optimizers.Adam(0.01))
    task.fit(dataset.batch(COUNT).repeat(20), epochs=1, shuffle=False, verbose=0)
    root = tmp_path_factory.mktemp("savedmodels")
    directory = export.export(task, "things", test=dataset, calibration=dataset, root=root)
    return directory, task, dataset


@pytest.mark.parametrize("build", [segnet, heatmaps])
def test_saved_model_onnx_and_tflite_answer_like_keras(build, tmp_path):
    keras.utils.set_random_seed(0)
    task = spread(build())
    expected = parity.reference(task, examples(task))
    export.export_saved_model(task, tmp_path / "saved")
    onnx = runners.OnnxRunner(export.export_onnx(tmp_path / "saved", tmp_path / "model.onnx"))
    lite = runners.LiteRTRunner(export.export_tflite(tmp_path / "saved", tmp_path / "model.tflite"))
    for name, run in (("onnx", onnx), ("tflite", lite)):
        parity._check_types(name, run(expected.pictures), task)
        for pictures, answers in (
            (expected.pictures, expected.answers),
            (expected.pictures[:1], {key: v[:1] for key, v in expected.answers.items()}),
            (expected.resized, expected.resized_answers),
        ):
            parity.check_agreement(name, expected.compare(run(pictures), answers))
    parity.certify_bytes(tmp_path / "saved", task, expected)


def test_every_format_is_certified_and_int8_gives_raw_outputs(detector_artifact):
    directory, task, _ = detector_artifact
    manifest = manifests.verify(directory)
    assert manifest.main_metric == "map50" and not manifest.left_out
    assert set(manifest.formats) == {"saved_model", "onnx", "tflite", "tflite_int8"}
    for name in ("saved_model", "onnx", "tflite"):
        entry = manifest.formats[name]
        assert entry["worst_error"] < entry["bound"] == 0.5
        assert entry["agreement"]["boxes"]["without_counterpart"] <= 0.005
        assert abs(entry["map50"] - manifest.formats["saved_model"]["map50"]) <= 0.002
    decode = manifest.formats["tflite_int8"]["decode"]
    assert decode["task"] == "Detector" and decode["method"]["name"] == "AnchorMethod"
    assert decode["method"]["strides"] == [4, 8] and decode["score_threshold"] == 0.1
    raw = runners.LiteRTRunner(directory / "model_int8.tflite", image_size=SIZE)
    assert sorted(raw.output_names) == ["deltas", "logits"]
    outputs = manifest.signatures["image_bytes"]["outputs"]
    assert outputs["labels"] == {"dtype": "string", "shape": [None, 9]}
    assert manifest.signatures["serving_default"]["outputs"] == task.answer_signature()


def test_runners_of_all_formats_answer_alike(detector_artifact):
    directory, task, dataset = detector_artifact
    pictures = np.stack([image for image, _ in dataset.as_numpy_iterator()])
    pictures = pictures[:, :, ::-1].repeat(2, axis=1)  # new ones, of another size
    expected = {name: v.numpy() for name, v in task.answer(pictures).items()}
    assert expected["num_detections"].sum() > COUNT
    for format in ("onnx", "tflite", "tflite_int8"):
        got = runners.load(directory, format)(pictures)
        assert got.keys() == expected.keys()
        for name, values in expected.items():
            assert got[name].dtype == values.dtype and got[name].shape == values.shape
        same = (got["classes"][:, 0] == expected["classes"][:, 0]).mean()
        near = np.abs(got["boxes"][:, 0] - expected["boxes"][:, 0]).max(axis=1) < 3
        assert same >= 0.8 and near.mean() >= 0.7, format  # the best one, for int8 too


def test_the_int8_decoding_is_the_detectors_own(detector_artifact):
    directory, task, dataset = detector_artifact
    runner = runners.load(directory, "tflite_int8")
    pictures = np.stack([image for image, _ in dataset.as_numpy_iterator()])
    raw = runner.raw(pictures)
    expected = task.decode({name: tf.constant(v) for name, v in raw.items()}, SIZE)
    got = runner(pictures)
    for name, values in expected.items():
        np.testing.assert_allclose(got[name], values, atol=1e-3, err_msg=name)


def test_the_graph_up_to_its_raw_outputs_is_found_in_every_format(detector_artifact):
    directory, task, dataset = detector_artifact
    pictures = np.stack([image for image, _ in dataset.take(3).as_numpy_iterator()])
    expected = {name: v.numpy() for name, v in task(pictures, training=False).items()}
    for format in ("saved_model", "onnx", "tflite"):
        raw = undecoded.runner(directory, format)(pictures)
        found = list(raw.values()) if isinstance(raw, dict) else raw
        for values in expected.values():
            alike = [v for v in found if v.shape == values.shape]
            assert any(np.allclose(v, values, atol=1e-3) for v in alike), format
    assert undecoded.runner(directory, "tflite_int8").output_names


def test_a_second_stage_has_no_int8_file_and_the_reason_is_kept(tmp_path):
    keras.utils.set_random_seed(0)
    task = spread(mask_rcnn())
    dataset = examples(task)
    directory = export.export(task, "two", test=dataset, calibration=dataset, root=tmp_path)
    manifest = manifests.verify(directory)
    assert set(manifest.formats) == {"saved_model", "onnx", "tflite"}
    assert manifest.formats["onnx"]["agreement"].keys() == {"boxes", "masks", "joints"}
    assert "selects its proposals inside" in manifest.left_out["tflite_int8"]
    with pytest.raises(InputError, match="has no tflite_int8: the network selects its proposals"):
        runners.load(directory, "tflite_int8")


def test_proposals_from_outside_of_the_graph_are_refused(tmp_path):
    network = models.rcnn((*SIZE, 3), 3, crop=8, context=1, widths=(4, 6), hidden_units=8)
    task = tasks.RegionDetector(network, preprocess(), LABELS, methods.RCNN(), 6)
    dataset = tf.data.Dataset.range(1)
    with pytest.raises(InputError, match="got a RegionDetector, whose proposals come from"):
        export.export(task, "rcnn", test=dataset, calibration=dataset, root=tmp_path)
