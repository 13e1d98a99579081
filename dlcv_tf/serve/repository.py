"""How the models change while the server runs: what is loaded, put in place, and unloaded, when.

Whoever changes them (the clock, a new configuration, a client that asks for a load) does so one at
a time, beside the readers of `served_models.py`, who wait for nobody.
"""

import dataclasses
import logging
import pathlib
import threading
import time
from collections.abc import Callable

from dlcv_tf.artifact import manifest
from dlcv_tf.errors import InputError
from dlcv_tf.serve import models_config, tuning, version_files
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.errors import Code, ServingError
from dlcv_tf.serve.models_config import Source
from dlcv_tf.serve.servable import Servable, updated
from dlcv_tf.serve.served_models import ServedModels
from dlcv_tf.serve.version import Version

__all__ = ["Repository", "Version"]

log = logging.getLogger(__name__)


class Repository(ServedModels):
    """Models by name, each with the versions that its policy wants, as far as they are complete.

    The models are those of a directory, `NAME/VERSION/`, the newest version of each, or those of a
    `models.config`. A half-written or damaged version is refused, with its reason in the log and in
    the model's status, and the next older one serves; it is tried again when its files change. A
    version that serves is not looked at again: a new export is a new version.

    Args:
        config: the server's options.

    Raises:
        InputError: if the directory does not exist or holds no model, for a wrong `models.config`,
            and for options that no model could be run with.
    """

    def __init__(self, config: Config):
        self.directory = pathlib.Path(config.models)
        self.config = config
        tuning.check(config)
        self._sources = self._read_sources()  # as the files have them
        super().__init__(self._sources)
        self._is_scanned = config.models_config is None  # new models are looked for, too
        self._changing = threading.RLock()  # held by whoever changes the models
        self._watching: list[threading.Thread] = []
        self._retiring: list[tuple[Version, threading.Thread]] = []

    def load(self) -> None:
        """Loads every model for the first time; `ready` is true afterwards.

        Raises:
            InputError: if not one model could be loaded.
        """
        with self._changing:
            for name in self.names():
                if not self._is_closed.is_set():
                    self._update(name, is_asked_for=True)
            self._is_first_look_over = True
            self._note_what_is_well()
        if not _serving(self._models) and not self._is_closed.is_set():
            reasons = [f"{which}: {why}" for which, why in self.refused().items()]
            place = self.config.models_config or self.directory
            raise InputError(f"none of the models in {place} can be served: {'; '.join(reasons)}")

    def watch(self) -> None:
        """Looks at the versions and at `models.config` from now on, as often as the options say."""
        for seconds, look in (
            (self.config.poll, self.look),
            (self.config.config_poll, self.look_at_config),
        ):
            if seconds > 0 and (look == self.look or self.config.models_config):
                thread = threading.Thread(
                    target=self._repeat, args=(seconds, look), name=look.__name__, daemon=True
                )
                self._watching.append(thread)
                thread.start()

    def look(self) -> None:
        """Looks at the disk once: loads new versions, retires those that are no longer wanted."""
        with self._changing:
            if self._is_scanned:
                self._look_for_models()
            for name in self.names():
                if not self._is_closed.is_set():
                    self._update(name, is_asked_for=False)

    def look_at_config(self) -> None:
        """Reads `models.config` once more and changes the models as it says, if it changed.

        Raises:
            InputError: for a file that is wrong; nothing has changed then.
            ServingError: for models that cannot be loaded; nothing has changed then.
        """
        sources = self._read_sources()
        with self._changing:
            if sources != self._sources:
                self._replace(sources, is_asked_for=False)
                self._sources = sources

    def reload(self, message) -> None:
        """Serves the models of a ModelServerConfig from now on, and no others.

        Everything new is loaded first. Then versions, labels and models change in one step; or, if
        anything fails, nothing does. `models.config` counts again when it changes.

        Args:
            message: a `tfs_messages.ModelServerConfig`; relative base paths start beside
                `models.config`, or in the models directory. No client gets further than there, or
                than the directories that hold the models of `models.config`.

        Raises:
            InputError: for a wrong configuration.
            ServingError: PERMISSION_DENIED for a base path elsewhere on the disk;
                FAILED_PRECONDITION for models and labels that cannot be served.
        """
        self._refuse_if_one_of_many()
        file = self.config.models_config
        root = pathlib.Path(file).parent if file else self.directory
        sources = models_config.sources(message, root)
        self._refuse_elsewhere(sources, root)
        self._replace(sources, is_asked_for=True)

    def load_model(self, name: str) -> None:
        """Loads what a model's directory holds now, also what is loaded already but was changed.

        Args:
            name: a model, also one that was unloaded, or that is new in the models directory.

        Raises:
            ServingError: NOT_FOUND for an unknown model; FAILED_PRECONDITION if a version could not
                be loaded: what served before goes on.
        """
        self._refuse_if_one_of_many()
        with self._changing:
            self._refuse_if_closed()
            if self._is_scanned:
                self._look_for_models()
            before = self._known(name)
            asked = dataclasses.replace(before, is_unloaded=False)
            after = updated(asked, self.config, self._show(name))
            failed = [
                f"version {number}: {version.error}"
                for number, version in after.tried.items()
                if version.is_refused and version is not before.tried.get(number)
            ]
            if after.serving or not failed:
                self._publish({**self._models, name: after})
            if failed or not after.serving:
                reasons = "; ".join(failed) or after.error
                served = ", ".join(map(str, sorted(after.serving)))
                goes_on = f" (what serves: version {served})" if served else ""
                message = f"Could not load model {name}: {reasons}{goes_on}"
                raise ServingError(Code.FAILED_PRECONDITION, message)

    def unload_model(self, name: str) -> None:
        """Unloads a model; it stays so until `load_model`, or a configuration, asks for it again.

        Raises:
            ServingError: NOT_FOUND for an unknown model.
        """
        self._refuse_if_one_of_many()
        with self._changing:
            model = dataclasses.replace(self._known(name), serving={}, labels={}, is_unloaded=True)
            self._publish({**self._models, name: model})

    def close(self) -> None:
        """Unloads everything for good, once the requests under way are answered, if they ever are.

        They get `drain` seconds.
        """
        self._is_closed.set()
        with self._changing:
            self._publish({n: dataclasses.replace(m, serving={}) for n, m in self._models.items()})
        last = time.monotonic() + self.config.drain
        for version, thread in self._retiring:
            thread.join(max(0.0, last - time.monotonic()))
            version.unload(timeout=0)
        for thread in self._watching:
            thread.join()

    def _repeat(self, seconds: float, look: Callable[[], None]) -> None:
        """Looks every so often; says what goes wrong once, and goes on."""
        said = ""
        while not self._is_closed.wait(seconds):
            try:
                look()
                said = ""
            except (InputError, ServingError) as error:
                if str(error) != said and not self._is_closed.is_set():
                    log.warning("the models stay as they are: %s", error)
                said = str(error)
            except Exception:  # whatever it was, the next look may find it gone
                log.exception("failed to look at the models")

    def _update(self, name: str, is_asked_for: bool) -> None:
        model = self._models[name]
        if not model.is_unloaded:
            after = updated(model, self.config, self._show(name), is_asked_for)
            if after.error and after.error != model.error:
                log.warning("%s (%s)", after.error, model.source.base_path)
            self._publish({**self._models, name: after})

    def _show(self, name: str) -> Callable[[dict[int, Version]], None]:
        """Returns what puts the versions of a model that are being loaded into its status."""

        def show(tried: dict[int, Version]) -> None:
            model = dataclasses.replace(self._models[name], tried=tried)
            self._models = {**self._models, name: model}

        return show

    def _publish(self, after: dict[str, Servable]) -> None:
        """Puts new models in the place of the old ones; those that serve no more are unloaded."""
        before, self._models = self._models, after
        for model in after.values():
            for version in model.serving.values():
                if version.state != "AVAILABLE":
                    log.info("%s/%d serves", model.source.name, version.number)
                version.state, version.error = "AVAILABLE", model.error
        self._note_what_is_well()
        self._retire(_serving(before) - _serving(after))

    def _retire(self, versions: set[Version]) -> None:
        """Unloads versions beside the readers, each as soon as its last request is answered."""
        self._retiring = [pair for pair in self._retiring if pair[1].is_alive()]
        for version in versions:
            version.retire()
            thread = threading.Thread(target=version.unload, daemon=True)
            self._retiring.append((version, thread))
            thread.start()

    def _replace(self, sources: list[Source], is_asked_for: bool) -> None:
        """Serves other models, or other versions of them, all at once or not at all."""
        with self._changing:
            self._refuse_if_closed()
            before, after, problems = self._models, {}, []
            for source in sources:
                old = before.get(source.name, Servable(source))
                self._models = {**self._models, source.name: old}
                new = dataclasses.replace(old, source=source, is_unloaded=False)
                new = updated(new, self.config, self._show(source.name), is_asked_for)
                after[source.name] = new
                is_other = source.name not in before or source != old.source
                if is_other and (new.error or not new.serving):
                    refused = [v.error for v in new.tried.values() if v.is_refused]
                    problems.append(new.error or "; ".join(refused))
            if problems:
                self._models = {
                    name: dataclasses.replace(model, tried=after.get(name, model).tried)
                    for name, model in before.items()
                }
                self._retire(_serving(after) - _serving(before))
                raise ServingError(Code.FAILED_PRECONDITION, "; ".join(problems))
            self._is_scanned = False
            self._publish(after)

    def _read_sources(self) -> list[Source]:
        """Returns the models of `models.config`, or those of the models directory."""
        if self.config.models_config is not None:
            return models_config.read(self.config.models_config)
        looked_for = f"NAME/VERSION/{manifest.FILE_NAME} in {self.directory.resolve()}"
        if not self.directory.is_dir():
            raise InputError(
                f"got no models directory: looked for {looked_for}, which is no directory; export "
                "a model into it, or name another with --models"
            )
        found = version_files.find_models(self.directory)
        if not found:
            raise InputError(
                f"got a models directory without models: looked for {looked_for}; export a model "
                "into it, or name another with --models"
            )
        return [Source(name, path) for name, path in found.items()]

    def _look_for_models(self) -> None:
        """Takes up models that are new in the models directory, and forgets those that are gone.

        What serves is not forgotten: its directory may come back.
        """
        try:
            found = version_files.find_models(self.directory)
        except OSError:  # the models say so themselves
            return
        new = {name: Servable(Source(name, path)) for name, path in found.items()}
        known = {
            name: model
            for name, model in self._models.items()
            if name in found or model.serving or model.source.base_path.is_dir()
        }
        self._models = {**new, **known}
        self._awaited &= self._models.keys()
        self._note_what_is_well()

    def _known(self, name: str) -> Servable:
        if name not in self._models:
            raise ServingError(Code.NOT_FOUND, f"Could not find any versions of model {name}")
        return self._models[name]

    def _refuse_elsewhere(self, sources: list[Source], root: pathlib.Path) -> None:
        """Raises for base paths that are not where the operator keeps models.

        Links below are the operator's own, and may lead anywhere.
        """
        own = {root, *(source.base_path.parent for source in self._sources)}
        places = {place.absolute() for place in own} | {place.resolve() for place in own}
        if self.config.models_config:  # which lies, or has a model, in / itself: all lies below
            places.discard(pathlib.Path("/"))
        for source in sources:
            path = source.base_path.absolute()
            if ".." in path.parts or not any(path.is_relative_to(place) for place in places):
                raise ServingError(
                    Code.PERMISSION_DENIED,
                    f"model {source.name}: got a base_path that is not below the directory of the "
                    "models; others are to be named in the server's own models.config",
                )

    def _refuse_if_closed(self) -> None:
        if self._is_closed.is_set():
            raise ServingError(Code.UNAVAILABLE, "The server is shutting down")

    def _refuse_if_one_of_many(self) -> None:
        """Raises where a request would change the models of one front process, not of all."""
        if self.config.fronts > 1:
            raise ServingError(
                Code.FAILED_PRECONDITION,
                f"one of {self.config.fronts} front processes cannot change the models of all: "
                "start the server with --models-config and --config-poll, and change that file",
            )


def _serving(models: dict[str, Servable]) -> set[Version]:
    return {version for model in models.values() for version in model.serving.values()}
