"""The drawn scenes and figures are the same every time, and their targets fit the pictures."""

import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import data
from dlcv_tf.data import scenes, shapes
from dlcv_tf.errors import InputError


def first(dataset, count=None):
    examples = list(dataset.take(count or -1).as_numpy_iterator())
    images, targets = zip(*examples, strict=True)
    return np.stack(images), targets


def test_scenes_are_the_same_every_time():
    one, other = (scenes.draw(np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.masks, other.masks)
    assert one.colours == other.colours


def test_every_shape_can_be_seen_and_no_two_share_a_pixel():
    drawn = scenes.scenes("val")
    assert len(drawn) == scenes.COUNTS["val"] == 200
    counts = np.bincount([len(scene.classes) for scene in drawn])
    assert counts[0] == 0 and counts[1:].min() > 20 and len(counts) == 5
    for scene in drawn:
        assert scene.masks.sum(axis=0).max() <= 1
        assert scene.masks.sum(axis=(1, 2)).min() >= 20
        assert len(set(scene.colours)) == len(scene.colours) == len(scene.masks)
    classes = np.concatenate([scene.classes for scene in drawn])
    assert np.bincount(classes, minlength=6).min() > 40


def test_the_pixels_of_a_shape_have_its_colour():
    distances = []
    for scene in scenes.scenes("val")[:50]:
        for mask, name in zip(scene.masks, scene.colours, strict=True):
            distances.append(np.abs(scene.image[mask].mean(axis=0) - scenes.COLOURS[name]).mean())
    assert np.mean(distances) < 15  # the gradient adds up to 40 grey levels


def test_boxes_are_around_the_pixels():
    mask = np.zeros((2, 8, 8), bool)
    mask[0, 2:5, 1:7] = True
    mask[1, 3, 3] = True
    np.testing.assert_array_equal(scenes.boxes_of(mask), [[1, 2, 7, 5], [3, 3, 4, 4]])
    assert scenes.boxes_of(mask[:0]).shape == (0, 4)


@pytest.mark.parametrize("size", [None, (48, 80)])
def test_boxes_masks_and_class_maps_agree(size):
    images, masks = first(data.load("shapes", "val", targets="masks", image_size=size)[0], 40)
    again, maps = first(data.load("shapes", "val", targets="class_map", image_size=size)[0], 40)
    _, boxes = first(data.load("shapes", "val", targets="boxes", image_size=size)[0], 40)
    np.testing.assert_array_equal(images, again)
    for one, class_map, same in zip(masks, maps, boxes, strict=True):
        painted = np.zeros_like(class_map)
        for mask, box, number, valid in zip(
            one["masks"], one["boxes"], one["classes"], one["valid"], strict=True
        ):
            painted[mask == 1] = number + 1
            assert valid == bool(mask.any()) and (valid or not box.any())
            if valid:
                tip = 0 if size is None else 4  # of a star, which the nearest pixel misses
                np.testing.assert_allclose(scenes.boxes_of(mask[None])[0], box, atol=tip)
        np.testing.assert_array_equal(painted, class_map)
        assert not one["ignored"].any()
        for key, value in same.items():
            np.testing.assert_array_equal(value, one[key])


def test_the_object_is_in_the_pictures_of_the_classification_set():
    images, objects = first(data.load("shapes", "val", targets="object")[0])
    plain, labels = first(data.load("shapes", "val")[0])
    np.testing.assert_array_equal(images, plain)
    assert [each["class"] for each in objects] == list(labels)
    boxes = np.stack([each["box"] for each in objects])
    assert boxes.dtype == np.float32 and objects[0]["class"].dtype == np.int32
    sides = boxes[:, 2:] - boxes[:, :2]
    assert boxes.min() >= 0 and boxes.max() <= 64 and sides.min() > 8
    corners = images[:, 0, 0].astype(float)
    middle = boxes.reshape(-1, 2, 2).mean(axis=1).astype(int)
    inside = images[np.arange(500), middle[:, 1], middle[:, 0]]
    assert (np.linalg.norm(inside - corners, axis=1) > 30).mean() > 0.95


def test_figures_have_fourteen_joints_in_the_picture_on_their_limbs():
    images, joints, boxes = scenes.figures("val")
    assert images.shape == (200, 64, 64, 3) and joints.shape == (200, 14, 3)
    assert joints[..., :2].min() > 2 and joints[..., :2].max() < 62 and (joints[..., 2] == 1).all()
    low, high = joints[..., :2].min(axis=1), joints[..., :2].max(axis=1)
    assert (low > boxes[:, :2] - 0.5).all() and (high < boxes[:, 2:] + 0.5).all()
    names = scenes.JOINT_NAMES
    right, left = (joints[:, names.index(f"{side} hip"), 0] for side in ("right", "left"))
    assert (right < left).all()  # it faces us
    # A joint stands out from its figure's background, and both knees from each other.
    rows, columns = joints[..., 1].astype(int), joints[..., 0].astype(int)
    pixels = images[np.arange(200)[:, None], rows, columns].astype(float)
    assert (np.linalg.norm(pixels - images[:, :1, 0], axis=-1)[:, :12] > 50).mean() > 0.97
    knees = pixels[:, names.index("right knee")] - pixels[:, names.index("left knee")]
    assert (np.linalg.norm(knees, axis=-1) > 80).mean() > 0.9


@pytest.mark.parametrize(
    "kind, labels, joints",
    [
        ("object", shapes.LABELS, 0),
        ("boxes", shapes.LABELS, 0),
        ("masks", shapes.LABELS, 0),
        ("class_map", ("background", *shapes.LABELS), 0),
        ("joints", ("person",), 14),
        ("keypoints", ("person",), 14),
    ],
)
def test_facts(kind, labels, joints):
    dataset, info = data.load("shapes", "test", targets=kind, image_size=(32, 40))
    assert info.labels == labels and info.targets == kind and len(info.joint_names) == joints
    assert info.image_shape == (32, 40, 3) and info.num_examples == len(dataset)
    assert data.describe("shapes", "test", targets=kind, image_size=(32, 40)) == info
    spec = dataset.element_spec[1]
    if kind == "class_map":
        assert spec == tf.TensorSpec((32, 40), tf.uint8)
    elif kind in ("masks", "keypoints"):
        rows = 4 if kind == "masks" else 1
        assert spec["boxes"] == tf.TensorSpec((rows, 4), tf.float32)
        assert spec["classes"] == tf.TensorSpec((rows,), tf.int32)
        assert spec["valid"] == spec["ignored"] == tf.TensorSpec((rows,), tf.bool)
    if kind == "masks":
        assert spec["masks"] == tf.TensorSpec((4, 32, 40), tf.uint8)
    if joints:
        assert spec["joints"].shape[-2:] == (14, 3)


def test_more_rows_or_fewer_than_there_are_objects():
    _, many = first(data.load("shapes", "val", targets="boxes", max_objects=9)[0], 30)
    _, few = first(data.load("shapes", "val", targets="boxes", max_objects=1)[0], 30)
    for more, fewer in zip(many, few, strict=True):
        assert more["boxes"].shape == (9, 4) and not more["boxes"][~more["valid"]].any()
        sides = more["boxes"][:, 2:] - more["boxes"][:, :2]
        largest = more["boxes"][sides.prod(axis=1).argmax()]
        np.testing.assert_array_equal(fewer["boxes"][0], largest)
    with pytest.raises(InputError, match="got max_objects=0, expected 1 or more"):
        data.load("shapes", "val", targets="boxes", max_objects=0)


def scene_of(*things):
    """Returns a scene of (class, colour, left, top) of shapes four pixels large."""
    masks = np.zeros((len(things), 32, 32), bool)
    for mask, (_, _, left, top) in zip(masks, things, strict=True):
        mask[top : top + 4, left : left + 4] = True
    classes = np.array([shapes.LABELS.index(thing[0]) for thing in things])
    return scenes.Scene(None, classes, tuple(thing[1] for thing in things), masks)


@pytest.mark.parametrize(
    "things, text",
    [
        ([("circle", "red", 3, 3)], "a red circle"),
        ([("star", "blue", 20, 4), ("circle", "red", 3, 6)], "a red circle left of a blue star"),
        ([("star", "blue", 6, 20), ("cross", "orange", 3, 2)], "an orange cross above a blue star"),
        ([("star", "blue", 6, 2), ("cross", "white", 3, 20)], "a white cross below a blue star"),
        (
            [("star", "blue", 20, 4), ("ellipse", "red", 3, 6), ("square", "green", 9, 9)],
            "a red ellipse, a green square and a blue star",
        ),
    ],
)
def test_captions_say_what_is_where(things, text):
    assert scenes.caption(scene_of(*things)) == text


def test_there_is_a_caption_for_every_scene():
    texts = shapes.captions("val")
    assert len(texts) == 200 and len(set(texts)) > 100
    assert all(any(label in text for label in shapes.LABELS) for text in texts)


def test_wrong_targets():
    with pytest.raises(InputError, match="unknown targets 'box': did you mean 'boxes'"):
        data.load("shapes", targets="box")
    with pytest.raises(InputError, match="got targets='boxes' for digits, which has one class"):
        data.load("digits", targets="boxes")
    with pytest.raises(InputError, match="got split='dev' for shapes"):
        data.load("shapes", "dev", targets="boxes")
    with pytest.raises(InputError, match=r"shapes has 3 channel\(s\), got channels=1"):
        data.load("shapes", targets="boxes", channels=1)
