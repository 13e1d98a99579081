"""`babysit`: carries out the nine steps on a model and a data set."""

import time
from collections.abc import Callable

import keras

from dlcv_tf.errors import InputError
from dlcv_tf.train.sanity import before, runs, sample, switches
from dlcv_tf.train.sanity.probe import Probe
from dlcv_tf.train.sanity.step import NAMES, Report, Step, not_run

TINY = 32  # examples to learn by heart
LOOKED_AT = 256  # examples whose inputs and first loss are looked at
NEW = 256  # examples held back from the short trainings
LARGEST_BATCH = 128


def babysit(
    model: keras.Model,
    dataset,
    validation=None,
    *,
    batch_size: int = 64,
    learning_rate: float | None = None,
    target: str | None = None,
    seed: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> Report:
    """Looks at all that can be seen of a training before it is begun, in nine steps.

    Any compiled Keras classifier will do: one input, (batch, classes) scores alone or as `logits`,
    any loss; the model's own `compute_loss` is what counts, and its own optimizer makes the
    updates. Weights, optimizer and metrics are put back after each step. Augmentation is left to
    the data set.

    Args:
        model: compiled and built model, with its initial weights.
        dataset: `tf.data.Dataset` of `(inputs, labels)`, in batches or one by one, or two arrays.
        validation: likewise; its inputs must look like those of the training.
        batch_size: examples in a step of the short trainings, 128 at most.
        learning_rate: highest one of a training whose schedule does not tell; by default the
            highest that the optimizer has.
        target: recipe that step 7 names in its command, with changed values if there are any.
        seed: of the choice of examples.
        say: is called with the name of each step before it is taken.

    Returns:
        The `Report`: print it, ask `report.passed`, or look at `report[3].numbers`.

    Raises:
        InputError: not compiled, no scores, made under a strategy, fewer than 8 examples.

    Example:
        >>> report = train.babysit(classifier, dataset, validation)
        >>> report[3].status, report[3].measured
        ('PASS', '2.31 (0.3% off)')
    """
    if batch_size < 1:
        raise InputError(f"got batch_size={batch_size}, expected 1 or more")
    started = time.perf_counter()
    size = min(batch_size, LARGEST_BATCH)
    examples = sample.take(model, dataset, runs.CURVE_STEPS * size + NEW, seed)
    if len(examples) < 8:
        raise InputError(f"got {len(examples)} examples, expected 8 or more")
    probe = Probe(model, examples)
    if validation is not None:
        validation = sample.take(model, validation, LOOKED_AT)
    first, highest = switches.learning_rates(probe.optimizer)
    rates = (first, learning_rate or highest)
    with probe.restored():
        steps = _steps(probe, examples, validation, size, rates, target, seed, say)
    return Report(tuple(steps), time.perf_counter() - started)


def _steps(probe, examples, validation, size, rates, target, seed, say) -> list[Step]:
    def begin(number: int) -> None:
        say(f"{number}/{len(NAMES)} {NAMES[number - 1]}")

    held_back = min(NEW, len(examples) // 4)
    new, train = examples[:held_back], examples[held_back:]
    looked_at = train[:LOOKED_AT]
    begin(1)
    steps = [before.preprocessing(probe, looked_at, validation)]
    if steps[0].numbers.get("wrong_labels"):
        return steps + [not_run(number, steps[0]) for number in range(2, len(NAMES) + 1)]
    begin(2)
    with probe.restored():
        steps.append(before.architecture(probe, train[: max(TINY, size)], seed))
    begin(3)
    with probe.restored():
        steps.append(before.initial_loss(probe, looked_at))
    begin(4)
    steps.append(before.regularization(probe, looked_at, rates[1]))
    begin(5)
    steps.append(runs.overfit(probe, train[:TINY]))
    begin(6)
    batches = train.batches(size, runs.CURVE_STEPS, seed)
    strength = runs.small_strength(steps[3])
    step, trials = runs.learning_rate(probe, batches, rates, strength)
    steps.append(step)
    begin(7)
    steps.append(runs.search_ranges(step, target))
    begin(8)
    rate = runs.usable_rate(trials, rates)
    best = step.numbers.get("best")
    return [*steps, *runs.curve_and_updates(probe, batches, new, rate, best)]
