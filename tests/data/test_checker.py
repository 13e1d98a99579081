"""The checker passes what is sound, and names what is not."""

import json

import numpy as np
import pytest

from dlcv_tf.cli import data_report, main
from dlcv_tf.data import checker, shapes
from dlcv_tf.errors import InputError
from tests.data import formats
from tests.helpers import pictures

WRITERS = {
    "voc": formats.voc,
    "coco": formats.coco,
    "yolo": formats.yolo,
    "masks": formats.masks,
    "joints": formats.joints,
}


def faults(root, name=None):
    """Returns (kind, broken, file's name) of all faults but those of classes missing in so few."""
    report = checker.check(name or str(root))
    found = [(each.kind, each.broken, each.where.name) for each in report.faults]
    return sorted(set(found) - {("class without objects", False, root.name)})


@pytest.mark.parametrize("style", WRITERS)
def test_a_sound_set_is_guessed_and_passes(tmp_path, style):
    WRITERS[style](tmp_path)
    assert checker.guess(str(tmp_path)) == style
    report = checker.check(str(tmp_path))
    assert report.name == f"{style}:{tmp_path}" and not report.broken
    assert faults(tmp_path) == []
    train = report.splits[0]
    assert train.name == "train" and train.num_pictures == 6 and train.sizes == {(64, 64): 6}
    assert [split.name for split in report.splits] == (
        ["train", "val"] if style == "coco" else ["train", "val", "test"]
    )
    if style in ("voc", "coco", "yolo"):
        counts = [len(scene.classes) for scene in formats.drawn("train")]
        extra = style == "coco"  # the crowd
        assert train.num_objects == sum(counts) + extra == sum(train.counts.values())
        assert train.objects[0] == min(counts) or extra
        assert 0.1 < train.sides[0] < train.sides[1] < train.sides[2] < 0.5
    if style == "masks":
        assert train.counts["background"] > 0.7 * train.num_objects
        assert train.num_objects == 6 * (64 * 64 - 16)  # without those ignored
    assert len(report.samples) == 6
    assert data_report.samples(report).axes


def test_a_folder_of_classes(tmp_path):
    for split, count in (("train", 4), ("val", 2)):
        for number, label in enumerate(("cat", "dog")):
            for other in range(count):
                image = np.roll(pictures(1, (9, 9))[0], 10 * (number + 2 * other + 9 * count))
                formats.save(tmp_path / split / label / f"{other}.png", image)
    assert checker.guess(str(tmp_path)) == "folder" and faults(tmp_path) == []
    report = checker.check(f"folder:{tmp_path}")
    assert report.splits[0].counts == {"cat": 4, "dog": 4} and report.kind == "labels"
    assert data_report.samples(report).axes
    (tmp_path / "train/cat/3.png").write_bytes(b"nothing")
    (tmp_path / "val/dog/9.png").write_bytes((tmp_path / "train/dog/0.png").read_bytes())
    assert faults(tmp_path) == [
        ("picture in two splits", False, "0.png"),
        ("unreadable picture", False, "3.png"),  # which a folder's reader leaves out
    ]


def test_boxes_and_classes_and_files_of_voc(tmp_path):
    formats.voc(tmp_path)
    boxes = {
        "not a number": ("nan", 1, 5, 5),
        "reversed box": (9, 1, 5, 5),
        "empty box": (3, 3, 3, 9),
        "box outside": (70, 3, 80, 9),
        "box over the border": (50, 3, 70, 9),
    }
    for number, box in enumerate(boxes.values()):
        text = formats.xml(f"train_{number}", (64, 64), [("circle", box, False)])
        (tmp_path / f"Annotations/train_{number}.xml").write_text(text)
    (tmp_path / "Annotations/train_5.xml").write_text("<annotation><object>")
    text = formats.xml("val_0", (64, 32), [("circel", (1, 1, 9, 9), False)])
    (tmp_path / "Annotations/val_0.xml").write_text(text)
    (tmp_path / "JPEGImages/val_1.png").unlink()
    (tmp_path / "JPEGImages/val_2.png").write_bytes(b"\x89PNG no more")
    (tmp_path / "Annotations/test_0.xml").unlink()
    source = tmp_path / "JPEGImages/train_0.png"
    (tmp_path / "JPEGImages/test_1.png").write_bytes(source.read_bytes())
    kept = ("empty box", "box over the border")
    expected = [
        (kind, kind not in kept, f"train_{number}.xml") for number, kind in enumerate(boxes)
    ]
    expected += [
        ("unreadable file", True, "train_5.xml"),
        ("size", True, "val_0.xml"),
        ("unknown class", True, "val_0.xml"),
        ("missing picture", True, "val_1"),
        ("unreadable picture", True, "val_2.png"),
        ("missing file", True, "test_0.xml"),
        ("picture in two splits", False, "train_0.png"),
    ]
    found = faults(tmp_path)
    missing = [entry for entry in found if entry[0] == "missing picture"]
    assert len(missing) == 1 and missing[0][2].startswith("val_1")
    assert set(found) - set(missing) == {entry for entry in expected if entry[2] != "val_1"}


