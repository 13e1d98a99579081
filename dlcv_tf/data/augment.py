"""Changes of training pictures, and of the places in them, eagerly and inside `tf.data`.

Every function takes a batch of uint8 or float [0, 255] pictures and a seed, and is stateless: the
same seed gives the same pictures, so a resumed run sees what the uninterrupted one would have seen.
"""

import re

import tensorflow as tf

from dlcv_tf.data import moves, rotation
from dlcv_tf.errors import InputError, unknown

SHIFT = 0.125  # largest shift, as a part of each side
ZOOM = 4 / 3  # largest factor of `scale`, in and out
LEAST_SIDE = 0.6  # of the part that `crop` keeps
LEAST_PART = 0.25  # of a box's area; a thing of which less is left is ignored


def flip(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Mirrors each picture left to right with probability one half.

    Args:
        images: (batch, height, width, channels) pictures.
        seed: int64 tensor of two numbers.

    Returns:
        Pictures of the same shape and type.
    """
    mirrored = tf.random.stateless_uniform((tf.shape(images)[0],), seed) < 0.5
    # These two kernels take a tenth of the time of `images[:, :, ::-1]` and a broadcast `tf.where`.
    return tf.raw_ops.Select(condition=mirrored, x=tf.reverse(images, [2]), y=images)


def shift(images: tf.Tensor, seed: tf.Tensor, fraction: float = SHIFT) -> tf.Tensor:
    """Crops each picture at a random place after reflecting its borders outwards.

    Args:
        images: (batch, height, width, channels) pictures.
        seed: int64 tensor of two numbers.
        fraction: largest shift, as a part of each side (4 pixels of 32 by default).

    Returns:
        Pictures of the same shape and type.
    """
    batch = tf.shape(images)[0]
    places = []
    for axis in (1, 2):
        side = images.shape[axis]
        padding = min(max(1, round(side * fraction)), side - 1)
        offsets = tf.random.stateless_uniform(
            (batch, 1), seed + axis, maxval=2 * padding + 1, dtype=tf.int32
        )
        place = offsets - padding + tf.range(side)  # (batch, side), outside of the picture too
        places.append((side - 1) - tf.abs((side - 1) - tf.abs(place)))  # reflected into it
    height, width, channels = images.shape[1:]
    rows = tf.range(batch)[:, None] * height + places[0]
    pixels = rows[:, :, None] * width + places[1][:, None, :]  # (batch, height, width)
    return tf.gather(tf.reshape(images, (-1, channels)), pixels)


def cutout(images: tf.Tensor, seed: tf.Tensor, fraction: float = 0.25) -> tf.Tensor:
    """Covers a square of each picture, at a random place, with middle grey.

    Args:
        images: (batch, height, width, channels) pictures.
        seed: int64 tensor of two numbers.
        fraction: side of the square, as a part of the picture's sides (8 pixels of 32 by default).

    Returns:
        Pictures of the same shape and type.

    Reference: DeVries and Taylor, https://arxiv.org/abs/1708.04552; theirs may hang over the
    border, this one never does.
    """
    covered = True
    for axis in (1, 2):
        side = images.shape[axis]
        length = max(1, round(side * fraction))
        first = tf.random.stateless_uniform(
            (tf.shape(images)[0], 1), seed + axis, maxval=side - length + 1, dtype=tf.int32
        )
        place = tf.range(side)
        inside = (place >= first) & (place < first + length)  # (batch, side)
        covered &= inside[:, :, None, None] if axis == 1 else inside[:, None, :, None]
    return tf.where(covered, tf.cast(128, images.dtype), images)


def colour(
    images: tf.Tensor,
    seed: tf.Tensor,
    brightness: float = 0.2,
    contrast: float = 0.2,
    saturation: float = 0.3,
) -> tf.Tensor:
    """Changes brightness, contrast and saturation of each picture, one amount for each of them.

    The picture is blended with its grey (the mean of the channels) for the saturation, then with
    its mean grey level for the contrast; the brightness is added.

    Args:
        images: (batch, height, width, channels) pictures.
        seed: int64 tensor of two numbers.
        brightness: largest change, as a part of 255.
        contrast: largest change of the factor 1.
        saturation: likewise.

    Returns:
        Pictures of the same shape and type, clipped to [0, 255].
    """

    def drawn(number, middle, most):
        shape = (tf.shape(images)[0], 1, 1, 1)
        return tf.random.stateless_uniform(shape, seed + number, middle - most, middle + most)

    pixels = tf.cast(images, tf.float32)
    grey = tf.reduce_mean(pixels, axis=-1, keepdims=True)
    mean = tf.reduce_mean(grey, axis=(1, 2), keepdims=True)
    factor, vivid = drawn(1, 1, contrast), drawn(2, 1, saturation)
    # All three changes in one pass over the pixels: the rest has one channel only.
    rest = grey * (factor * (1 - vivid)) + mean * (1 - factor) + drawn(3, 0, 255 * brightness)
    pixels = tf.clip_by_value(pixels * (factor * vivid) + rest, 0, 255)
    return tf.cast(tf.round(pixels) if images.dtype == tf.uint8 else pixels, images.dtype)


def vertical_flip(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Mirrors each picture top to bottom with probability one half.

    Args:
        images: (batch, height, width, channels) pictures.
        seed: int64 tensor of two numbers.
    """
    return _moved(images, seed, "vertical_flip")


def quarter_turn(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Turns each picture by 0, 90, 180 or 270 degrees; by 0 or 180 where it is not square.

    Args:
        images: (batch, height, width, channels) pictures.
        seed: int64 tensor of two numbers.
    """
    return _moved(images, seed, "quarter_turn")


def scale(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Zooms into or out of each picture, by a factor of up to 4/3, at a random place.

    Args:
        images: (batch, height, width, channels) pictures.
        seed: int64 tensor of two numbers.

    Returns:
        Pictures of the same shape and type, middle grey around those that shrank.
    """
    return _moved(images, seed, "scale")


def crop(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Stretches a random part of each picture, 0.6 to 1 of either side, to the whole.

    Args:
        images: (batch, height, width, channels) pictures.
        seed: int64 tensor of two numbers.
    """
    return _moved(images, seed, "crop")


def _flip_move(batch, size, seed) -> moves.Move:
    return _mirror(batch, size, tf.stack([_coin(batch, seed), tf.zeros(batch, bool)], axis=1))


def _vertical_flip_move(batch, size, seed) -> moves.Move:
    return _mirror(batch, size, tf.stack([tf.zeros(batch, bool), _coin(batch, seed)], axis=1))


def _quarter_turn_move(batch, size, seed) -> moves.Move:
    half = _coin(batch, seed)  # turned upside down
    move = _mirror(batch, size, tf.stack([half, half], axis=1))
    if size[0] != size[1]:
        return move
    quarter = _coin(batch, seed + 1)  # x and y exchanged, then mirrored: clockwise
    clockwise = _mirror(batch, size, tf.stack([quarter, tf.zeros(batch, bool)], axis=1))
    return move.then(moves.Move(clockwise.scale, clockwise.offset, quarter))


def _shift_move(batch, size, seed) -> moves.Move:
    """By as many pixels as `shift`, which draws the same numbers."""
    offsets = []
    for axis, side in enumerate(size, start=1):
        padding = min(max(1, round(side * SHIFT)), side - 1)
        drawn = tf.random.stateless_uniform(
            (batch, 1), seed + axis, maxval=2 * padding + 1, dtype=tf.int32
        )
        offsets.insert(0, tf.cast(padding - drawn, tf.float32))
    return moves.Move(tf.ones((batch, 2)), tf.concat(offsets, axis=1))


def _scale_move(batch, size, seed) -> moves.Move:
    exponent = tf.random.stateless_uniform((batch, 1), seed, -1, 1)
    return _placed(batch, size, tf.repeat(ZOOM**exponent, 2, axis=1), seed + 1)


def _crop_move(batch, size, seed) -> moves.Move:
    side = tf.random.stateless_uniform((batch, 2), seed, LEAST_SIDE, 1)
    return _placed(batch, size, 1 / side, seed + 1)


def _coin(batch, seed) -> tf.Tensor:
    return tf.random.stateless_uniform((batch,), seed) < 0.5


def _mirror(batch, size, mirrored: tf.Tensor) -> moves.Move:
    """Mirrors where (batch, 2) says so, along x and y."""
    sides = tf.constant([size[1], size[0]], tf.float32)
    return moves.Move(tf.where(mirrored, -1.0, 1.0), tf.where(mirrored, sides, 0.0))


def _placed(batch, size, factor: tf.Tensor, seed) -> moves.Move:
    """Scales by (batch, 2) factors, so that picture or frame lies in the other, at random."""
    sides = tf.constant([size[1], size[0]], tf.float32)
    place = tf.random.stateless_uniform((batch, 2), seed)
    return moves.Move(factor, place * sides * (1 - factor))


def _moved(images: tf.Tensor, seed: tf.Tensor, name: str) -> tf.Tensor:
    move = MOVES[name](tf.shape(images)[0], tuple(images.shape[1:3]), seed)
    return moves.of_images(images, move)


AUGMENTATIONS = {
    "flip": flip,
    "shift": shift,
    "cutout": cutout,
    "colour": colour,
    "vertical_flip": vertical_flip,
    "quarter_turn": quarter_turn,
    "scale": scale,
    "crop": crop,
    "rotate": rotation.rotate,
}
# Those that move what is in a picture.
MOVES = {
    "flip": _flip_move,
    "shift": _shift_move,
    "vertical_flip": _vertical_flip_move,
    "quarter_turn": _quarter_turn_move,
    "scale": _scale_move,
    "crop": _crop_move,
}
MIRRORS = ("flip", "vertical_flip")  # after which left is right
SIDES = {"left": "right", "right": "left", "Left": "Right", "Right": "Left"}


def augment(images: tf.Tensor, seed: tf.Tensor, names: tuple[str, ...]) -> tf.Tensor:
    """Applies the named augmentations in order, each with its own stream of random numbers.

    Args:
        images: (batch, height, width, channels) uint8 or float [0, 255] pictures.
        seed: int64 tensor of two numbers, e.g. (seed, step).
        names: keys of `AUGMENTATIONS`.

    Returns:
        Pictures of the same shape and type.

    Raises:
        InputError: a name is not known.
    """
    for number, name in enumerate(names):
        if name not in AUGMENTATIONS:
            raise unknown("augmentation", name, AUGMENTATIONS)
        images = AUGMENTATIONS[name](images, _seed(seed, number))
    return images


def augment_with_targets(
    images: tf.Tensor,
    targets,
    seed: tf.Tensor,
    names: tuple[str, ...],
    joint_names: tuple[str, ...] = (),
):
    """Applies the named augmentations to pictures and to the places in them.

    All the moves together are one resampling, before the other changes; "rotate" is another one.
    What comes from outside of a picture is middle grey ("shift" reflects nothing here), 255 in a
    class map. A thing of which less than a quarter is left is `ignored`, a joint outside has
    visible 0. A mirror exchanges left and right joints.

    Args:
        images: (batch, height, width, channels) uint8 or float [0, 255] pictures.
        targets: of a batch, of any kind in `targets.KINDS`.
        seed: int64 tensor of two numbers, e.g. (seed, step).
        names: keys of `AUGMENTATIONS`.
        joint_names: names of the joints, with "left" and "right" in those that have a side.

    Returns:
        Pictures and targets of the same shapes and types.

    Raises:
        InputError: as `check`.
    """
    check(names, targets, joint_names)
    batch, size = tf.shape(images)[0], tuple(images.shape[1:3])
    move = None
    for number, name in enumerate(names):
        if name in MOVES:
            following = MOVES[name](batch, size, _seed(seed, number))
            move = following if move is None else move.then(following)
    if move is not None:
        images = moves.of_images(images, move)
        targets = moves.of_targets(targets, move, size, LEAST_PART)
        if joint_names and "joints" in targets:
            joints = targets["joints"]
            mirrored = tf.reshape(move.mirrors, (-1, *(1,) * (joints.shape.rank - 1)))
            others = tf.gather(joints, mirrored_joints(joint_names), axis=-2)
            targets["joints"] = tf.where(mirrored, others, joints)
    for number, name in enumerate(names):
        if name == "rotate":
            images, targets = rotation.rotate_with_targets(images, targets, _seed(seed, number))
        elif name not in MOVES:
            images = AUGMENTATIONS[name](images, _seed(seed, number))
    return images, targets


def check(names: tuple[str, ...], targets, joint_names: tuple[str, ...]) -> None:
    """Raises an InputError for augmentations that are not known, or mirror joints without names.

    Args:
        names: of the augmentations.
        targets: what stands beside the pictures, or its `element_spec`.
        joint_names: as for `augment_with_targets`.
    """
    for name in names:
        if name not in AUGMENTATIONS:
            raise unknown("augmentation", name, AUGMENTATIONS)
    if isinstance(targets, dict) and "joints" in targets:
        mirrors = [name for name in names if name in MIRRORS]
        if mirrors and len(joint_names) != targets["joints"].shape[-2]:
            raise InputError(
                f"got {len(joint_names)} joint_names for {targets['joints'].shape[-2]} joints, "
                f"expected one for each where {mirrors[0]!r} exchanges left and right: give "
                "Info.joint_names"
            )
        mirrored_joints(joint_names)


def mirrored_joints(names: tuple[str, ...]) -> list[int]:
    """Returns for each joint the number of the one it becomes in a mirror.

    Args:
        names: of the joints; "left" and "right" are exchanged in them.

    Raises:
        InputError: a joint without its counterpart.
    """
    numbers = []
    for name in names:
        other = re.sub("|".join(SIDES), lambda match: SIDES[match[0]], name)
        if other not in names:
            raise InputError(f"got the joint {name!r} without {other!r}, expected both of them")
        numbers.append(names.index(other))
    return numbers


def _seed(seed: tf.Tensor, number: int) -> tf.Tensor:
    return seed + tf.constant([1000 * number, 0], tf.int64)
