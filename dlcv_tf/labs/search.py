"""Labs of the chapter on hyperparameters: how to search for them."""

import functools

import numpy as np

from dlcv_tf.errors import InputError
from dlcv_tf.labs.lab import Finding, Table
from dlcv_tf.plots import charts, planes
from dlcv_tf.train import search, search_plan
from dlcv_tf.train.search_space import Range, Space

UNIT = Range(0.0, 1.0, digits=12)
WIDTH = 0.1  # of the bumps of g and h
PEAKS = 101  # places of the peak that are tried
MOST = 0.8  # part of the seeds in which random search is to be at least as good


def random_versus_grid(
    *, trials: int = 9, seeds: int = 1000, peak: float = 0.3, seed: int = 0
) -> Finding:
    """Random search sees more values of what matters than a grid of as many trials.

    f(x, y) = g(x) + 0.01 h(y): x matters, y hardly does, and nobody knows beforehand. A 3x3 grid
    spends 9 trials on 3 values of x; 9 random trials see 9. Both are tried on a g with one narrow
    peak, and the random one with 1000 seeds; then again with the peak anywhere, since a grid wins
    where a grid line happens to go through it.

    Curriculum: row 67.

    Args:
        trials: of either search.
        seeds: how often the random search is tried.
        peak: where g is largest, in 0..1.
        seed: the first of the seeds.

    Reference: Bergstra and Bengio 2012, "Random Search for Hyper-Parameter Optimization".
    """
    if trials < 1 or seeds < 1 or not 0 <= peak <= 1:
        raise InputError(
            f"got trials={trials}, seeds={seeds}, peak={peak}, expected 1 or more of both, and a "
            "peak in 0..1"
        )
    space = Space({"x": UNIT, "y": UNIT})
    grid = np.array([[point["x"], point["y"]] for point in space.grid(trials)])
    drawn = np.array(
        [
            [list(space.random((seed + number, trial)).values()) for trial in range(trials)]
            for number in range(seeds)
        ]
    )  # (seeds, trials, 2)
    random_best, grid_best = _value(drawn, peak).max(axis=1), _value(grid, peak).max()
    share = float(np.mean(random_best >= grid_best))
    seen = {"grid": len(set(grid[:, 0])), "random": min(len(set(x)) for x in drawn[..., 0])}
    places = np.linspace(0, 1, PEAKS)
    shares = [
        float(np.mean(_value(drawn, place).max(axis=1) >= _value(grid, place).max()))
        for place in places
    ]
    anywhere = float(np.mean(shares))
    return Finding(
        claim="Where few of many hyperparameters matter, random search beats a grid.",
        holds=seen["random"] == trials > seen["grid"] and share >= MOST,
        summary=(
            f"Of {trials} trials the grid sees {seen['grid']} values of x, random search "
            f"{seen['random']} in each of {seeds} seeds; its best is at least the grid's in "
            f"{share:.1%} of them (peak at {peak:g}), and in {anywhere:.1%} over peaks anywhere."
        ),
        numbers={
            "distinct_x": seen,
            "share": share,
            "share_over_all_peaks": anywhere,
            "grid_best": float(grid_best),
            "random_best_mean": float(random_best.mean()),
        },
        tables=[
            Table(
                ("search", "values of x", "best f", "of the largest possible"),
                [
                    ("grid", seen["grid"], float(grid_best), float(grid_best / 1.01)),
                    (
                        "random, mean",
                        seen["random"],
                        float(random_best.mean()),
                        float(random_best.mean() / 1.01),
                    ),
                ],
                f"{len(grid)} trials of the grid, {trials} of each of {seeds} random searches.",
            )
        ],
        figures={
            "random_versus_grid": _squares({"Grid": grid, "Random": drawn[0]}, peak),
            "random_versus_grid_peaks": charts.draw(
                [
                    charts.Panel(
                        "Random search is at least as good",
                        {"share of the seeds": (places, shares)},
                        x_label="place of the peak of g",
                        y_label="share of the seeds",
                        references={"mean": anywhere},
                        y_limits=(0.0, 1.02),
                        x_limits=(0.0, 1.0),
                    )
                ]
            ),
        },
    )


