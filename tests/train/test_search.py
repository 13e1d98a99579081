"""A search in this process: stages, samplers, outcomes, and what is said of the best."""

import math

import pytest

from dlcv_tf.errors import InputError, RefusedError
from dlcv_tf.train import search, search_plan
from dlcv_tf.train.search_plan import Outcome, Settings, Stage
from dlcv_tf.train.search_space import Choice, Range, Space

SPACE = Space({"rate": Range(1e-5, 1e1, log=True), "shape": Choice(((8, 8), (16,)))})


def objective(task, report):
    """Best at a rate of 0.01, better the longer it trains; explodes above 1."""
    if task.values["rate"] > 1:
        return Outcome(state="exploded", reason="the cost is 9 at epoch 1")
    value = 0.0
    for epoch in range(task.epochs):
        value = 1 - 0.1 * abs(math.log10(task.values["rate"]) + 2) - 0.1 / (epoch + 1)
        if not report(epoch, value):
            return Outcome(state="pruned", reason="below the median")
    return Outcome(value, loss=1 - value)


def searched(file=None, trials=24, **options):
    made = search.Search(Settings(SPACE, search_plan.stages(trials, 10), **options), file)
    search.run(made, objective)
    return made


def facts(made):
    return [(t.number, t.stage, t.values, t.state, t.value) for t in made.trials()]


@pytest.mark.parametrize("sampler", search_plan.SAMPLERS)
def test_the_best_of_the_fine_stage_is_at_least_that_of_the_coarse_one(sampler):
    made = searched(sampler=sampler)
    coarse, fine = made.trials(0), made.trials(1)
    assert {t.epochs for t in coarse} == {2} and {t.epochs for t in fine} == {10}
    assert fine[0].values == made.best(0).values  # the best again, for longer
    assert made.improved() and made.best(1).value >= made.best(0).value
    assert made.best() == made.best(1)
    old, new = SPACE.parameters["rate"], made.space(1).parameters["rate"]
    assert old.low <= new.low < new.high <= old.high
    assert math.log(new.high / new.low) <= 0.5 * math.log(old.high / old.low) * 1.01
    assert all(new.low <= trial.values["rate"] <= new.high for trial in fine)
    if sampler != "grid":
        assert len(coarse) == 16 and len(fine) == 8
        assert 0.001 < made.best().values["rate"] < 0.1


def test_an_exploded_trial_has_no_value_and_says_why():
    trials = searched().trials()
    exploded = [trial for trial in trials if trial.state == "exploded"]
    assert exploded and all(trial.values["rate"] > 1 for trial in exploded)
    assert all(trial.value is None and "epoch 1" in trial.reason for trial in exploded)
    assert all(trial.state == "complete" for trial in trials if trial.values["rate"] <= 1)


def test_a_result_that_is_no_number_is_an_explosion():
    made = search.Search(Settings(SPACE, (Stage("only", 2, 1),)))
    search.run(made, lambda task, report: Outcome(math.nan if task.number else 0.5))
    assert [trial.state for trial in made.trials()] == ["complete", "exploded"]
    assert made.improved() is None


def test_trials_below_the_median_are_stopped_where_that_is_asked_for():
    states = [trial.state for trial in searched(median=True).trials()]
    assert "pruned" in states and states.count("complete") >= 3
    assert "pruned" not in [trial.state for trial in searched().trials()]


def test_equal_values_are_ranked_by_their_loss():
    made = search.Search(Settings(SPACE, (Stage("only", 3, 1),)))
    search.run(made, lambda task, report: Outcome(0.5, loss=abs(task.number - 1.0)))
    assert made.best().number == 1


def test_what_is_to_be_small_is_made_small():
    made = search.Search(Settings(SPACE, search_plan.stages(24, 10), maximize=False))

    def cost(task, report):
        return Outcome(abs(math.log10(task.values["rate"])) + 1 / task.epochs)

    search.run(made, cost)
    assert 0.1 < made.best().values["rate"] < 10 and made.improved()


def test_a_search_follows_from_its_seed_and_goes_on_where_it_was(tmp_path):
    whole = searched(seed=4)
    file = tmp_path / "trials.sqlite"
    for count in (1, 7, 30):  # three processes, one after another
        made = search.Search(Settings(SPACE, search_plan.stages(24, 10), seed=4), file)
        for _ in range(count):
            if (task := made.take()) is not None:
                made.tell(task, objective(task, lambda *_: True), 0.1)
        begun = made.take()  # and one that it does not end
        assert begun is None or begun.number == len(made.trials()) - 1
    assert facts(made) == facts(whole)
    assert facts(searched(seed=5)) != facts(whole)


def test_several_tasks_at_a_time_are_all_different_and_stages_wait_for_each_other():
    made = search.Search(Settings(SPACE, search_plan.stages(6, 10), seed=1))
    tasks = []
    while (task := made.take()) is not None:
        tasks.append(task)
    assert [task.number for task in tasks] == [0, 1, 2, 3]  # the fine stage needs their results
    for task in reversed(tasks):
        made.tell(task, objective(task, lambda *_: True), 0.1)
    assert made.take().stage == "fine" and made.take().number == 5 and made.take() is None


def test_where_all_explode_the_search_ends_after_the_coarse_stage():
    made = search.Search(Settings(SPACE, search_plan.stages(6, 10)))
    search.run(made, lambda task, report: Outcome(state="exploded", reason="too much"))
    assert len(made.trials()) == 4 and made.best() is None and made.warnings() == []


def test_a_best_value_at_the_edge_says_where_to_search_on():
    space = Space({"rate": Range(1e-7, 1e-3, log=True)})
    made = search.Search(Settings(space, search_plan.stages(15, 10), sampler="grid"))
    search.run(made, objective)
    (warning,) = made.warnings()
    assert "the best rate, 0.001, is in the outer 5 % at the upper edge of 1e-07..0.001" in warning
    assert warning.endswith("search on with rate=1e-05..0.1")
    assert searched().warnings() == []


def test_stages():
    assert search_plan.stages(12, 30) == (Stage("coarse", 8, 6), Stage("fine", 4, 30))
    assert search_plan.stages(2, 30) == (Stage("only", 2, 30),)
    assert search_plan.stages(3, 2)[0].epochs == 1


def test_settings_survive_json():
    made = Settings(SPACE, search_plan.stages(9, 10), sampler="tpe", median=True, seed=3)
    assert search_plan.from_json(search_plan.to_json(made)) == made


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: search_plan.stages(0, 3), "got 0 trials, expected 1 or more"),
        (lambda: Settings(SPACE, ()), "expected 1 or more of each"),
        (lambda: Settings(SPACE, (Stage("one", 1, 0),)), r"got stages of \[\(1, 0\)\]"),
        (lambda: Settings(SPACE, search_plan.stages(3, 3), sampler="gird"), "did you mean 'grid'"),
    ],
)
def test_bad_settings_are_named(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_a_file_of_something_else_is_refused(tmp_path):
    file = tmp_path / "trials.sqlite"
    file.write_text("this is no database, and it is long enough to be read as one" * 100)
    with pytest.raises(InputError, match="expected the file of a search .*not a database"):
        searched(file)


def test_a_file_that_cannot_be_made_is_refused(tmp_path):
    with pytest.raises(RefusedError, match="cannot be written .*unable to open database file"):
        searched(tmp_path / "nowhere" / "trials.sqlite")


def test_a_python_without_sqlite_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "sqlite3", None)
    with pytest.raises(RefusedError, match="this Python has no SQLite"):
        searched(tmp_path / "trials.sqlite")
