"""Labs of the chapter on hardware: feeding a training, and what devices there are."""

import io
import os
import time
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from dlcv_tf import models
from dlcv_tf.data import shapes
from dlcv_tf.labs.lab import Finding, Table
from dlcv_tf.ops import images as image_ops
from dlcv_tf.plots import charts

STORED_SIDE = 192  # pixels of the encoded pictures
SIDE = 32  # pixels that the network takes
BATCH = 32
BLOCKS = 3  # of timing


def input_pipeline(
    *, pictures: int = 384, latency_ms: float = 2.0, seconds: float = 4.0, seed: int = 0
) -> Finding:
    """Reading pictures can be slower than learning: prefetch, parallel map and cache.

    Encoded JPEG pictures are fetched, decoded and resized while a small network trains on them, as
    when pictures lie on a disk: fetching waits for `latency_ms` each, decoding and resizing are
    real work. The same training is fed by four pipelines, and once by a batch that is in memory
    already, which is as fast as this network goes. Whatever is slower, pipeline or network, sets
    the pace.

    Curriculum: row 98.

    Args:
        pictures: in an epoch.
        latency_ms: time that fetching a picture waits, as a slow disk or a network would make it;
            0 leaves decoding and resizing alone.
        seconds: that each pipeline is timed for, in three turns, after one epoch to warm up.
        seed: of pictures and weights.
    """
    encoded, labels = _encoded(pictures, seed)
    train_step = _training(seed)
    ready = (tf.random.stateless_uniform((BATCH, SIDE, SIDE, 3), (seed, 0)), labels[:BATCH])
    train_step(*ready)  # trace it
    streams = {"network alone": iter(lambda: train_step(*ready), None)}
    for name, batches in _pipelines(encoded, labels, latency_ms / 1000).items():
        streams[name] = _epochs(batches, train_step)
    blocks = {name: [] for name in streams}
    for _ in range(BLOCKS):  # in turn, so that what else the machine does hits all of them alike
        for name, stream in streams.items():
            blocks[name].append(_images_per_second(stream, seconds / BLOCKS))
    rates = {name: float(np.median(values)) for name, values in blocks.items()}
    pace = rates.pop("network alone")
    plain, prefetched = rates["one after the other"], rates["+ prefetch"]
    parallel, cached = rates["+ parallel map"], rates["+ cache"]
    rows = [(name, rate, rate / plain, rate / pace) for name, rate in rates.items()]
    rows.append(("a batch in memory", pace, pace / plain, 1.0))
    return Finding(
        claim="A training waits for its data unless reading is parallel, prefetched or cached.",
        holds=plain < 0.8 * pace and plain < parallel and plain < cached,
        summary=f"The network could learn from {pace:,.0f} pictures a second and gets {plain:,.0f} "
        f"from the plain pipeline, {prefetched:,.0f} with prefetch, {parallel:,.0f} with parallel "
        f"map and prefetch, {cached:,.0f} once they are cached.",
        numbers={
            "images_per_second": rates,
            "training_alone": pace,
            "cores": os.cpu_count(),
            "latency_ms": latency_ms,
        },
        tables=[
            Table(
                ("pipeline", "pictures a second", "times the plain one", "of the network's pace"),
                rows,
            )
        ],
        figures={
            "input_pipeline": charts.bars(
                rates, "pictures a second", references={"network alone": pace}
            )
        },
    )


