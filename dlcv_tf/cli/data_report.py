"""What `dlcv data check` found, as one page with drawn samples."""

import numpy as np
from matplotlib.figure import Figure

from dlcv_tf.plots import charts, detections, pictures, report, style

MOST_ROWS = 40  # faults of one kind in the page
MOST_BARS = 40  # classes in the chart
LONGEST_SIDE = 320  # pixels of a drawn sample
CELLS = (56, 56)  # of a drawn mask in its box


def page(found, verdict: str, kinds: dict) -> str:
    """Returns the page.

    Args:
        found: a `data.checker.Report`.
        verdict: what is said of it in one line.
        kinds: its faults by their kind.
    """
    things = "pixels" if found.kind == "class_map" else "objects"
    counted = sum(split.num_objects for split in found.splits)
    shown = sum(split.num_pictures for split in found.splits)
    sections = [
        report.Text(f"{verdict[0].upper()}{verdict[1:]}. Every picture was read, and every place."),
        report.Tiles(
            [
                (f"{shown:,}", "pictures", ", ".join(split.name for split in found.splits)),
                (f"{counted:,}", things, f"of {len(found.labels)} classes"),
                (f"{len(found.broken):,}", "broken", "what a training would refuse"),
                (f"{len(found.warnings):,}", "warnings", "left out, clipped, or meant"),
            ]
        ),
    ]
    for kind, faults in kinds.items():
        state = "broken" if faults[0].broken else "warning"
        sections.append(report.Heading(f"{kind[0].upper()}{kind[1:]}: {state}"))
        rows = [(str(fault.where), fault.message) for fault in faults[:MOST_ROWS]]
        more = f"{len(faults):,} in all." if len(faults) > MOST_ROWS else ""
        sections.append(report.Table(("file", "what"), rows, more))
    sections += [report.Heading("Splits"), _splits(found, things)]
    sections += [report.Heading("Classes"), *_classes(found, things)]
    if found.samples:
        sections.append(report.Heading("Samples"))
        caption = "Look at them: places and names must fit what can be seen."
        sections.append(report.Picture(samples(found), "pictures with their targets", caption))
    return report.html(f"dlcv data check {found.name}", sections)


def _splits(found, things: str) -> report.Table:
    rows = []
    for split in found.splits:
        heights, widths = zip(*split.sizes, strict=True) if split.sizes else ((0,), (0,))
        sizes = f"{min(widths)} to {max(widths)} x {min(heights)} to {max(heights)}"
        if len(split.sizes) == 1:
            sizes = f"{widths[0]} x {heights[0]}"
        objects = " / ".join(f"{number:.4g}" for number in split.objects)
        sides = " / ".join(f"{side:.1%}" for side in split.sides) if split.sides else None
        row = (split.name, split.num_pictures, sizes, split.num_objects, split.without_objects)
        rows.append((*row, objects, sides))
    columns = ("split", "pictures", "width x height", things, "without any", "in a picture", "side")
    caption = (
        "In a picture: least / mean / most, classes in the case of class maps. Side: of a box, as "
        "a part of the picture's: least / middle / most."
    )
    return report.Table(columns, rows, caption)


def _classes(found, things: str) -> list:
    """Returns the chart and the table of how often each class is there."""
    rows = [
        (label, *(split.counts.get(label, 0) for split in found.splits)) for label in found.labels
    ]
    table = report.Table(("class", *(split.name for split in found.splits)), rows)
    first = found.splits[0]
    counts = dict(sorted(first.counts.items(), key=lambda entry: -entry[1])[:MOST_BARS])
    if not any(counts.values()):
        return [table]

    def drawn(width):
        return charts.bars(counts, f"{things} in {first.name}", width=width)

    caption = f"The {MOST_BARS} most frequent classes." if len(first.counts) > MOST_BARS else ""
    picture = report.Picture(
        drawn(style.WIDE), "how often each class is there", caption, drawn(style.NARROW)
    )
    return [picture, table]


def samples(found, width: float = style.WIDE) -> Figure:
    """Draws the samples of a report with their targets.

    Args:
        found: a `data.checker.Report` with samples.
        width: of the figure, in inches.
    """
    from dlcv_tf.data import annotated, folder

    if found.kind == "labels":
        images = np.stack([folder.read(picture.path, (128, 128)) for picture in found.samples])
        truth = [found.labels.index(picture.names[0]) for picture in found.samples]
        certain = np.eye(len(found.labels))[truth]
        return pictures.answers(images, found.labels, certain, columns=6, width=width)
    outlined = all(picture.outlines for picture in found.samples if len(picture.names))
    kind = "masks" if found.kind == "boxes" and outlined else found.kind
    images, targets = [], []
    for picture in found.samples:
        shape = (*_size(picture.path), 3)
        most = max(1, len(picture.names))
        image, target, _ = annotated.example(picture, found.found, shape, kind, most)
        images.append(image)
        targets.append(target)
    if found.kind == "class_map":
        answers = {"class_map": targets}
        options = {"columns": 2, "width": width, "title": "mask"}
        return detections.draw(images, answers, found.labels, **options)
    if found.kind == "joints":
        answers = {"joints": [target["joints"] for target in targets]}
        return detections.draw(images, answers, found.labels, columns=6, width=width)
    answers = {"boxes": [], "classes": [], "num_detections": []}
    if kind == "masks":
        answers["masks"] = []
    for target in targets:
        count = int(target["valid"].sum())
        answers["boxes"].append(target["boxes"][:count])
        answers["classes"].append(target["classes"][:count])
        answers["num_detections"].append(count)
        if kind == "masks":
            pairs = zip(target["masks"][:count], target["boxes"][:count], strict=True)
            answers["masks"].append([_in_box(mask, box) for mask, box in pairs])
    return detections.draw(images, answers, found.labels, columns=3, width=width)


def _in_box(mask: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Returns the part of a picture's mask that is in a box, in cells."""
    from dlcv_tf.data import targets

    x1, y1 = np.floor(box[:2]).astype(int)
    x2, y2 = np.ceil(box[2:]).astype(int)
    inside = mask[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)]
    return targets.nearest_pixels(inside, CELLS).astype(np.float32)


def _size(path) -> tuple[int, int]:
    """Returns the (height, width) in which a sample is drawn."""
    from dlcv_tf.artifact import pictures as files

    height, width = files.decode(path.read_bytes()).shape[:2]
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))
