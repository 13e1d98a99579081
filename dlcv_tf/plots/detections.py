"""Pictures with what was found in them: boxes, masks, joints, class maps; truth dashed beside."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dlcv_tf.errors import InputError
from dlcv_tf.plots import style

GAP = 0.14  # inches between pictures
MARGIN = 0.02  # inches: half of the thickest line
TAG_SIZE = 7  # points
TAG_HEIGHT = 1.5 * TAG_SIZE / 72  # inches
CRISP_BELOW = 50  # pixels to the inch: below, a picture's pixels are shown as squares

# Joints that a bone connects, and the colour of each: the person's right, left, or the middle.
LSP_BONES = {  # 14 joints, from the right ankle to the top of the head
    "accent": ((0, 1), (1, 2), (2, 8), (6, 7), (7, 8), (8, 12)),
    "wrong": ((5, 4), (4, 3), (3, 9), (11, 10), (10, 9), (9, 12)),
    "gold": ((12, 13), (2, 3)),
}
COCO_BONES = {  # 17 joints, from the nose to the right ankle
    "accent": ((16, 14), (14, 12), (12, 6), (10, 8), (8, 6), (0, 2), (2, 4)),
    "wrong": ((15, 13), (13, 11), (11, 5), (9, 7), (7, 5), (0, 1), (1, 3)),
    "gold": ((5, 6), (11, 12)),
}
BONES = {14: LSP_BONES, 17: COCO_BONES}


def draw(
    images: Sequence[np.ndarray],
    answers: Mapping[str, Sequence],
    labels: Sequence[str],
    targets: Mapping[str, Sequence] | Sequence[np.ndarray] | None = None,
    *,
    score: float = 0.3,
    columns: int | None = None,
    width: float = style.WIDE,
    title: str = "answer",
) -> Figure:
    """Draws pictures with a task's answers; small pictures are enlarged.

    Boxes have their class and score, masks are tinted, joints are joined to a skeleton (14 or 17
    of them), a classifier's answer stands in the corner. Class maps stand beside their picture,
    with a legend. The truth is dashed, a true class map stands beside the answered one.

    Args:
        images: n pictures (height, width, 1 or 3) uint8, perhaps of different sizes.
        answers: of a task, n of each: `boxes`, `scores`, `classes`, perhaps `num_detections`,
            `masks` (in their boxes, [0, 1]) and `joints`; or `class_map`; or `joints` alone;
            or `classes` and `scores`, perhaps `box`. Places in pixels of the pictures.
        labels: class names.
        targets: the truth as `data.load` gives it: a dict, or class maps.
        score: least score of what is drawn; joints alone are drawn from it on too.
        columns: pictures in a row: 4 for boxes and joints and 1 for class maps by default.
        width: of a full row, in inches.
        title: above answered class maps.

    Raises:
        InputError: wrong dtype or shape, no picture, or numbers that do not match.
    """
    images = [np.asarray(image) for image in images]
    _check(images, answers)
    if "class_map" in answers:
        maps = (answers["class_map"], labels, targets)
        return _class_maps(images, *maps, columns=columns or 1, width=width, title=title)
    cells = [(image,) for image in images]
    figure, axes_of = _cells(cells, columns or 4, width, legend=_caption(answers, targets))
    for number, (image, (axes,)) in enumerate(zip(images, axes_of, strict=True)):
        answer = {name: np.asarray(values[number]) for name, values in answers.items()}
        truth = None
        if targets is not None:
            truth = {name: np.asarray(values[number]) for name, values in targets.items()}
        _draw_things(axes, image.shape[:2], answer, list(labels), truth, score)
    return figure


def class_colours(count: int) -> list[tuple[float, float, float]]:
    """Returns the colours (red, green, blue in [0, 1]) of class numbers 0 to `count` - 1.

    The series' colours first, then lighter and darker shades of them.
    """
    base = [np.array(to_rgb(style.LIGHT[name])) for name in style.SERIES]
    ends = [np.array(to_rgb(style.LIGHT[name])) for name in ("paper", "ink")]
    shades = [(ends[0], 0.0), (ends[0], 0.5), (ends[1], 0.5), (ends[0], 0.75)]
    colours = [tuple((1 - part) * colour + part * end) for end, part in shades for colour in base]
    return [colours[number % len(colours)] for number in range(count)]


def _check(images: list[np.ndarray], answers: Mapping) -> None:
    """Raises InputError for what is no picture, and for answers of another number."""
    for image in images:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] not in (1, 3):
            raise InputError(
                f"got a picture of shape {image.shape} and type {image.dtype}, expected (height, "
                "width, 1 or 3) uint8: scale it to 0..255"
            )
    if not images or not all(image.size for image in images):
        raise InputError(f"got {len(images)} pictures, expected at least one, and no empty one")
    for name, values in answers.items():
        if len(values) != len(images):
            raise InputError(f"got {len(values)} {name} for {len(images)} pictures, one for each")
    if not answers.keys() & {"boxes", "class_map", "joints", "classes"}:
        raise InputError(
            f"got answers {sorted(answers)}, expected 'boxes', 'class_map', 'joints' or 'classes'"
        )


def _caption(answers: Mapping, targets) -> list[tuple[str, str]]:
    """Returns what stands beneath pictures of boxes and joints, and the colour of each part."""
    parts = []
    if "joints" in answers and np.shape(answers["joints"])[-2] in BONES:
        parts += [("the person's right", "accent"), ("left", "wrong")]
    if targets is not None:
        parts += [("truth dashed", "ink")]
    return parts


def _cells(
    cells: Sequence[Sequence[np.ndarray]],
    columns: int,
    width: float,
    *,
    legend: Sequence[tuple[str, str]] = (),
    rows_beneath: int = 0,
    top: float = 0.0,
) -> tuple[Figure, list[list[Axes]]]:
    """Draws rows of cells, each of one or more pictures side by side.

    Args:
        cells: the pictures (height, width, 1, 3 or 4) of each cell.
        columns: cells in a row.
        width: of a full row, in inches.
        legend: texts beneath everything, and their colours in the palette.
        rows_beneath: lines of room beneath everything, besides.
        top: inches of room above everything.

    Returns:
        The figure and the axes of each cell, in pixels: pixel i covers [i, i + 1].
    """
    across = len(cells[0])
    side = (width - GAP * (columns * across - 1)) / (columns * across)
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    heights = [
        max(side * picture.shape[0] / picture.shape[1] for cell in row for picture in cell)
        for row in rows
    ]
    beneath = style.LINE_HEIGHT * (rows_beneath + bool(legend)) * 1.1
    used = min(columns, len(cells)) * across
    figure = style.figure(
        max(used * (side + GAP) - GAP, style.text_width(" ".join(text for text, _ in legend)))
        + 2 * MARGIN,
        top + sum(heights) + GAP * len(rows) + beneath + 2 * MARGIN,
    )
    made = []
    down = MARGIN + top
    for row, height in zip(rows, heights, strict=True):
        for number, cell in enumerate(row):
            lefts = [MARGIN + (number * across + i) * (side + GAP) for i in range(across)]
            made.append(
                [_show(figure, left, down, side, p) for left, p in zip(lefts, cell, strict=True)]
            )
        down += height + GAP
    left = MARGIN
    whole = style.axes(figure, 0, 0, *figure.get_size_inches()) if legend else None
    for text, colour in legend:
        x, y = left / style.inches(whole)[0], 1 - down / style.inches(whole)[1]
        style.write(whole, x, y, text, colour, va="top")
        left += style.text_width(text) + 2 * GAP
    return figure, made


def _show(figure: Figure, left: float, down: float, side: float, picture: np.ndarray) -> Axes:
    height, across = picture.shape[:2]
    axes = style.axes(figure, left, down, side, side * height / across)
    axes.imshow(
        np.repeat(picture, 3, axis=-1) if picture.shape[-1] == 1 else picture,
        extent=(0, across, height, 0),
        aspect="auto",
        interpolation="none" if across < CRISP_BELOW * side else "antialiased",
    )
    axes.set(xlim=(0, across), ylim=(height, 0), autoscale_on=False)
    axes.spines[:].set_visible(True)
    return axes


def _draw_things(axes, size, answer, labels, truth, score) -> None:
    """Draws the answer and the truth of one picture; texts last, where they cover nothing said."""
    colours = class_colours(len(labels))
    if truth is not None:
        _draw_truth(axes, truth)
    tags = []
    if "boxes" in answer:
        count = int(answer.get("num_detections", len(answer["boxes"])))
        scores = answer.get("scores", np.ones(count))
        for i in reversed(range(count)):  # the best on top
            if scores[i] < score:
                continue
            number = int(answer["classes"][i])
            if "masks" in answer:
                _draw_mask(axes, answer["masks"][i], answer["boxes"][i], colours[number])
            _draw_box(axes, answer["boxes"][i], colours[number])
            if "joints" in answer:
                _draw_joints(axes, answer["joints"][i], score)
            text = f"{labels[number]} {scores[i]:.2f}" if "scores" in answer else labels[number]
            tags.insert(0, (answer["boxes"][i], text, colours[number]))
    elif "classes" in answer:
        number = int(answer["classes"].flat[0])
        box = answer.get("box", np.zeros(4))
        if "box" in answer:
            _draw_box(axes, box, colours[number])
        tags.append((box, f"{labels[number]} {answer['scores'].flat[0]:.2f}", colours[number]))
    elif "joints" in answer:
        _draw_joints(axes, answer["joints"], score)
    taken = []
    for box, text, colour in tags:
        taken.append(_write_tag(axes, size, box, text, colour, taken))


def _draw_box(axes: Axes, box, colour, **options) -> None:
    x1, y1, x2, y2 = (float(value) for value in box)
    options = {"linewidth": 1.8, "edgecolor": colour, "fill": False} | options
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, **options))


def _draw_mask(axes: Axes, mask: np.ndarray, box, colour) -> None:
    """Tints where a mask in a box is at least one half, with the outline of that region."""
    x1, y1, x2, y2 = (float(value) for value in box)
    height, across = mask.shape
    step_x, step_y = (x2 - x1) / across, (y2 - y1) / height
    if not (step_x > 0 and step_y > 0):
        return
    padded = np.pad(np.asarray(mask, np.float32), 1)  # closed outlines; values at cell centres
    x = x1 + (np.arange(across + 2) - 0.5) * step_x
    y = y1 + (np.arange(height + 2) - 0.5) * step_y
    if padded.max() >= 0.5:
        axes.contourf(x, y, padded, levels=[0.5, 2.0], colors=[colour], alpha=0.4)
        axes.contour(x, y, padded, levels=[0.5], colors=[colour], linewidths=1.2)


def _draw_joints(axes: Axes, joints: np.ndarray, least: float, dashed: bool = False) -> None:
    """Draws the joints (K, 3), x, y and score, from a score on, and the bones between them."""
    seen = joints[:, 2] >= max(least, 1e-6)
    lines = {"linewidth": 1.2, "linestyle": "--"} if dashed else {"linewidth": 2.2}
    for colour, bones in BONES.get(len(joints), {}).items():
        ink = style.LIGHT["ink" if dashed else colour]
        for pair in bones:
            if seen[list(pair)].all():
                x, y = joints[list(pair), 0], joints[list(pair), 1]
                axes.plot(x, y, color="white", linewidth=lines["linewidth"] + 1.4, alpha=0.7)
                axes.plot(x, y, color=ink, solid_capstyle="round", **lines)
    if not dashed:
        places = {"s": 14, "c": "white", "edgecolors": style.LIGHT["ink"], "linewidths": 0.9}
        axes.scatter(joints[seen, 0], joints[seen, 1], zorder=3, **places)


def _draw_truth(axes: Axes, truth: Mapping) -> None:
    """Draws true boxes, or joints of one person, dashed; padding is left out."""
    ink = style.LIGHT["ink"]
    boxes = [truth["box"]] if "box" in truth else truth.get("boxes", [])
    valid = truth.get("valid", np.ones(len(boxes), bool))
    for box, is_valid in zip(boxes, valid, strict=True):
        if is_valid:
            _draw_box(axes, box, "white", linewidth=2.6, alpha=0.7)
            _draw_box(axes, box, ink, linewidth=1.2, linestyle="--")
    joints = truth.get("joints", np.zeros((0, 3)))
    people = joints[valid] if joints.ndim == 3 else [joints]
    for person in people:
        _draw_joints(axes, np.asarray(person), 0.5, dashed=True)


def _write_tag(axes: Axes, size, box, text: str, colour, taken: list) -> tuple:
    """Writes a box's tag where it is inside the picture and covers no other tag.

    Returns:
        Its place: left, top, right, bottom in pixels.
    """
    height, across = size
    pixels = across / style.inches(axes)[0]  # to the inch, of the picture
    text = style.shorten(text, style.inches(axes)[0] - 0.08, TAG_SIZE)
    wide = (style.text_width(text, TAG_SIZE) + 0.06) * pixels
    tall = TAG_HEIGHT * pixels
    x1, y1, x2, y2 = (float(value) for value in box)
    places = [(x1, y1 - tall), (x1, y2), (x1, y1), (x2 - wide, y1 - tall), (x2 - wide, y2)]
    places += [(x1, y1 + tall * step) for step in range(1, 8)]

    def inside(place):
        left = min(max(place[0], 0), across - wide)
        return left, place[1], left + wide, place[1] + tall

    def free(place):
        _, top, _, bottom = place
        apart = all(
            place[2] <= other[0] or other[2] <= place[0] or bottom <= other[1] or other[3] <= top
            for other in taken
        )
        return top >= 0 and bottom <= height and apart

    candidates = [inside(place) for place in places]
    at = next((place for place in candidates if free(place)), candidates[2])
    axes.add_patch(
        Rectangle(at[:2], wide, tall, facecolor=colour, edgecolor="white", linewidth=0.5, zorder=4)
    )
    light = float(np.dot(colour, (0.299, 0.587, 0.114))) > 0.6
    style.write(
        axes,
        (at[0] + at[2]) / 2,
        (at[1] + at[3]) / 2,
        text,
        "ink" if light else "paper",
        transform=axes.transData,
        size=TAG_SIZE,
        ha="center",
        va="center_baseline",
        zorder=5,
    )
    return at


def _class_maps(images, maps, labels, targets, *, columns: int, width: float, title) -> Figure:
    """Draws each picture beside its class map, and the true one, with the classes' colours."""
    kinds = [maps] if targets is None else [maps, targets]
    for kind in kinds:
        if len(kind) != len(images):
            raise InputError(f"got {len(kind)} class maps for {len(images)} pictures")
    colours = class_colours(len(labels))
    if labels and labels[0] == "background":
        colours = [to_rgb(style.LIGHT["line"]), *class_colours(len(labels) - 1)]
    painted = [[_paint(np.asarray(one), colours) for one in kind] for kind in kinds]
    cells = list(zip(images, *painted, strict=True))
    present = [n for n in range(len(labels)) if any((np.asarray(m) == n).any() for m in kinds[-1])]
    present = sorted({*present, *(int(n) for m in maps for n in np.unique(m) if n < len(labels))})
    entries, lines = _legend_places([str(labels[n]) for n in present], width)
    figure, made = _cells(cells, columns, width, rows_beneath=lines, top=style.LINE_HEIGHT)
    for axes, name in zip(made[0], ("picture", title, "truth"), strict=False):
        across = 2 * 0.04 / style.inches(axes)[1]
        style.write(axes, 0, 1 + across, name, "muted", va="bottom")
    whole = style.axes(figure, 0, 0, *figure.get_size_inches())
    wide, high = style.inches(whole)
    whole.set(xlim=(0, wide), ylim=(0, high))
    for number, (text, left, line) in zip(present, entries, strict=True):
        y = (lines - line - 0.5) * style.LINE_HEIGHT * 1.1
        square = Rectangle(
            (left, y - 0.05), 0.1, 0.1, facecolor=colours[number], edgecolor=style.LIGHT["line"]
        )
        whole.add_patch(square)
        options = {"transform": whole.transData, "va": "center_baseline"}
        style.write(whole, left + 0.16, y, text, **options)
    return figure


def _paint(class_map: np.ndarray, colours) -> np.ndarray:
    """Returns a class map (height, width) as a picture; ignored pixels and unknown ones white."""
    table = np.ones((256, 3))
    table[: len(colours)] = colours
    return np.rint(255 * table[class_map]).astype(np.uint8)


def _legend_places(names: list[str], width: float) -> tuple[list[tuple[str, float, int]], int]:
    """Returns name, inches from the left and line of each entry of a legend, and the lines."""
    places, left, line = [], MARGIN, 0
    for name in names:
        wide = style.text_width(name) + 0.36
        if left > MARGIN and left + wide > width:
            left, line = MARGIN, line + 1
        places.append((name, left, line))
        left += wide
    return places, line + 1
