"""Fused kernels give Keras's own numbers, are really used, and leave alone what does not suit."""

import collections
import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from dlcv_tf import data, models, tasks
from dlcv_tf.train import kernels
from tests.helpers import pictures, ramp

FUSED_UPDATES = {"ResourceApplyKerasMomentum", "ResourceApplyAdam"}


def counted(function, *arguments):
    """Returns how many operations of each type the graph of a function has."""
    graph = tf.function(function, autograph=False).get_concrete_function(*arguments).graph
    definition = graph.as_graph_def()
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    return collections.Counter(node.op for node in nodes)


def assert_rounding(got, expected, tolerance=2e-6):
    """Asserts that arrays differ by no more than rounding, in relation to their largest value."""
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        one, other = np.asarray(one), np.asarray(other)
        assert one.shape == other.shape and one.dtype == other.dtype
        assert np.isfinite(other).all()
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * max(1, abs(other).max()))


# Batch normalisation


def normalization(inputs, **options):
    """Returns a model of one batch normalisation whose weights are not the initial ones."""
    layer = layers.BatchNormalization(**{"momentum": 0.8, "epsilon": 1e-3} | options)
    given = keras.Input(inputs.shape[1:], dtype=keras.backend.standardize_dtype(inputs.dtype))
    model = keras.Model(given, layer(given))
    layer.set_weights([1.5 + ramp(w.shape, low=-0.5, high=1) for w in layer.get_weights()])
    return model, layer


def learned(layer, parts, call):
    """Returns outputs, gradients of inputs and weights, and the moving statistics afterwards."""
    parts = [tf.constant(part) for part in parts]
    weights = layer.trainable_variables
    with tf.GradientTape() as tape:
        tape.watch(parts)
        outputs = tf.concat(call(parts), axis=0)
        loss = tf.reduce_sum(outputs * ramp(outputs.shape, str(outputs.dtype.name)))
    gradients = tape.gradient(loss, [*parts, *(w.value for w in weights)])
    by_part, by_weight = gradients[: len(parts)], gradients[len(parts) :]
    return [outputs, tf.concat(by_part, axis=0), *by_weight, *layer.non_trainable_variables]


def whole(model):
    return lambda parts: [model(*parts, training=True)]


@pytest.mark.parametrize("shape", [(6, 5, 4, 3), (12, 3), (4, 5, 3), (4, 2, 3, 2, 3), (1, 3)])
@pytest.mark.parametrize("scale, center", [(True, True), (False, True), (True, False)])
def test_fused_batch_normalization_is_keras_own(shape, scale, center):
    inputs = 2 + 3 * ramp(shape)
    results = []
    for context in (kernels.fused, contextlib.nullcontext):
        model, layer = normalization(inputs, scale=scale, center=center)
        with context(model):
            results.append(learned(layer, [inputs], whole(model)))
    assert_rounding(*results)


@pytest.mark.parametrize("shape", [(7, 5, 4, 3), (12, 3), (5, 4, 3)])
@pytest.mark.parametrize("scale, center", [(True, True), (False, True), (True, False)])
@pytest.mark.parametrize("sizes", [(3, -1), (1, 1, -1)])
def test_batch_normalization_of_parts_is_that_of_the_whole(shape, scale, center, sizes):
    inputs = 2 + 3 * ramp(shape)
    parts = np.split(inputs, np.cumsum(sizes[:-1]))
    model, layer = normalization(inputs, scale=scale, center=center)
    got = learned(layer, parts, lambda parts: kernels.batch_normalization_of_parts(layer, parts))
    model, layer = normalization(inputs, scale=scale, center=center)
    expected = learned(layer, [inputs], whole(model))
    assert_rounding(got, expected)


@pytest.mark.parametrize("mean", [30.0, 300.0])
def test_far_from_zero_the_statistics_are_as_good_as_keras_own(mean):
    inputs = tf.constant(mean + ramp((64, 4, 4, 3)))
    wide = np.asarray(inputs, np.float64)
    exact = (wide - wide.mean((0, 1, 2))) / np.sqrt(wide.var((0, 1, 2)) + 1e-3)
    model, layer = normalization(inputs, scale=False, center=False)

    def error(outputs):
        return np.abs(tf.concat(outputs, axis=0) - exact).max()

    allowed = 3 * error([model(inputs, training=True)])
    with kernels.fused(model):
        assert error([model(inputs, training=True)]) < allowed
    assert error(kernels.batch_normalization_of_parts(layer, tf.split(inputs, 2))) < allowed


NOT_SUITED = {
    "float64": ({"dtype": "float64"}, {"training": True}),
    "mixed": ({"dtype": "mixed_bfloat16"}, {"training": True}),
    "renorm": ({"renorm": True}, {"training": True}),
    "synchronized": ({"synchronized": True}, {"training": True}),
    "axis=1": ({"axis": 1}, {"training": True}),
    "trainable=False": ({"trainable": False}, {"training": True}),
    "inference": ({}, {"training": False}),
    "mask": ({}, {"training": True, "mask": ramp((6, 5, 3)) > 0}),
}


