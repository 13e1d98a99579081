"""Checks that every layer, network and task must pass; the conformance table loops over them."""

import keras
import numpy as np
import tensorflow as tf

TOLERANCE = 2e-5


def ramp(shape, dtype="float32", low=-1.0, high=1.0) -> np.ndarray:
    """Returns a deterministic input without a random number: a ramp folded into the shape."""
    values = np.linspace(low, high, int(np.prod(shape))) if np.prod(shape) > 1 else np.array([high])
    order = np.argsort(np.sin(np.arange(values.size) * 12.9898))  # neighbours are not alike
    return values[order].reshape(shape).astype(dtype)


def pictures(count, size, channels=3) -> np.ndarray:
    """Returns (count, *size, channels) uint8 pictures without a random number."""
    return ramp((count, *size, channels), low=0, high=255).astype(np.uint8)


def flat(outputs) -> list[np.ndarray]:
    """Returns the arrays of any nested output, in order."""
    return [np.asarray(value) for value in tf.nest.flatten(outputs)]


def several(inputs) -> tuple:
    """Returns what a layer is called on, one array or a tuple of arrays, as a tuple."""
    return inputs if isinstance(inputs, tuple) else (inputs,)


def assert_equal(got, expected, tolerance=TOLERANCE, what=""):
    """Asserts that two nested outputs agree in structure, shape and value; NaN never agrees."""
    got, expected = flat(got), flat(expected)
    assert len(got) == len(expected), what
    for one, other in zip(got, expected, strict=True):
        assert one.shape == other.shape, what
        if other.dtype.kind == "f":
            assert np.isfinite(one).all() and np.isfinite(other).all(), what
            np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance, err_msg=what)
        else:
            np.testing.assert_array_equal(one, other, err_msg=what)


def check_call(call, inputs, tmp_path, *, module=None):
    """Checks that a call answers the same eagerly, traced and from a SavedModel, with one trace."""
    inputs = several(inputs)
    expected = call(*inputs)
    traces = []
    names = [f"input{number}" for number in range(len(inputs))]

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, *each.shape[1:]], each.dtype, name)
            for each, name in zip(inputs, names, strict=True)
        ]
    )
    def traced(*values):
        traces.append(1)
        return call(*values)

    assert_equal(traced(*inputs), expected, what="tf.function")
    first = [each[:1] for each in inputs]
    assert_equal(traced(*first), call(*first), what="tf.function, another batch size")
    assert len(traces) == 1, f"{len(traces)} traces, expected one"
    holder = tf.Module()
    holder.weights = [v.value for v in getattr(module, "weights", [])]
    tf.saved_model.save(holder, str(tmp_path / "saved"), signatures=_signature(traced))
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    named = dict(zip(names, map(tf.constant, inputs), strict=True))
    revived = loaded.signatures["serving_default"](**named)
    assert_equal([revived[name] for name in sorted(revived)], expected, what="SavedModel")


def _signature(function):
    concrete = function.get_concrete_function()
    flat_names = [f"output{number:03d}" for number in range(len(concrete.outputs))]

    @tf.function(input_signature=function.input_signature)
    def named(*values):
        return dict(zip(flat_names, tf.nest.flatten(function(*values)), strict=True))

    return {"serving_default": named}


