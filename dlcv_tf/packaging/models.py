"""Artifacts as they go into a package: verified, with names that every target can hold."""

import dataclasses
import itertools
import os
import pathlib
import re
from collections.abc import Sequence

from dlcv_tf.artifact import manifest
from dlcv_tf.errors import InputError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
MOST_VERSION = 2**63 - 1  # TF Serving reads versions as int64


@dataclasses.dataclass(frozen=True)
class Model:
    """One version of one model.

    Args:
        directory: the artifact.
        manifest: its own, every file's checksum compared.
    """

    directory: pathlib.Path
    manifest: manifest.Manifest

    @property
    def name(self) -> str:
        """The name it is served by."""
        return self.manifest.name

    @property
    def version(self) -> int:
        """Its version; a greater one is newer."""
        return self.manifest.version

    @property
    def place(self) -> str:
        """`NAME/VERSION`, as every server's tree of models has it."""
        return f"{self.name}/{self.version}"

    @property
    def tensors(self) -> dict[str, dict]:
        """The inputs and outputs of `serving_default`, the signature of pixel values."""
        return self.manifest.signatures["serving_default"]


def read(directories: Sequence[str | os.PathLike]) -> list[Model]:
    """Reads artifacts, and compares every file with its checksum.

    Args:
        directories: each an artifact, `.../NAME/VERSION`.

    Returns:
        The models, by name and version.

    Raises:
        ArtifactError: for what is no artifact, or a damaged one.
        InputError: for a name or version that a target cannot hold, or one given twice.
    """
    models = [Model(pathlib.Path(path), manifest.verify(path)) for path in directories]
    models.sort(key=lambda model: (model.name, model.version))
    for model in models:
        _check(model)
    for one, other in itertools.pairwise(models):
        if one.place == other.place:
            raise InputError(
                f"got {one.place} twice, in {one.directory} and {other.directory}, expected each "
                "version once (name and version are those of manifest.json, not of the directory, "
                "which `dlcv serve` goes by): leave one out, or export the model again"
            )
    names = [name for name, _ in by_name(models)]
    for one, other in itertools.combinations(names, 2):
        if cluster_name(one) == cluster_name(other):
            raise InputError(
                f"got models {one!r} and {other!r}, which would both be {cluster_name(one)!r} in "
                "a cluster: export one of them by another name"
            )
    return models


def by_name(models: Sequence[Model]) -> list[tuple[str, list[Model]]]:
    """Returns each name with its versions, the oldest first."""
    groups = itertools.groupby(models, key=lambda model: model.name)
    return [(name, list(group)) for name, group in groups]


def labels(versions: Sequence[Model]) -> dict[str, int]:
    """Returns the labels of a model's versions: `stable`, and `canary` for the newest of several.

    One version alone has no label: TF Serving refuses to start where a label's version is not
    loaded yet.
    """
    if len(versions) < 2:
        return {}
    return {"stable": versions[-2].version, "canary": versions[-1].version}


def cluster_name(name: str) -> str:
    """Returns a model's name as Kubernetes takes it: small letters, digits and hyphens (DNS)."""
    return re.sub(r"[^a-z0-9-]", "-", name.lower()).strip("-")


def path_of(model: Model, format: str) -> pathlib.Path:
    """Returns the file of one format.

    Raises:
        InputError: where the artifact lacks it.
    """
    formats = model.manifest.formats
    if format not in formats:
        raise InputError(
            f"got {model.directory} without {format}, expected an artifact that has it (this one "
            f"has {', '.join(formats)}): export the model again"
        )
    return model.directory / formats[format]["path"]


def saved_model_files(model: Model) -> list[str]:
    """Returns the paths, below the artifact, of what TensorFlow loads.

    Raises:
        InputError: where the artifact has no SavedModel.
    """
    path_of(model, "saved_model")
    folders = ("assets/", "assets.extra/", "variables/")
    found = [
        path
        for path in model.manifest.files
        if path in ("saved_model.pb", "fingerprint.pb") or path.startswith(folders)
    ]
    if "saved_model.pb" not in found:
        raise InputError(
            f"got no saved_model.pb in {model.directory}, expected the SavedModel that its "
            "manifest names: export the model again"
        )
    return found


def _check(model: Model) -> None:
    """Raises InputError for what paths, YAML, shells and DNS would not all take as it is."""
    if not NAME.fullmatch(model.name) or not cluster_name(model.name):
        raise InputError(
            f"got the model name {model.name!r} in {model.directory}, expected up to 63 letters, "
            "digits, '_', '.' and '-', first a letter or digit: export it by such a name"
        )
    if type(model.version) is not int or not 0 <= model.version <= MOST_VERSION:
        raise InputError(
            f"got version {model.version!r} of {model.name}, expected 0 to {MOST_VERSION}: "
            "export it again"
        )
    if not model.manifest.signatures.get("serving_default", {}).get("inputs"):
        raise InputError(
            f"got no signature serving_default in {model.directory}, expected one with inputs and "
            "outputs: export the model again"
        )
