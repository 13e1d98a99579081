"""Steps 5 to 9: short trainings, each from the model's own initial weights."""

import dataclasses
import math

import keras
import numpy as np

from dlcv_tf.train import monitors
from dlcv_tf.train.sanity.probe import Probe
from dlcv_tf.train.sanity.sample import Sample
from dlcv_tf.train.sanity.step import FAIL, WARN, Findings, Step

TINY_LOSS = 0.01
ADAM_RATES = (1e-3, 1e-2, 1e-1)  # tried in this order on the few examples
ADAM_STEPS = 150  # with each of them

# One in a decade where little happens, then two.
RATES = (1e-6, 1e-5, *(10 ** (power / 2) for power in range(-8, 3)))
SWEEP_STEPS = 15
NEAR = 0.2  # a rate of the sweep this near to one of the model's own is left out
LEAST_DROP = 0.01  # of the loss: below it a learning rate is too low
SMALL_PENALTY = 0.01  # of the loss on the data: what is left of the regularisation in the sweep
JUMP = 0.05  # of the accuracy, while the loss is flat

WEIGHT_DECAYS = (1e-5, 1e-2)  # searched where nothing is known

CURVE_STEPS = 60
LAST_STEPS = 10  # over which the update ratios are averaged
FLAT_PART = 0.5  # of the steps: a curve that is flat for longer began badly
SIGMAS = 3  # by which accuracy on new examples must be better than guessing


@dataclasses.dataclass(frozen=True)
class Trial:
    """A short training with one learning rate.

    Args:
        rate: the learning rate.
        drop: part of the first loss by which it fell; negative where it rose.
        gain: of the accuracy.
        exploded: the loss was more than three times the first, or no number.
    """

    rate: float
    drop: float
    gain: float
    exploded: bool

    @property
    def good(self) -> bool:
        """Whether the loss fell by enough, and did not explode."""
        return not self.exploded and self.drop >= LEAST_DROP


def overfit(probe: Probe, tiny: Sample) -> Step:
    """Step 5: without regularisation, augmentation and noise, a few examples are learnt by heart.

    Adam does it, so that the model is tried and not its learning rate.
    """
    findings = Findings(5, f"loss < {TINY_LOSS:g} and accuracy 1 on {len(tiny)} examples")
    best, costs = None, []
    for rate in ADAM_RATES:
        tried = _learn_by_heart(probe, tiny, rate)
        if best is None or tried[-1] < best[-1]:
            best, costs = tried, [cost.cost for cost in tried]
        if _is_learnt(tried[-1]):
            best, costs = tried, [cost.cost for cost in tried]
            break
    cost, accuracy = best[-1]
    numbers = {
        "loss": cost,
        "accuracy": accuracy,
        "steps": len(costs) - 1,
        "adam_learning_rate": rate,
        "examples": len(tiny),
    }
    if not _is_learnt(best[-1]):
        findings.fail(
            "a sound model learns a few examples by heart: look for wrong labels, frozen layers, a "
            "loss that does not fit the outputs, or too small a network"
        )
    measured = f"loss {cost:.2g}, accuracy {accuracy:.2f} after {len(costs) - 1} steps of Adam"
    return findings.step(measured, numbers, {"loss": (list(range(len(costs))), costs)})


def small_strength(regularization: Step) -> float:
    """Returns the strength at which the penalties of step 4 are small beside the loss."""
    numbers = regularization.numbers
    penalty = numbers["loss_with"] - numbers["loss_without"]
    return min(1.0, SMALL_PENALTY * numbers["loss_without"] / penalty) if penalty > 0 else 1.0