def _encoded(count: int, seed: int) -> tuple[list[bytes], np.ndarray]:
    """Returns drawn shapes as JPEG files in memory, and their labels."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % len(shapes.LABELS)
    files = []
    for label in labels:
        buffer = io.BytesIO()
        picture = Image.fromarray(shapes.draw(label, random))
        picture.resize((STORED_SIDE, STORED_SIDE)).save(buffer, "JPEG", quality=90)
        files.append(buffer.getvalue())
    return files, labels


def _training(seed: int):
    """Returns a compiled training step of a small convolutional network."""
    keras.utils.set_random_seed(seed)
    network = models.convnet((SIDE, SIDE, 3), len(shapes.LABELS))
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    optimizer.build(network.trainable_variables)
    variables = [each.value for each in network.trainable_variables]

    @tf.function(reduce_retracing=True)
    def step(images, labels):
        with tf.GradientTape() as tape:
            loss = loss_of(labels, network(images, training=True)["logits"])
        optimizer.apply(tape.gradient(loss, variables), network.trainable_variables)
        return loss

    return step


def _pipelines(encoded: list[bytes], labels: np.ndarray, wait: float) -> dict:
    """Returns the pipelines by name, each with one thing more than the one before."""

    def fetch(contents):
        time.sleep(wait)  # the thread is free meanwhile, as when it waits for a disk
        return contents

    def read(contents, label):
        if wait:
            contents = tf.numpy_function(fetch, [contents], tf.string, stateful=True)
        picture = tf.io.decode_jpeg(contents, channels=3)
        picture = tf.ensure_shape(picture, (STORED_SIDE, STORED_SIDE, 3))
        return image_ops.resize(picture[None], (SIDE, SIDE))[0] / 255.0, label

    options = tf.data.Options()
    options.autotune.enabled = False  # what is asked for, and nothing on top
    source = tf.data.Dataset.from_tensor_slices((encoded, labels)).with_options(options)
    plain = source.map(read).batch(BATCH, drop_remainder=True)
    parallel = source.map(read, num_parallel_calls=4 * (os.cpu_count() or 1))
    return {
        "one after the other": plain,
        "+ prefetch": plain.prefetch(2),
        "+ parallel map": parallel.batch(BATCH, drop_remainder=True).prefetch(2),
        "+ cache": parallel.cache().batch(BATCH, drop_remainder=True).prefetch(2),
    }


def _epochs(batches: tf.data.Dataset, train_step) -> Iterator[tf.Tensor]:
    """Trains without end; the first epoch is over before the first loss is given."""
    for batch in batches:
        train_step(*batch)
    while True:
        for batch in batches:
            yield train_step(*batch)


def _images_per_second(steps: Iterator[tf.Tensor], seconds: float) -> float:
    """Returns how many pictures go through in a second."""
    float(next(steps))
    count, started = 0, time.perf_counter()
    while time.perf_counter() < started + seconds:
        float(next(steps))  # waits for the step
        count += BATCH
    return count / (time.perf_counter() - started)


def devices(*, sizes: tuple[int, ...] = (32, 64, 128, 256, 512, 1024), seed: int = 0) -> Finding:
    """What this machine computes with, and how much work a device needs to be fast.

    Every device that TensorFlow finds multiplies square matrices and convolves pictures; the rates
    are given in GFLOP/s (two operations for each multiply-add). Small products do not reach a
    device's speed, as starting them takes longer than the work. The lecture's 60 to 70 times of a
    GPU over a CPU shows where there is one; without one, this page says so and claims nothing.

    Curriculum: row 98.

    Args:
        sizes: sides of the matrices.
        seed: of the numbers.
    """
    names = [
        each.name.removeprefix("/physical_device:") for each in tf.config.list_physical_devices()
    ]
    curves, convolutions = {}, {}
    for name in names:
        with tf.device(f"/{name}"):
            curves[name] = [_matmul_rate(size, seed) for size in sizes]
            convolutions[name] = _convolution_rate(seed)
    rows = [
        (name, *(round(rate, 1) for rate in curves[name]), round(convolutions[name], 1))
        for name in names
    ]
    sides = [str(size) for size in sizes]
    gpus = [name for name in names if name.startswith("GPU")]
    cpu = max(curves["CPU:0"])
    if gpus:
        factor = max(max(curves[name]) for name in gpus) / cpu
        told = f"The GPU multiplies {factor:.0f} times as fast as the CPU."
    else:
        told = "There is no GPU on this machine: the lecture's 60 to 70 times is not tried."
    return Finding(
        claim="A device is fast only on enough work at once.",
        holds=all(max(rates) > 2 * rates[0] for rates in curves.values()),
        summary=f"{os.cpu_count()} CPU cores reach {cpu:.0f} GFLOP/s in matrix products, "
        f"{curves['CPU:0'][0]:.1f} at {sizes[0]}x{sizes[0]}, and {convolutions['CPU:0']:.0f} in a "
        f"3x3 convolution. {told}",
        numbers={
            "cores": os.cpu_count(),
            "gpus": gpus,
            "matmul_gflops": {name: dict(zip(sides, curves[name], strict=True)) for name in names},
            "convolution_gflops": convolutions,
        },  # fmt: skip
        tables=[Table(("device", *(f"{n}x{n}" for n in sizes), "3x3 convolution"), rows)],
        figures={
            "devices": charts.draw(
                [
                    charts.Panel(
                        "Matrix products",
                        {name: charts.Series(sides, curves[name], marks=True) for name in names},
                        "side of the matrices",
                        "GFLOP/s",
                    )
                ],
                columns=1,
            )
        },
    )


def _matmul_rate(size: int, seed: int) -> float:
    """Returns the GFLOP/s of a product of two square matrices."""
    left = tf.random.stateless_normal((size, size), (seed, 1))
    right = tf.random.stateless_normal((size, size), (seed, 2))
    return 2 * size**3 / _seconds(lambda: tf.matmul(left, right)) / 1e9


def _convolution_rate(seed: int) -> float:
    """Returns the GFLOP/s of a 3x3 convolution of 32 maps of 32x32 with 64 channels."""
    maps = tf.random.stateless_normal((32, 32, 32, 64), (seed, 3))
    kernel = tf.random.stateless_normal((3, 3, 64, 64), (seed, 4))
    work = 2 * 32 * 32 * 32 * 9 * 64 * 64
    return work / _seconds(lambda: tf.nn.conv2d(maps, kernel, 1, "SAME")) / 1e9


def _seconds(call, blocks: int = 5, block_seconds: float = 0.1) -> float:
    """Returns the time of one call: the best of a few blocks, each ended by reading the result."""
    call().numpy()
    best = float("inf")
    for _ in range(blocks):
        count, started = 0, time.perf_counter()
        while time.perf_counter() < started + block_seconds:
            result = call()
            count += 1
        result.numpy()
        best = min(best, (time.perf_counter() - started) / count)
    return best


LABS = (input_pipeline, devices)
