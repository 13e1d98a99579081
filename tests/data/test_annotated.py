"""Every format gives the targets it was written from, and says of bad ones what and where."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dlcv_tf import data
from dlcv_tf.data import annotated, coco, scenes, shapes
from dlcv_tf.errors import InputError
from tests.data import formats


def examples(name, split="train", kind="boxes", **options):
    dataset, info = data.load(name, split, targets=kind, **options)
    images, targets = zip(*dataset.as_numpy_iterator(), strict=True)
    return np.stack(images), targets, info


def of_drawn(targets, split, tolerance=1e-3, labels=None):
    """Asserts that boxes and classes are those of the drawn scenes, in their order."""
    numbers = {label: number for number, label in enumerate(labels or shapes.LABELS)}
    for found, scene in zip(targets, formats.drawn(split), strict=True):
        kept = found["valid"] & ~found["ignored"]
        np.testing.assert_allclose(
            found["boxes"][kept], scenes.boxes_of(scene.masks), atol=tolerance
        )
        expected = [numbers[shapes.LABELS[number]] for number in scene.classes]
        assert found["classes"][kept].tolist() == expected
        assert not found["boxes"][~found["valid"]].any()


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_voc(tmp_path, split):
    formats.voc(tmp_path)
    images, targets, info = examples(f"voc:{tmp_path}", split)
    of_drawn(targets, split)
    np.testing.assert_array_equal(images, [scene.image for scene in formats.drawn(split)])
    assert info.labels == shapes.LABELS and info.image_shape == (64, 64, 3) and not info.skipped
    assert targets[0]["boxes"].shape == (max(len(s.masks) for s in formats.drawn(split)), 4)
    assert data.describe(f"voc:{tmp_path}", split, targets="boxes") == info


def test_voc_names_classes_by_those_of_the_training_split(tmp_path):
    (formats.voc(tmp_path) / "classes.txt").unlink()
    _, targets, info = examples(f"voc:{tmp_path}")
    present = {shapes.LABELS[n] for scene in formats.drawn("train") for n in scene.classes}
    assert info.labels == tuple(sorted(present))
    of_drawn(targets, "train", labels=info.labels)
    image = formats.save(tmp_path / "JPEGImages/val_0.png", np.zeros((64, 64, 3), np.uint8))
    text = formats.xml(image.stem, (64, 64), [("circel", (1, 1, 9, 9), False)])
    (tmp_path / "Annotations/val_0.xml").write_text(text)
    with pytest.raises(InputError, match="val_0.xml: val_0.png has the unknown class 'circel': di"):
        data.load(f"voc:{tmp_path}", "val", targets="boxes")


def test_slices_and_unions_and_any_list_of_voc(tmp_path):
    formats.voc(tmp_path)
    lists = tmp_path / "ImageSets/Main"
    both = (lists / "train.txt").read_text() + (lists / "val.txt").read_text()
    (lists / "trainval.txt").write_text(both)
    whole = examples(f"voc:{tmp_path}", "trainval")[0]
    for split, expected in (
        ("train+val", whole),
        ("trainval[:4]", whole[:4]),
        ("trainval[-2:]", whole[-2:]),
        ("trainval[50%:]+val[:1]", np.concatenate([whole[4:], whole[6:7]])),
    ):
        images, _, info = examples(f"voc:{tmp_path}", split)
        np.testing.assert_array_equal(images, expected)
        assert info.num_examples == len(expected) and info.split == split
    with pytest.raises(InputError, match="has no 'dev' split, found: test, train, trainval, val"):
        data.load(f"voc:{tmp_path}", "dev", targets="boxes")
    with pytest.raises(InputError, match=r"got split='train\[3', expected train, train"):
        data.load(f"voc:{tmp_path}", "train[3", targets="boxes")
    with pytest.raises(InputError, match="found no pictures for the"):
        data.load(f"voc:{tmp_path}", "train[:0]", targets="boxes")


@pytest.mark.parametrize(
    "database, option, first",
    [("drawn", "", 0), ("The VOC2007 Database", "", 1), ("drawn", "?one_based=true", 1)],
)
def test_voc_may_count_pixels_from_one(tmp_path, database, option, first):
    formats.voc(tmp_path, database)
    _, targets, _ = examples(f"voc:{tmp_path}{option}")
    box = scenes.boxes_of(formats.drawn("train")[0].masks)[0]
    expected = np.clip(box - (first, first, 0, 0), 0, 64)
    np.testing.assert_allclose(targets[0]["boxes"][0], expected)


def test_voc_beside_the_pictures_in_split_folders(tmp_path):
    source = formats.voc(tmp_path / "source")
    for split in formats.COUNTS:
        for number in range(formats.COUNTS[split]):
            for folder, suffix in (("JPEGImages", "png"), ("Annotations", "xml")):
                target = tmp_path / "beside" / split / f"{split}_{number}.{suffix}"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes((source / folder / target.name).read_bytes())
    (tmp_path / "beside/classes.txt").write_text("\n".join(shapes.LABELS))
    for split in formats.COUNTS:
        one, other = (examples(f"voc:{tmp_path / name}", split) for name in ("source", "beside"))
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1][0]["boxes"], other[1][0]["boxes"])


def test_coco(tmp_path):
    formats.coco(tmp_path)
    _, targets, info = examples(f"coco:{tmp_path}")
    of_drawn(targets, "train")
    assert info.labels == shapes.LABELS
    first = targets[0]
    assert first["ignored"].sum() == 1 and first["valid"][first["ignored"]].all()
    np.testing.assert_array_equal(first["boxes"][first["ignored"]], [[30, 10, 50, 20]])
    with pytest.raises(InputError, match="has no 'test' split, found: train, val"):
        data.load(f"coco:{tmp_path}", "test", targets="boxes")


@pytest.mark.parametrize("size", [None, (32, 96)])
def test_coco_masks_are_polygons_and_run_lengths(tmp_path, size):
    formats.coco(tmp_path)
    images, targets, _ = examples(f"coco:{tmp_path}", "val", "masks", image_size=size)
    for found in targets:
        for mask, box, valid in zip(found["masks"], found["boxes"], found["valid"], strict=True):
            assert mask.shape == images.shape[1:3]
            if valid:
                np.testing.assert_allclose(scenes.boxes_of(mask[None])[0], box, atol=1.01)
                area = (box[2] - box[0]) * (box[3] - box[1])
                assert 0.8 * area < mask.sum() < 1.2 * area
            else:
                assert not mask.any()


def test_a_run_length_code_may_be_packed():
    from pycocotools import mask as codes

    pixels = formats.drawn("train")[0].masks[0]
    packed = codes.encode(np.asfortranarray(pixels.astype(np.uint8)))
    np.testing.assert_array_equal(coco.mask(packed, (64, 64), (64, 64)), pixels)
    packed["counts"] = packed["counts"].decode()
    np.testing.assert_array_equal(coco.mask(packed, (64, 64), (32, 32)), pixels[1::2, 1::2])
    assert not coco.mask(None, (64, 64), (8, 8)).any()


def test_coco_keypoints_and_captions(tmp_path):
    people = {
        "images": [{"id": 3, "file_name": "a.png"}, {"id": 4, "file_name": "b.png"}],
        "annotations": [
            {"id": 1, "image_id": 3, "category_id": 1, "bbox": [2, 4, 10, 12],
             "keypoints": [4, 6, 2, 9, 8, 1, 0, 0, 0]},
            {"id": 2, "image_id": 3, "category_id": 2, "bbox": [0, 0, 3, 3]},
        ],
        "categories": [
            {"id": 2, "name": "dog"},
            {"id": 1, "name": "person", "keypoints": ["nose", "left_eye", "right_eye"]},
        ],
    }  # fmt: skip
    for name in ("a", "b"):
        formats.save(tmp_path / f"val/{name}.png", np.zeros((16, 24, 3), np.uint8))
    formats.write_json(tmp_path / "annotations/person_keypoints_val.json", people)
    lines = [{"image_id": 4, "caption": " A bee. "}, {"image_id": 4, "caption": "Two."}]
    content = {"images": people["images"], "annotations": lines}
    formats.write_json(tmp_path / "annotations/captions_val.json", content)
    name = f"coco:{tmp_path}"
    _, targets, info = examples(name, "val", "keypoints", image_size=(32, 24))
    assert info.labels == ("person",) and info.joint_names == ("nose", "left eye", "right eye")
    np.testing.assert_array_equal(targets[0]["boxes"], [[2, 8, 12, 32]])
    np.testing.assert_array_equal(targets[0]["joints"][0], [[4, 12, 1], [9, 16, 1], [0, 0, 0]])
    assert not targets[1]["valid"].any() and not targets[1]["joints"].any()
    assert coco.captions(tmp_path, "val") == {"a.png": (), "b.png": ("A bee.", "Two.")}
    with pytest.raises(InputError, match="has no 'train' split, found: val"):
        coco.captions(tmp_path, "train")


@pytest.mark.parametrize("polygons", [False, True])
def test_yolo(tmp_path, polygons):
    formats.yolo(tmp_path, polygons)
    for split in formats.COUNTS:
        _, targets, info = examples(f"yolo:{tmp_path}", split)
        of_drawn(targets, split, tolerance=2e-4)
        assert info.labels == shapes.LABELS
    if polygons:
        _, targets, _ = examples(f"yolo:{tmp_path}", "val", "masks")
        for mask, box in zip(targets[0]["masks"], targets[0]["boxes"], strict=True):
            if mask.any():
                np.testing.assert_allclose(scenes.boxes_of(mask[None])[0], box, atol=1.01)


def test_yolo_with_folders_of_splits_and_pictures_without_a_file(tmp_path):
    source = formats.yolo(tmp_path / "source")
    root = tmp_path / "other"
    for split in formats.COUNTS:
        (root / split).mkdir(parents=True)
        for kind in ("images", "labels"):
            (source / kind / split).rename(root / split / kind)
    (root / "classes.txt").write_text("\n".join(shapes.LABELS))
    (root / "train/labels/2.txt").unlink()
    (root / "train/labels/3.txt").write_text("")
    _, targets, info = examples(f"yolo:{root}")
    assert info.num_examples == 5 and "has no file for 1 of 6 pictures" in info.skipped[0]
    assert not targets[2]["valid"].any()  # the one with an empty file
    (root / "classes.txt").unlink()
    with pytest.raises(InputError, match="has no class names: add data.yaml with `names:`"):
        data.load(f"yolo:{root}", targets="boxes")
    options = "names=" + ",".join(shapes.LABELS)
    assert data.describe(f"yolo:{root}?{options}", targets="boxes").labels == shapes.LABELS


LAYOUTS = [
    ("{split}", "{split}annot"),
    ("images/{split}", "masks/{split}"),
    ("{split}/images", "{split}/labels"),
]


@pytest.mark.parametrize("images, classes", LAYOUTS)
def test_masks(tmp_path, images, classes):
    formats.masks(tmp_path, images, classes)
    for split in formats.COUNTS:
        _, maps, info = examples(f"masks:{tmp_path}", split, "class_map")
        expected = [formats.class_map(scene) for scene in formats.drawn(split)]
        np.testing.assert_array_equal(maps, expected)
        assert info.labels == ("background", *shapes.LABELS)
    _, small, _ = examples(f"masks:{tmp_path}", "val", "class_map", image_size=(32, 32))
    _, whole, _ = examples(f"masks:{tmp_path}", "val", "class_map")
    np.testing.assert_array_equal(small[0], whole[0][1::2, 1::2])


def test_masks_in_two_folders_are_divided_and_palettes_are_numbers(tmp_path):
    random = np.random.default_rng(0)
    for number in range(20):
        formats.save(tmp_path / f"images/{number}.png", np.zeros((6, 8, 3), np.uint8))
        image = Image.fromarray(random.integers(0, 3, (6, 8)).astype(np.uint8)).convert("P")
        image.putpalette(random.integers(0, 255, 768).tolist())
        (tmp_path / "masks").mkdir(exist_ok=True)
        image.save(tmp_path / f"masks/{number}.png")
    sizes = {}
    for split in formats.COUNTS:
        _, maps, info = examples(f"masks:{tmp_path}", split, "class_map")
        sizes[split] = len(maps)
        assert info.labels == ("0", "1", "2") and set(np.unique(maps)) == {0, 1, 2}
    assert sizes == {"train": 16, "val": 2, "test": 2}


def test_values_of_masks_may_have_gaps_and_be_ignored(tmp_path):
    formats.masks(tmp_path, ignored=77, names=False)
    (tmp_path / "names.yaml").write_text("names:\n  0: ground\n  3: ellipse\n  4: square\n")
    name = f"masks:{tmp_path}?names=names.yaml&ignored=77,1,2,5,6"
    _, maps, info = examples(name, "train", "class_map")
    assert info.labels == ("ground", "ellipse", "square")
    for found, scene in zip(maps, formats.drawn("train"), strict=True):
        table = np.full(256, 255)
        table[[0, 3, 4]] = (0, 1, 2)
        np.testing.assert_array_equal(found, table[formats.class_map(scene, 77)])
    with pytest.raises(InputError, match=r"0.png: got the unknown value \d+ in \d+ pixels, expec"):
        data.load(f"masks:{tmp_path}?names=names.yaml", targets="class_map")
    with pytest.raises(InputError, match="got ignored=x, expected values of pixels"):
        data.load(f"masks:{tmp_path}?ignored=x", targets="class_map")


def test_camvid_is_known_by_its_folders_and_values(tmp_path):
    for split in formats.COUNTS:
        for number in range(2):
            formats.save(tmp_path / split / f"{number}.png", np.zeros((3, 4, 3), np.uint8))
            pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
            formats.save(tmp_path / f"{split}annot" / f"{number}.png", pixels)
    _, maps, info = examples(f"masks:{tmp_path}", "test", "class_map")
    assert len(info.labels) == 11 and info.labels[0] == "sky" and info.labels[10] == "bicyclist"
    np.testing.assert_array_equal(maps[0], [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 255]])


def test_bad_masks(tmp_path):
    formats.masks(tmp_path)
    name = f"masks:{tmp_path}"
    path = tmp_path / "trainannot/0.png"
    formats.save(path, np.zeros((64, 32), np.uint8))
    with pytest.raises(
        InputError, match="trainannot/0.png: got a mask of 32 x 64 pixels for a pic"
    ):
        data.load(name, targets="class_map")
    formats.save(path, formats.drawn("train")[0].image)
    with pytest.raises(InputError, match="trainannot/0.png: got a mask in colours, expected one"):
        data.load(name, targets="class_map")
    path.write_bytes(b"no picture")
    with pytest.raises(InputError, match="trainannot/0.png: cannot be read as a picture"):
        data.load(name, targets="class_map")
    path.unlink()
    _, maps, info = examples(name, "train", "class_map")
    assert len(maps) == 5 and "there is no mask for 1 of 6 pictures" in info.skipped[0]
    (tmp_path / "train/1.png").unlink()
    with pytest.raises(InputError, match="trainannot/1.png: has no picture in"):
        data.load(name, targets="class_map")


def test_joints(tmp_path):
    formats.joints(tmp_path)
    for split in formats.COUNTS:
        images, targets, info = examples(f"joints:{tmp_path}", split, "joints", image_size=(32, 64))
        expected = formats.part(scenes.figures("val")[1], split) * (1, 0.5, 1)
        np.testing.assert_allclose([each["joints"] for each in targets], expected, rtol=1e-6)
        assert info.joint_names == scenes.JOINT_NAMES and images.shape[1:] == (32, 64, 3)
    with pytest.raises(InputError, match="got targets='boxes' for joints:.*, expected 'joints'"):
        data.load(f"joints:{tmp_path}", targets="boxes")
    np.savez(
        tmp_path / "joints.npz", joints=np.full((1, 3, 2), np.nan), filename=["a"], split=["x"]
    )
    with pytest.raises(InputError, match="has no 'train' split, found: x"):
        data.load(f"joints:{tmp_path}", targets="joints")
    (tmp_path / "joints.npz").write_bytes(b"no file")
    with pytest.raises(InputError, match="joints.npz: cannot be read"):
        data.load(f"joints:{tmp_path}", targets="joints")


def one_picture(root, things, size=(20, 30), names=None):
    """Writes a VOC folder of one picture."""
    formats.save(root / "JPEGImages/p.png", np.zeros((*size, 3), np.uint8))
    (root / "Annotations").mkdir(exist_ok=True)
    (root / "ImageSets/Main").mkdir(parents=True, exist_ok=True)
    (root / "ImageSets/Main/train.txt").write_text("p\n")
    (root / "Annotations/p.xml").write_text(formats.xml("p", size, things))
    (root / "classes.txt").write_text("cell\n")
    return f"voc:{root}"


@pytest.mark.parametrize(
    "box, message",
    [
        (("nan", 1, 5, 5), r"has the box \(nan, 1, 5, 5\), which is not finite"),
        ((1, 1, "inf", 5), r"has the box \(1, 1, inf, 5\), which is not finite"),
        ((9, 1, 5, 5), r"has the box \(9, 1, 5, 5\), expected x1 <= x2 and y1 <= y2"),
        ((31, 1, 35, 5), r"has the box \(31, 1, 35, 5\), outside of its 30 x 20 pixels"),
        ((1, -9, 5, -3), r"has the box \(1, -9, 5, -3\), outside of its 30 x 20 pixels"),
        (("a", 1, 5, 5), r"has a box of \['a', '1', '5', '5'\], expected four numbers"),
    ],
)
def test_bad_boxes_are_refused_with_the_name_of_the_file(tmp_path, box, message):
    name = one_picture(tmp_path, [("cell", (2, 2, 8, 8), False), ("cell", box, False)])
    with pytest.raises(InputError, match=r"p\.xml: .*" + message):
        data.load(name, targets="boxes")


def test_boxes_over_the_border_are_clipped_and_empty_ones_left_out(tmp_path):
    boxes = [(-4, 2, 8, 8), (3, 3, 3, 9), (25, 15, 31, 20.5)]
    name = one_picture(tmp_path, [("cell", box, False) for box in boxes])
    _, targets, info = examples(name)
    np.testing.assert_array_equal(targets[0]["boxes"], [[0, 2, 8, 8], [25, 15, 30, 20], [0] * 4])
    assert targets[0]["valid"].tolist() == [True, True, False]
    assert len(info.skipped) == 2  # a pixel of rounding is not worth a word
    assert "partly outside of 30 x 20 pixels: clipped" in info.skipped[0]
    assert "(3, 3, 3, 9), which has no area: left out" in info.skipped[1]


def test_pictures_without_objects_and_with_crowds_only(tmp_path):
    _, targets, _ = examples(one_picture(tmp_path, []))
    assert targets[0]["boxes"].shape == (1, 4) and not targets[0]["valid"].any()
    _, targets, _ = examples(one_picture(tmp_path, [("cell", (1, 1, 9, 9), True)]))
    assert targets[0]["valid"].tolist() == targets[0]["ignored"].tolist() == [True]
    with pytest.raises(InputError, match="found no pictures for the train split"):
        data.load(f"voc:{tmp_path}", targets="object")


def test_more_objects_than_the_maximum_keep_the_largest_and_say_so(tmp_path):
    boxes = [(0, 0, 4, 4), (0, 0, 9, 9), (5, 5, 8, 8), (2, 2, 12, 10)]
    name = one_picture(tmp_path, [("cell", box, False) for box in boxes])
    _, targets, info = examples(name, max_objects=2)
    np.testing.assert_array_equal(targets[0]["boxes"], [boxes[1], boxes[3]])
    assert "p.png has 4 objects, more than 2: the largest are kept" in info.skipped[0]
    _, targets, info = examples(name, kind="object")
    np.testing.assert_array_equal(targets[0]["box"], boxes[1])
    assert targets[0]["class"] == 0 and targets[0]["class"].dtype == np.int32


@pytest.mark.parametrize("size", [(1, 1), (8, 32), (32, 8)])
def test_single_pixel_and_long_pictures(tmp_path, size):
    name = one_picture(tmp_path, [("cell", (0, 0, size[1], size[0] / 2), False)], size)
    images, targets, info = examples(name, image_size=(16, 16))
    assert images.shape == (1, 16, 16, 3) and not info.skipped
    np.testing.assert_allclose(targets[0]["boxes"], [[0, 0, 16, 8]])


def test_missing_unreadable_and_wrongly_sized_pictures(tmp_path):
    name = one_picture(tmp_path, [("cell", (1, 1, 5, 5), False)])
    picture = tmp_path / "JPEGImages/p.png"
    formats.save(picture, np.zeros((10, 10, 3), np.uint8))
    with pytest.raises(InputError, match="p.png is 10 x 10, annotated as 30 x 20 pixels"):
        data.load(name, targets="boxes")
    picture.write_bytes(picture.read_bytes()[:40])
    with pytest.raises(InputError, match="JPEGImages/p.png: .*repair or remove it"):
        data.load(name, targets="boxes", image_size=(8, 8))
    picture.unlink()
    with pytest.raises(InputError, match="JPEGImages/p.png: there is no such file"):
        data.load(name, targets="boxes", image_size=(8, 8))
    (tmp_path / "Annotations/p.xml").write_text("<annotation>")
    with pytest.raises(InputError, match="p.xml: is no XML file"):
        data.load(name, targets="boxes")
    (tmp_path / "Annotations/p.xml").unlink()
    with pytest.raises(InputError, match="p.xml: is named in ImageSets, but does not exist"):
        data.load(name, targets="boxes")


def test_pictures_of_several_sizes_need_one(tmp_path):
    formats.coco(tmp_path)
    path = tmp_path / "train2017/000000000001.png"
    formats.save(path, np.zeros((32, 64, 3), np.uint8))
    annotation = tmp_path / "annotations/instances_train2017.json"
    content = json.loads(annotation.read_text())
    content["images"][1]["height"] = 32
    kept = [thing for thing in content["annotations"] if thing["image_id"] != 101]
    formats.write_json(annotation, content | {"annotations": kept})
    with pytest.raises(InputError, match="differ in size: give image_size"):
        data.load(f"coco:{tmp_path}", targets="boxes")
    images, _, info = examples(f"coco:{tmp_path}", image_size=(40, 48), channels=1)
    assert images.shape == (6, 40, 48, 1) and info.image_shape == (40, 48, 1)


def test_bad_names_folders_and_files(tmp_path):
    for name, message in (
        ("voc:", "got data=voc:, expected an existing folder after the colon"),
        (f"coco:{tmp_path / 'none'}", "expected an existing folder after the colon"),
        (f"masks:{tmp_path}?ignore=3", "unknown option of masks:PATH 'ignore': did you mean 'ig"),
        (f"voc:{tmp_path}", "has no 'train' split, found: none"),
    ):
        kind = "class_map" if name.startswith("masks") else "boxes"
        with pytest.raises(InputError, match=message):
            data.load(name, targets=kind)
    with pytest.raises(InputError, match="got targets='labels' for voc:.*, expected 'boxes' or"):
        data.load(f"voc:{tmp_path}")
    (tmp_path / "instances_train.json").write_text("{")
    with pytest.raises(InputError, match="instances_train.json: is no JSON file"):
        data.load(f"coco:{tmp_path}", targets="boxes")
    (tmp_path / "instances_train.json").write_text('{"images": []}')
    with pytest.raises(InputError, match="instances_train.json: got no 'annotations', expected CO"):
        data.load(f"coco:{tmp_path}", targets="boxes")


def test_a_set_too_large_for_memory_is_read_when_asked_for(tmp_path, monkeypatch):
    formats.coco(tmp_path)
    whole, info = data.load(f"coco:{tmp_path}", targets="masks")
    monkeypatch.setattr(annotated, "CACHE_BYTES", 1000)
    streamed, same = data.load(f"coco:{tmp_path}", targets="masks")
    assert same == info and streamed.element_spec == whole.element_spec and len(streamed) == 6

    def contents(dataset):
        flat = [tf.nest.flatten(each) for each in dataset.as_numpy_iterator()]
        return sorted(b"".join(np.asarray(value).tobytes() for value in each) for each in flat)

    assert contents(streamed) == contents(whole)
    (tmp_path / "train2017/000000000004.png").write_bytes(b"")
    with pytest.raises((InputError, tf.errors.OpError), match="000000000004.png"):
        list(data.load(f"coco:{tmp_path}", targets="masks", image_size=(64, 64))[0])


REAL = pathlib.Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.skipif(not REAL.is_dir(), reason="the shared data sets are not there")
@pytest.mark.parametrize(
    "name, split, kind, count, labels",
    [
        ("voc:bccd", "trainval", "boxes", 292, 3),
        ("masks:camvid", "val", "class_map", 101, 11),
        ("coco:coco_small", "train", "masks", 80, 80),
        ("coco:coco_small", "val", "keypoints", 79, 1),
        ("joints:lspet", "test", "joints", 300, 1),
    ],
)
def test_facts_of_real_sets(name, split, kind, count, labels):
    style, path = name.split(":")
    options = {"targets": kind, "image_size": (64, 64)}
    info = data.describe(f"{style}:{REAL / path}", split, **options)
    assert info.num_examples == count and info.num_classes == labels