def coarse_to_fine(
    *,
    trials: int = 15,
    epochs: int = 10,
    learning_rates: tuple[float, float] = (1e-5, 1e3),
    too_low: tuple[float, float] = (1e-6, 1e-3),
    seed: int = 0,
) -> Finding:
    """A short, wide search in log space and a longer one about its best; a warning at the edge.

    A linear classifier on the digits is searched for learning rate and weight decay over eight and
    six decades. Trials whose cost rises over 3 times the original are stopped in the first epoch.
    The fine stage begins with the best of the coarse one and trains for five times as long. Then
    a grid of learning rates that are all too low: the best lies at the upper edge, and the search
    says where to search on.

    Curriculum: rows 64, 65, 66, 68.

    Args:
        trials: of each search; a third are of the fine stage.
        epochs: of a fine trial; a coarse one has a fifth.
        learning_rates: the wide range.
        too_low: the range for the second search.
        seed: of what is drawn.
    """
    if trials < 3:
        raise InputError(f"got trials={trials}, expected 3 or more: two stages need them")
    found = {}
    ranges = {"wide": (learning_rates, "random"), "too low": (too_low, "grid")}
    for name, ((low, high), sampler) in ranges.items():
        space = Space(
            {
                "learning_rate": Range(low, high, log=True),
                "weight_decay": Range(1e-6, 1.0, log=True),
            }
        )
        stages = search_plan.stages(trials, epochs)
        found[name] = search.Search(search_plan.Settings(space, stages, sampler, seed=seed))
        search.run(found[name], _train)
        if found[name].best(1) is None:
            raise InputError(f"no trial over {low:g}..{high:g} was completed: try lower rates")
    wide, low = found["wide"], found["too low"]
    exploded = [trial for trial in wide.trials() if trial.state == "exploded"]
    first_epoch = all("at epoch 1" in trial.reason for trial in exploded)
    warned = [text for text in low.warnings() if text.startswith("the best learning_rate")]
    stage_bests = [wide.best(0), wide.best(1)]
    numbers = {
        name: {
            "coarse_best": each.best(0).value,
            "fine_best": each.best(1).value,
            "learning_rate": each.best().values["learning_rate"],
            "weight_decay": each.best().values["weight_decay"],
            "exploded": sum(trial.state == "exploded" for trial in each.trials()),
            "warnings": each.warnings(),
        }
        for name, each in found.items()
    }
    numbers["exploded_in_first_epoch"] = first_epoch
    narrowed = wide.space(1).parameters["learning_rate"]
    numbers["fine_range"] = [narrowed.low, narrowed.high]
    return Finding(
        claim="Search in log space, coarse first, then finer and longer about the best.",
        holds=bool(wide.improved() and exploded and first_epoch and warned),
        summary=(
            f"The coarse stage reaches {stage_bests[0].value:.4f} of the validation set, the fine "
            f"one {stage_bests[1].value:.4f}, with learning rates {narrowed} instead of "
            f"{learning_rates[0]:g}..{learning_rates[1]:g}; {len(exploded)} of {trials} trials "
            f"exploded and were stopped in the first epoch. Of rates that are all too low it says: "
            f"{warned[0] if warned else 'nothing'}."
        ),
        numbers=numbers,
        tables=[_table(name, each) for name, each in found.items()],
        figures={
            "coarse_to_fine": charts.draw(
                [_panel(f"Learning rates: {name}", each) for name, each in found.items()]
            )
        },
    )


def _value(points: np.ndarray, peak: float) -> np.ndarray:
    """Returns f(x, y) = g(x) + 0.01 h(y) of (..., 2) points: bumps of height 1."""
    bumps = np.exp(-(((points - [peak, 0.6]) / WIDTH) ** 2))
    return bumps[..., 0] + 0.01 * bumps[..., 1]


