"""The models as those see them who answer requests: names, versions, labels, and which one answers.

Readers take a snapshot of all models and never wait for a load. `repository.py` changes them.
"""

import contextlib
import threading
from collections.abc import Iterable, Iterator

from dlcv_tf.serve.call import Call
from dlcv_tf.serve.errors import Code, ServingError, invalid
from dlcv_tf.serve.model import Model
from dlcv_tf.serve.models_config import Source
from dlcv_tf.serve.servable import Servable
from dlcv_tf.serve.version import Version


class ServedModels:
    """Models by name, each with the versions that serve.

    Args:
        sources: of the models; none of them is loaded yet.
    """

    def __init__(self, sources: Iterable[Source]):
        # Never changed, always replaced: who reads meanwhile sees the old models or the new ones.
        self._models = {source.name: Servable(source) for source in sources}
        self._is_first_look_over = False
        self._awaited = frozenset(self._models)  # by name; empty once all of them served
        self.is_withheld = False  # `ready` is not to be said yet, whatever is loaded
        self._is_closed = threading.Event()

    @property
    def ready(self) -> bool:
        """Whether requests are to be sent here.

        At first they are once all models serve that were found at the start, so an update that
        brings a broken one does not replace servers that are well. From then on they are while one
        model serves: what breaks later takes no server away.
        """
        serves = any(model.serving for model in self._models.values())
        is_well = serves and self._is_first_look_over and not self.refused()
        return is_well and not self.is_withheld

    def model_ready(self, name: str, version: int | None = None) -> bool:
        """Whether a model, or a version of it, answers requests."""
        model = self._models.get(name)
        return model is not None and model.find(version, None) is not None

    def loaded(self) -> list[Model]:
        """Returns the models that serve, by name, each in its newest version."""
        models = self._models
        newest = [models[name].newest for name in sorted(models)]
        return [version.model for version in newest if version and version.model]

    def refused(self) -> dict[str, str]:
        """Returns what `ready` waits for: `NAME/VERSION`, or `NAME`, to why it does not serve."""
        models, found = self._models, {}
        for name in sorted(self._awaited & models.keys()):
            model = models[name]
            if not model.serving and not model.is_unloaded:
                tried = model.tried.values()
                errors = {f"{name}/{each.number}": each.error for each in tried if each.error}
                found |= errors
                if model.error or not errors:
                    found[name] = model.error or "it is being loaded"
        return found

    def await_none(self) -> None:
        """Has `ready` wait for no model in particular, as the server was ready before."""
        self._awaited = frozenset()

    def count(self, call: Call) -> None:
        """Adds an answered request to the statistics of the version that answered it."""
        model = self._models.get(call.model)
        version = model and model.serving.get(call.version)
        answered = version and version.model  # once: it may be unloaded meanwhile
        if answered and call.signature:
            answered.statistics.answered(call)

    def statistics(self, name: str = "", version: int | None = None) -> list[dict]:
        """Returns a `ModelStatistics` of each version that serves.

        Args:
            name: of a model, empty for all.
            version: of that model, None for all.

        Raises:
            ServingError: NOT_FOUND for a model or a version that does not serve.
        """
        if name:
            with self.use(name, version):
                pass
        found, models = [], self._models
        for model in [name] if name else sorted(models):
            serving = models[model].serving if model in models else {}
            for number, each in sorted(serving.items()):
                loaded = each.model
                if loaded and version in (None, number):
                    spec = {"name": model, "version": str(number)}
                    found.append(spec | loaded.statistics.to_dict())
        return found

    def names(self) -> list[str]:
        """Returns the names of all models, whether one of their versions serves or not."""
        return sorted(self._models)

    def known(self, name: str) -> str:
        """Returns the name if a model has it, else "": what clients make up counts nowhere."""
        return name if name in self._models else ""

    def labels(self, name: str) -> dict[str, int]:
        """Returns the labels of a model as they stand: label to version."""
        model = self._models.get(name)
        return dict(model.labels) if model else {}

    def _note_what_is_well(self) -> None:
        """Has `ready` wait for no model any more once all of those that it waited for serve."""
        if self._is_first_look_over and not self.refused():
            self.await_none()

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
        while not (held := self._find(name, version, label)).hold():
            pass  # it was replaced between the two: the next snapshot has its successor
        try:
            yield held.model
        finally:
            held.release()

    def _find(self, name: str, version: int | None, label: str | None) -> Version:
        """Returns the version that is to answer a request, with TF Serving's errors."""
        model = self._models.get(name)
        if found := model and model.find(version, label):
            return found
        if self._is_closed.is_set():
            raise ServingError(Code.UNAVAILABLE, "The server is shutting down")
        if model and (model.is_loading or not self._is_first_look_over):
            raise ServingError(Code.UNAVAILABLE, f"Model {name} is being loaded: try again")
        if label is not None:
            if model is None or label not in model.labels:
                raise invalid(f"Unrecognized servable version label: {label}")
            version = model.labels[label]
        wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
        raise ServingError(Code.NOT_FOUND, f"Servable not found for request: {wanted}")

    def tried(self, name: str) -> list[Version]:
        """Returns the versions of a model that were tried, newest first; none where none was."""
        model = self._models.get(name)
        found = {**model.tried, **model.serving} if model else {}
        return [found[number] for number in sorted(found, reverse=True)]

    def error(self, name: str) -> str:
        """Returns what is wrong with a model's directory or labels, if anything is."""
        model = self._models.get(name)
        return model.error if model else ""

    def versions(self, name: str, version: int | None = None) -> list[Version]:
        """Returns the versions that were tried, newest first, or the one asked for.

        Raises:
            ServingError: NOT_FOUND, in TF Serving's words.
        """
        model = self._models.get(name)
        versions = {**model.tried, **model.serving} if model else {}
        if version is not None and version not in versions:
            message = f"Could not find version {version} of model {name}"
            raise ServingError(Code.NOT_FOUND, message)
        if not versions:
            reason = f": {model.error}" if model and model.error else ""
            message = f"Could not find any versions of model {name}{reason}"
            raise ServingError(Code.NOT_FOUND, message)
        wanted = sorted(versions, reverse=True) if version is None else [version]
        return [versions[number] for number in wanted]
