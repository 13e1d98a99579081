"""Decoding of a detector: what comes out of its `method` becomes an answer, in every format."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import data
from dlcv_tf.errors import InputError
from dlcv_tf.tasks.detector import Detector
from dlcv_tf.tasks.methods.method import Method

SIZE = (40, 60)
BOXES = [[2, 2, 12, 12], [3, 2, 13, 12], [30, 10, 70, 30], [50, -20, 55, -10]]
SCORES = [[0.9, 0.1], [0.8, 0.85], [0.0, 0.6], [0.7, 0.7]]


@keras.saving.register_keras_serializable(package="tests")
class Given(Method):
    """Reads candidates as they are from the network's output."""

    loss_names = ("loss",)

    def candidates(self, network, outputs, size):
        return outputs["boxes"], outputs["scores"]


def detector(**options):
    inputs = keras.Input((*SIZE, 3))
    network = keras.Model(inputs, {"logits": keras.layers.GlobalAveragePooling2D()(inputs)})
    return Detector(network, data.Preprocess(SIZE, 3), ["cat", "dog"], Given(), **options)


def decoded(boxes=BOXES, scores=SCORES, image_size=None, **options):
    outputs = {"boxes": np.array([boxes], np.float32), "scores": np.array([scores], np.float32)}
    answer = detector(**options).decode(tf.nest.map_structure(tf.constant, outputs), image_size)
    return {name: value[0].numpy() for name, value in answer.items()}


def test_boxes_are_suppressed_by_class_clipped_and_filled_up():
    answer = decoded(max_detections=6)
    # The first box's dog is suppressed by the second's, whose cat by the first's: 9/11 overlap.
    # The last box lies outside of the picture.
    assert answer["num_detections"] == 3
    np.testing.assert_allclose(answer["scores"], [0.9, 0.85, 0.6, 0, 0, 0], rtol=1e-6)
    np.testing.assert_array_equal(answer["classes"], [0, 1, 1, 0, 0, 0])
    expected = [BOXES[0], BOXES[1], [30, 10, 60, 30]]
    np.testing.assert_allclose(answer["boxes"], expected + [[0, 0, 0, 0]] * 3)
    for name, facts in detector(max_detections=6).answer_signature().items():
        assert (
            answer[name].dtype == facts["dtype"] and list(answer[name].shape) == facts["shape"][1:]
        )


def test_thresholds_and_the_number_of_boxes_are_arguments():
    assert decoded(iou_threshold=0.9)["num_detections"] == 5
    assert decoded(score_threshold=0.7)["num_detections"] == 2
    assert decoded(max_detections=1)["scores"].shape == (1,)
    nothing = decoded(score_threshold=0.95)
    assert all(not value.any() for value in nothing.values())


def test_each_class_may_have_its_own_box():
    boxes = np.array([[[2, 2, 12, 12], [20, 20, 25, 30]], [[3, 2, 13, 12], [40, 20, 45, 30]]])
    answer = decoded(boxes, [[0.9, 0.8], [0.7, 0.6]])
    np.testing.assert_array_equal(answer["classes"][:3], [0, 1, 1])
    np.testing.assert_allclose(answer["boxes"][:3], [boxes[0, 0], boxes[0, 1], boxes[1, 1]])


def test_places_are_those_of_the_original_picture():
    factors = np.array([2, 5, 2, 5])  # x, y
    expected = decoded()
    answer = decoded(image_size=tf.constant([200, 120]))
    np.testing.assert_allclose(answer["boxes"], expected["boxes"] * factors)
    each = decoded(image_size=tf.constant([[200, 120]]))
    np.testing.assert_allclose(each["boxes"], answer["boxes"])
    np.testing.assert_array_equal(each["scores"], expected["scores"])


def test_nan_is_no_detection():
    boxes = np.array(BOXES, float)
    boxes[0, 1], boxes[2, 2] = np.nan, np.inf
    answer = decoded(boxes, [[0.9, 0.9], [np.nan, 0.85], [0.9, 0.9], [0.7, 0.7]])
    assert answer["num_detections"] == 1
    np.testing.assert_allclose(answer["scores"][:2], [0.85, 0], rtol=1e-6)
    assert all(np.isfinite(value).all() for value in answer.values())


def test_one_trace_serves_every_batch_and_picture_size():
    task, traces = detector(max_detections=4), []
    spec = {
        "boxes": tf.TensorSpec((None, 4, 4), tf.float32),
        "scores": tf.TensorSpec((None, 4, 2), tf.float32),
    }

    @tf.function(input_signature=[spec, tf.TensorSpec((2,), tf.int32)])
    def decode(outputs, image_size):
        traces.append(1)
        return task.decode(outputs, image_size)

    for count, size in ((1, SIZE), (3, (200, 120))):
        outputs = {"boxes": np.array([BOXES] * count), "scores": np.array([SCORES] * count)}
        outputs = {name: tf.constant(value, tf.float32) for name, value in outputs.items()}
        got = decode(outputs, tf.constant(size))
        expected = decoded(max_detections=4, image_size=size)
        for name, value in got.items():
            for row in value:
                np.testing.assert_allclose(row, expected[name], rtol=1e-6)
    assert len(traces) == 1


def test_its_metric_knows_the_labels():
    metric = detector().new_metric()
    assert {"map50", "map", "ap50_cat", "ap50_dog"} <= metric.result().keys()


@pytest.mark.parametrize(
    "options", [{"score_threshold": 1.5}, {"iou_threshold": -1}, {"max_detections": 0}]
)
def test_bad_arguments_are_named(options):
    (name, value), *_ = options.items()
    with pytest.raises(InputError, match=f"got {name}={value}"):
        detector(**options)
