"""Trials in processes of their own: none lost, none doubled, whoever is killed and when."""

import dataclasses
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

import pytest

from dlcv_tf.errors import InputError, RefusedError
from dlcv_tf.train import search, search_plan, search_workers
from tests.train import search_program

ROOT = pathlib.Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "tests.train.search_program"]


def records(made):
    return [(t.number, t.values, t.state, t.value, t.epoch_values) for t in made.trials()]


@pytest.fixture(scope="module")
def uninterrupted():
    """Returns what a search finds that nobody kills, by its sampler."""
    found = {}
    for sampler in search_plan.SAMPLERS:
        made = search.Search(search_program.settings(sampler))
        search.run(made, search_program.Objective(os.devnull, 0.0))
        found[sampler] = records(made)
    return found


def ended(file):
    """Returns the numbers of the trials that were carried out to their end, in order."""
    return [int(line.split()[0]) for line in pathlib.Path(f"{file}.log").read_text().splitlines()]


@pytest.mark.parametrize("jobs", [1, 2])
def test_workers_find_what_one_process_finds(jobs, tmp_path, uninterrupted):
    file = tmp_path / "trials"
    made = search.Search(search_program.settings("random"), file)
    told, epochs = [], []
    search_workers.run(
        made,
        search_program.Objective(f"{file}.log", 0.001),
        jobs,
        on_trial=lambda trial: told.append(trial.number),
        on_epoch=lambda task, epoch, value: epochs.append((task.number, epoch)),
    )
    assert records(made) == uninterrupted["random"]
    assert sorted(told) == list(range(12))
    assert sorted(ended(file)) == [t.number for t in made.trials() if t.state == "complete"]
    assert len(epochs) == len(set(epochs)) == sum(len(t.epoch_values) for t in made.trials())


@pytest.mark.slow
@pytest.mark.parametrize("sampler", search_plan.SAMPLERS)
def test_killed_in_any_sql_statement_no_trial_is_lost_or_doubled(sampler, tmp_path, uninterrupted):
    file = tmp_path / "trials"
    done = subprocess.run([*PROGRAM, file, sampler, "0"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kills = int(done.stdout)
    assert kills > 8
    made = search.Search(search_program.settings(sampler), file)
    assert made.take() is None
    assert {trial.state for trial in made.trials()} <= {"complete", "exploded"}
    assert records(made) == uninterrupted[sampler]
    again = len(ended(file)) - len(set(ended(file)))
    assert again <= kills  # only the one that ran is carried out again


@pytest.mark.slow
def test_killed_while_the_file_is_made_it_opens_ever_after(tmp_path):
    command = [*PROGRAM, tmp_path / "trials", "random", "made"]
    subprocess.run(command, cwd=ROOT, check=True, timeout=100)
    kills = len({file.stem for file in tmp_path.iterdir()})
    assert kills > 20
    for file in [tmp_path / f"trials-{statement}" for statement in range(0, 5 * kills, 5)]:
        for _ in range(3):
            made = search.Search(search_program.settings("random"), file)
        assert made.trials() == []


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_killed_from_outside_at_several_moments(jobs, tmp_path, uninterrupted):
    file = tmp_path / "trials"
    complete = {}
    for seconds in (0.3, 1.2, 1.6, 2.0, 2.4, 60.0):
        process = subprocess.Popen([*PROGRAM, file, "random", jobs], cwd=ROOT)
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        made = search.Search(search_program.settings("random"), file)
        now = {t.number: t for t in made.trials() if t.state != "running"}
        assert {number: now[number] for number in complete} == complete  # what is kept stays
        complete = now
        if status == 0:
            break
    assert status == 0
    made = search.Search(search_program.settings("random"), file)
    assert records(made) == uninterrupted["random"]
    time.sleep(0.5)
    before = len(ended(file))
    time.sleep(0.5)
    assert len(ended(file)) == before  # the workers of those that were killed have ended


def test_a_full_disk_loses_nothing(tmp_path, uninterrupted):
    file = tmp_path / "trials"
    search.Search(search_program.settings("random"), file)
    size = os.path.getsize(file)
    done = subprocess.run(
        [*PROGRAM, file, "random", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        # What lies in the rear part of the file cannot be written.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2)),
    )
    assert done.returncode == 1
    assert "RefusedError: the search's file cannot be written (disk I/O error)" in done.stderr
    search_workers.run(
        made := search.Search(search_program.settings("random"), file),
        search_program.Objective(f"{file}.log", 0.0),
    )
    assert records(made) == uninterrupted["random"]


@dataclasses.dataclass(frozen=True)
class Fails:
    """Fails in one trial, in some way."""

    number: int
    how: str

    def __call__(self, task, report):
        if task.number == self.number:
            if self.how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise {"input": InputError, "fault": KeyError}[self.how]("what was wrong")
        return search_plan.Outcome(0.5)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("killed", "its process ended by SIGKILL: is memory short?"),
        ("input", "what was wrong"),
        ("fault", "KeyError: 'what was wrong'"),
    ],
)
def test_a_trial_that_fails_later_on_costs_itself_alone(how, reason):
    made = search.Search(search_program.settings("random"))
    search_workers.run(made, Fails(2, how))
    assert [t.number for t in made.trials() if t.state == "failed"] == [2]
    assert made.trials()[2].reason == reason and len(made.trials()) == 12


@pytest.mark.parametrize(
    ("how", "error"), [("killed", RefusedError), ("input", InputError), ("fault", RefusedError)]
)
def test_a_first_trial_that_fails_ends_the_search(how, error):
    made = search.Search(search_program.settings("random"))
    with pytest.raises(error, match=r"(what was wrong|SIGKILL).* \(trial of rate="):
        search_workers.run(made, Fails(0, how))
    assert [trial.state for trial in made.trials()] == ["running"]  # it is the next one again


def test_trials_below_the_median_are_stopped_in_workers_too(tmp_path):
    settings = dataclasses.replace(search_program.settings("random"), median=True)
    stopped = search.Search(settings)
    search_workers.run(stopped, Stops())
    states = [trial.state for trial in stopped.trials()]
    assert "pruned" in states and "complete" in states


@dataclasses.dataclass(frozen=True)
class Stops:
    """Reports its number, ever smaller, and heeds the answer."""

    def __call__(self, task, report):
        for epoch in range(task.epochs):
            if not report(epoch, -float(task.number)):
                return search_plan.Outcome(state="pruned", reason="below the median")
        return search_plan.Outcome(-float(task.number))


def test_no_jobs_are_refused():
    with pytest.raises(InputError, match="got 0 jobs, expected 1 or more"):
        search_workers.run(search.Search(search_program.settings("random")), Stops(), 0)
