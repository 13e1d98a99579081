"""Checkpoints that hold everything a run needs to go on exactly where it was.

A checkpoint is one `.npz` file: every variable of the model (weights, batch-norm statistics, seed
states), of the optimizer and of the metrics, and the place in the data. It is written beside its
final name and renamed, so that a crash or a full disk leaves the last one intact.
"""

import dataclasses
import json
import os
import pathlib
import zipfile

import keras
import numpy as np

from dlcv_tf.errors import InputError
from dlcv_tf.train import distribute


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Args:
        epoch: the epoch to go on with, from 0.
        step: the next step within that epoch, from 0.
        history: logs of the finished epochs, a list of numbers for each name.
        seconds: of training so far, in all processes.
    """

    epoch: int = 0
    step: int = 0
    history: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0


def read_progress(path: str | pathlib.Path) -> Progress:
    """Returns how far the run of a checkpoint has come."""
    with np.load(path, allow_pickle=False) as saved:
        return Progress(**json.loads(str(saved["progress"])))


class Checkpoints:
    """Saves and restores the exact state of a compiled model in training.

    Args:
        path: the checkpoint file; its directory must exist.
        model: compiled `keras.Model` whose optimizer is built.
    """

    def __init__(self, path: str | pathlib.Path, model: keras.Model):
        self.path = pathlib.Path(path)
        self.model = model

    def variables(self) -> dict[str, keras.Variable]:
        """Returns every variable under a name that is unique and the same in every process."""
        groups = {
            "model": self.model.variables,
            "optimizer": self.model.optimizer.variables,
            "metrics": [v for metric in self.model.metrics for v in metric.variables],
        }
        return {
            f"{group}/{number}": variable
            for group, variables in groups.items()
            for number, variable in enumerate(variables)
        }

    def exists(self) -> bool:
        """Tells whether there is a checkpoint to restore."""
        return self.path.exists()

    def save(self, progress: Progress) -> None:
        """Writes the state, replacing the last checkpoint only when the new one is on disk.

        Raises:
            OSError: disk full or not writable; the last checkpoint is intact.
        """
        arrays = {name: distribute.read(v) for name, v in self.variables().items()}
        arrays["progress"] = np.array(json.dumps(dataclasses.asdict(progress)))
        unfinished = self.path.with_name(self.path.name + ".tmp")
        try:
            with open(unfinished, "wb") as file:
                np.savez(file, **arrays)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, self.path)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            if self.exists():
                advice = (
                    f"the last one, {self.path}, is intact: make room, then go on with --resume"
                )
            else:
                advice = "there is none yet: make room, then start again"
            raise OSError(
                error.errno,
                f"could not write the checkpoint ({error.strerror}); {advice}",
            ) from error

    def restore(self) -> Progress:
        """Reads the checkpoint into the model, its optimizer and its metrics.

        Returns:
            Where to go on.

        Raises:
            InputError: the file is not a checkpoint of this model.
        """
        variables = self.variables()
        try:
            with open(self.path, "rb") as file:
                saved = np.load(file, allow_pickle=False)
                arrays = {name: saved[name] for name in saved.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{self.path} is not a readable checkpoint: {error}") from error
        progress = Progress(**json.loads(str(arrays.pop("progress"))))
        found = {name: array.shape for name, array in arrays.items()}
        expected = {name: tuple(v.shape) for name, v in variables.items()}
        if found != expected:
            different = sorted(
                name for name in found | expected if found.get(name) != expected.get(name)
            )
            raise InputError(
                f"{self.path} holds another model: {len(different)} variables differ, e.g. "
                f"{different[0]} (got {found.get(different[0])}, expected "
                f"{expected.get(different[0])}): resume with the recipe that made it"
            )
        for name, variable in variables.items():
            distribute.write(variable, arrays[name])
        return progress
