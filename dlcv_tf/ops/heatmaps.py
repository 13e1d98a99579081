"""Heatmaps of joints: Gaussian targets, and the places that predicted maps mean.

Places are (x, y) in cells of the map, continuous: cell i covers [i, i + 1], its centre lies at
i + 0.5. Multiplied by the stride they are pixels. Published codes that count from the centres
(cell i lies at i: Tompson et al., hourglass, simple baselines) are had by `first_centre=0.0`.

Reference: Tompson et al., https://arxiv.org/abs/1406.2984.
"""

import tensorflow as tf

from dlcv_tf.errors import InputError

DECODINGS = ("argmax", "quarter", "soft")


def gaussians(
    joints,
    size: tuple[int, int],
    sigma: float = 1.0,
    *,
    first_centre: float = 0.5,
    rounded: bool = False,
    cut: float | None = None,
) -> tf.Tensor:
    """Returns a heatmap for each joint: exp(-distance^2 / (2 sigma^2)), 1 at the joint.

    A joint outside of the map leaves the tail that reaches into it, perhaps nothing.

    Args:
        joints: (..., joints, 2 or more) x, y in cells; what follows is not looked at.
        size: (height, width) of the maps, cells.
        sigma: standard deviation, cells.
        first_centre: place of the first cell's centre.
        rounded: take the cell nearest to the joint for its place, as the hourglass and the simple
            baselines do; the peak is then exactly 1, and the rest of the place is lost.
        cut: distance along either axis, in sigmas, from which on the map is 0; 3 in these codes.

    Returns:
        (..., height, width, joints), of the type of the joints.

    Raises:
        InputError: sigma is not above zero, or the joints have no two coordinates.

    Example:
        >>> [round(float(v), 2) for v in gaussians([[1.5, 0.5]], (1, 3))[0, :, 0]]
        [0.61, 1.0, 0.61]
    """
    if not sigma > 0:
        raise InputError(f"got sigma={sigma}, expected a width above 0 cells")
    joints = tf.convert_to_tensor(joints)
    if joints.shape.rank is None or joints.shape.rank < 2 or joints.shape[-1] < 2:
        raise InputError(f"got joints of shape {tuple(joints.shape)}, expected (..., joints, 2)")
    x, y = joints[..., None, :, 0], joints[..., None, :, 1]  # (..., 1, joints)
    if rounded:
        x, y = (tf.floor(place - first_centre + 0.5) + first_centre for place in (x, y))
    along = []
    for place, side in ((y, size[0]), (x, size[1])):
        centres = tf.range(side, dtype=joints.dtype)[:, None] + first_centre
        distances = tf.abs(centres - place)  # (..., side, joints)
        values = tf.exp(-tf.square(distances / sigma) / 2)
        along.append(values if cut is None else tf.where(distances > cut * sigma, 0.0, values))
    return along[0][..., :, None, :] * along[1][..., None, :, :]


def argmax(heatmaps, first_centre: float = 0.5) -> tf.Tensor:
    """Returns the centre of the highest cell of each map, and its height.

    Args:
        heatmaps: (batch, height, width, joints); the first of equal cells counts, row by row.
        first_centre: place of the first cell's centre.

    Returns:
        (batch, joints, 3) x, y in cells and the map's value there.
    """
    flat, _, width = _flat(heatmaps)
    best = tf.argmax(flat, axis=-1, output_type=tf.int32)  # (batch, joints)
    x = tf.cast(best % width, flat.dtype) + first_centre
    y = tf.cast(best // width, flat.dtype) + first_centre
    return tf.stack([x, y, tf.reduce_max(flat, axis=-1)], axis=-1)


def quarter_offset(heatmaps, first_centre: float = 0.5) -> tf.Tensor:
    """Returns the highest cell of each map, moved a quarter of a cell to its higher neighbour.

    Along each axis alone; not where a neighbour is missing at the border, nor between equals.

    Args:
        heatmaps: as for `argmax`.
        first_centre: likewise.

    Returns:
        (batch, joints, 3) x, y in cells and the value of the highest cell.

    Reference: Newell et al., section 3.1, https://arxiv.org/abs/1603.06937. Their code and the
    simple baselines leave joints alone that are near a border of either axis.
    """
    flat, height, width = _flat(heatmaps)
    best = tf.argmax(flat, axis=-1, output_type=tf.int32)
    places = argmax(heatmaps, first_centre)
    moved = []
    for place, number, step, side in (
        (places[..., 0], best % width, 1, width),
        (places[..., 1], best // width, width, height),
    ):
        has_both = (number > 0) & (number < side - 1)
        after = tf.gather(flat, tf.where(has_both, best + step, best), batch_dims=2)
        before = tf.gather(flat, tf.where(has_both, best - step, best), batch_dims=2)
        moved.append(place + 0.25 * tf.sign(after - before))
    return tf.stack([*moved, places[..., 2]], axis=-1)


def soft_argmax(heatmaps, temperature: float = 1.0, first_centre: float = 0.5) -> tf.Tensor:
    """Returns the mean place under the softmax of each map: it has a gradient, unlike the highest.

    Args:
        heatmaps: (batch, height, width, joints) logits.
        temperature: the logits are divided by it; small ones come close to `argmax`.
        first_centre: place of the first cell's centre.

    Returns:
        (batch, joints, 3) x, y in cells and the probability of the likeliest cell.

    Raises:
        InputError: the temperature is not above zero.

    Reference: Sun et al., https://arxiv.org/abs/1711.08229.
    """
    if not temperature > 0:
        raise InputError(f"got temperature={temperature}, expected a number above 0")
    flat, height, width = _flat(heatmaps)
    probabilities = tf.nn.softmax(flat / temperature)  # (batch, joints, cells)
    cells = tf.range(height * width)
    x = tf.cast(cells % width, flat.dtype) + first_centre
    y = tf.cast(cells // width, flat.dtype) + first_centre
    mean = tf.matmul(probabilities, tf.stack([x, y], axis=-1)[None])
    return tf.concat([mean, tf.reduce_max(probabilities, axis=-1, keepdims=True)], axis=-1)


def decode(heatmaps, how: str = "quarter", first_centre: float = 0.5) -> tf.Tensor:
    """Returns (batch, joints, 3) places by one of `DECODINGS`.

    Raises:
        InputError: there is no such way.
    """
    ways = {"argmax": argmax, "quarter": quarter_offset, "soft": soft_argmax}
    if how not in ways:
        raise InputError(f"got decoding {how!r}, expected one of {', '.join(DECODINGS)}")
    return ways[how](heatmaps, first_centre=first_centre)


def _flat(heatmaps) -> tuple[tf.Tensor, int, int]:
    """Returns maps (batch, joints, height * width), their height and their width."""
    heatmaps = tf.convert_to_tensor(heatmaps)
    if heatmaps.shape.rank != 4 or None in heatmaps.shape[1:]:
        raise InputError(
            f"got heatmaps of shape {tuple(heatmaps.shape)}, expected (batch, height, width, "
            "joints) of a known size"
        )
    height, width, joints = heatmaps.shape[1:]
    flat = tf.reshape(heatmaps, (-1, height * width, joints))
    return tf.transpose(flat, (0, 2, 1)), height, width
