"""Steps 1 to 4: what can be seen before anything is learnt."""

import contextlib
import math
import time

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf.data.preprocess import Preprocess
from dlcv_tf.errors import InputError
from dlcv_tf.models import summary
from dlcv_tf.train import kernels
from dlcv_tf.train.sanity import gradients, switches
from dlcv_tf.train.sanity.probe import Probe
from dlcv_tf.train.sanity.sample import Sample
from dlcv_tf.train.sanity.step import Findings, Step
from dlcv_tf.train.sanity.untrained import is_state

LARGEST_SCALE, LEAST_SCALE = 10.0, 0.01  # of the inputs' mean and standard deviation
SAME_MEAN, SAME_SCALE = 0.25, 1.25  # of validation inputs, in standard deviations and as a factor
FROZEN = 0.5  # part of the weights from which frozen ones are worth a question
TOLERANCE = 0.05  # of the initial loss
HEAVY_PENALTY = 1.0  # times the loss on the data
HEAVY_DECAY = 0.01  # part of a weight taken off in a step
DECAY_RATE = 0.1  # learning rate at which the weight decay is measured: no rounding, no overshoot
PROBABILITY = 1e-4  # by which a sum of probabilities may miss 1


def preprocessing(probe: Probe, train: Sample, validation: Sample | None) -> Step:
    """Step 1: inputs are finite, centred and of sane scale; labels are classes; one transform.

    What is looked at is what the first layer with weights sees, after all preprocessing inside the
    model. A model that has none sees the data set's own numbers.
    """
    findings = Findings(1, f"mean about 0, scale about 1, labels below {probe.classes}, all finite")
    seen = first_inputs(probe.model, train.inputs)
    mean, std = float(seen.mean()), float(seen.std())
    numbers = {"mean": mean, "std": std, "min": float(seen.min()), "max": float(seen.max())}
    measured = [f"inputs {mean:.2f} ± {std:.2f} in {seen.min():.3g} … {seen.max():.3g}"]
    if not np.isfinite(seen).all():
        findings.fail("some inputs are NaN or infinite: look for broken pictures or a zero std")
    elif max(abs(mean), std) > LARGEST_SCALE:
        findings.fail(
            f"inputs reach {np.abs(seen).max():.0f}: subtract the mean and divide by the standard "
            "deviation of the training pictures (`data.Preprocess`, `keras.layers.Rescaling`)"
        )
    elif std < LEAST_SCALE:
        findings.fail(f"inputs hardly differ (std {std:.1e}): are they divided by 255 twice?")
    elif abs(mean) > std or seen.min() >= 0 or seen.max() <= 0:
        findings.warn("inputs are not centred: subtract the mean of the training pictures")
    if validation is not None:
        _same_transform(findings, numbers, seen, first_inputs(probe.model, validation.inputs))
    measured.append(_labels(findings, numbers, train, probe.classes))
    return findings.step(measured, numbers)


def architecture(probe: Probe, train: Sample, seed: int) -> Step:
    """Step 2: parameters, outputs, and a gradient that reaches every weight and is right.

    The gradient is checked against finite differences here, before training, and not in it.
    """
    findings = Findings(
        2, "scores as the loss takes them; every weight has a gradient, its error < 1e-2"
    )
    model = probe.model
    total, trained = model.count_params(), sum(map(_size, model.trainable_variables))
    state = sum(_size(v) for v in model.non_trainable_variables if is_state(v))
    frozen = total - trained - state
    numbers = {"parameters": total, "trainable": trained, "frozen": frozen}
    measured = [f"{total:,} parameters" + (f", {frozen:,} frozen" if frozen > 0 else "")]
    if frozen > FROZEN * (trained + frozen):
        findings.warn(
            f"{frozen:,} of {trained + frozen:,} weights are frozen: right for a pretrained network"
            " only, else set `trainable = True`"
        )
    for lint in _lints(model):
        findings.warn(f"at {lint.layers[0]}: {lint.message}")
    _scores(findings, probe, train)
    _fill_zeros(model)  # a last layer of zeros, as it may well begin, lets no gradient through
    for problem, names in _without_gradient(probe, train).items():
        shown = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
        if problem == "none":
            findings.fail(f"the loss does not depend on {shown}: connect it, or take it out")
        elif problem == "zero":
            findings.warn(f"the gradient of {shown} is 0: dead units, or weights too small")
        else:
            findings.fail(f"the gradient of {shown} is not finite: look at the first loss")
    checked = gradients.check(probe, train, seed)
    if checked is None:
        measured.append("gradients not checked: no float64 copy can be made of this model")
    else:
        error, places, seconds = checked
        probe.cost(train)  # traced
        started = time.perf_counter()
        probe.cost(train)
        step_seconds = time.perf_counter() - started
        numbers |= {"gradient_error": error, "gradients_checked": places}
        numbers |= {"check_seconds": seconds, "step_seconds": step_seconds}
        measured.append(
            f"{places} derivatives within {error:.0e}, checked in {seconds:.1f} s; off from here "
            f"on, a step takes {step_seconds:.3f} s"
        )
        if not error < gradients.WRONG:
            findings.fail("gradients disagree with finite differences: look at custom gradients")
    return findings.step(measured, numbers)