def learning_rate(
    probe: Probe, batches: list[Sample], rates: tuple[float, float], strength: float = 1.0
) -> tuple[Step, list[Trial]]:
    """Step 6: a range of learning rates, each tried for a few steps from the initial weights.

    Below the range the loss hardly falls, though the accuracy may jump: with softmax the order of
    the scores changes long before their sizes do. Above it the loss explodes.

    Args:
        probe: the model on trial.
        batches: of the training; the loss is compared on the first one.
        rates: the first and the highest learning rate that the model is compiled with.
        strength: of the regularisation, see `small_strength`.
    """
    first, highest = rates
    findings = Findings(6, f"loss falls by {LEAST_DROP:.0%} or more in {SWEEP_STEPS} steps, < 3x")
    trials = []
    others = [rate for rate in RATES if all(abs(rate / own - 1) > NEAR for own in rates)]
    for rate in sorted({*others, *rates}):
        too_high = any(trial.exploded or trial.drop < -LEAST_DROP for trial in trials)
        if not too_high or rate in rates:  # what is higher still is too high as well
            trials.append(_try(probe, batches, rate, strength))
    good = [trial for trial in trials if trial.good]
    own = {trial.rate: trial for trial in trials if trial.rate in rates}
    sweep = [dataclasses.asdict(trial) for trial in trials]
    numbers = {"learning_rate": highest, "first_learning_rate": first, "trials": sweep}
    if good:
        best = max(good, key=lambda trial: trial.drop)
        low, high = good[0].rate, good[-1].rate
        numbers |= {"best": best.rate, "range": [low, high]}
        measured = f"good from {low:.2g} to {high:.2g}, best {best.rate:.2g}; yours {highest:.2g}"
        advice = f"take one from {low:.2g} to {high:.2g}"
    else:
        measured = f"no learning rate from {RATES[0]:.0e} to {RATES[-1]:.0e} lowers the loss"
        advice = "look at steps 1 to 5 first"
    _judge(findings, own[first], own[highest], good, advice)
    jumps = [trial for trial in trials if not trial.exploded and trial.drop < LEAST_DROP]
    if jump := next((trial for trial in jumps if trial.gain > JUMP), None):
        findings.note(
            f"at {jump.rate:.2g} the loss is flat while the accuracy gains {jump.gain:.2f}: the "
            "order of the scores changes before their size does"
        )
    calm = [trial for trial in trials if not trial.exploded]
    curves = {
        "drop": ([trial.rate for trial in calm], [trial.drop for trial in calm]),
        "gain": ([trial.rate for trial in calm], [trial.gain for trial in calm]),
    }
    return findings.step(measured, numbers, curves), trials


def search_ranges(sweep: Step, target: str | None) -> Step:
    """Step 7: coarse ranges for the search, about the best learning rate of step 6.

    Args:
        sweep: step 6.
        target: what `dlcv search` is to search, if it can.
    """
    findings = Findings(7, "a decade or two about the best learning rate of step 6")
    if "best" not in sweep.numbers:
        findings.fail("no learning rate works yet, so there is nothing to search: see step 6")
        return findings.step("no range", {})
    low, high = sweep.numbers["range"]
    best = sweep.numbers["best"]
    low, high = max(low, best / 30), min(high, best * 3)
    if high < 3 * low:
        low, high = best / 3, best * 3
    ranges = {"learning_rate": [low, high], "weight_decay": list(WEIGHT_DECAYS)}
    texts = {name: f"{low:.2g}..{high:.2g}" for name, (low, high) in ranges.items()}
    numbers = {"ranges": ranges}
    if target:
        words = ["dlcv search", target, *(f"{name}={text}" for name, text in texts.items())]
        numbers["command"] = " ".join(words)
        findings.note(f"coarse first, then finer: `{numbers['command']}`")
    measured = ", ".join(f"{name.replace('_', ' ')} {text}" for name, text in texts.items())
    return findings.step(measured, numbers)