@pytest.mark.parametrize("name", NOT_SUITED)
def test_what_the_kernel_does_not_suit_is_left_to_keras(name):
    options, call_options = NOT_SUITED[name]
    inputs = tf.constant(ramp((6, 5, 3, 3), "float64" if name == "float64" else "float32"))
    results = []
    for context in (kernels.fused, contextlib.nullcontext):
        model, layer = normalization(inputs, **options)
        with context(model):
            results.append([layer(inputs, **call_options), *layer.variables])
            kinds = counted(lambda layer=layer: layer(inputs, **call_options))
            assert not kinds["FusedBatchNormV3"]
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_the_kernel_suits_is_not():
    inputs = tf.constant(ramp((6, 5, 3, 3)))
    model, layer = normalization(inputs)
    with kernels.fused(model):
        assert counted(lambda: layer(inputs, training=True))["FusedBatchNormV3"] == 1
    assert not counted(lambda: layer(inputs, training=True))["FusedBatchNormV3"]


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float64"])
def test_inputs_of_another_type_are_cast_as_keras_does(dtype):
    inputs = (100 + 20 * ramp((6, 4, 4, 3))).astype(dtype)
    expected = normalization(inputs, autocast=False)[0](inputs, training=True)
    model, _ = normalization(inputs, autocast=False)
    with kernels.fused(model):
        outputs = model(inputs, training=True)
    assert outputs.dtype == expected.dtype
    np.testing.assert_allclose(outputs, expected, atol=1e-4)


# Optimizers

OPTIMIZERS = {
    "SGD": lambda: keras.optimizers.SGD(0.1),
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    "Nesterov": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "decay": lambda: keras.optimizers.SGD(0.1, momentum=0.9, weight_decay=0.05),
    "decay of plain SGD": lambda: keras.optimizers.SGD(0.1, weight_decay=0.05),
    "Adam": lambda: keras.optimizers.Adam(0.01),
    "Adam, other constants": lambda: keras.optimizers.Adam(0.01, 0.7, 0.9, 1e-3),
    "AdamW": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "clipped": lambda: keras.optimizers.Adam(0.01, global_clipnorm=0.5),
    "averaged": lambda: keras.optimizers.SGD(
        0.1, momentum=0.9, use_ema=True, ema_overwrite_frequency=7
    ),
    "accumulated": lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=3),
    "schedule": lambda: keras.optimizers.SGD(
        keras.optimizers.schedules.ExponentialDecay(0.2, 5, 0.5), momentum=0.9, weight_decay=0.05
    ),
}


def dense(dtype="float32"):
    return layers.Dense(4, dtype=dtype)


def unfused(_):
    return contextlib.nullcontext()


def optimized(make, context, layer=dense, num_steps=20, excluded=()):
    """Returns all variables of a model and its optimizer after some steps, and the kinds of ops."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((5,)), layer()])
    optimizer = make()
    optimizer.exclude_from_weight_decay(var_names=list(excluded))
    model.compile(optimizer)
    optimizer.build(model.trainable_variables)
    inputs = tf.constant(ramp((8, 5), low=0, high=2.9).astype("int32"))

    def step(number):
        with tf.GradientTape() as tape:
            outputs = model(inputs)
            wanted = tf.sin(number + ramp(outputs.shape, high=9))
            loss = tf.reduce_mean((outputs - tf.cast(wanted, outputs.dtype)) ** 2)
        with context(model):
            optimizer.apply(tape.gradient(loss, model.trainable_variables))

    kinds = counted(step, tf.constant(0.0))
    taken = tf.function(step, autograph=False)
    for number in range(num_steps):
        taken(tf.constant(float(number)))
    return [np.asarray(v) for v in [*model.variables, *optimizer.variables]], kinds


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fused_updates_are_keras_own(name):
    fused, kinds = optimized(OPTIMIZERS[name], kernels.fused)
    expected, _ = optimized(OPTIMIZERS[name], unfused)
    # Adam's kernel takes beta_2 from one in float32, which costs 1.3e-5 of 0.001; Keras in float64.
    is_adam = isinstance(OPTIMIZERS[name](), keras.optimizers.Adam)
    assert_rounding(fused, expected, tolerance=2e-5 if is_adam else 1e-6)
    has_slots = "plain" not in name and name != "SGD"
    assert sum(kinds[kind] for kind in FUSED_UPDATES) == (2 if has_slots else 0)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_in_float64_fused_updates_are_keras_own_far_more_exactly(name):
    results = [
        optimized(OPTIMIZERS[name], context, lambda: dense("float64"))[0]
        for context in (kernels.fused, unfused)
    ]
    assert_rounding(*results, tolerance=1e-13)


@pytest.mark.parametrize("kind", [keras.optimizers.SGD, keras.optimizers.AdamW])
def test_weights_can_be_excluded_from_decay(kind):
    def decaying():
        return kind(0.01, weight_decay=0.5)

    fused, _ = optimized(decaying, kernels.fused, excluded=["bias"])
    expected, _ = optimized(decaying, unfused, excluded=["bias"])
    assert_rounding(fused, expected, tolerance=2e-5)
    decayed, _ = optimized(decaying, kernels.fused)
    kernel, bias = 0, 1  # of the dense layer's variables
    assert abs(decayed[bias] - fused[bias]).max() > 1e-3
    whole, _ = optimized(decaying, kernels.fused, excluded=["bias", "kernel"])
    assert abs(whole[kernel] - fused[kernel]).max() > 1e-3


class OwnSGD(keras.optimizers.SGD):
    """A user's optimizer, whose own update must not be replaced."""

    def update_step(self, gradient, variable, learning_rate):
        self.assign_sub(variable, tf.sign(gradient) * 0.125)


