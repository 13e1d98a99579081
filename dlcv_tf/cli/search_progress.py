"""What `dlcv search` says meanwhile: a line for each trial, and a bar where there is a terminal."""

import contextlib
import pathlib
import typing
from collections.abc import Iterator

from dlcv_tf.cli import search_ranges
from dlcv_tf.train.search import Search
from dlcv_tf.train.search_plan import Task, Trial


class Progress:
    """Says how a search goes.

    Args:
        made: the search.
        file: where to.
    """

    def __init__(self, made: Search, file: typing.TextIO):
        self.made, self.file = made, file
        stages = made.settings.stages
        self.count = sum(stage.trials for stage in stages)
        self.epochs = sum(stage.trials * stage.epochs for stage in stages)
        self._heard = set()
        self._bar = None

    def begin(self, name: str, directory: pathlib.Path) -> None:
        """Says what is searched, and what is done already."""
        self._print(f"{name}: search {directory}")
        done = [trial for trial in self.made.trials() if trial.state != "running"]
        if done:
            self._print(f"{len(done)} of {self.count} trials are done already")
        self.epochs -= sum(trial.epochs for trial in done)

    def trial(self, trial: Trial) -> None:
        """Prints the line of a trial that has ended."""
        values = " ".join(f"{n}={search_ranges.text_of(v)}" for n, v in trial.values.items())
        result = f"val accuracy {trial.value:.4f}" if trial.state == "complete" else trial.state
        reason = f"  {trial.reason}" if trial.reason else ""
        width = len(str(self.count))
        self._stage(trial.stage)
        self._print(
            f"{trial.number + 1:{width}}/{self.count}  {result:19}  {values}  "
            f"{trial.seconds:.1f} s{reason}"
        )
        if self._bar:
            self._bar.advance(self._bar_id, trial.epochs - len(trial.epoch_values))

    def epoch(self, task: Task, epoch: int, value: float) -> None:
        """Says which stage it is, and moves the bar on."""
        self._stage(task.stage)
        if self._bar:
            self._bar.advance(self._bar_id)

    @contextlib.contextmanager
    def bar(self) -> Iterator[None]:
        """Shows the bar, where there is a terminal."""
        if not self.file.isatty():
            yield
            return
        import rich.console
        import rich.progress

        shown = rich.console.Console(file=self.file)
        with rich.progress.Progress(console=shown, transient=True) as self._bar:
            self._bar_id = self._bar.add_task("epochs of all trials", total=self.epochs)
            yield

    def _stage(self, name: str) -> None:
        """Says where a stage searches, when it is first heard of."""
        if name in self._heard:
            return
        self._heard.add(name)
        place = [stage.name for stage in self.made.settings.stages].index(name)
        stage = self.made.settings.stages[place]
        where = search_ranges.sentence(self.made.space(place).parameters)
        trials, epochs = counted(stage.trials, "trial"), counted(stage.epochs, "epoch")
        self._print(f"{name}: {trials} of {epochs} over {where}")

    def _print(self, text: str) -> None:
        if self._bar:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=self.file, flush=True)


def counted(number: int, noun: str) -> str:
    """Returns "1 epoch", "2 epochs"."""
    return f"{number} {noun}" + "s" * (number != 1)