def curve_and_updates(
    probe: Probe, batches: list[Sample], new: Sample, rate: float, best: float | None = None
) -> tuple[Step, Step]:
    """Steps 8 and 9, from one short training: its curve, and the size of its updates.

    Args:
        probe: the model on trial.
        batches: of the training.
        new: examples that are not among them.
        rate: learning rate of the training: the model's own where step 6 found it good.
        best: the best learning rate of step 6, if any is good.
    """
    costs, ratios = [], []
    with probe.restored():
        for number, batch in enumerate(batches):
            watched = number >= len(batches) - LAST_STEPS
            before = monitors.weights(probe.model) if watched else {}
            costs.append(probe.learn(batch, rate).cost)
            if watched:
                ratios.append(monitors.update_ratios(before, monitors.weights(probe.model)))
        accuracy = probe.cost(new).accuracy
    names = dict.fromkeys(name for each in ratios for name in each)
    means = {name: float(np.mean([each.get(name, 0.0) for each in ratios])) for name in names}
    curve = _curve(costs, accuracy, new, rate, probe.classes)
    if _is_flat(costs) and np.isfinite(costs).all():
        curve = dataclasses.replace(curve, **_why_flat(probe, batches, rate, best))
    return curve, _updates(means, rate)


def _why_flat(probe: Probe, batches: list[Sample], rate: float, best: float | None) -> dict:
    """Returns status and advice for a curve that is flat, by trying what may be the cause."""

    def falls(rate: float, strength: float) -> bool:
        with probe.restored():
            return not _is_flat([probe.learn(b, rate, strength=strength).cost for b in batches])

    if falls(rate, strength=0.0):
        advice = "Flat, but not without regularisation: divide its strength by 10"
        return {"status": FAIL, "advice": advice}
    if best is not None and falls(best, strength=1.0):
        mend = "raise the learning rate" if best > rate else "lower it, or warm up to it"
        advice = f"Flat at {rate:.2g}, but not at {best:.2g}: {mend}"
        return {"status": WARN, "advice": advice}
    advice = (
        "Flat whatever is tried: the initial weights are of the wrong scale (take He's for ReLU), "
        "or the labels do not belong to the examples"
    )
    return {"status": FAIL, "advice": advice}


def _is_flat(costs: list[float]) -> bool:
    return monitors.flat_steps(costs) > FLAT_PART * len(costs)


def _learn_by_heart(probe: Probe, tiny: Sample, rate: float) -> list:
    """Returns the costs of each step of Adam on a few examples, the last one after it."""
    costs = []
    with probe.restored():
        adam = keras.optimizers.Adam(rate)
        adam.build(probe.model.trainable_variables)
        for _ in range(ADAM_STEPS + 1):
            costs.append(probe.learn(tiny, rate, noise=False, strength=0.0, optimizer=adam))
            if _is_learnt(costs[-1]) or not math.isfinite(costs[-1].cost):
                break
    return costs


def _is_learnt(cost) -> bool:
    return cost.cost < TINY_LOSS and cost.accuracy == 1.0


def _try(probe: Probe, batches: list[Sample], rate: float, strength: float) -> Trial:
    """Trains for a few steps and compares the loss on the first batch before and after."""
    with probe.restored():
        before = probe.cost(batches[0], strength=strength)
        exploded = False
        for batch in batches[:SWEEP_STEPS]:
            cost = probe.learn(batch, rate, strength=strength).cost
            exploded = exploded or monitors.exploded(cost, before.cost)
            if exploded and not math.isfinite(cost):
                break
        after = probe.cost(batches[0], strength=strength)
    exploded = exploded or monitors.exploded(after.cost, before.cost)
    drop = (before.cost - after.cost) / before.cost if math.isfinite(after.cost) else -math.inf
    return Trial(rate, drop, after.accuracy - before.accuracy, exploded)


