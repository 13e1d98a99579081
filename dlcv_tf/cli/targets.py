"""What a verb is pointed at: an artifact, by its directory or by its model's."""

import pathlib
import zipfile

from dlcv_tf.artifact.manifest import FILE_NAME, ArtifactError
from dlcv_tf.errors import InputError


def artifact(target: str) -> pathlib.Path:
    """Returns the artifact directory for `NAME/VERSION`, or the newest version of `NAME`.

    Args:
        target: `savedmodels/NAME/VERSION` or `savedmodels/NAME`.

    Raises:
        ArtifactError: neither.
    """
    path = pathlib.Path(target)
    if (path / FILE_NAME).is_file():
        return path
    versions = [child for child in path.glob("*") if (child / FILE_NAME).is_file()]
    versions = [child for child in versions if child.name.isdecimal()]
    if not versions:
        raise ArtifactError(
            f"got {target}, expected an artifact (savedmodels/NAME or savedmodels/NAME/VERSION): "
            "dlcv list artifacts shows those there are"
        )
    return max(versions, key=lambda child: int(child.name))


def check_keras_file(path: str) -> None:
    """Raises an InputError for a `.keras` file that is none; Keras says it is not there."""
    if path.endswith(".keras") and not zipfile.is_zipfile(path):
        raise InputError(f"got {path}, expected a file of model.save: it is no zip archive")


def is_run(target: str) -> bool:
    """Tells whether a directory is that of a training run."""
    return (pathlib.Path(target) / "recipe.json").is_file()