def _squares(searches: dict[str, np.ndarray], peak: float):
    """Draws the trials of searches over f, and beneath what they see of x alone."""
    limits = (-0.05, 1.05), (-0.15, 1.05)
    heights = _value(planes.grid(*limits), peak)
    drawn = []
    for name, points in searches.items():
        shadows = np.stack([points[:, 0], np.full(len(points), -0.1)], axis=1)
        labels = np.repeat([0, 1], len(points))
        drawn.append(
            planes.Plane(
                f"{name}: {len(set(points[:, 0]))} values of x",
                *limits,
                heights=heights,
                points=(np.concatenate([points, shadows]), labels),
                x_label="x, which matters (orange: the values seen)",
                y_label="y, which does not",
            )
        )
    return planes.draw(drawn, columns=2)


@functools.cache
def _digits():
    """Returns the training and the validation digits, with the facts about them."""
    from dlcv_tf import data

    train_set, info = data.load("digits", "train")
    return train_set, data.load("digits", "val")[0], info


def _train(task: search_plan.Task, report: search_plan.Report) -> search_plan.Outcome:
    """Trains a linear classifier on the digits with a trial's values."""
    import keras

    from dlcv_tf import data, models, tasks, train
    from dlcv_tf.train import monitors

    train_set, validation_set, info = _digits()
    keras.utils.set_random_seed(0)
    preprocess = data.Preprocess(info.image_shape[:2], 1, [127.5], [127.5])
    network = models.linear(info.image_shape, info.num_classes)
    model = tasks.Classifier(network, preprocess, info.labels)
    model.compile(keras.optimizers.SGD(weight_decay=task.values["weight_decay"], momentum=0.9,
                                       learning_rate=task.values["learning_rate"]))  # fmt: skip
    explosion = monitors.ExplosionStop(factor=3.0)
    try:
        history = train.train(
            model,
            data.TrainingBatches(train_set, info.num_examples, batch_size=64),
            epochs=task.epochs,
            validation=data.evaluation_batches(validation_set),
            callbacks=[explosion],
            verbose=0,
        )
    except train.NonFiniteError as error:
        return search_plan.Outcome(state="exploded", reason=str(error).partition(": ")[0])
    if explosion.reason:
        return search_plan.Outcome(state="exploded", reason=explosion.reason)
    return search_plan.Outcome(history["val_accuracy"][-1], history["val_loss"][-1])


def _table(name: str, found: search.Search) -> Table:
    rows = [
        (
            trial.number + 1,
            trial.stage,
            trial.values["learning_rate"],
            trial.values["weight_decay"],
            trial.value if trial.state == "complete" else trial.state,
        )
        for trial in found.trials()
    ]
    columns = ("trial", "stage", "learning rate", "weight decay", "val accuracy")
    return Table(columns, rows, f"Learning rates: {name}.")


def _panel(title: str, found: search.Search) -> charts.Panel:
    searched = found.settings.space.parameters["learning_rate"]
    complete = [trial for trial in found.trials() if trial.state == "complete"]
    floor = min(trial.value for trial in complete)
    series = {
        stage.name: ([trial for trial in complete if trial.stage == stage.name], colour)
        for stage, colour in zip(found.settings.stages, ("muted", "accent"), strict=True)
    }
    exploded = [trial for trial in found.trials() if trial.state == "exploded"]
    series |= {"exploded": (exploded, "wrong")} if exploded else {}
    return charts.Panel(
        title,
        {
            name: charts.Series(
                [trial.values["learning_rate"] for trial in chosen],
                [floor if trial.value is None else trial.value for trial in chosen],
                line=False,
                colour=colour,
            )
            for name, (chosen, colour) in series.items()
        },
        x_label="learning rate",
        y_label="val accuracy",
        x_log=True,
        x_limits=(searched.at(-0.03), searched.at(1.03)),
    )


LABS = (random_versus_grid, coarse_to_fine)
