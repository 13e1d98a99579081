"""Labs of the chapter on semantic segmentation."""

import time

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf import data, layers, losses, models, tasks
from dlcv_tf.labs.lab import Finding, Table
from dlcv_tf.models import summary
from dlcv_tf.models.segment.upsampling import UPSAMPLINGS
from dlcv_tf.ops.convolution_matrix import convolution_matrix
from dlcv_tf.ops.transposed_convolution import transposed_convolution
from dlcv_tf.plots import detections, pictures

SIDE = 64
LABELS = ("background", "shape")
BATCH = 8
RATE = 0.01


def two_bad_ways(
    *, depth: int = 8, width: int = 16, train: int = 384, epochs: int = 6, seed: int = 0
) -> Finding:
    """Patch by patch, and convolutions at full size: what they cost beside going down and up.

    The first bad way classifies the patch around every pixel. It is the same network as one pass of
    3x3 convolutions over the whole picture, the second bad way: the labels are compared, and the
    multiplications counted. Both see `2 * depth + 1` pixels and no more. A U-Net whose first level
    has half as many filters sees the whole picture for less; both are trained alike.

    Curriculum: rows 131, 132, 133, 134.

    Args:
        depth: 3x3 convolutions of the bad ways.
        width: filters of each of them, even.
        train: drawn scenes to train on.
        epochs: passes over them.
        seed: of weights and order.

    Reference: Farabet et al. 2013, "Learning hierarchical features for scene labeling"; Long et
    al., https://arxiv.org/abs/1411.4038.
    """
    training, test = _scenes("train", train), _scenes("test", 64)
    shape, field = (SIDE, SIDE, 3), 2 * depth + 1
    keras.utils.set_random_seed(seed)
    flat = _trained(models.full_resolution(shape, len(LABELS), width, depth), training, epochs)
    keras.utils.set_random_seed(seed)
    unet = _trained(
        models.unet(shape, len(LABELS), width // 2, levels=4, batch_norm=True), training, epochs
    )
    patch = models.full_resolution((field, field, 3), len(LABELS), width, depth, padded=False)
    patch.set_weights(flat.network.get_weights())
    inputs = flat.preprocess(test[0][:1])
    begin = time.perf_counter()
    one_by_one = models.by_patches(patch, inputs)
    by_patch = time.perf_counter() - begin
    begin = time.perf_counter()
    at_once = flat.network(inputs, training=False)["logits"]
    in_one = time.perf_counter() - begin
    same = float(np.mean(np.argmax(one_by_one, -1) == np.argmax(at_once, -1)))
    work = {
        "patch by patch": summary.macs(patch) * SIDE**2,
        "full size": summary.macs(flat.network),
        "down and up": summary.macs(unet.network),
    }
    mious = {"full size": _miou(flat, test), "down and up": _miou(unet, test)}
    mious["patch by patch"] = mious["full size"]
    fields = {"patch by patch": field, "full size": field, "down and up": _field(unet.network)}
    rows = [(name, work[name], fields[name], round(mious[name], 3)) for name in work]
    times = work["patch by patch"] / work["full size"]
    shown = test[0][:2], test[1][:2]
    answers = [np.asarray(task.answer(shown[0])["class_map"]) for task in (flat, unet)]
    return Finding(
        claim="A patch for each pixel, and convolutions at full size, pay for a small view; "
        "networks that go down and up see more for less.",
        holds=same > 0.999
        and times >= 50
        and work["full size"] > work["down and up"]
        and mious["down and up"] >= mious["full size"],
        summary=f"Patch by patch takes {times:.0f} times the multiplications of one pass for "
        f"{same:.2%} equal labels ({by_patch:.2f} s and {in_one:.3f} s). A U-Net with "
        f"{work['down and up'] / work['full size']:.2f} of the work of full-size convolutions has "
        f"a mean IoU of {mious['down and up']:.2f}, they {mious['full size']:.2f}.",
        numbers={
            "work": work,
            "miou": mious,
            "fields": fields,
            "patches_over_one_pass": times,
            "equal_labels": same,
            "seconds": {"patch by patch": by_patch, "one pass": in_one},
        },
        tables=[Table(("way", "multiply-adds of a picture", "pixels seen", "mean IoU"), rows)],
        figures={
            "two_bad_ways": _compared(shown, {"full size": answers[0], "down and up": answers[1]})
        },
    )


def five_upsamplings(
    *,
    ways: tuple[str, ...] = UPSAMPLINGS,
    train: int = 256,
    epochs: int = 4,
    seed: int = 0,
) -> Finding:
    """Max unpooling puts each maximum back where it was; the other four ways do not know where.

    A picture is pooled and made larger again in five ways: in how many 2x2 windows the maximum is
    where it was, and how far the picture is from the first one. Then the same small SegNet is
    trained with each. It has no connections from the way down to the way up, but its convolutions
    can make up for what the upsampling lost.

    Curriculum: rows 134, 135, 136, 137, 138.

    Args:
        ways: upsamplings, two or more; max unpooling is one of them.
        train: drawn scenes to train on.
        epochs: passes over them.
        seed: of weights and order.

    Reference: Badrinarayanan et al., table 2, https://arxiv.org/abs/1511.00561.
    """
    training, test = _scenes("train", train), _scenes("test", 128)
    picture = test[0][:1].astype(np.float32) / 255
    pooled, switches = layers.MaxPoolWithSwitches()(picture)
    rows, maps, mious, places, larger = [], {}, {}, {}, {}
    for way in ways:
        larger[way] = np.asarray(_unpooled(pooled, switches, way))
        again = layers.MaxPoolWithSwitches()(larger[way])[1]
        places[way] = float(tf.reduce_sum(switches * again) / tf.reduce_sum(switches))
        keras.utils.set_random_seed(seed)
        network = models.segnet((SIDE, SIDE, 3), len(LABELS), (12, 24, 32), (1, 1, 1), way)
        task = _trained(network, training, epochs)
        mious[way] = _miou(task, test)
        maps[way] = np.asarray(task.answer(test[0][:2])["class_map"])
        error = float(np.sqrt(np.mean((larger[way] - picture) ** 2)))
        rows.append((way.replace("_", " "), round(places[way], 3), round(error, 3), mious[way]))
    others = max(share for way, share in places.items() if way != "max_unpooling")
    best = max(rows, key=lambda row: row[3])
    tiles = np.concatenate([picture, *larger.values()])
    return Finding(
        claim="Max unpooling puts each maximum back where it was; no other upsampling can.",
        holds=places["max_unpooling"] == 1 and others < 1,
        summary=f"{places['max_unpooling']:.0%} of the maxima are back in place by switches, "
        f"{others:.0%} by the best other way. Trained for {epochs} epochs, mean IoU "
        f"is from {min(mious.values()):.2f} to {best[3]:.2f} ({best[0]}).",
        numbers={"in_place": places, "miou": mious},
        tables=[
            Table(
                ("upsampling", "maxima in place", "error of the picture", "mean IoU, trained"),
                [(*row[:3], round(row[3], 3)) for row in rows],
            )
        ],
        figures={
            "five_upsamplings": pictures.grid(
                (tiles * 255).round().astype(np.uint8),
                ["picture", *(way.replace("_", " ") for way in larger)],
                columns=3,
            ),
            "five_upsamplings_trained": _compared(
                (test[0][:2], test[1][:2]),
                {way.removesuffix("_convolution").replace("_", " "): maps[way] for way in ways},
            ),
        },
    )


def _unpooled(pooled: tf.Tensor, switches: tf.Tensor, way: str) -> tf.Tensor:
    """Makes pooled pictures twice as large."""
    if way == "max_unpooling":
        return layers.MaxUnpool()(pooled, switches)
    if way == "transposed_convolution":  # as it begins in a fully convolutional network
        kernel = layers.BilinearKernel()
        options = {"use_bias": False, "kernel_initializer": kernel, "padding": "same"}
        return keras.layers.Conv2DTranspose(pooled.shape[-1], 4, 2, **options)(pooled)
    ways = {
        "nearest": layers.NearestUnpool(),
        "bed_of_nails": layers.BedOfNails(),
        "bilinear": keras.layers.UpSampling2D(interpolation="bilinear"),
    }
    return ways[way](pooled)


def convolution_as_matrix(*, kernel: int = 3, stride: int = 2, size: int = 12) -> Finding:
    """A convolution is a matrix X, the transposed one X^T: copies of the filter, added up.

    The lecture's example (erratum E19: its matrices are broken in the notes) is X = [[y, z, 0, 0],
    [0, x, y, z]] for a filter of 3, stride 2 and padding 1. X^T is compared with the sum of copies
    and with TensorFlow. With a stride above 1 no row is its neighbour moved by one: X^T is no
    convolution. A transposed convolution of ones shows how many copies reach each pixel away from
    the border: a checkerboard where the stride does not divide the filter.

    Curriculum: row 138.

    Args:
        kernel: of the pictures, 1 or more.
        stride: of the pictures.
        size: of the input of ones.

    Reference: Dumoulin and Visin, https://arxiv.org/abs/1603.07285; Odena et al. 2016,
    "Deconvolution and checkerboard artifacts".
    """
    lecture = convolution_matrix([1, 2, 3], 4, stride=2, padding=1)
    forth, back = lecture @ [1, 2, 3, 4], lecture.T @ [1, 1]
    random = np.random.default_rng(0)
    values, weights = random.normal(size=(size, size)), random.normal(size=(kernel, kernel))
    copies = transposed_convolution(values, weights, stride)
    matrix = convolution_matrix(weights, copies.shape, stride)
    framework = tf.nn.conv2d_transpose(
        values[None, :, :, None],
        weights[:, :, None, None],
        (1, *copies.shape, 1),
        stride,
        "VALID",
    )[0, :, :, 0]
    by_matrix = float(np.abs(matrix.T @ values.ravel() - copies.ravel()).max())
    by_framework = float(np.abs(framework - copies).max())
    inner = {}
    for k, s in ((kernel, stride), (-(-kernel // stride) * stride, stride), (kernel, 1)):
        counts = transposed_convolution(np.ones((size, size)), np.ones((k, k)), s)
        away = slice(k - 1, len(counts) - (k - 1))  # from the border, where copies are missing
        inner[f"{k}x{k}, stride {s}"] = counts[away, away]
    spread = {name: sorted({int(n) for n in each.ravel()}) for name, each in inner.items()}
    is_convolution = {}
    for s in (1, 2):
        transposed = convolution_matrix([1, 2, 3], 9, stride=s).T
        # Each row of a convolution's matrix is the one above, moved by one.
        moved = np.array_equal(transposed[1:, 1:], transposed[:-1, :-1])
        is_convolution[f"stride {s}"] = moved
    exact = forth.tolist() == [8, 20] and back.tolist() == [2, 4, 2, 3]
    side = min(len(each) for each in inner.values())
    tiles = [each[:side, :side] / each.max() for each in inner.values()]
    grey = (np.stack(tiles)[..., None] * 200).round().astype(np.uint8)  # an even one is seen too
    titles = [f"{name}: {'/'.join(map(str, each))} copies" for name, each in spread.items()]
    return Finding(
        claim="Convolution is X a; transposed convolution is X^T b, which sums overlapping copies "
        "and, with a stride, is no convolution.",
        holds=exact
        and max(by_matrix, by_framework) < 1e-9
        and is_convolution == {"stride 1": True, "stride 2": False},
        summary=f"X (1, 2, 3, 4) = {tuple(map(int, forth))} and X^T (1, 1) = "
        f"{tuple(map(int, back))}, as by hand. The sum of copies is X^T b to {by_matrix:.0e} and "
        f"TensorFlow's to {by_framework:.0e}. Away from the border a pixel gets, "
        f"with {'; '.join(titles)}.",
        numbers={
            "convolution": forth,
            "transposed": back,
            "by_matrix": by_matrix,
            "by_framework": by_framework,
            "copies": spread,
            "is_convolution": is_convolution,
        },
        tables=[
            Table(
                ("", "a1", "a2", "a3", "a4"),
                [(f"X, row {n + 1}", *map(int, row)) for n, row in enumerate(lecture)],
                "filter (1, 2, 3), stride 2, padding 1",
            )
        ],
        figures={"convolution_as_matrix": pictures.grid(grey, titles, columns=3)},
    )


def _scenes(split: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns drawn scenes, and maps that tell all shapes from the background."""
    dataset, _ = data.load("shapes", split, targets="class_map")
    images, maps = next(iter(dataset.batch(count)))
    return images.numpy(), np.minimum(maps.numpy(), 1)


def _trained(network: keras.Model, training, epochs: int) -> tasks.Segmenter:
    """Returns a segmenter of drawn scenes, trained with Adam under one cycle."""
    # Most pixels are background: without weights a short training says nothing else.
    weights = losses.median_frequency(training[1], len(LABELS)) ** 0.5
    task = tasks.Segmenter(network, data.Preprocess((SIDE, SIDE)), LABELS, weights)
    steps = epochs * (len(training[0]) // BATCH)
    task.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(RATE, steps)))
    task.fit(*training, epochs=epochs, batch_size=BATCH, verbose=0)
    return task


def _miou(task: tasks.Segmenter, test) -> float:
    return task.measure(tf.data.Dataset.from_tensor_slices(test).batch(64))["miou"]


def _field(network: keras.Model) -> int:
    """Returns how many pixels a side a score depends on, at most the picture's."""
    return min(SIDE, max(row.field[0] for row in summary.summarize(network).rows if row.field))


def _compared(shown, answers: dict[str, np.ndarray]):
    """Draws a row for each picture: itself, its true class map and the answered ones."""
    images, truth = shown
    colours = np.array(detections.class_colours(len(LABELS)))
    painted = {"truth": truth} | answers
    columns = {"picture": images} | {
        name: (colours[maps] * 255).round().astype(np.uint8) for name, maps in painted.items()
    }
    tiles = np.stack(list(columns.values()), axis=1)  # (picture, column, height, width, 3)
    titles = [""] * (len(images) - 1) * len(columns) + list(columns)
    return pictures.grid(tiles.reshape(-1, *tiles.shape[2:]), titles, columns=len(columns))


LABS = (two_bad_ways, five_upsamplings, convolution_as_matrix)
