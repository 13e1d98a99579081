"""Small data sets on disk, in every format, of drawn scenes."""

import json

import numpy as np
from PIL import Image

from dlcv_tf.data import scenes, shapes

COUNTS = {"train": 6, "val": 3, "test": 3}
FIRST = {"train": 0, "val": 6, "test": 9}


def part(things, split):
    """Returns the few of some things that are a split's."""
    return things[FIRST[split] : FIRST[split] + COUNTS[split]]


def drawn(split):
    """Returns a split's scenes."""
    return part(scenes.scenes("val"), split)


def save(path, pixels, **options):
    """Saves pixels as a picture, with the folders it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def xml(name, size, things, database="drawn"):
    """Returns a VOC annotation; things are (class, box, difficult)."""
    objects = "".join(
        f"<object><name>{label}</name><difficult>{int(difficult)}</difficult><bndbox>"
        + "".join(
            f"<{key}>{value}</{key}>"
            for key, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
        )
        + "</bndbox></object>"
        for label, box, difficult in things
    )
    return (
        f"<annotation><filename>{name}.png</filename><source><database>{database}</database>"
        f"</source><size><width>{size[1]}</width><height>{size[0]}</height></size>{objects}"
        "</annotation>"
    )


def voc(root, database="drawn"):
    """Writes a PASCAL VOC folder, with a file of the class names."""
    for folder in ("Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for split in COUNTS:
        names = []
        for number, scene in enumerate(drawn(split)):
            name = f"{split}_{number}"
            names.append(name)
            save(root / f"JPEGImages/{name}.png", scene.image)
            boxes = scenes.boxes_of(scene.masks).astype(int)
            things = [
                (shapes.LABELS[label], box, False)
                for label, box in zip(scene.classes, boxes, strict=True)
            ]
            text = xml(name, (64, 64), things, database)
            (root / f"Annotations/{name}.xml").write_text(text)
        (root / f"ImageSets/Main/{split}.txt").write_text("\n".join(names) + "\n")
    (root / "classes.txt").write_text("\n".join(shapes.LABELS) + "\n")
    return root


def rectangle(box):
    """Returns the corners of a box as a polygon x, y, x, y, ..."""
    x1, y1, x2, y2 = (float(value) for value in box)
    return [x1, y1, x2, y1, x2, y2, x1, y2]


def coco(root):
    """Writes a COCO folder: rectangles as polygons, and one run-length code for a crowd."""
    for split in COUNTS:
        if split == "test":
            continue
        images, things = [], []
        for number, scene in enumerate(drawn(split)):
            name = f"{number:012}.png"
            save(root / f"{split}2017/{name}", scene.image)
            images.append({"id": 100 + number, "file_name": name, "height": 64, "width": 64})
            for label, (x1, y1, x2, y2) in zip(
                scene.classes, scenes.boxes_of(scene.masks).tolist(), strict=True
            ):
                things.append(
                    {
                        "id": len(things) + 1,
                        "image_id": 100 + number,
                        "category_id": 10 * int(label) + 5,  # with gaps, as COCO's
                        "bbox": [x1, y1, x2 - x1, y2 - y1],
                        "segmentation": [rectangle((x1, y1, x2, y2))],
                        "iscrowd": 0,
                    }
                )
        crowd = np.zeros((64, 64), bool)
        crowd[10:20, 30:50] = True
        runs = np.flatnonzero(np.diff(np.concatenate([[False], crowd.T.ravel(), [False]])))
        counts = np.diff(np.concatenate([[0], runs, [crowd.size]])).tolist()
        things.append(
            {
                "id": 999,
                "image_id": 100,
                "category_id": 5,
                "bbox": [30, 10, 20, 10],
                "segmentation": {"size": [64, 64], "counts": counts},
                "iscrowd": 1,
            }
        )
        categories = [
            {"id": 10 * number + 5, "name": label} for number, label in enumerate(shapes.LABELS)
        ]
        content = {"images": images, "annotations": things, "categories": categories}
        write_json(root / f"annotations/instances_{split}2017.json", content)
    return root


def write_json(path, content):
    """Writes a JSON file, with the folders it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def yolo(root, polygons=False):
    """Writes a YOLO folder with data.yaml."""
    for split in COUNTS:
        for number, scene in enumerate(drawn(split)):
            save(root / f"images/{split}/{number}.png", scene.image)
            lines = []
            for label, box in zip(scene.classes, scenes.boxes_of(scene.masks), strict=True):
                centre, sides = (box[:2] + box[2:]) / 128, (box[2:] - box[:2]) / 64
                places = np.divide(rectangle(box), 64) if polygons else (*centre, *sides)
                lines.append(" ".join([str(label), *(f"{place:.6f}" for place in places)]))
            text = root / f"labels/{split}/{number}.txt"
            text.parent.mkdir(parents=True, exist_ok=True)
            text.write_text("\n".join(lines) + "\n")
    names = "\n".join(f"  {number}: {label}" for number, label in enumerate(shapes.LABELS))
    (root / "data.yaml").write_text(f"train: images/train\nnames:\n{names}\n")
    return root


def class_map(scene, ignored=255):
    """Returns the class numbers of a scene's pixels, its upper left corner ignored."""
    pixels = (scene.masks * (scene.classes + 1)[:, None, None]).sum(axis=0).astype(np.uint8)
    pixels[:4, :4] = ignored
    return pixels


def masks(root, images="{split}", classes="{split}annot", ignored=255, names=True):
    """Writes folders of pictures and masks; by default as CamVid."""
    for split in COUNTS:
        for number, scene in enumerate(drawn(split)):
            save(root / images.format(split=split) / f"{number}.png", scene.image)
            path = root / classes.format(split=split) / f"{number}.png"
            save(path, class_map(scene, ignored))
    if names:
        (root / "classes.txt").write_text("\n".join(["background", *shapes.LABELS]) + "\n")
    return root


def joints(root):
    """Writes a folder of figures with joints.npz."""
    people, names, splits = [], [], []
    for split in COUNTS:
        images, places, _ = (part(each, split) for each in scenes.figures("val"))
        for number in range(COUNTS[split]):
            names.append(f"{split}_{number}.png")
            splits.append(split)
            people.append(places[number])
            save(root / "images" / names[-1], images[number])
    np.savez(root / "joints.npz", joints=people, filename=names, split=splits)
    return root
