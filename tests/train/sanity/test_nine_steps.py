"""Each of the nine steps fires on a model that is broken so, and lets a sound one pass."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from dlcv_tf import data, losses, models, tasks, train
from dlcv_tf.data import digits
from dlcv_tf.errors import InputError
from dlcv_tf.train import sanity
from dlcv_tf.train.sanity import before, probe, runs, sample, switches

IMAGES, LABELS = digits.arrays("train")
PIXELS = (IMAGES.reshape(len(IMAGES), -1).astype("float32") - 78) / 95
SMALL = keras.initializers.RandomNormal(stddev=0.01)


def plain(hidden=(64,), *, head=SMALL, last=None, init="he_normal", decay=None, l2=0.0):
    """Returns a compiled plain Keras model of flat pixels: tensors in, one tensor of scores out."""
    keras.utils.set_random_seed(0)
    penalty = keras.regularizers.L2(l2) if l2 else None
    model = keras.Sequential([keras.Input((64,))])
    for units in hidden:
        model.add(
            layers.Dense(
                units, activation="relu", kernel_initializer=init, kernel_regularizer=penalty
            )
        )
    model.add(layers.Dense(10, activation=last, kernel_initializer=head))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9, weight_decay=decay), loss)
    return model


def convolutions():
    """Returns a small network with batch norm, whose first loss is right."""
    inputs = x = keras.Input((8, 8, 1))
    for stride in (1, 2):
        x = layers.Conv2D(16, 3, stride, "same", use_bias=False, kernel_initializer="he_normal")(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Flatten()(x)
    return keras.Model(inputs, {"logits": layers.Dense(10, kernel_initializer=SMALL)(x)})


def task(network=None, rate=0.1, loss=None):
    """Returns a compiled classifier of pictures, sound unless told otherwise."""
    keras.utils.set_random_seed(0)
    made = tasks.Classifier(
        network or convolutions(), data.Preprocess((8, 8), 1), list("0123456789")
    )
    made.compile(keras.optimizers.SGD(rate, momentum=0.9, weight_decay=1e-4), loss)
    return made


def check(model, inputs=PIXELS, labels=LABELS, **options):
    return train.babysit(model, (inputs, labels), batch_size=32, **options)


def only(number, model, inputs=PIXELS, labels=LABELS, peak=None, steps=runs.CURVE_STEPS):
    """Returns one step of the check, without the others."""
    examples = sample.Sample(inputs, labels)
    trial = probe.Probe(model, examples)
    new, few, most = examples[:128], examples[128:160], examples[128:]
    rates = switches.learning_rates(model.optimizer)
    batches = most.batches(32, steps, seed=0)
    with trial.restored():
        take = {
            1: lambda: before.preprocessing(trial, most[:256], None),
            2: lambda: before.architecture(trial, few, 0),
            3: lambda: before.initial_loss(trial, most[:256]),
            4: lambda: before.regularization(trial, few, rates[1]),
            5: lambda: runs.overfit(trial, few),
            6: lambda: runs.learning_rate(trial, batches, (rates[0], peak or rates[1]))[0],
            8: lambda: runs.curve_and_updates(trial, batches, new, rates[1])[0],
            9: lambda: runs.curve_and_updates(trial, batches, new, rates[1])[1],
        }
        return take[number]()


def statuses(report):
    return {step.number: step.status for step in report.steps}


# --- the sound ones -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sound():
    """The report on a sound task, and the task with its state from before."""
    model = task()
    model.optimizer.build(model.trainable_variables)
    before = state(model)
    dataset, _ = data.load("digits", "train")
    validation, _ = data.load("digits", "val")
    return train.babysit(model, dataset, validation, batch_size=32), model, before


def state(model):
    variables = [*model.variables, *model.optimizer.variables]
    return [np.array(v) for v in variables]


def test_a_sound_task_passes_all_nine_steps(sound):
    report, _, _ = sound
    assert statuses(report) == dict.fromkeys(range(1, 10), "PASS"), str(report)
    assert report.passed
    assert 0.95 < report[1].numbers["validation_std"] / report[1].numbers["std"] < 1.05
    assert report[3].numbers["expected"] == pytest.approx(np.log(10), abs=1e-5)
    assert report[5].numbers["loss"] < 0.01 and report[5].numbers["accuracy"] == 1.0
    assert report[8].numbers["flat_steps"] < 20


def test_erratum_e22_the_steps_are_numbered_from_one_to_nine_without_a_gap(sound):
    report, _, _ = sound
    assert [step.number for step in report.steps] == list(range(1, 10))
    assert [step.name for step in report.steps] == list(sanity.NAMES)
    assert len(set(sanity.NAMES)) == 9


def test_the_model_is_left_as_it_was(sound):
    _, model, before = sound
    for mine, value in zip(state(model), before, strict=True):
        np.testing.assert_array_equal(mine, value)
    assert int(model.optimizer.iterations) == 0
    assert all("call" not in vars(layer) for layer in model._flatten_layers())
    model.fit(IMAGES[:64], LABELS[:64], verbose=0)  # and trains as ever


def test_it_is_deterministic():
    def numbers():
        keras.backend.clear_session()  # so that the layers have the same names
        report = check(plain())
        return [{k: v for k, v in s.numbers.items() if "seconds" not in k} for s in report.steps]

    for one, other in zip(numbers(), numbers(), strict=True):
        assert str(one) == str(other)


def test_each_graph_is_traced_once():
    model, traces = plain(hidden=(16,)), []
    model.add(layers.Dropout(0.1))
    model.add(layers.Dense(10, kernel_initializer=SMALL))
    model.compile(model.optimizer.__class__(0.1), model.loss)
    inner = model.compute_loss
    model.compute_loss = lambda **options: traces.append(tf.inside_function()) or inner(**options)
    check(model)
    assert sum(traces) == 2  # with noise and without


def test_plain_models_dicts_of_outputs_datasets_and_one_hot_labels():
    inputs = keras.Input((64,))
    scores = layers.Dense(10, kernel_initializer=SMALL)(inputs)
    model = keras.Model(inputs, {"logits": scores})
    model.compile("adam", {"logits": keras.losses.CategoricalCrossentropy(from_logits=True)})
    one_hot = np.eye(10, dtype="float32")[LABELS]
    dataset = tf.data.Dataset.from_tensor_slices((PIXELS, one_hot))
    single = train.babysit(model, dataset, batch_size=32)
    batched = train.babysit(model, dataset.batch(50), batch_size=32)
    assert single[3].status == batched[3].status == "PASS"
    assert single[5].numbers["accuracy"] == 1.0
    assert single[3].numbers["expected"] == pytest.approx(np.log(10), abs=1e-5)


# --- step 1 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "status", "advice"),
    [
        (PIXELS, "PASS", ""),
        (IMAGES.reshape(-1, 64).astype("float32"), "FAIL", "Inputs reach 255: subtract the mean"),
        (PIXELS / 1e4, "FAIL", "divided by 255 twice"),
        (PIXELS + 3, "WARN", "not centred"),
        (np.where(PIXELS > 1.5, np.nan, PIXELS), "FAIL", "NaN or infinite"),
    ],
)
def test_step_1_inputs(inputs, status, advice):
    found = only_step_1(inputs, LABELS)
    assert found.status == status and advice in found.advice


@pytest.mark.parametrize(
    ("labels", "status", "advice"),
    [
        (LABELS + 1, "FAIL", "Got the label 10, expected whole numbers from 0 to 9"),
        (np.where(LABELS == 3, -1, LABELS), "FAIL", "Got the label -1"),
        (np.zeros_like(LABELS), "FAIL", "All labels are the same"),
        (np.where(LABELS < 7, 0, LABELS), "WARN", "of the labels are one class"),
    ],
)
def test_step_1_labels(labels, status, advice):
    found = only_step_1(PIXELS, labels)
    assert found.status == status and advice in found.advice


def only_step_1(inputs, labels, validation=None):
    examples = sample.Sample(inputs, labels)
    return before.preprocessing(probe.Probe(plain(), examples), examples, validation)


def test_step_1_looks_at_what_the_first_weights_see():
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Rescaling(1 / 127.5, offset=-1)])
    model.add(layers.Flatten())
    model.add(layers.Dense(10))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    seen = before.first_inputs(model, IMAGES[:50])
    np.testing.assert_allclose(seen, IMAGES[:50].reshape(50, 64) / 127.5 - 1, atol=1e-6)


def test_step_1_validation_inputs_have_to_be_alike():
    other = sample.Sample(PIXELS * 95 + 78, LABELS)
    found = only_step_1(PIXELS, LABELS, other)
    assert found.status == "FAIL" and "the training set's own mean and std" in found.advice
    assert only_step_1(PIXELS, LABELS, sample.Sample(PIXELS[::2], LABELS[::2])).status == "PASS"


def test_after_labels_that_are_no_classes_the_other_steps_are_not_run():
    report = check(plain(), labels=LABELS + 1)
    assert len(report.steps) == 9 and not report.passed
    assert [step.measured for step in report.steps[1:]] == ["not run"] * 8
    assert "Mend step 1 first" in report[9].advice


# --- step 2 ---------------------------------------------------------------------------------------


def test_step_2_softmax_in_the_model_and_in_the_loss():
    model = plain(last="softmax")
    model.add(layers.Rescaling(1.0))  # else Keras itself finds the softmax and passes it by
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    found = only(2, model)
    assert found.status == "FAIL" and "softmax is applied twice" in found.advice
    assert only(3, model).status == "PASS"  # the first loss does not show it
    assert only(5, model).status == "FAIL"  # the loss cannot come near 0
    assert "softmax is applied twice" in only(2, plain(last="softmax")).advice


def test_step_2_scores_for_a_loss_of_probabilities_and_probabilities_as_they_should_be():
    model = plain()
    model.compile("adam", "sparse_categorical_crossentropy")
    assert "set from_logits=True" in only(2, model).advice
    model = plain(last="softmax")
    model.compile("adam", "sparse_categorical_crossentropy")
    report = check(model)
    assert report[2].status == report[3].status == report[5].status == "PASS"


def test_step_2_a_last_layer_of_zeros_hides_no_gradient():
    found = only(2, plain(head="zeros"))
    assert found.status == "PASS" and found.numbers["gradient_error"] < 1e-6


def test_one_probability_or_one_score_for_two_classes():
    halves = (LABELS > 4).astype("float32")
    for activation, loss in (
        ("sigmoid", "binary_crossentropy"),
        (None, keras.losses.BinaryCrossentropy(from_logits=True)),
    ):
        model = keras.Sequential([keras.Input((64,)), layers.Dense(32, activation="relu")])
        model.add(layers.Dense(1, activation=activation, kernel_initializer="zeros"))
        model.compile(keras.optimizers.Adam(0.01, weight_decay=1e-3), loss)
        report = check(model, labels=halves)
        assert report.passed, str(report)
        assert report[3].numbers["expected"] == pytest.approx(np.log(2), abs=1e-5)
        assert report[5].numbers["accuracy"] == 1.0 and report[8].numbers["new_accuracy"] > 0.7


def test_step_2_a_weight_that_the_loss_ignores():
    inputs = keras.Input((64,))
    scores = layers.Dense(10, kernel_initializer=SMALL)(inputs)
    spare = layers.Dense(3, name="spare")(inputs)
    model = keras.Model(inputs, {"logits": scores, "spare": spare})
    model.compile("sgd", {"logits": keras.losses.SparseCategoricalCrossentropy(from_logits=True)})
    found = only(2, model)
    assert found.status == "FAIL" and "does not depend on spare/kernel" in found.advice


def test_step_2_frozen_layers():
    model = plain(hidden=(64, 64))
    for layer in model.layers[:2]:
        layer.trainable = False
    model.compile(model.optimizer.__class__(0.1), model.loss)
    report = check(model)
    assert report[2].status == "WARN" and "weights are frozen" in report[2].advice
    assert report[2].numbers["frozen"] == 64 * 64 * 2 + 2 * 64
    assert list(report[9].numbers["ratios"]) == [model.layers[2].kernel.path]


@keras.saving.register_keras_serializable(package="tests")
class WrongGradient(layers.Layer):
    """The identity, with a gradient that is a tenth too large."""

    def call(self, inputs):
        @tf.custom_gradient
        def identity(x):
            return tf.identity(x), lambda upstream: 1.1 * upstream

        return identity(inputs)

    def compute_output_shape(self, input_shape):
        return input_shape


@pytest.mark.parametrize("wrong", [False, True])
def test_step_2_a_gradient_that_is_wrong(wrong):
    inputs = keras.Input((64,))
    x = layers.Dense(32, activation="relu")(inputs)
    x = WrongGradient()(x) if wrong else x
    model = keras.Model(inputs, layers.Dense(10, kernel_initializer="he_normal")(x))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    found = only(2, model)
    assert ("disagree with finite differences" in found.advice) == wrong
    assert (found.numbers["gradient_error"] > 1e-2) == wrong
    assert found.numbers["gradient_error"] < 1e-6 or wrong


def test_step_2_the_gradient_check_is_before_the_training_and_not_in_it(sound):
    numbers = sound[0][2].numbers
    each = numbers["check_seconds"] / numbers["gradients_checked"]
    every = each * numbers["trainable"]
    assert every > 100 * numbers["step_seconds"]  # what it would cost to check every step
    assert "off from here on" in sound[0][2].measured


# --- step 3 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "status"),
    [(SMALL, "PASS"), ("zeros", "PASS"), (keras.initializers.RandomNormal(stddev=1.0), "FAIL")],
)
def test_step_3_the_first_loss_is_log_c(head, status):
    found = only(3, plain(head=head))
    assert found.status == status
    assert found.expected == "within 5% of log 10 = 2.303"
    assert (found.numbers["relative_error"] < 0.05) == (status == "PASS")
    assert ("smaller weights in the last layer" in found.advice) == (status == "FAIL")


@pytest.mark.parametrize("squared", [False, True])
def test_step_3_the_first_hinge_loss_is_c_minus_1(squared):
    network = models.linear((8, 8, 1), 10)
    made = task(network, rate=1e-3, loss=losses.MulticlassHinge(squared=squared))
    found = only(3, made, IMAGES)
    assert found.status == "PASS" and "10 - 1 = 9" in found.expected
    assert found.numbers["loss"] == pytest.approx(9.0, abs=1e-4)


def test_step_3_regularisation_is_off():
    found = only(3, plain(l2=1.0))
    assert found.status == "PASS" and found.numbers["loss"] == pytest.approx(np.log(10), rel=0.05)


def test_step_3_a_trained_model_has_no_initial_loss_but_its_untrained_copy_has():
    model = task()
    model.fit(IMAGES, LABELS, epochs=2, verbose=0)
    found = only(3, model, IMAGES)
    assert found.status == "WARN" and "has been trained for 80 steps" in found.advice
    copy = train.untrained(model)
    assert int(copy.optimizer.iterations) == 0
    assert only(3, copy, IMAGES).status == "PASS"


# --- step 4 ---------------------------------------------------------------------------------------


def test_step_4_a_penalty_raises_the_loss_by_what_it_is():
    model = plain(l2=1e-3)
    found = only(4, model)
    penalty = 1e-3 * float(np.sum(np.square(model.layers[0].kernel)))
    assert found.status == "PASS"
    assert found.numbers["loss_with"] > found.numbers["loss_without"]
    assert found.numbers["loss_with"] - found.numbers["loss_without"] == pytest.approx(
        penalty, rel=1e-3
    )


def test_step_4_a_penalty_on_weights_that_begin_at_zero():
    network = models.linear((8, 8, 1), 10, l2=1.0)
    found = only(4, task(network), IMAGES)
    assert found.numbers["loss_with"] > found.numbers["loss_without"]
    assert "in the place of zeros" in found.measured


def test_step_4_a_penalty_that_is_too_strong():
    found = only(4, plain(l2=10.0))
    assert (
        found.status == "WARN" and "times the loss on the data: divide its strength" in found.advice
    )


@pytest.mark.parametrize(("decay", "status"), [(1e-3, "PASS"), (1.0, "WARN"), (None, "WARN")])
def test_step_4_decoupled_weight_decay_is_measured_and_none_at_all_is_said(decay, status):
    found = only(4, plain(decay=decay))
    assert found.status == status
    assert found.numbers["loss_with"] == found.numbers["loss_without"]
    assert found.numbers["decay_per_step"] == pytest.approx(0.1 * (decay or 0), rel=1e-2)
    assert "nothing regularises" in found.advice.lower() if decay is None else decay


# --- step 5 ---------------------------------------------------------------------------------------


def test_step_4_weight_decay_is_measured_apart_from_momentum_and_learning_rate():
    model = plain(decay=1e-3)
    model.fit(PIXELS, LABELS, epochs=1, verbose=0)
    assert only(4, model).numbers["decay_per_step"] == pytest.approx(1e-4, rel=1e-2)
    model.compile(keras.optimizers.SGD(1e6, weight_decay=1e-3), model.loss)
    assert only(4, model).numbers["decay_per_step"] == pytest.approx(1e3, rel=1e-2)


def test_step_5_dropout_penalty_and_smoothing_are_off():
    network = models.mlp((8, 8, 1), 10, hidden_units=(64,), dropout=0.9, l2=1.0)
    made = task(network, loss=losses.SmoothedCrossentropy(0.3))
    found = only(5, made, IMAGES)
    assert found.status == "PASS" and found.numbers["loss"] < 0.01
    assert found.numbers["accuracy"] == 1.0 and 20 <= found.numbers["examples"] <= 100


def test_step_5_labels_that_contradict_each_other_cannot_be_learnt():
    twice = np.repeat(PIXELS[:32], 8, axis=0)
    random = np.random.default_rng(0).integers(0, 10, len(twice))
    found = only(5, plain(), twice, random)
    assert found.status == "FAIL" and "learns a few examples by heart" in found.advice


# --- step 6 and 7 ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "status", "advice"),
    [
        (0.1, "PASS", ""),
        (1e-7, "FAIL", "is too low"),
        (1e6, "FAIL", "is too high, the loss explodes"),
    ],
)
def test_step_6_learning_rates(rate, status, advice):
    found = only(6, task(rate=rate), IMAGES)
    assert found.status == status and advice in found.advice
    low, high = found.numbers["range"]
    assert 1e-5 < low < high < 2
    tried = {trial["rate"]: trial for trial in found.numbers["trials"]}
    assert tried[1e-6]["drop"] < 0.01 and rate in tried
    assert status == "PASS" or f"ake one from {low:.2g} to {high:.2g}" in found.advice


def test_step_6_nan_counts_as_too_high():
    found = only(6, plain(), peak=1e30)
    assert found.numbers["trials"][-1]["exploded"]
    model = plain()
    model.compile(keras.optimizers.SGD(1e30), model.loss)
    assert "is too high, the loss explodes or is NaN" in only(6, model).advice


def test_step_6_a_warm_up_that_keeps_the_peak_from_exploding():
    found = check(plain(), learning_rate=1e6)[6]  # the optimizer itself begins with 0.1
    assert found.status == "WARN" and "keep the warm-up" in found.advice


def test_step_6_the_accuracy_jumps_while_the_loss_is_flat():
    network = models.linear((8, 8, 1), 10)
    found = only(6, task(network), IMAGES)
    assert "the loss is flat while the accuracy gains" in found.advice
    first = found.numbers["trials"][0]
    assert first["drop"] < 0.01 and first["gain"] > 0.3


def test_step_7_ranges_about_the_best_rate(sound):
    report, _, _ = sound
    low, high = report[7].numbers["ranges"]["learning_rate"]
    assert low < report[6].numbers["best"] <= high
    assert "command" not in report[7].numbers  # a model of one's own is no recipe
    named = check(plain(), target="digits_linear seed=1")[7].numbers["command"]
    assert named.startswith("dlcv search digits_linear seed=1 learning_rate=")


# --- step 8 and 9 ---------------------------------------------------------------------------------


def test_step_8_is_flat_for_initial_weights_of_a_millionth():
    tiny = keras.initializers.RandomNormal(stddev=1e-6)
    found = only(8, plain(hidden=(64, 64), init=tiny, head=tiny))
    assert found.status == "FAIL" and "initial weights are of the wrong scale" in found.advice
    assert found.numbers["flat_steps"] > 30


def test_step_8_falls_for_he(sound):
    assert only(8, plain(hidden=(64, 64))).status == "PASS"


def test_step_8_labels_that_do_not_belong_to_the_examples():
    shuffled = np.random.default_rng(0).permutation(LABELS)
    found = only(8, plain(), labels=shuffled)
    assert found.status in ("WARN", "FAIL") and "labels" in found.advice
    assert found.numbers["new_accuracy"] < 0.25


def test_step_8_a_training_that_is_merely_slow():
    examples = sample.Sample(PIXELS, LABELS)
    trial = probe.Probe(plain(), examples)
    batches = examples[128:].batches(32, 20, seed=0)
    found, _ = runs.curve_and_updates(trial, batches, examples[:128], 1e-5, best=0.1)
    assert found.status == "WARN"
    assert found.advice == "Flat at 1e-05, but not at 0.1: raise the learning rate"


def test_step_8_a_rate_that_is_too_high():
    examples = sample.Sample(PIXELS, LABELS)
    trial = probe.Probe(plain(), examples)
    batches = examples[128:].batches(32, 20, seed=0)
    found, _ = runs.curve_and_updates(trial, batches, examples[:128], 2.0, best=0.1)
    assert found.advice == "Flat at 2, but not at 0.1: lower it, or warm up to it"


def test_a_data_set_sorted_by_class_is_as_good():
    order = np.argsort(LABELS, kind="stable")
    report = check(plain(decay=1e-3), PIXELS[order], LABELS[order])
    assert report[1].numbers["classes_seen"] == 10
    assert report.passed and report[8].numbers["new_accuracy"] > 0.7


def test_step_8_too_strong_regularisation_is_told_from_bad_initial_weights():
    network = models.linear((8, 8, 1), 10, l2=10.0)
    report = check(task(network, rate=0.01), IMAGES)
    assert report[6].status == "PASS"  # where it is kept small
    assert report[8].status == "FAIL" and "but not without regularisation" in report[8].advice


@pytest.mark.parametrize(
    ("rate", "stddev", "status", "advice"),
    [
        (3e-3, 0.1, "PASS", ""),
        (3e-3, 1e-6, "WARN", "lower the learning rate, or take larger weights"),
        (1e-7, 0.1, "WARN", "raise the learning rate, or look for gradients"),
    ],
)
def test_step_9_ratios(rate, stddev, status, advice):
    normal = keras.initializers.RandomNormal(stddev=stddev)
    model = plain(init=normal, head=normal)
    model.compile(keras.optimizers.Adam(rate), model.loss)
    found = only(9, model, steps=15)
    assert found.status == status, found
    assert advice in found.advice
    if status == "PASS":
        assert all(1e-4 <= ratio <= 1e-1 for ratio in found.numbers["ratios"].values())


def test_step_9_dead_units_do_not_move():
    model = plain(hidden=(64, 64))
    model.layers[1].bias.assign(-1e3 * np.ones(64))  # no example reaches the ReLU
    report = check(model)
    assert "is 0: dead units" in report[2].advice
    assert report[9].status == "FAIL" and "No update of" in report[9].advice


# --- bad input ------------------------------------------------------------------------------------


def uncompiled():
    return keras.Sequential([keras.Input((64,)), layers.Dense(10)])


def two_outputs():
    inputs = keras.Input((64,))
    model = keras.Model(inputs, {"a": layers.Dense(2)(inputs), "b": layers.Dense(2)(inputs)})
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize(
    ("build", "dataset", "message"),
    [
        (uncompiled, (PIXELS, LABELS), "not compiled: call model.compile"),
        (two_outputs, (PIXELS, LABELS), "expected .batch, classes. scores, alone or as 'logits'"),
        (plain, (PIXELS[:5], LABELS[:5]), "got 5 examples, expected 8 or more"),
        (plain, (PIXELS, LABELS[:5]), "labels, expected as many"),
        (plain, [PIXELS], "got data of type list, expected a tf.data.Dataset"),
        (plain, tf.data.Dataset.from_tensor_slices(PIXELS), "expected .inputs, labels."),
        (plain, tf.data.Dataset.from_tensor_slices((PIXELS, LABELS)).take(0), "empty data set"),
    ],
)
def test_bad_input(build, dataset, message):
    with pytest.raises(InputError, match=message):
        train.babysit(build(), dataset)


def test_a_batch_size_below_one_is_refused():
    with pytest.raises(InputError, match="got batch_size=0, expected 1 or more"):
        train.babysit(plain(), (PIXELS, LABELS), batch_size=0)


def test_a_loss_for_one_hot_labels_is_named():
    model = plain(last="softmax")
    model.compile("sgd", "categorical_crossentropy")
    dataset = tf.data.Dataset.from_tensor_slices((PIXELS, LABELS))
    with pytest.raises(InputError, match="compile with SparseCategoricalCrossentropy"):
        sanity.babysit(model, dataset)