def check_layer(build, inputs, tmp_path, *, gradients=True):
    """Checks a Keras layer: eager = traced = reloaded = SavedModel, shapes, gradients, config.

    Args:
        build: function that makes the layer.
        inputs: example input; a tuple for a layer that is called on several.
        tmp_path: a directory to save in.
        gradients: whether the output depends smoothly on a float input, the first of several.
    """
    layer = build()
    inputs = several(inputs)
    outputs = layer(*inputs)
    specs = [keras.KerasTensor(each.shape, dtype=str(each.dtype)) for each in inputs]
    assert tuple(layer.compute_output_spec(*specs).shape) == tuple(outputs.shape)
    clone = type(layer).from_config(layer.get_config())
    assert clone.get_config() == layer.get_config()
    clone(*inputs)
    clone.set_weights(layer.get_weights())
    assert_equal(clone(*inputs), outputs, what="from_config")
    check_call(layer, inputs, tmp_path, module=layer)
    symbolic = [keras.Input(each.shape[1:], dtype=str(each.dtype)) for each in inputs]
    model = keras.Model(symbolic, layer(*symbolic))
    model.save(tmp_path / "layer.keras")
    loaded = keras.models.load_model(tmp_path / "layer.keras")
    assert_equal(loaded(list(inputs)), outputs, what=".keras")
    if gradients:
        values = tf.constant(inputs[0], tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(values)
            loss = tf.reduce_sum(layer(values, *inputs[1:]) ** 2)
        gradient = tape.gradient(loss, values)
        assert gradient is not None and np.isfinite(gradient).all() and np.any(gradient != 0)


def check_loss(build, targets, predictions):
    """Checks a Keras loss: eager = traced, config, float64, gradients in every prediction.

    Args:
        build: function that makes the loss.
        targets: what the loss takes as `y_true`.
        predictions: float array, what it takes as `y_pred`; no example may already be perfect.
    """
    loss = build()
    expected = loss(targets, predictions)
    assert expected.shape == () and np.isfinite(expected)
    assert_equal(tf.function(loss)(targets, predictions), expected, what="tf.function")
    clone = type(loss).from_config(loss.get_config())
    assert clone.get_config() == loss.get_config()
    assert_equal(clone(targets, predictions), expected, what="from_config")
    exact = type(loss).from_config(loss.get_config() | {"dtype": "float64"})
    values = tf.constant(predictions, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(values)
        value = exact(targets, values)
    assert value.dtype == tf.float64
    assert_equal(tf.cast(value, tf.float32), expected, what="float64")
    gradient = tape.gradient(value, values).numpy()
    assert np.isfinite(gradient).all() and gradient.reshape(len(gradient), -1).any(axis=1).all()


def check_optimizer(build, tmp_path):
    """Checks an update rule: eager = traced, float64, config, and a saved model trains on alike.

    Args:
        build: function that makes the optimizer.
        tmp_path: a directory to save in.
    """
    optimizer = build()

    def clone():
        return type(optimizer).from_config(optimizer.get_config())

    assert clone().get_config() == optimizer.get_config()

    def compiled(dtype="float32", eagerly=False):
        inputs = keras.Input((3,), dtype=dtype)
        layer = keras.layers.Dense(2, kernel_initializer="ones", dtype=dtype)
        model = keras.Model(inputs, layer(inputs))
        loss = keras.losses.MeanSquaredError(dtype=dtype)
        model.compile(clone(), loss, run_eagerly=eagerly)
        return model

    def fit(model, epochs=2):
        model.fit(ramp((8, 3)), ramp((8, 2)), batch_size=4, epochs=epochs, shuffle=False, verbose=0)
        return model

    weights = fit(compiled()).get_weights()
    assert np.all(weights[0] != 1)
    assert_equal(fit(compiled(eagerly=True)).get_weights(), weights, what="eager")
    exact = fit(compiled("float64")).get_weights()
    assert all(each.dtype == np.float64 for each in exact)
    assert_equal([each.astype(np.float32) for each in exact], weights, what="float64")
    half = fit(compiled(), epochs=1)
    half.save(tmp_path / "half.keras")
    loaded = keras.models.load_model(tmp_path / "half.keras")
    assert_equal(fit(loaded, epochs=1).get_weights(), weights, 1e-7, what="saved in mid-training")


def check_model(model, inputs, tmp_path):
    """Checks a network: eager = traced = `.keras` = SavedModel, a dict of outputs, gradients.

    Args:
        model: the built network.
        inputs: example pictures, preprocessed.
        tmp_path: a directory to save in.
    """
    for _ in range(3):  # moving statistics other than the initial ones, which would hide mistakes
        training_outputs = model(inputs, training=True)
    outputs = model(inputs)
    assert isinstance(outputs, dict) and outputs.keys() == training_outputs.keys()
    check_call(model, inputs, tmp_path, module=model)
    model.save(tmp_path / "model.keras")
    assert_equal(keras.models.load_model(tmp_path / "model.keras")(inputs), outputs, what=".keras")
    with tf.GradientTape() as tape:
        parts = tf.nest.flatten(model(inputs, training=True))
        loss = tf.add_n([tf.reduce_sum(part * ramp(part.shape)) for part in parts])
    gradients = tape.gradient(loss, model.trainable_variables)
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert gradient is not None, variable.path
        assert np.isfinite(gradient).all(), variable.path
        assert np.any(np.asarray(gradient) != 0), variable.path


def check_training(task, images, targets):
    """Checks that the loss falls in three epochs of plain `fit`, traced once."""
    traces = []
    step = task.train_step
    task.train_step = lambda data: traces.append(1) or step(data)
    history = task.fit(images, targets, epochs=3, batch_size=len(images), verbose=0).history
    assert len(traces) == 1, f"fit traced {len(traces)} times, expected once"
    assert history["loss"][-1] < history["loss"][0]
    del task.train_step


def check_remembering(task, images, targets):
    """Checks that a task without gradients knows by heart what plain `fit` showed it, all of it."""
    before = task.evaluate(images, targets, return_dict=True, verbose=0)
    task.fit(images, targets, epochs=3, batch_size=len(images) - 1, verbose=0)
    after = task.evaluate(images, targets, return_dict=True, verbose=0)
    assert after["accuracy"] == 1 and after["loss"] < 1e-6
    assert before["accuracy"] < 1 and before["loss"] > 1


def check_task(task, images, targets, tmp_path):
    """Checks a task: learns with plain `fit`, on one trace; answers alike in all forms.

    Args:
        task: the task, not compiled.
        images: (batch, height, width, channels) uint8 pictures.
        targets: what `fit` takes as `y`.
        tmp_path: a directory to save in.
    """
    task.compile(keras.optimizers.SGD(0.01))
    if task.trainable_variables:
        check_training(task, images, targets)
    else:
        check_remembering(task, images, targets)
    answers = task.answer(images)
    check_call(task.answer, images, tmp_path, module=task)
    task.save(tmp_path / "task.keras")
    loaded = keras.models.load_model(tmp_path / "task.keras")
    assert_equal(loaded.answer(images), answers, what=".keras")
    expected = task.evaluate(images, targets, return_dict=True, verbose=0)
    got = loaded.evaluate(images, targets, return_dict=True, verbose=0)
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert abs(got[name] - value) < 1e-4, name