def _judge(
    findings: Findings, first: Trial, highest: Trial, good: list[Trial], advice: str
) -> None:
    """Says whether the model's own learning rates are too low or too high."""
    if first.exploded:
        own = f"{first.rate:.2g}"
        if first.rate < highest.rate:
            own += ", with which the schedule begins,"
        findings.fail(f"{own} is too high, the loss explodes or is NaN: {advice}")
    elif not good:
        findings.fail(advice)
    elif highest.good:
        return
    elif first.rate < highest.rate and first.rate >= good[0].rate:
        findings.warn(
            f"{highest.rate:.2g}, the peak of the schedule, is too high to begin with, but it "
            f"begins with {first.rate:.2g}: keep the warm-up"
        )
    elif highest.exploded:
        findings.fail(f"{highest.rate:.2g} is too high, the loss explodes or is NaN: {advice}")
    elif highest.rate > good[-1].rate:
        findings.warn(f"{highest.rate:.2g} is high, the loss rises at first: {advice}")
    else:
        findings.fail(
            f"{highest.rate:.2g} is too low, the loss falls by {highest.drop:.2%} only: {advice}"
        )


def _curve(
    costs: list[float],
    accuracy: float,
    new: Sample,
    rate: float,
    classes: int,
) -> Step:
    findings = Findings(8, f"falls by {monitors.FLAT_DROP:.0%} early on; new examples do so too")
    flat = monitors.flat_steps(costs)
    numbers = {"flat_steps": flat, "steps": len(costs), "first": costs[0], "last": costs[-1]}
    numbers |= {"learning_rate": rate, "new_accuracy": accuracy}
    if not np.isfinite(costs).all():
        findings.fail("the loss became NaN: lower the learning rate, see step 6")
    elif accuracy <= _guessing(new, classes):
        findings.warn(
            f"no better than guessing on {len(new)} new examples: do the labels belong to the "
            "examples? If they do, it has only begun to learn"
        )
    measured = (
        f"loss {costs[0]:.3g} to {np.mean(costs[-monitors.SMOOTHING :]):.3g} in {len(costs)} steps "
        f"at {rate:.2g}, flat for {flat}; accuracy {accuracy:.2f} on new examples"
    )
    return findings.step(measured, numbers, {"loss": (list(range(1, len(costs) + 1)), costs)})


def _guessing(new: Sample, classes: int) -> float:
    """Returns the accuracy that guessing the most frequent class hardly ever exceeds."""
    labels = new.labels
    if labels.ndim == 2 and labels.shape[-1] == classes > 1:
        labels = labels.argmax(axis=-1)
    share = np.bincount(labels.reshape(-1).astype(int)).max() / len(labels)
    return share + SIGMAS * math.sqrt(share * (1 - share) / len(labels))


def _updates(ratios: dict[str, float], rate: float) -> Step:
    low, high = monitors.SOUND_RATIO
    findings = Findings(9, f"about 1e-3, within {low:g} … {high:g}, for each layer")
    if not ratios:
        findings.fail("no weight matrix is trained: set `trainable = True`")
        return findings.step("no weights", {})
    still = [name for name, ratio in ratios.items() if ratio == 0]
    outside = monitors.unsound(ratios)
    middle = float(np.median(list(ratios.values())))
    if still:
        findings.fail(f"no update of {_some(still)}: dead units, or no gradient reaches it")
    large = [name for name, ratio in outside.items() if not ratio <= high]
    small = [name for name in outside if name not in large and name not in still]
    if large:
        findings.warn(
            f"large updates of {_some(large)}: lower the learning rate, or take larger weights"
        )
    if small:
        findings.warn(
            f"small updates of {_some(small)}: raise the learning rate, or look for gradients that "
            "vanish"
        )
    spread = f"{min(ratios.values()):.1e} to {max(ratios.values()):.1e}"
    measured = f"{spread}, median {middle:.1e}, over {len(ratios)} layers at {rate:.2g}"
    numbers = {"ratios": ratios, "median": middle, "learning_rate": rate}
    return findings.step(measured, numbers, {"ratio": (list(ratios), list(ratios.values()))})


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} (and {len(names) - 1} more)"


def usable_rate(trials: list[Trial], rates: tuple[float, float]) -> float:
    """Returns the learning rate to go on with: the model's own if it is good, else the best."""
    good = {trial.rate: trial for trial in trials if trial.good}
    for rate in reversed(rates):
        if rate in good:
            return rate
    return max(good.values(), key=lambda trial: trial.drop).rate if good else rates[0]
