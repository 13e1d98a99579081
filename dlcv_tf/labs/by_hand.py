"""Labs on the course's layers, written out by hand: forward, backward, and at test time."""

import itertools

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf import layers, models
from dlcv_tf.errors import unknown
from dlcv_tf.labs.lab import Finding, Table
from dlcv_tf.ops import gradcheck
from dlcv_tf.ops.by_hand import batch_norm

FLOAT64 = {"dtype": "float64"}
PICTURES = (4, 7, 6, 3)

# name: (by hand, Keras's own, arguments of the call, error that CS231n's exercises allow)
TWINS = {
    "affine": (
        lambda: layers.Affine(5, **FLOAT64),
        lambda: keras.Sequential(
            [keras.layers.Flatten(**FLOAT64), keras.layers.Dense(5, **FLOAT64)]
        ),
        {},
        1e-9,
    ),
    "ReLU": (
        lambda: layers.ReLU(**FLOAT64),
        lambda: keras.layers.ReLU(**FLOAT64),
        {},
        1e-11,
    ),
    "convolution, naive": (
        lambda: layers.Convolution(4, 3, 2, "same", "naive", **FLOAT64),
        lambda: keras.layers.Conv2D(4, 3, strides=2, padding="same", **FLOAT64),
        {},
        1e-8,
    ),
    "convolution, im2col": (
        lambda: layers.Convolution(4, 3, 2, "same", "im2col", **FLOAT64),
        lambda: keras.layers.Conv2D(4, 3, strides=2, padding="same", **FLOAT64),
        {},
        1e-8,
    ),
    "convolution, library": (
        lambda: layers.Convolution(4, 3, 2, "same", "library", **FLOAT64),
        lambda: keras.layers.Conv2D(4, 3, strides=2, padding="same", **FLOAT64),
        {},
        1e-8,
    ),
    "max pool F2 S2": (
        lambda: layers.MaxPool(2, 2, **FLOAT64),
        lambda: keras.layers.MaxPooling2D(2, 2, **FLOAT64),
        {},
        1e-11,
    ),
    "max pool F3 S2": (
        lambda: layers.MaxPool(3, 2, **FLOAT64),
        lambda: keras.layers.MaxPooling2D(3, 2, **FLOAT64),
        {},
        1e-11,
    ),
    "average pool F2 S2": (
        lambda: layers.AveragePool(2, 2, **FLOAT64),
        lambda: keras.layers.AveragePooling2D(2, 2, **FLOAT64),
        {},
        1e-9,
    ),
    "batch norm, training": (
        lambda: layers.BatchNorm(0.9, 1e-3, **FLOAT64),
        lambda: keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-3, **FLOAT64),
        {"training": True},
        1e-8,
    ),
    "batch norm, test": (
        lambda: layers.BatchNorm(0.9, 1e-3, **FLOAT64),
        lambda: keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-3, **FLOAT64),
        {"training": False},
        1e-8,
    ),
}


def layers_by_hand(*, h: float = 1e-4, seed: int = 0) -> Finding:
    """Layers with both passes written out, against Keras's own and finite differences.

    Affine, ReLU, convolution in three ways, pooling and batch norm get the same weights as Keras's
    layers; outputs and all gradients are compared in float64, and each gradient is checked by
    centred differences, within the bounds of CS231n's exercises.

    Curriculum: rows 38, 39, 41, 45, 55.

    Args:
        h: step of the differences; these layers bend so little that rounding is nearly all the
            error, and a step above the usual 1e-5 has less of it.
        seed: of inputs and weights.

    Reference: CS231n, assignments 1 and 2.
    """
    keras.utils.set_random_seed(seed)
    inputs = np.random.default_rng(seed).normal(size=PICTURES)
    rows = []
    for name, (ours, theirs, options, bound) in TWINS.items():
        ours, theirs = ours(), theirs()
        ours(inputs), theirs(inputs)  # builds them
        theirs.set_weights(ours.get_weights())
        got, expected = (_output_and_gradients(each, inputs, options) for each in (ours, theirs))
        value, *gradients = [
            float(np.abs(np.subtract(*pair)).max()) for pair in zip(got, expected, strict=True)
        ]
        check = gradcheck.check_layer(ours, inputs, h=h, dimensions=40, seed=seed, **options)
        rows.append((name, value, max(gradients), check.error, bound))
    worst = max(max(value, gradient) for _, value, gradient, *_ in rows)
    return Finding(
        claim="A layer is a forward and a backward function; by hand they are those of Keras.",
        holds=worst < 1e-9 and all(error <= bound for *_, error, bound in rows),
        summary=f"The largest difference from Keras's layers, of outputs and all gradients, is "
        f"{worst:.0e}; every gradient check is within its bound.",
        numbers={
            name: {"value": value, "gradients": gradient, "check": error, "bound": bound}
            for name, value, gradient, error, bound in rows
        },
        tables=[
            Table(
                ("layer", "output differs", "gradients differ", "gradient check", "bound"),
                rows,
                f"float64, pictures of {'x'.join(map(str, PICTURES))}",
            )
        ],
    )


