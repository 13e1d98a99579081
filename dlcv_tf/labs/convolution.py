"""Labs of the chapter on convolution and pooling."""

import math

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from dlcv_tf import models
from dlcv_tf.data import shapes
from dlcv_tf.errors import unknown
from dlcv_tf.labs.lab import Finding, Table
from dlcv_tf.models import summary
from dlcv_tf.ops import arithmetic, filters
from dlcv_tf.plots import charts, pictures

BAR_SIDE = 41  # pixels of the drawn bars


def oriented_edges(
    *, orientations: int = 12, size: int = 15, reach: int = 4, seed: int = 0
) -> Finding:
    """Simple cells answer to one direction at one place, complex cells wherever it is near.

    Hubel and Wiesel's simple cells are modelled by Gabor filters and a ReLU, complex cells by a max
    pool over them. Bars at every direction are shown: the filter of that direction must answer
    most. Then the bar is moved sideways: the simple cell must fall silent, the complex cell must
    not notice until the bar leaves its pool. Convolution and pooling do the same.

    Curriculum: row 3.

    Args:
        orientations: of filters and bars, over half a turn.
        size: of a filter, pixels a side.
        reach: pixels that the pool extends to each side.
        seed: of the picture that is drawn.

    Reference: Hubel and Wiesel 1962, "Receptive fields, binocular interaction and functional
    architecture in the cat's visual cortex".
    """
    bank = filters.gabor(size, orientations)
    degrees = np.arange(orientations) * 180 / orientations
    middle = BAR_SIDE // 2

    def cells(bars):  # (n, side, side) -> two (n, orientations) answers at the middle
        simple = tf.nn.relu(tf.nn.conv2d(bars[..., None], bank, 1, "SAME"))
        pooled = tf.nn.max_pool2d(simple, 2 * reach + 1, 1, "SAME")
        return simple[:, middle, middle].numpy(), pooled[:, middle, middle].numpy()

    simple, _ = cells(_bars(np.radians(degrees), np.zeros(orientations)))
    preferred = simple.argmax(axis=1)
    shifts = np.arange(-2 * reach - 4, 2 * reach + 5)
    upright = orientations // 2
    moved = cells(_bars(np.full(len(shifts), math.pi / 2), shifts))
    moved_simple, moved_complex = (each[:, upright] / each[:, upright].max() for each in moved)
    near = np.abs(shifts) <= reach
    simple_least, complex_least = moved_simple[near].min(), moved_complex[near].min()
    right = int((preferred == np.arange(orientations)).sum())
    return Finding(
        claim="Simple cells answer to lines of one direction at one place; complex cells pool them "
        "and do not mind small shifts.",
        holds=right == orientations and complex_least > 0.95 and simple_least < 0.2,
        summary=f"The filter of a bar's own direction answers most for {right} of {orientations} "
        f"bars. Moved by up to {reach} pixels, the simple cell's answer falls to "
        f"{simple_least:.2f} of its best, the complex cell's to {complex_least:.2f}.",
        numbers={
            "directions_right": right,
            "directions": orientations,
            "simple_least": float(simple_least),
            "complex_least": float(complex_least),
        },
        figures={
            "oriented_edges": _answers_to_a_picture(bank, reach, seed),
            "oriented_edges_tuning": charts.draw(
                [
                    charts.Panel(
                        "One filter, bars of all directions",
                        {"simple cell": (degrees, simple[:, upright] / simple.max())},
                        "direction of the bar, degrees",
                        "answer, of the best",
                    ),
                    charts.Panel(
                        "One direction, bars moved sideways",
                        {"simple": (shifts, moved_simple), "complex": (shifts, moved_complex)},
                        "shift, pixels",
                        "answer, of the best",
                    ),
                ]
            ),
        },
    )