def initial_loss(probe: Probe, train: Sample) -> Step:
    """Step 3: without regularisation, the first loss is that of equal scores.

    It is log C for softmax and C - 1 for the hinge (margin 1). Whatever the loss is, it is asked
    for the cost of scores that are all equal.
    """
    equal = 1 / max(2, probe.classes) if probe.takes_logits is False else 0.0
    expected = probe.equal_scores(train, equal)
    cost = probe.cost(train, strength=0.0).cost
    error = abs(cost - expected) / max(abs(expected), 1e-12)
    findings = Findings(3, f"within {TOLERANCE:.0%} of {_named(expected, probe.classes)}")
    steps = int(probe.model.optimizer.iterations)
    if steps:
        findings.warn(
            f"the model has been trained for {steps:,} steps, so its loss is not an initial one: "
            "check `train.untrained(model)`"
        )
    elif not math.isfinite(cost):
        findings.fail("the first loss is no number: look at inputs, labels and initial weights")
    elif error > TOLERANCE and cost > expected:
        findings.fail("begin with smaller weights in the last layer (std 0.01, or zeros)")
    elif error > TOLERANCE:
        findings.fail("less than guessing costs: is the label among the inputs, or the loss wrong?")
    numbers = {"loss": cost, "expected": expected, "relative_error": error}
    return findings.step(f"{cost:.4g} ({error:.1%} off)", numbers)


def regularization(probe: Probe, train: Sample, rate: float) -> Step:
    """Step 4: regularisation raises the loss, or takes something off the weights."""
    findings = Findings(4, "loss with regularisation > loss without")
    model = probe.model
    with probe.restored():
        note = _fill_zeros(model)
        free, full = (probe.cost(train, strength=strength).cost for strength in (0.0, 1.0))
        shrinks = _decay(probe, rate)
    penalty = full - free
    numbers = {"loss_without": free, "loss_with": full, "decay_per_step": shrinks}
    measured, others = [], _other_regularizers(model)
    if penalty != 0:
        measured.append(f"{free:.4g} without, {full:.4g} with")
        if penalty < 0:
            findings.fail("the penalty is negative: look at its sign")
        elif penalty > HEAVY_PENALTY * free:
            findings.warn(
                f"the penalty is {penalty / free:.1f} times the loss on the data: divide its "
                f"strength by {10 ** math.ceil(math.log10(penalty / free) + 1):,}"
            )
    if shrinks > 0:
        measured.append(f"weight decay takes {shrinks:.1e} of a weight off per step, not in loss")
        if shrinks > HEAVY_DECAY:
            findings.warn("weight decay empties the weights within 100 steps: a hundredth of it")
    if penalty == 0 and shrinks <= 0:
        measured.append("no penalty on weights" + (f", but {', '.join(others)}" if others else ""))
        if not others:
            findings.warn("nothing regularises this model: try weight_decay=1e-4 or dropout")
    if note and (penalty or shrinks > 0):
        measured.append(note)
    return findings.step(measured, numbers)


def first_inputs(model: keras.Model, inputs: np.ndarray) -> np.ndarray:
    """Returns what the first layer with a matrix of weights sees of the inputs."""
    seen = []

    def call(layer, x, *args, **options):
        seen.append(x)
        return type(layer).call(layer, x, *args, **options)

    layers = [
        layer
        for layer in model._flatten_layers(include_self=False)
        if not isinstance(layer, Preprocess | keras.layers.Normalization)
        and not list(layer._flatten_layers(include_self=False))
        and any(len(weight.shape) > 1 for weight in layer.weights)
    ]
    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(kernels.replaced(layer, call=call))
        model(inputs, training=False)
    first = seen[0] if seen and tf.is_tensor(seen[0]) else inputs
    return np.asarray(first, np.float64)


def _same_transform(findings: Findings, numbers: dict, train: np.ndarray, other: np.ndarray):
    numbers |= {"validation_mean": float(other.mean()), "validation_std": float(other.std())}
    apart = abs(other.mean() - train.mean()) / max(train.std(), 1e-12)
    factor = max(other.std(), 1e-12) / max(train.std(), 1e-12)
    if not (apart < SAME_MEAN and 1 / SAME_SCALE < factor < SAME_SCALE):
        findings.fail(
            f"validation inputs are {other.mean():.2f} ± {other.std():.2f}: transform them with "
            "the training set's own mean and std"
        )


