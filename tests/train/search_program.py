"""A search of a few seconds in a process of its own, to be killed: see `test_search_kill.py`.

    python -m tests.train.search_program FILE SAMPLER JOBS     workers
    python -m tests.train.search_program FILE SAMPLER 0        in this process, killed by itself
                                                               again and again in SQL statements
    python -m tests.train.search_program FILE SAMPLER made     FILE-N made by a process that is
                                                               killed in its statement N
Each trial that is carried out to its end is written to FILE.log before its outcome is kept.
"""

import dataclasses
import itertools
import math
import os
import pathlib
import random
import signal
import sys
import time

import sqlalchemy

from dlcv_tf.train import search, search_plan, search_workers
from dlcv_tf.train.search_space import Choice, Range, Space

SPACE = Space({"rate": Range(1e-4, 1e1, log=True), "width": Choice((8, 16, (8, 8)))})


@dataclasses.dataclass(frozen=True)
class Objective:
    """A value that follows from the hyperparameters, and takes a moment for each epoch."""

    log: str
    seconds: float = 0.02

    def __call__(self, task, report):
        if task.values["rate"] > 1:
            return search_plan.Outcome(state="exploded", reason="the rate is above 1")
        for epoch in range(task.epochs):
            time.sleep(self.seconds)
            value = -abs(math.log10(task.values["rate"]) + 2) - 1 / (epoch + 1)
            report(epoch, value)
        with pathlib.Path(self.log).open("a") as log:
            log.write(f"{task.number} {task.values}\n")
        return search_plan.Outcome(value)


def settings(sampler):
    return search_plan.Settings(SPACE, search_plan.stages(12, 10), sampler, seed=5)


def kill_at(statement):
    """Lets this process die, as by kill -9, where it comes to a statement or commit of a number."""
    numbers = itertools.count()

    def count(*_):
        if next(numbers) == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    for event in ("before_cursor_execute", "after_cursor_execute", "commit"):
        sqlalchemy.event.listen(sqlalchemy.Engine, event, count)


def search_until_done(file, sampler):
    """Begins the search again and again until one is not killed; prints how many were."""
    order = random.Random(0)
    for kills in itertools.count():
        child = os.fork()
        if not child:
            kill_at(order.randrange(400))
            search.run(search.Search(settings(sampler), file), Objective(f"{file}.log", 0.0))
            os._exit(0)
        order.random()  # the child's draw was its own
        if os.waitpid(child, 0)[1] == 0:
            print(kills)
            return


def make_and_be_killed(file, sampler):
    """Makes FILE-0, FILE-5, ...: each in a process that is killed five statements later."""
    for statement in itertools.count(step=5):
        child = os.fork()
        if not child:
            kill_at(statement)
            search.Search(settings(sampler), f"{file}-{statement}")
            os._exit(0)
        if not os.WIFSIGNALED(os.waitpid(child, 0)[1]):
            return


def main(file, sampler, jobs):
    """Carries the search out."""
    if jobs == "made":
        make_and_be_killed(file, sampler)
        return
    if jobs == "0":
        search_until_done(file, sampler)
        return
    made = search.Search(settings(sampler), file)
    search_workers.run(made, Objective(f"{file}.log"), int(jobs))


if __name__ == "__main__":
    main(*sys.argv[1:])