def table():
    return layers.Embedding(6, 3)


FALL_BACKS = {
    "amsgrad": (lambda: keras.optimizers.Adam(0.01, amsgrad=True), dense),
    "sparse momentum": (lambda: keras.optimizers.SGD(0.01, momentum=0.9), table),
    "sparse Adam": (lambda: keras.optimizers.Adam(0.01), table),
    "a subclass": (lambda: OwnSGD(0.01, momentum=0.9), dense),
}


@pytest.mark.parametrize("name", FALL_BACKS)
def test_updates_that_no_kernel_does_are_keras_own_bit_for_bit(name):
    make, layer = FALL_BACKS[name]
    fused, kinds = optimized(make, kernels.fused, layer, num_steps=5)
    expected, _ = optimized(make, unfused, layer, num_steps=5)
    assert not FUSED_UPDATES & set(kinds)
    for one, other in zip(fused, expected, strict=True):
        np.testing.assert_array_equal(one, other)


# The context


def classifier(optimizer):
    keras.utils.set_random_seed(0)
    network = models.resnet20((8, 8, 3), 3, width=4)
    task = tasks.Classifier(network, data.Preprocess((8, 8), 3), list("abc"))
    task.compile(optimizer)
    return task


def replaced_methods(task):
    """Returns how many methods of a model's layers and of its optimizer are not their class's."""
    owners = [*task._flatten_layers(), task.optimizer]
    return sum(
        name in vars(owner)
        for owner in owners
        for name in ("call", "update_step", "_apply_weight_decay")
    )


def test_methods_are_back_after_the_context_however_it_ends():
    task = classifier(keras.optimizers.SGD(0.1, momentum=0.9))
    norms = sum(isinstance(each, layers.BatchNormalization) for each in task.network.layers)
    with kernels.fused(task):
        assert replaced_methods(task) == norms + 2
        with kernels.fused(task):
            assert replaced_methods(task) == norms + 2
        assert replaced_methods(task) == norms + 2
    assert not replaced_methods(task)
    with pytest.raises(KeyError), kernels.fused(task), kernels.fused(task):
        raise KeyError
    assert not replaced_methods(task)


def test_a_method_that_stood_on_the_instance_is_back_afterwards():
    class Owner:
        def name(self):
            return "of the class"

    owner = Owner()
    owner.name = lambda: "of the instance"
    with kernels.replaced(owner, name=lambda self: f"replaced, {type(self).__name__}"):
        assert owner.name() == "replaced, Owner"
    assert owner.name() == "of the instance"


def test_under_a_distribution_strategy_nothing_is_replaced():
    task = classifier("sgd")
    with tf.distribute.OneDeviceStrategy("cpu:0").scope(), kernels.fused(task):
        assert not replaced_methods(task)


@pytest.mark.parametrize("kind", ["ResourceApplyKerasMomentum", "ResourceApplyAdam"])
def test_plain_fit_of_a_task_uses_the_kernels(kind):
    momentum = kind == "ResourceApplyKerasMomentum"
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9) if momentum else keras.optimizers.Adam()
    task = classifier(optimizer)
    norms = sum(isinstance(each, layers.BatchNormalization) for each in task.network.layers)
    step, kinds = task.train_step, collections.Counter()

    def watched(batch):
        logs = step(batch)
        kinds.clear()  # TensorFlow traces once more where the first trace made variables
        operations = tf.compat.v1.get_default_graph().get_operations()
        kinds.update(operation.type for operation in operations)
        return logs

    task.train_step = watched
    task.fit(pictures(8, (8, 8)), np.arange(8) % 3, verbose=0)
    assert kinds["FusedBatchNormV3"] == kinds["FusedBatchNormGradV3"] == norms > 0
    assert kinds[kind] == len(task.trainable_variables)
    assert not replaced_methods(task)
