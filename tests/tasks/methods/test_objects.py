"""What every method makes of odd targets, in `fit`: no rows, no objects, crowds, faulty boxes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import data, models, tasks, train
from dlcv_tf.errors import InputError
from dlcv_tf.tasks import methods
from dlcv_tf.tasks.methods import objects
from tests.helpers import pictures
from tests.tasks.methods import scenes

SHAPE, LABELS, BATCH = (32, 32, 3), ["light", "dark"], 2
STRIDES, SIZES = (4, 8), (((8, 8),), ((14, 14),))
BACKBONE = {"widths": (4, 6, 8), "depths": (1, 1, 1)}
GRIDS = BACKBONE | {"strides": STRIDES, "anchors_per_cell": (1, 1)}
REGIONS = {"width": 4, "features": "c2", "hidden_units": (8,)}
PROPOSING = REGIONS | {"anchor_sizes": (8, 16), "num_proposals": 8}
KINDS = {
    "anchors": lambda: models.ssd(SHAPE, 2, **GRIDS),
    "grid": lambda: models.yolo(SHAPE, 2, **BACKBONE, grid=4, hidden_units=8),
    "fast_rcnn": lambda: models.fast_rcnn(SHAPE, 2, **REGIONS),
    "faster_rcnn": lambda: models.faster_rcnn(SHAPE, 2, **PROPOSING),
    "mask_rcnn": lambda: models.mask_rcnn(SHAPE, 2, PROPOSING, (4,), 2, (4,)),
    "rcnn": lambda: models.rcnn(SHAPE, 2, crop=8, context=1, widths=(4, 6), hidden_units=8),
    "sliding_window": lambda: models.sliding_window(SHAPE, 2, ((12, 6),), (4, 6, 8), window=10),
    "yolo_anchors": lambda: models.yolo_anchors(SHAPE, 2, **GRIDS),
}
OPTIONS = {
    "anchors": {"strides": STRIDES, "sizes": SIZES},
    "yolo_anchors": {"strides": STRIDES, "sizes": SIZES},
    "mask_rcnn": {"samples": 8, "rpn_samples": 16, "joint_weight": 1.0},
}
CLASSES = {
    "mask_rcnn": tasks.InstanceSegmenter,
    "rcnn": tasks.RegionDetector,
    "fast_rcnn": tasks.RegionDetector,
}


def detector(name):
    keras.utils.set_random_seed(0)
    method = methods.METHODS[name](**OPTIONS.get(name, {}))
    kind = CLASSES.get(name, tasks.Detector)
    task = kind(KINDS[name](), data.Preprocess(SHAPE[:2]), LABELS, method, max_detections=4)
    task.compile(keras.optimizers.SGD(1e-3))
    return task


def rows(boxes, valid=True, ignored=False):
    """Returns targets of a batch, pictures alike, with masks and joints."""
    count = len(boxes)
    boxes = np.tile(np.reshape(boxes, (1, count, 4)), (BATCH, 1, 1))
    batch = scenes.targets(boxes, np.arange(count) % 2, valid, ignored)
    joints = np.concatenate([boxes.reshape(BATCH, count, 2, 2), np.ones((BATCH, count, 2, 1))], -1)
    masks = np.ones((BATCH, count, *SHAPE[:2]), np.uint8)
    return batch | {"masks": masks, "joints": joints.astype(np.float32)}


MANY = [[2.0 * n, 3, 2 * n + 9, 14] for n in range(12)]  # more than detections, or positive samples
ODD = {
    "no row": rows([]),
    "no object": rows([[0, 0, 0, 0]] * 3, valid=False),
    "crowds": rows([[0, 0, 32, 32], [4, 4, 20, 20]], ignored=True),
    "many, and some outside of the picture": rows([*MANY, [-20, 4, 6, 40], [50, 50, 60, 70]]),
}


def inputs(task):
    """Returns a batch of pictures, and proposals where the task wants them."""
    images = pictures(BATCH, SHAPE[:2])
    near = np.array([[[2, 3, 11, 14], [10, 10, 30, 30], [0, 0, 0, 0]]] * BATCH, np.float32)
    return (images, near) if isinstance(task, tasks.RegionDetector) else images


def test_there_is_a_case_for_every_method():
    assert KINDS.keys() == methods.METHODS.keys()


@pytest.mark.parametrize("name", KINDS)
def test_odd_batches_go_through_fit(name):
    task = detector(name)
    losses = []
    watch = keras.callbacks.LambdaCallback(on_train_batch_end=lambda _, logs: losses.append(logs))
    examples = [(inputs(task), each) for each in ODD.values()]
    specs = tf.nest.map_structure(
        lambda *parts: tf.TensorSpec((BATCH, *_shape(parts)), parts[0].dtype), *examples
    )
    dataset = tf.data.Dataset.from_generator(lambda: iter(examples), output_signature=specs)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(examples)))
    task.fit(dataset, epochs=1, shuffle=False, verbose=0, callbacks=[watch])
    assert len(losses) == len(ODD)
    assert all(np.isfinite(list(logs.values())).all() for logs in losses)
    assert all(np.isfinite(weights).all() for weights in task.get_weights())
    static = task.train_on_batch(*examples[0], return_dict=True)  # known to be none while tracing
    assert all(np.isfinite(value) for value in static.values())


def _shape(arrays):
    """Returns the sizes after the first that some arrays have in common, None where they differ."""
    sizes = zip(*(array.shape[1:] for array in arrays), strict=True)
    return [each[0] if len(set(each)) == 1 else None for each in sizes]


def test_a_row_is_added_where_there_is_none_only():
    none, some = objects.objects(ODD["no row"]), objects.objects(ODD["crowds"])
    for part in none:
        assert part.shape[1] == 1 and not np.any(part)
    for name, part in some._asdict().items():
        np.testing.assert_array_equal(part, ODD["crowds"][name])


FAULTY = {
    "NaN": [1, np.nan, 5, 9],
    "infinity": [0, 0, np.inf, 4],
    "no area": [3, 3, 3, 9],
    "reversed": [9, 2, 4, 8],
}


@pytest.fixture(scope="module")
def ssd():
    return detector("anchors")


@pytest.mark.parametrize("fault", FAULTY)
def test_fit_and_evaluate_name_a_box_that_cannot_be_learnt(ssd, fault):
    bad = rows([[2, 3, 11, 14], FAULTY[fault]])
    bad["valid"] = np.array([[True, False], [True, True]])
    shown = " ".join(f"{number:g}" for number in FAULTY[fault])
    before = [np.array(each) for each in ssd.trainable_variables]
    for call in (ssd.fit, ssd.evaluate):
        with pytest.raises(InputError, match=rf"got the box {shown} \(picture 1, object 1\), exp"):
            call(inputs(ssd), bad, batch_size=BATCH, verbose=0)
    for one, other in zip(ssd.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(one, other)
    bad["valid"][1, 1] = False
    history = ssd.fit(inputs(ssd), bad, batch_size=BATCH, verbose=0).history
    assert np.isfinite(history["loss"]).all()


def test_a_visible_joint_without_a_place_is_named():
    task = detector("mask_rcnn")
    bad = rows([[2, 3, 11, 14], [8, 8, 20, 20]])
    bad["joints"][0, 1, 1, 0] = np.nan
    message = r"got the joint nan 20 1 \(picture 0, object 1, joint 1\), expected finite.*dlcv data"
    with pytest.raises(InputError, match=message):
        task.fit(inputs(task), bad, verbose=0)
    bad["joints"][0, 1, 1, 2] = 0  # not visible: it may be anything
    assert np.isfinite(task.fit(inputs(task), bad, verbose=0).history["loss"]).all()


@pytest.mark.parametrize("variant", [train.Variant(), train.Variant(parts=2, steps_per_call=2)])
def test_the_training_loop_names_it_too(variant):
    task = detector("anchors")
    targets = rows([[2, 3, 11, 14]])
    targets = {name: np.concatenate([each, each]) for name, each in targets.items()}
    targets["boxes"][3, 0, 1] = np.nan
    examples = tf.data.Dataset.from_tensor_slices((pictures(4, SHAPE[:2]), targets))
    batches = data.TrainingBatches(examples, 4, BATCH)
    with pytest.raises(InputError, match="got the box 2 nan 11 14 .picture [01], object 0"):
        train.train(task, batches, epochs=1, variant=variant, verbose=0)


def test_xla_counts_it_as_padding(ssd):
    bad, good = rows([[2, 3, 11, 14], FAULTY["NaN"]]), rows([[2, 3, 11, 14], [0, 0, 0, 0]])
    good["valid"] = np.array([[True, False]] * BATCH)
    valid = tf.function(lambda batch: objects.objects(batch).valid, jit_compile=True)
    np.testing.assert_array_equal(valid(bad), valid(good))
