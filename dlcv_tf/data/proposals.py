"""Proposals: boxes in which something may be, found without learning, for detectors of regions."""

import numpy as np
import tensorflow as tf

from dlcv_tf.errors import InputError, unknown
from dlcv_tf.ops import boxes as box_ops

MODES = ("fast", "quality")
SHUFFLED = 1000  # examples that are mixed where nobody knows how many there are


def selective_search(
    image: np.ndarray,
    most: int | None = None,
    *,
    mode: str = "fast",
    enlarge: float = 2.0,
    base: int = 150,
    step: int = 150,
    seed: int = 0,
) -> np.ndarray:
    """Returns the boxes of regions that selective search makes of a picture, by OpenCV.

    The picture is cut into small regions of like pixels; of two neighbours the most alike, by
    colour, texture, size and how they fill their box, are joined again and again. The box of every
    region on the way is a proposal. That is done for several colour spaces, measures of likeness
    and first cuts, so that one of them is right.

    The authors order the regions from large to small, with chance thrown in. OpenCV takes its
    chance from C, where none can seed it, so that here chance alone decides.

    Args:
        image: (height, width, 3) uint8 RGB picture.
        most: number of proposals to keep; all by default.
        mode: "fast", or "quality": more colour spaces and measures, four times the time.
        enlarge: the picture is enlarged so many times first. The first cut smooths by 0.8 pixels
            and wants regions of a hundred pixels or so: things ten pixels wide are lost without.
        base: how coarse the first cut is; Felzenszwalb's k.
        step: how much coarser the next first cut is.
        seed: of the order.

    Returns:
        (n, 4) float32 boxes x1, y1, x2, y2 in pixels of the picture, none twice; n is 0 where
        all pixels are alike.

    Raises:
        InputError: no RGB picture of type uint8, an unknown mode, or no number to keep.

    Reference: Uijlings et al. 2013, "Selective search for object recognition".
    """
    import cv2

    image = np.asarray(image)
    if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8:
        raise InputError(
            f"got a picture of shape {image.shape} and type {image.dtype}, expected "
            "(height, width, 3) uint8"
        )
    if mode not in MODES:
        raise unknown("mode of selective search", mode, MODES)
    if (most is not None and most < 1) or enlarge <= 0:
        raise InputError(f"got most={most} and enlarge={enlarge}, expected 1 or more, and above 0")
    height, width = image.shape[:2]
    size = (max(1, round(width * enlarge)), max(1, round(height * enlarge)))
    large = cv2.resize(image[..., ::-1], size, interpolation=cv2.INTER_CUBIC)  # BGR, as OpenCV has
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(large)
    switch = {"fast": "switchToSelectiveSearchFast", "quality": "switchToSelectiveSearchQuality"}
    getattr(search, switch[mode])(base, step)
    found = np.asarray(search.process(), np.float32).reshape(-1, 4)  # x, y, width, height
    found[:, 2:] += found[:, :2]
    found *= np.tile(np.array([width, height], np.float32) / size, 2)
    found = np.unique(found, axis=0)  # sorted: the order is ours from here on
    return found[np.random.default_rng(seed).permutation(len(found))][:most]


def padded(images: np.ndarray, count: int, **options) -> np.ndarray:
    """Returns (n, count, 4) float32 proposals of n pictures; missing ones are zeros.

    Args:
        images: (n, height, width, 3) uint8 RGB pictures.
        count: proposals for each.
        options: of `selective_search`.
    """
    boxes = np.zeros((len(images), count, 4), np.float32)
    for row, image in zip(boxes, images, strict=True):
        found = selective_search(image, count, **options)
        row[: len(found)] = found
    return boxes


