"""The layers written by hand against Keras's own: value and every gradient, in float64."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import data, export, layers, models, tasks
from dlcv_tf.errors import InputError
from dlcv_tf.ops import gradcheck
from tests.helpers import pictures, ramp

WIDE = (4, 6, 5, 3)
F64 = {"dtype": "float64"}

# name: (ours, Keras's, shape of the input, arguments of the call)
PAIRS = {
    "Affine": (
        lambda: layers.Affine(4, **F64),
        lambda: keras.Sequential([keras.layers.Flatten(**F64), keras.layers.Dense(4, **F64)]),
        WIDE,
        {},
    ),
    "Sigmoid": (
        lambda: layers.Sigmoid(**F64),
        lambda: keras.layers.Activation("sigmoid", **F64),
        WIDE,
        {},
    ),
    "Tanh": (
        lambda: layers.Tanh(**F64),
        lambda: keras.layers.Activation("tanh", **F64),
        WIDE,
        {},
    ),
    "ReLU": (lambda: layers.ReLU(**F64), lambda: keras.layers.ReLU(**F64), WIDE, {}),
    "LeakyReLU": (
        lambda: layers.LeakyReLU(0.25, **F64),  # TensorFlow keeps the slope as float32
        lambda: keras.layers.LeakyReLU(0.25, **F64),
        WIDE,
        {},
    ),
    "PReLU": (
        lambda: layers.PReLU(0.25, **F64),
        lambda: keras.layers.PReLU(shared_axes=[1, 2], **F64),
        WIDE,
        {},
    ),
    "ELU": (lambda: layers.ELU(0.7, **F64), lambda: keras.layers.ELU(0.7, **F64), WIDE, {}),
    "MaxPool": (
        lambda: layers.MaxPool(3, 2, **F64),
        lambda: keras.layers.MaxPooling2D(3, 2, **F64),
        WIDE,
        {},
    ),
    "AveragePool": (
        lambda: layers.AveragePool(**F64),
        lambda: keras.layers.AveragePooling2D(2, **F64),
        WIDE,
        {},
    ),
    "BatchNorm in training": (
        lambda: layers.BatchNorm(0.9, 1e-3, **F64),
        lambda: keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-3, **F64),
        WIDE,
        {"training": True},
    ),
    "BatchNorm of features in training": (
        lambda: layers.BatchNorm(0.7, 1e-5, **F64),
        lambda: keras.layers.BatchNormalization(momentum=0.7, epsilon=1e-5, **F64),
        (8, 3),
        {"training": True},
    ),
    "BatchNorm at test time": (
        lambda: layers.BatchNorm(0.9, 1e-3, **F64),
        lambda: keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-3, **F64),
        WIDE,
        {"training": False},
    ),
    "Dropout at test time": (
        lambda: layers.Dropout(drop=0.4, **F64),
        lambda: keras.layers.Dropout(0.4, **F64),
        WIDE,
        {},
    ),
} | {
    f"Convolution {method} {padding}": (
        lambda method=method, padding=padding, stride=stride: layers.Convolution(
            4, 3, stride, padding, method, **F64
        ),
        lambda padding=padding, stride=stride: keras.layers.Conv2D(
            4, 3, strides=stride, padding=padding, **F64
        ),
        WIDE,
        {},
    )
    for method in ("naive", "im2col", "library")
    for padding, stride in (("same", 2), ("valid", 1))
}


def values_and_gradients(layer, inputs, weights, options):
    """Returns output, gradients by inputs and weights, and the weights afterwards."""
    x = tf.Variable(inputs)
    layer(x, **options)  # builds it
    layer.set_weights(weights or layer.get_weights())
    with tf.GradientTape() as tape:
        y = layer(x, **options)
        loss = tf.reduce_sum(y * ramp(y.shape, "float64"))
    gradients = tape.gradient(loss, [x, *(each.value for each in layer.trainable_variables)])
    return [y, *gradients, *layer.get_weights()]


@pytest.mark.parametrize("name", PAIRS)
def test_equals_keras_own(name):
    ours, theirs, shape, options = PAIRS[name]
    inputs = ramp(shape, "float64", low=-2, high=2)
    ours, theirs = ours(), theirs()
    ours(inputs), theirs(inputs)
    weights = [
        np.abs(ramp(each.shape, "float64") + 1.5 + number)  # variances are above zero
        for number, each in enumerate(ours.get_weights())
    ]
    theirs_shapes = [each.shape for each in theirs.get_weights()]
    theirs_weights = [w.reshape(s) for w, s in zip(weights, theirs_shapes, strict=True)]
    got = values_and_gradients(ours, inputs, weights, options)
    expected = values_and_gradients(theirs, inputs, theirs_weights, options)
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        one = np.asarray(one)
        assert one.dtype == np.float64
        np.testing.assert_allclose(one, np.reshape(other, one.shape), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", PAIRS)
def test_gradients_by_finite_differences(name):
    build, _, shape, options = PAIRS[name]
    layer, inputs = build(), np.random.default_rng(1).normal(size=shape)
    check = gradcheck.check_layer(layer, inputs, dimensions=15, **options)
    assert set(check.variables) == {"inputs"} | {
        each.path.split("/")[-1] for each in layer.trainable_variables
    }
    assert check.error < 1e-7 and not check.kinks, str(check)


def test_explicit_padding_is_zeros_around_the_picture():
    inputs = ramp(WIDE, "float64")
    ours = layers.Convolution(4, 3, 2, padding=2, **F64)
    y = ours(inputs)
    around = keras.layers.ZeroPadding2D(2, **F64)(inputs)
    theirs = keras.layers.Conv2D(4, 3, strides=2, **F64)
    theirs(around)
    theirs.set_weights(ours.get_weights())
    np.testing.assert_allclose(y, theirs(around), rtol=1e-9, atol=1e-9)


def test_maxout_is_the_larger_of_two_affine_layers_with_twice_the_weights():
    inputs = ramp((5, 6), "float64")
    layer = layers.Maxout(4, **F64)
    y = layer(inputs)
    maps = layer.kernel.numpy().reshape(6, 4, 2)
    expected = np.maximum(inputs @ maps[..., 0], inputs @ maps[..., 1])
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    dense = keras.layers.Dense(4)
    dense.build((None, 6))
    assert layer.count_params() == 2 * dense.count_params() == 2 * (6 * 4 + 4)
    assert gradcheck.check_layer(layer, inputs).error < 1e-8


def test_soft_pool_layer():
    inputs = ramp((3, 7, 5, 2))
    layer = layers.SoftPool(3, 2, temperature=0.5)
    assert gradcheck.check_layer(layer, inputs).error < 1e-6
    assert layer.count_params() == 0


def hand_and_keras_networks():
    ours = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Convolution(4, 3, padding="same", **F64),
            layers.BatchNorm(0.9, 1e-3, **F64),
            layers.ReLU(**F64),
            layers.MaxPool(**F64),
            layers.Affine(10, **F64),
            layers.Tanh(**F64),
            layers.Affine(5, **F64),
        ]
    )
    theirs = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(4, 3, padding="same", **F64),
            keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-3, **F64),
            keras.layers.ReLU(**F64),
            keras.layers.MaxPooling2D(**F64),
            keras.layers.Flatten(**F64),
            keras.layers.Dense(10, activation="tanh", **F64),
            keras.layers.Dense(5, **F64),
        ]
    )
    theirs.set_weights(ours.get_weights())
    return ours, theirs


def test_a_network_of_them_trains_as_keras_own_does():
    images, labels = ramp((20, 8, 8, 3), "float64"), np.arange(20) % 5
    losses, answers = [], []
    for network in hand_and_keras_networks():
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype="float64")
        network.compile(keras.optimizers.SGD(0.1), loss)
        history = network.fit(images, labels, epochs=5, batch_size=10, shuffle=False, verbose=0)
        losses.append(history.history["loss"])
        answers.append(network.predict(images, verbose=0))
    assert losses[0][-1] < 0.8 * losses[0][0]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-6)


def test_a_fully_connected_network_of_them_has_the_parameters_of_mlp():
    network = keras.Sequential(
        [keras.Input((32, 32, 3)), layers.Affine(100), layers.ReLU(), layers.Affine(10)]
    )
    assert network.count_params() == models.mlp((32, 32, 3), 10, (100,)).count_params()
    one = keras.Sequential([keras.Input((32, 32, 3)), layers.Affine(10)])
    assert one.count_params() == 30730


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: layers.Affine(0), "got units=0, expected a whole number, 1 or more"),
        (lambda: layers.Affine(True), "got units=True, expected a whole number, 1 or more"),
        (lambda: layers.Affine(2.0), "got units=2.0, expected a whole number, 1 or more"),
        (lambda: layers.Convolution(4, 3, padding=-1), "got padding=-1, expected 'valid', 'same'"),
        (lambda: layers.Maxout(4, pieces=1), "got pieces=1, expected 2 or more"),
        (lambda: layers.LeakyReLU(-0.01), "got slope=-0.01, expected 0 or more, below 1"),
        (lambda: layers.ELU(0), "got alpha=0, expected a number above 0"),
        (lambda: layers.Convolution(4, 0), "got size=0, expected a whole number"),
        (lambda: layers.Convolution(4, 3, method="fft"), "unknown method 'fft'"),
        (lambda: layers.MaxPool(2, 0), "got stride=0, expected a whole number"),
        (lambda: layers.SoftPool(temperature=0), "got temperature=0, expected a number above 0"),
        (lambda: layers.BatchNorm(momentum=1), "got momentum=1, expected 0 or more, below 1"),
        (lambda: layers.BatchNorm(epsilon=0), "got epsilon=0, expected a number above 0"),
        (lambda: layers.Dropout(), "got keep=None and drop=None, expected one of them"),
        (lambda: layers.Dropout(keep=0.5, drop=0.5), "expected one of them"),
        (lambda: layers.Dropout(drop=1.0), "expected to keep more than none"),
    ],
)
def test_bad_arguments_are_refused(build, message):
    with pytest.raises(InputError, match=message):
        build()


def test_numbers_of_numpy_are_taken_and_saved_as_plain_ones():
    one = np.int64(1)
    for layer in (layers.Affine(one), layers.Maxout(one), layers.Convolution(one, one, one, one)):
        again = type(layer).from_config(json.loads(json.dumps(layer.get_config())))
        assert again.get_config() == layer.get_config()


def test_pictures_of_unknown_size_are_refused():
    for layer in (layers.Convolution(4, 3), layers.MaxPool()):
        with pytest.raises(InputError, match="expected .*of known height|every size but"):
            layer(keras.Input((None, None, 3)))
    with pytest.raises(InputError, match="every size but the batch's known"):
        layers.Affine(3)(keras.Input((None, 3)))


@pytest.mark.slow
def test_a_network_of_all_of_them_is_exported_and_certified_in_every_format(tmp_path):
    x = images = keras.Input((8, 8, 3), name="images")
    for layer in (
        layers.Convolution(4, 3, padding="same"),
        layers.BatchNorm(),
        layers.ReLU(),
        layers.MaxPool(3, 1),
        layers.AveragePool(2, 1),
        layers.SoftPool(),
        layers.PReLU(),
        layers.Dropout(keep=0.5, inverted=False),
        layers.Maxout(6),
        layers.ELU(),
        layers.LeakyReLU(),
        layers.Tanh(),
        layers.Sigmoid(),
        layers.Affine(3),
    ):
        x = layer(x)
    network = keras.Model(images, {"logits": x})
    task = tasks.Classifier(network, data.Preprocess((8, 8), 3), list("abc"))
    some = tf.data.Dataset.from_tensor_slices((pictures(64, (8, 8)), np.arange(64) % 3))
    directory = export.export(task, "by_hand", test=some, calibration=some, root=tmp_path)
    formats = json.loads((directory / "manifest.json").read_text())["formats"]
    assert formats.keys() == {"saved_model", "onnx", "tflite", "tflite_int8"}
    for name in ("saved_model", "onnx", "tflite"):
        assert formats[name]["worst_error"] < 1e-4, name