def _labels(findings: Findings, numbers: dict, train: Sample, classes: int) -> str:
    """Looks at the labels; returns what they are."""
    labels = train.labels
    if labels.ndim == 2 and labels.shape[-1] == classes > 1:
        if not np.allclose(labels.sum(axis=-1), 1, atol=1e-3) or labels.min() < 0:
            findings.fail("one-hot labels do not sum to 1: look at how they are made")
        labels = labels.argmax(axis=-1)
    labels = labels.reshape(-1)
    count = max(2, classes)
    wrong = labels[~((labels >= 0) & (labels < count) & (labels == np.floor(labels)))]
    if len(wrong):
        findings.fail(
            f"got the label {wrong[0]:g}, expected whole numbers from 0 to {count - 1}: the model "
            f"has {classes} output(s)"
        )
        numbers["wrong_labels"] = len(wrong)
        return f"{len(wrong)} of {len(labels)} labels are no class"
    present = np.bincount(labels.astype(int), minlength=count)
    share = present.max() / len(labels)
    numbers |= {"classes": classes, "classes_seen": int((present > 0).sum()), "largest": share}
    if (present > 0).sum() == 1:
        findings.fail("all labels are the same: is the data set sorted, or the wrong column read?")
    elif share > 0.5 and share > 3 / count:
        findings.warn(f"{share:.0%} of the labels are one class: accuracy alone will flatter")
    return f"{(present > 0).sum()} of {count} classes in {len(labels)} examples"


def _scores(findings: Findings, probe: Probe, train: Sample) -> None:
    """Looks for probabilities where scores are expected, and the other way round."""
    scores = np.asarray(probe.scores(probe.model(train.inputs)), np.float64)
    sums_to_one = np.allclose(scores.sum(axis=-1), 1, atol=PROBABILITY)
    are_probabilities = probe.classes > 1 and scores.min() >= 0 and sums_to_one
    if not np.isfinite(scores).all():
        findings.fail("the first outputs are not finite: look at inputs and initial weights")
    elif are_probabilities and probe.takes_logits is not False:
        findings.fail(
            "the model ends in a softmax but the loss takes scores, so softmax is applied twice: "
            "take the activation off the last layer"
        )
    elif probe.takes_logits is False and probe.classes > 1 and not are_probabilities:
        findings.fail("the loss takes probabilities but gets raw scores: set from_logits=True")


def _lints(model: keras.Model) -> tuple:
    """Returns the summary's advice on a network; there is none where it cannot be read."""
    try:
        return summary.summarize(getattr(model, "network", model)).warnings
    except InputError:
        return ()


def _without_gradient(probe: Probe, train: Sample) -> dict[str, list[str]]:
    """Returns the names of the weights whose gradient is none, zero or not finite."""
    found = {}
    for variable, gradient in probe.gradients(train):
        if gradient is None:
            found.setdefault("none", []).append(variable.path)
        elif not np.isfinite(gradient).all():
            found.setdefault("not finite", []).append(variable.path)
        elif not gradient.any():
            found.setdefault("zero", []).append(variable.path)
    return found


def _fill_zeros(model: keras.Model) -> str:
    """Gives weights that are all zero some value, since no penalty stands on them yet."""
    random = np.random.default_rng(0)
    matrices = [v for v in model.trainable_variables if len(v.shape) > 1]
    empty = [v for v in matrices if not np.any(np.asarray(v))]
    for variable in empty:
        variable.assign(0.01 * random.standard_normal(variable.shape))
    return "measured with weights of 0.01 in the place of zeros" if empty else ""


def _decay(probe: Probe, rate: float) -> float:
    """Returns which part of the weights a step without any gradient takes off."""
    for variable in probe.model.optimizer.variables:  # no momentum from before
        if "learning_rate" not in variable.path:
            variable.assign(tf.zeros_like(variable))
    weights = [v for v in probe.model.trainable_variables if len(v.shape) > 1]
    before = [np.linalg.norm(np.asarray(v, np.float64)) for v in weights]
    probe.decay(DECAY_RATE)
    after = [np.linalg.norm(np.asarray(v, np.float64)) for v in weights]
    parts = [1 - a / b for a, b in zip(after, before, strict=True) if b > 0]
    return max(parts, default=0.0) / DECAY_RATE * rate


def _other_regularizers(model: keras.Model) -> list[str]:
    names = [type(layer).__name__.lower() for layer in switches.noisy_layers(model)]
    smoothing = switches.smoothing(model)
    return sorted(set(names)) + ([f"label smoothing {smoothing:g}"] if smoothing else [])


def _named(value: float, classes: int) -> str:
    """Returns a loss with its name where it has one."""
    if math.isclose(value, math.log(max(2, classes)), rel_tol=1e-3):
        return f"log {max(2, classes)} = {value:.4g}"
    if math.isclose(value, classes - 1, rel_tol=1e-3):
        return f"{classes} - 1 = {value:.4g}"
    return f"{value:.4g}, the loss of equal scores"


def _size(variable: keras.Variable) -> int:
    return math.prod(variable.shape)
