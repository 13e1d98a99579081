"""The manifest of an artifact: what `savedmodels/NAME/VERSION/` holds, with checksums."""

import dataclasses
import hashlib
import json
import os
import pathlib

from dlcv_tf.errors import InputError

SCHEMA = 1
FILE_NAME = "manifest.json"


class ArtifactError(InputError):
    """An artifact that is missing, half-written, changed, or of another schema."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """What an artifact is, can do and was made from; the keys of `manifest.json` as fields.

    Args:
        schema: the layout of the manifest itself.
        name: the model's name.
        version: its version, a whole number; a greater one is newer.
        task: the task class, e.g. `"Classifier"`.
        created: when it was exported, UTC, ISO 8601.
        dlcv_tf: the version of this package that wrote it.
        labels: class names; the index is the class number.
        signatures: signature name to `{"inputs": tensors, "outputs": tensors}`, where tensors maps
            a name to `{"dtype": ..., "shape": [...]}` and a size that may vary is None.
        preprocessing: `size` (height, width), `channels`, per channel `mean` and `std` in [0, 255],
            and `how`; what is not "channel" has a mean image, perhaps a matrix, among the weights.
        formats: format name to its path, runtime, worst error, accuracy (or what the task's main
            metric is), bytes and latency; `image_size` where it takes no other, and `decode` where
            it answers raw outputs: what `decoding.decode` does with them.
        left_out: format name to the reason why the artifact has it not.
        recipe: what it was trained with.
        data: what it was trained on.
        metrics: the task's metrics on its test pictures.
        certified_on: the pictures the formats were compared on.
        licences: of the weights and of the data.
        files: path below the directory to `{"bytes": ..., "sha256": ...}`; `write` fills it.
    """

    schema: int = SCHEMA
    name: str
    version: int
    task: str
    created: str = ""
    dlcv_tf: str = ""
    labels: list[str]
    signatures: dict[str, dict]
    preprocessing: dict
    formats: dict[str, dict]
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)
    recipe: dict = dataclasses.field(default_factory=dict)
    data: dict = dataclasses.field(default_factory=dict)
    metrics: dict = dataclasses.field(default_factory=dict)
    certified_on: dict = dataclasses.field(default_factory=dict)
    licences: dict = dataclasses.field(default_factory=dict)
    files: dict[str, dict] = dataclasses.field(default_factory=dict)

    @property
    def main_metric(self) -> str:
        """The name of the metric that every format is certified by, `"accuracy"` of classifiers."""
        keys = [key for entry in self.formats.values() for key in entry if key.endswith("_bound")]
        return keys[0].removesuffix("_bound") if keys else "accuracy"

    @classmethod
    def load(cls, directory: str | os.PathLike) -> "Manifest":
        """Reads the manifest of an artifact without looking at its other files.

        Args:
            directory: the artifact, `.../NAME/VERSION`.

        Raises:
            ArtifactError: if there is no manifest, or none that this version can read.
        """
        path = pathlib.Path(directory) / FILE_NAME
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ArtifactError(
                f"got no {FILE_NAME} in {directory}, expected a complete artifact: an export "
                "writes it last, so this one was cut short or is none; export it again"
            ) from None
        except ValueError as error:
            raise ArtifactError(f"{path} is not JSON ({error}): export it again") from None
        _check_values(path, values)
        return cls(**values)

    def write(self, directory: str | os.PathLike) -> "Manifest":
        """Writes `manifest.json`, atomically, with the checksum of every file in the directory.

        Call it last: a directory without a manifest does not count as an artifact.

        Args:
            directory: the artifact, complete but for its manifest.

        Returns:
            The manifest as written, `files` included.
        """
        directory = pathlib.Path(directory)
        temporary = directory / f"{FILE_NAME}.tmp"
        files = {
            path.relative_to(directory).as_posix(): _fingerprint(path)
            for path in sorted(directory.rglob("*"))
            if path.is_file() and path not in (directory / FILE_NAME, temporary)
        }
        written = dataclasses.replace(self, files=files)
        _check_values(directory / FILE_NAME, dataclasses.asdict(written))
        with open(temporary, "w", encoding="utf-8") as stream:
            json.dump(dataclasses.asdict(written), stream, indent=2, ensure_ascii=False)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, directory / FILE_NAME)
        return written


def verify(directory: str | os.PathLike) -> Manifest:
    """Reads an artifact's manifest and compares every file it lists, by size and SHA-256.

    Args:
        directory: the artifact, `.../NAME/VERSION`.

    Raises:
        ArtifactError: naming the first file that is missing or changed.
    """
    manifest = Manifest.load(directory)
    for name, expected in manifest.files.items():
        path = pathlib.Path(directory) / name
        if not path.is_file():
            raise ArtifactError(
                f"{name} is missing from {directory} though its {FILE_NAME} lists it: "
                "copy or export the artifact again"
            )
        got = {"bytes": path.stat().st_size}
        if got["bytes"] == expected.get("bytes"):  # else it was cut short: no need to read it
            got = _fingerprint(path)
        for key, value in got.items():
            if value != expected.get(key):
                raise ArtifactError(
                    f"{name} in {directory} does not match its checksum: got {key} {value}, "
                    f"expected {expected.get(key)}: copy or export the artifact again"
                )
    return manifest


def _fingerprint(path: pathlib.Path) -> dict:
    with open(path, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def _check_values(path: pathlib.Path, values) -> None:
    """Raises ArtifactError unless `values` are those of a manifest of this schema."""
    schema = values.get("schema") if isinstance(values, dict) else None
    if schema != SCHEMA:
        raise ArtifactError(
            f"{path}: got schema {schema!r}, expected {SCHEMA}: use the dlcv_tf that wrote it, "
            "or export the model again"
        )
    fields = {field.name: field for field in dataclasses.fields(Manifest)}
    if unknown := sorted(values.keys() - fields.keys()):
        raise ArtifactError(f"{path}: got unknown keys {unknown}, expected {sorted(fields)}")
    for name, field in fields.items():
        kind = getattr(field.type, "__origin__", field.type)  # list[str] -> list
        needed = field.default is field.default_factory is dataclasses.MISSING
        if (needed or name in values) and not isinstance(values.get(name), kind):
            got = repr(values[name]) if name in values else "nothing"
            raise ArtifactError(f"{path}: got {got} as {name!r}, expected {kind.__name__}")
    for name in ("signatures", "formats", "files"):
        for key, entry in values.get(name, {}).items():
            if not isinstance(entry, dict):
                raise ArtifactError(f"{path}: got {entry!r} as {name}[{key!r}], expected an object")
    paths = [*values.get("files", {}), *(entry.get("path") for entry in values["formats"].values())]
    for inside in paths:
        parts = pathlib.PurePosixPath(inside) if isinstance(inside, str) else None
        if parts is None or parts.is_absolute() or ".." in parts.parts:
            raise ArtifactError(f"{path}: got the path {inside!r}, expected one in the artifact")