def attach(dataset: tf.data.Dataset, proposals: np.ndarray) -> tf.data.Dataset:
    """Returns `((image, proposals), targets)` of a data set's `(image, targets)`.

    Args:
        dataset: unbatched examples, in a fixed order.
        proposals: (n, count, 4), one row for each example, as `padded` gives them.

    Raises:
        InputError: the data set says how many examples it has, and it is another number.
    """
    count = dataset.cardinality().numpy()
    if count >= 0 and count != len(proposals):
        raise InputError(
            f"got proposals of {len(proposals)} pictures for {count} examples, expected as many"
        )
    rows = tf.data.Dataset.from_tensor_slices(np.asarray(proposals, np.float32))
    pairs = tf.data.Dataset.zip(dataset, rows)
    return pairs.map(lambda example, boxes: ((example[0], boxes), example[1]))


def sample(
    proposals,
    targets: dict,
    count: int,
    seed,
    *,
    positive_share: float = 0.25,
    positive: float = 0.5,
    negative: float = 0.0,
) -> tf.Tensor:
    """Draws the regions of one picture that a step of training sees; objects' own boxes take part.

    Most proposals show background, so that drawing among all would teach little else: a share is
    kept for regions that overlap an object enough, as far as there are any. What is still missing
    is filled up with further ones of those.

    Args:
        proposals: (n, 4) boxes; those without area are padding.
        targets: `boxes` (m, 4), `valid` and `ignored` (m,) of the picture.
        count: regions to draw.
        seed: int tensor (2,), as of `tf.random.stateless_uniform`.
        positive_share: share of the regions that show objects, at most.
        positive: least overlap of those.
        negative: least overlap of the others, below `positive`. R-CNN takes all; Fast R-CNN takes
            0.1, so that background near objects is seen more often.

    Returns:
        (count, 4) boxes; zeros behind them where there are fewer.

    Reference: Girshick et al., "R-CNN", section 2.3, https://arxiv.org/abs/1311.2524.
    """
    counted = tf.cast(targets["valid"], tf.bool) & ~tf.cast(targets["ignored"], tf.bool)
    objects = tf.where(counted[:, None], targets["boxes"], 0)
    regions = tf.concat([proposals, objects], axis=0)
    overlap = tf.reduce_max(tf.pad(box_ops.iou(regions, objects), [[0, 0], [0, 1]]), axis=1)
    real = box_ops.area(regions) > 0
    is_positive = real & (overlap >= positive)
    is_negative = real & (overlap < positive) & (overlap >= negative)
    chance = tf.random.stateless_uniform(tf.shape(overlap), seed)
    rank = tf.argsort(tf.argsort(tf.where(is_positive, chance, 2)))  # among the positive ones
    wanted = tf.cast(positive_share * count, tf.int32)
    group = tf.where(is_positive, tf.where(rank < wanted, 0.0, 2.0), 1.0)
    group = tf.where(is_positive | is_negative, group, 3.0)
    order = tf.argsort(group + chance)[:count]
    drawn = tf.where(tf.gather(group, order)[:, None] < 3, tf.gather(regions, order), 0)
    missing = tf.maximum(count - tf.shape(drawn)[0], 0)
    return tf.ensure_shape(tf.pad(drawn, [[0, missing], [0, 0]]), (count, 4))


def training_batches(
    dataset: tf.data.Dataset, batch_size: int, count: int, *, seed: int = 0, **options
) -> tf.data.Dataset:
    """Returns shuffled batches of `((images, regions), targets)`, one epoch; drawn anew each time.

    Args:
        dataset: what `attach` returns.
        batch_size: pictures in a batch; the last, smaller one is dropped.
        count: regions drawn for each picture.
        seed: of the order and the draw.
        options: of `sample`.
    """

    def drawn(inputs, targets, step_seed):
        return (inputs[0], sample(inputs[1], targets, count, step_seed, **options)), targets

    known = int(dataset.cardinality())
    shuffled = dataset.shuffle(known if known > 0 else SHUFFLED, seed)
    seeds = tf.data.Dataset.random(seed, rerandomize_each_iteration=True).batch(2)
    numbered = tf.data.Dataset.zip(shuffled, seeds)
    examples = numbered.map(lambda example, step_seed: drawn(*example, step_seed))
    return examples.batch(batch_size, drop_remainder=True).prefetch(2)