def test_a_misspelt_class_and_crowds_and_empty_pictures(tmp_path):
    formats.voc(tmp_path)
    (tmp_path / "classes.txt").unlink()
    many = [("erythrocyte", (n, n, n + 9, n + 9), False) for n in range(30)]
    for number in range(6):
        things = [] if number > 1 else many
        if number == 1:
            things = [*many, ("erytrocyte", (1, 1, 9, 9), False)]
        text = formats.xml(f"train_{number}", (64, 64), things)
        (tmp_path / f"Annotations/train_{number}.xml").write_text(text)
    for split in ("val", "test"):
        (tmp_path / f"ImageSets/Main/{split}.txt").unlink()
    report = checker.check(str(tmp_path))
    messages = {fault.kind: fault.message for fault in report.faults}
    assert "'erytrocyte' (1 objects) may be 'erythrocyte' misspelt" in messages["like-named class"]
    assert "4 of 6 pictures of train show no object" in messages["no objects"]
    assert not report.broken and report.splits[0].without_objects == 4
    for number in range(6):
        text = formats.xml(f"train_{number}", (64, 64), [("cell", (1, 1, 9, 9), True)])
        (tmp_path / f"Annotations/train_{number}.xml").write_text(text)
    (fault,) = checker.check(str(tmp_path)).broken
    assert fault.kind == "no objects" and "train has no object that is to be found" in fault.message


def test_masks_and_joints(tmp_path):
    root = formats.masks(tmp_path / "masks")
    pixels = formats.class_map(formats.drawn("train")[0])
    pixels[5, 5:8] = 99
    formats.save(root / "trainannot/0.png", pixels)
    formats.save(root / "trainannot/1.png", pixels[:9])
    (root / "trainannot/2.png").write_bytes(b"")
    (root / "val/0.png").unlink()
    assert faults(root) == [
        ("mask value", True, "0.png"),
        ("mask value", True, "1.png"),
        ("missing picture", True, "0.png"),
        ("size", True, "1.png"),
        ("unreadable mask", True, "2.png"),
    ]
    root = formats.joints(tmp_path / "people")
    arrays = dict(np.load(root / "joints.npz"))
    arrays["joints"][0, 3, 0] = np.nan
    arrays["joints"][1, 3, 0] = 90
    np.savez(root / "joints.npz", **arrays)
    assert faults(root) == [
        ("joint outside", False, "joints.npz"),
        ("not a number", True, "joints.npz"),
    ]


def test_what_is_no_data_set(tmp_path):
    with pytest.raises(InputError, match="looks like none of the formats voc, coco"):
        checker.check(str(tmp_path))
    with pytest.raises(InputError, match="expected an existing folder"):
        checker.check(str(tmp_path / "none"))
    with pytest.raises(InputError, match="found no split in voc:"):
        checker.check(f"voc:{tmp_path}")


def dlcv(*arguments):
    """Calls the command line in this process; its start is tested elsewhere."""
    return main.main([str(argument) for argument in arguments])


def test_the_command_prints_and_writes_a_page(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = formats.voc(tmp_path / "cells")
    assert dlcv("data", "check", root) == 0
    printed = capsys.readouterr().out
    assert "nothing is broken" in printed and all(label in printed for label in shapes.LABELS)
    page = (tmp_path / "runs/data/cells/report.html").read_text()
    assert page.count("<figure") >= 4 and "Samples" in page and "Nothing is broken" in page
    text = formats.xml("train_0", (64, 64), [("circle", (9, 1, 5, 5), False)])
    (root / "Annotations/train_0.xml").write_text(text)
    assert dlcv("data", "check", f"voc:{root}", "--json", "--out", tmp_path / "out") == 2
    found = json.loads(capsys.readouterr().out)
    assert found["passed"] is False and found["targets"] == "boxes"
    assert found["report"] == str(tmp_path / "out/report.html")
    (broken,) = (fault for fault in found["faults"] if fault["broken"])
    assert broken["kind"] == "reversed box" and broken["where"].endswith("train_0.xml")
    assert json.loads((tmp_path / "out/numbers.json").read_text())["faults"] == found["faults"]
    assert "Reversed box: broken" in (tmp_path / "out/report.html").read_text()
    assert dlcv("data", "check", root, "--out", tmp_path / "out") == 2
    assert "BROKEN: reversed box" in capsys.readouterr().out
    assert dlcv("data", "chek", root) == 2
    assert "unknown action of dlcv data 'chek': did you mean 'check'" in capsys.readouterr().err