def _bars(angles: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Draws (n, side, side) float32 pictures of a bright bar each, moved sideways by pixels."""
    across, _ = filters.line_coordinates(BAR_SIDE, angles)
    bars = np.exp(-((across - shifts) ** 2) / (2 * 1.0**2))
    return np.moveaxis(bars, -1, 0).astype(np.float32)


def _answers_to_a_picture(bank: np.ndarray, reach: int, seed: int):
    """Draws a picture, some of the filters, and what simple and complex cells make of it."""
    random = np.random.default_rng(seed)
    picture = shapes.draw(shapes.LABELS.index("star"), random).mean(-1)
    size, count = bank.shape[0], bank.shape[-1]
    beyond = np.pad(picture / 255, size // 2, mode="reflect")  # or the border would be an edge
    simple = tf.nn.relu(tf.nn.conv2d(beyond[None, ..., None].astype("float32"), bank, 1, "VALID"))
    pooled = tf.nn.max_pool2d(simple, 2 * reach + 1, 1, "SAME")
    margin = len(picture) - size
    shown = np.pad(bank[:, :, 0], ((margin // 2, margin - margin // 2),) * 2 + ((0, 0),))
    rows = {"filter": 0.5 + shown / np.abs(shown).max() / 2}
    rows |= {"simple": simple[0] / np.max(simple), "complex": pooled[0] / np.max(simple)}
    picked = range(0, count, max(1, count // 4))
    tiles, titles = [], []
    for name, maps in rows.items():
        maps = np.asarray(maps)
        tiles += [picture / 255 if name == "filter" else maps.max(axis=-1)]
        titles += ["picture" if name == "filter" else f"{name} cells, all"]
        tiles += [maps[..., number] for number in picked]
        titles += [f"{name}, {number * 180 / count:.0f}°" for number in picked]
    return pictures.grid(_grey(tiles), titles, columns=1 + len(picked))


def _grey(tiles) -> np.ndarray:
    """Returns (n, height, width) numbers from 0 to 1 as (n, height, width, 1) pictures."""
    return (np.stack(tiles)[..., None] * 255).round().astype(np.uint8)


def output_sizes(*, size: int = 7, kernel: int = 3, padding: int = 1) -> Finding:
    """(N - F + 2P)/S + 1 gives every size; where it is not whole, pixels are never read.

    For all strides up to the kernel's size, without and with padding, the formula is compared with
    what TensorFlow's convolution returns, and the gradient of the outputs' sum counts how many
    windows read each pixel. Where the stride does not divide, the framework rounds down and the
    last rows and columns have no gradient at all.

    Curriculum: rows 42, 43. Erratum E4: the notes' "image - filter + 1" is the case S=1, P=0.

    Args:
        size: N, pixels a side of the picture.
        kernel: F.
        padding: P that is compared with none.

    Reference: CS231n notes, "Convolutional Neural Networks", spatial arrangement.
    """
    rows, maps, titles, agree, explained = [], [], [], [], []
    cases = [(stride, pad) for pad in (0, padding) for stride in range(1, kernel + 1)]
    for stride, pad in cases:
        quotient = (size - kernel + 2 * pad) / stride + 1
        formula = arithmetic.output_size(size, kernel, stride=stride, padding=pad, floor=True)
        places, reads = _windows(size, kernel, stride, pad)
        unread = int((reads.sum(axis=0) == 0).sum())
        agree.append(places == formula)
        # Windows of a stride up to the kernel's size overlap or touch: only a rest is left out.
        rest = (size - kernel + 2 * pad) % stride
        explained.append(unread == max(0, rest - pad))
        rows.append((f"S={stride}, P={pad}", round(quotient, 2), places, unread))
        maps.append(reads)
        whole = "" if quotient == places else f" ({quotient:.2f})"
        titles.append(f"S={stride} P={pad}: {places}{whole}")
    most = max(reads.max() for reads in maps)
    tiles = _grey(np.sqrt(np.stack(maps) / most))  # the root tells one reading from none
    fits = [row[0] for row in rows if row[1] == row[2]]
    return Finding(
        claim="(N - F + 2P)/S + 1 is the output's size and must be whole; frameworks round down "
        "and leave the last pixels unread.",
        holds=all(agree) and all(explained),
        summary=f"TensorFlow's size is the formula's, rounded down, in {sum(agree)} of "
        f"{len(cases)} cases for N={size}, F={kernel}; it is whole for {'; '.join(fits)}. Columns "
        f"without any gradient: {', '.join(str(row[3]) for row in rows)}, as the rest says.",
        numbers={
            "cases": [
                {"stride": s, "padding": p, "formula": row[1], "places": row[2], "unread": row[3]}
                for (s, p), row in zip(cases, rows, strict=True)
            ]
        },
        tables=[Table(("case", "formula", "TensorFlow's size", "columns never read"), rows)],
        figures={"output_sizes": pictures.grid(tiles, titles, columns=kernel)},
    )


def _windows(size: int, kernel: int, stride: int, padding: int) -> tuple[int, np.ndarray]:
    """Returns a convolution's places along an axis, and how many windows read each pixel."""
    images = tf.ones((1, size, size, 1))
    with tf.GradientTape() as tape:
        tape.watch(images)
        padded = tf.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
        outputs = tf.nn.conv2d(padded, tf.ones((kernel, kernel, 1, 1)), stride, "VALID")
    return outputs.shape[1], tape.gradient(outputs, images)[0, ..., 0].numpy()


def receptive_fields(*, noises: int = 24, seed: int = 0) -> Finding:
    """Three 3x3 layers see as much as one 7x7: fields computed, and measured by gradients.

    The field of every network is computed by `models.summary` and measured: the gradient of the
    middle output by the pixels is not zero just where that output looks. Weights are made positive,
    so that nothing cancels; through a max pool the gradient takes one way at a time, so that many
    noise pictures are put together. Where the gradient is large is the effective field: the middle.

    Curriculum: row 43.

    Args:
        noises: pictures of noise to put together.
        seed: of weights and noise.

    Reference: Luo et al. 2016, "Understanding the Effective Receptive Field in Deep Convolutional
    Neural Networks", https://arxiv.org/abs/1701.04128.
    """
    keras.utils.set_random_seed(seed)
    rows, maps, numbers = [], [], {}
    for name, network in _networks().items():
        facts = summary.summarize(network)
        computed = facts.rows[-1].field[0]
        gradients = _sensitivity(network, noises, seed)
        lines = np.flatnonzero(gradients.any(axis=1)), np.flatnonzero(gradients.any(axis=0))
        measured = [int(line[-1] - line[0] + 1) for line in lines]
        rows.append((name, computed, measured[0], measured[1], facts.parameters))
        numbers[name] = {"computed": computed, "measured": measured, "weights": facts.parameters}
        maps.append(np.sqrt(gradients / gradients.max()))  # the root shows the faint rim too
    equal = sum(row[1] == row[2] == row[3] for row in rows)
    three, one = (numbers[name] for name in ("three 3x3", "one 7x7"))
    titles = [f"{row[0]}: {row[1]}" for row in rows]
    return Finding(
        claim="Three 3x3 layers see 7x7 pixels, with fewer weights than one 7x7 layer.",
        holds=equal == len(rows) and three["measured"] == one["measured"] == [7, 7],
        summary=f"Computed and measured fields are equal for {equal} of {len(rows)} networks. "
        f"Three 3x3 layers of eight filters see 7x7 with {three['weights']:,} weights, one 7x7 "
        f"layer takes {one['weights']:,}.",
        numbers=numbers,
        tables=[Table(("network", "computed", "measured, rows", "columns", "weights"), rows)],
        figures={"receptive_fields": pictures.grid(_grey(maps), titles, columns=3)},
    )


def _networks(side: int = 45, channels: int = 8) -> dict[str, keras.Model]:
    """Returns networks whose last output is a map, all weights positive."""

    def build(*stack):
        inputs = keras.Input((side, side, channels))
        x = inputs
        for layer in stack:
            x = layer(x)
        return keras.Model(inputs, x)

    def convolution(kernel, **options):
        return layers.Conv2D(channels, kernel, padding="same", use_bias=False, **options)

    def branched(x):
        wide = convolution(5)(convolution(1)(x))
        return layers.Concatenate()([convolution(3)(x), wide, layers.MaxPooling2D(3, 1, "same")(x)])

    residual = models.resnet20((side, side, channels), 10, width=4)
    found = {
        "three 3x3": build(*[convolution(3) for _ in range(3)]),
        "one 7x7": build(convolution(7)),
        "dilated 1, 2, 4": build(*[convolution(3, dilation_rate=rate) for rate in (1, 2, 4)]),
        "conv, pool, twice": build(
            *(convolution(3), layers.MaxPooling2D(2), convolution(3), layers.MaxPooling2D(2))
        ),
        "two inception blocks": build(branched, branched),
        "ResNet-20 up to c3": keras.Model(residual.input, residual.get_layer("c3").output),
    }
    for network in found.values():
        for variable in network.trainable_variables:
            variable.assign(tf.abs(variable))
    return found


def _sensitivity(network: keras.Model, noises: int, seed: int) -> np.ndarray:
    """Returns (side, side) mean sizes of the middle output's gradient by each pixel."""
    random = np.random.default_rng(seed)
    images = tf.constant(random.uniform(0, 1, (noises, *network.input_shape[1:])), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = network(images, training=False)
        middle = outputs[:, outputs.shape[1] // 2, outputs.shape[2] // 2]
    gradients = tf.abs(tape.gradient(middle, images))
    return tf.reduce_mean(gradients, axis=(0, 3)).numpy()


def where_parameters_live(*, network: str = "alexnet") -> Finding:
    """AlexNet: 94 % of the parameters are fully connected, 95 % of the work is convolution.

    `models.summary` counts every layer at the size of the paper. The lecture rounds to 62 million
    parameters of which 59 million are in three layers, and says "1/3 of which live in a few
    layers": it is 94 % (erratum E16). The first layer has 290,400 neurons but 34,944 parameters,
    because neurons of one map share theirs; unshared it would take 105,705,600.

    Curriculum: rows 2, 40, 44.

    Args:
        network: `"alexnet"`, `"lenet5"` or `"resnet50"`.

    Reference: CS231n notes, "Convolutional Neural Networks", case studies.
    """
    sizes = {"alexnet": (227, 227, 3), "lenet5": (32, 32, 1), "resnet50": (224, 224, 3)}
    if network not in sizes:
        raise unknown("network of this lab", network, sizes)
    classes = 10 if network == "lenet5" else 1000
    facts = summary.summarize(models.BUILDERS[network](sizes[network], classes))
    counted = [row for row in facts.rows if row.macs]
    dense = [row for row in counted if row.kind == "Dense"]
    dense_parameters = sum(row.parameters for row in dense)
    dense_work = sum(row.macs for row in dense)
    first = arithmetic.Convolution((227, 227, 3), filters=96, kernel=11, stride=4)
    share, work = dense_parameters / facts.parameters, 1 - dense_work / facts.macs
    rows = [
        (row.name, "x".join(map(str, row.output_shape)), row.parameters, row.macs, row.memory)
        for row in counted
    ]
    names = [row.name for row in counted]
    shares = {
        "parameters": [100 * row.parameters / facts.parameters for row in counted],
        "multiply-adds": [100 * row.macs / facts.macs for row in counted],
    }
    series = {key: charts.Series(names, share, marks=True) for key, share in shares.items()}
    panel = charts.Panel(f"{facts.name}, layer by layer", series, y_label="% of the network")
    is_alexnet = network == "alexnet"
    return Finding(
        claim="Nearly all parameters of AlexNet are in its fully connected layers, nearly all work "
        "in its convolutions.",
        holds=share > 0.9 and work > 0.9 if is_alexnet else facts.parameters > 0,
        summary=f"{dense_parameters:,} of {facts.parameters:,} parameters ({share:.1%}) are in "
        f"fully connected layers, {work:.1%} of {facts.macs:,} multiply-adds in convolutions.",
        numbers={
            "parameters": facts.parameters,
            "dense_parameters": dense_parameters,
            "dense_share": share,
            "macs": facts.macs,
            "convolution_share_of_macs": work,
            "memory_bytes": facts.memory,
            "first_layer": {
                "neurons": first.neurons,
                "parameters": first.parameters,
                "unshared_parameters": first.unshared_parameters,
            },
        },
        tables=[Table(("layer", "output", "parameters", "multiply-adds", "bytes"), rows)],
        figures={"where_parameters_live": charts.draw([panel], columns=1)},
    )


LABS = (oriented_edges, output_sizes, receptive_fields, where_parameters_live)