def batch_norm_folding(
    *, networks: tuple[str, ...] = ("resnet20", "convnet", "airbench"), seed: int = 0
) -> Finding:
    """Batch norm at test time is a scale and a shift, which the layer before it takes in.

    Networks whose moving statistics, scales and shifts are all random are folded, and must answer
    as before. And with gamma = sqrt(variance) and beta = mean, batch norm in training undoes
    itself: the network can learn to have none.

    Curriculum: rows 56, 58.

    Args:
        networks: builders of `models`.
        seed: of weights, statistics and pictures.
    """
    keras.utils.set_random_seed(seed)
    generator = np.random.default_rng(seed)
    pictures = generator.normal(size=(16, 32, 32, 3)).astype(np.float32)
    rows = []
    for name in networks:
        if name not in models.BUILDERS:
            raise unknown("network", name, models.BUILDERS)
        network = models.BUILDERS[name]((32, 32, 3), 10)
        for layer in network.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                for variable in layer.variables:
                    variable.assign(generator.uniform(0.5, 1.5, variable.shape))
        folded = layers.fold_batch_norm(network)
        before, after = network(pictures)["logits"], folded(pictures)["logits"]
        difference = float(tf.reduce_max(abs(before - after)) / tf.reduce_max(abs(before)))
        rows.append((name, _num_norms(network), _num_norms(folded), difference))
    x = generator.normal(3, 2, size=(64, 8, 8, 5))
    mean, variance = batch_norm.statistics(x)
    identity, _ = batch_norm.forward(x, tf.sqrt(variance), mean)
    away = float(np.abs(identity - x).max())
    worst = max(difference for *_, difference in rows)
    return Finding(
        claim="Folded into the convolutions, batch norms answer the same and cost nothing.",
        holds=worst <= 1e-5 and away <= 1e-4,
        summary=f"Logits differ by at most {worst:.0e} of the largest; batch norm with gamma = "
        f"sqrt(variance) and beta = mean is the identity within {away:.0e}.",
        numbers={
            "networks": {
                name: {"norms": before, "norms_left": after, "difference": difference}
                for name, before, after, difference in rows
            },
            "identity_difference": away,
        },
        tables=[Table(("network", "batch norms", "left", "logits differ"), rows)],
    )


def dropout_expectation(
    *, keep: float = 0.8, masks: int = 100_000, w: tuple[float, ...] = (0.7, -1.3), seed: int = 0
) -> Finding:
    """Dropout at test time: what is expected of all masks, scaled by the probability of KEEPING.

    For a unit with two inputs of 1 the four masks are enumerated: with p = 1/2 their mean is half
    of the sum. Then masks are drawn with any p, in both forms, scaled by p at test time or divided
    by p in training (inverted), and compared with the answer at test time.

    Curriculum: rows 87, 88. Erratum E13: not by the probability of dropping.

    Args:
        keep: probability of keeping an input.
        masks: how many are drawn.
        w: weights of the unit's inputs.
        seed: of the masks.
    """
    w = np.array(w)
    all_masks = list(itertools.product((0, 1), repeat=len(w)))
    outputs = [float(w @ mask) for mask in all_masks]
    exact = float(np.mean(outputs))
    rows, agree = [], True
    for number, form in enumerate(("scaled at test time", "inverted")):
        layer = layers.Dropout(keep=keep, inverted=bool(number), seed=seed + number, **FLOAT64)
        drawn = layer(np.ones((masks, len(w))), training=True).numpy() @ w
        sigma = float(drawn.std() / np.sqrt(masks))
        at_test = float(layer(np.ones((1, len(w)))).numpy()[0] @ w)
        rows.append((form, float(drawn.mean()), at_test, abs(drawn.mean() - at_test) / sigma))
        agree = agree and rows[-1][-1] < 3
    half = 0.5 * float(w.sum())
    return Finding(
        claim="Both forms of dropout leave the expected output as it is at test time.",
        holds=agree and abs(exact - half) < 1e-12,
        summary=f"All {len(all_masks)} masks: mean {exact:g}, half of the sum is {half:g}. "
        f"{masks:,} masks that keep {keep:g}: {rows[0][-1]:.1f} and {rows[1][-1]:.1f} sigma off.",
        numbers={
            "mean_of_all_masks": exact,
            "half_of_the_sum": half,
            "forms": {
                form: {"mean": mean, "at_test": at_test, "sigmas": sigmas}
                for form, mean, at_test, sigmas in rows
            },
        },
        tables=[
            Table(
                ("mask", "output"),
                [(" ".join(map(str, mask)), y) for mask, y in zip(all_masks, outputs, strict=True)],
                "every mask, each as likely as any other at p = 1/2",
            ),
            Table(("form", "mean in training", "at test time", "sigmas apart"), rows),
        ],
    )


def _output_and_gradients(layer, inputs, options) -> list[np.ndarray]:
    """Returns a layer's output, and the gradients by its input and weights of a fixed loss."""
    x = tf.constant(inputs)
    with tf.GradientTape() as tape:
        tape.watch(x)
        output = layer(x, **options)
    above = np.linspace(-1.0, 1.0, int(tf.size(output))).reshape(output.shape)
    weights = [variable.value for variable in layer.trainable_variables]
    gradients = tape.gradient(output, [x, *weights], output_gradients=tf.constant(above))
    return [np.asarray(each) for each in (output, *gradients)]


def _num_norms(network) -> int:
    return sum(isinstance(layer, keras.layers.BatchNormalization) for layer in network.layers)


LABS = (layers_by_hand, batch_norm_folding, dropout_expectation)
