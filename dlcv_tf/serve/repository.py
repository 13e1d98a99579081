"""The models directory: which models there are, which version of each serves, and why not."""

import contextlib
import dataclasses
import logging
import pathlib
from collections.abc import Iterator

from dlcv_tf.artifact import manifest
from dlcv_tf.errors import InputError
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.errors import Code, ServingError, invalid
from dlcv_tf.serve.model import Model

log = logging.getLogger(__name__)


@dataclasses.dataclass
class Version:
    """A version that was tried: where it stands (TF Serving's state names) and what went wrong."""

    number: int
    directory: pathlib.Path
    state: str = "START"
    code: Code = Code.OK
    error: str = ""
    model: Model | None = None


class Repository:
    """Models by name, each with the newest version that is complete.

    `savedmodels/NAME/VERSION/`, where VERSION is a whole number. A half-written or damaged version
    is refused, with its reason in the log and in the model's status, and the next older one serves.

    Args:
        config: the server's options; `models` is the directory.

    Raises:
        InputError: if the directory does not exist or holds no model.
    """

    def __init__(self, config: Config):
        self.directory = pathlib.Path(config.models)
        self.ready = False
        self._config = config
        self._models: dict[str, dict[int, Version]] = {name: {} for name in self._on_disk()}

    def load(self) -> None:
        """Loads the newest complete version of every model; `ready` is true afterwards.

        Raises:
            InputError: if not one model could be loaded.
        """
        for name, versions in self._on_disk().items():
            for version in versions:
                # A new dict each time: who reads meanwhile sees the old one or the new one.
                tried = {**self._models.get(name, {}), version.number: version}
                self._models = {**self._models, name: tried}
                if self._load(name, version):
                    break
        if not self.loaded():
            reasons = "; ".join(
                f"{name}/{version.number}: {version.error}"
                for name, versions in self._models.items()
                for version in versions.values()
            )
            raise InputError(f"none of the models in {self.directory} can be served: {reasons}")
        self.ready = True

    def loaded(self) -> list[Model]:
        """Returns the models that serve, by name."""
        versions = [self._newest(name) for name in self.names()]
        return [version.model for version in versions if version]

    def names(self) -> list[str]:
        """Returns the names of all models, whether one of their versions serves or not."""
        return sorted(self._models)

    @contextlib.contextmanager
    def use(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> Iterator[Model]:
        """Holds the model that is to answer a request: it is not unloaded meanwhile.

        Args:
            name: the model's name.
            version: a version, or None for the newest that serves.
            label: a version label.

        Raises:
            ServingError: NOT_FOUND, or UNAVAILABLE while models are being loaded.
        """
        yield self._find(name, version, label)

    def _find(self, name: str, version: int | None, label: str | None) -> Model:
        """Returns the model that is to answer a request, with TF Serving's errors."""
        if label is not None:
            raise invalid(f"Unrecognized servable version label: {label}")
        versions = self._models.get(name, {})
        found = self._newest(name) if version is None else versions.get(version)
        if found and found.model:
            return found.model
        if name in self._models and not self.ready:
            raise ServingError(Code.UNAVAILABLE, f"Model {name} is being loaded: try again")
        wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
        raise ServingError(Code.NOT_FOUND, f"Servable not found for request: {wanted}")

    def versions(self, name: str, version: int | None = None) -> list[Version]:
        """Returns the versions that were tried, newest first, or the one asked for.

        Raises:
            ServingError: NOT_FOUND, in TF Serving's words.
        """
        versions = self._models.get(name, {})
        if version is not None and version not in versions:
            message = f"Could not find version {version} of model {name}"
            raise ServingError(Code.NOT_FOUND, message)
        if not versions:
            message = f"Could not find any versions of model {name}"
            raise ServingError(Code.NOT_FOUND, message)
        wanted = sorted(versions, reverse=True) if version is None else [version]
        return [versions[number] for number in wanted]

    def _newest(self, name: str) -> Version | None:
        serving = [version for version in self._models.get(name, {}).values() if version.model]
        return max(serving, key=lambda version: version.number, default=None)

    def _load(self, name: str, version: Version) -> bool:
        version.state = "LOADING"
        try:
            version.model = Model(name, version.number, version.directory, self._config)
        except Exception as error:  # one broken model must not take the others down
            version.state = "END"
            is_damaged = isinstance(error, manifest.ArtifactError)
            version.code = Code.DATA_LOSS if is_damaged else Code.INTERNAL
            version.error = str(error)
            log.warning("refused %s/%d: %s", name, version.number, error)
            return False
        version.state = "AVAILABLE"
        return True

    def _on_disk(self) -> dict[str, list[Version]]:
        """Returns the versions of every model in the directory, newest first."""
        looked_for = f"NAME/VERSION/{manifest.FILE_NAME} in {self.directory.resolve()}"
        if not self.directory.is_dir():
            raise InputError(
                f"got no models directory: looked for {looked_for}, which is no directory; export "
                "a model into it, or name another with --models"
            )
        found = {}
        for path in sorted(self.directory.iterdir()):
            if path.name.startswith(".") or not path.is_dir():
                continue
            versions = [
                Version(int(child.name), child)
                for child in path.iterdir()
                if child.name.isdecimal() and child.name.isascii() and child.is_dir()
            ]
            if versions:
                found[path.name] = sorted(versions, key=lambda v: v.number, reverse=True)
        if not found:
            raise InputError(
                f"got a models directory without models: looked for {looked_for}; export a model "
                "into it, or name another with --models"
            )
        return found
