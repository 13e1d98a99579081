"""One version of a model, from its load to its end, which waits for the requests that use it."""

import logging
import pathlib
import threading
import time

from dlcv_tf.artifact.manifest import ArtifactError
from dlcv_tf.serve import memory, version_files
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.errors import Code
from dlcv_tf.serve.model import Model

RETRY = 60.0  # seconds after which a failure that was none of the files' is tried again
FORGOTTEN = 10.0  # seconds without a change after which nobody copies a version any more

log = logging.getLogger(__name__)


class Version:
    """A version that was tried: where it stands and what went wrong.

    `state` is TF Serving's: START, LOADING, AVAILABLE, UNLOADING or END; `code` and `error` say why
    it could not be loaded. An AVAILABLE one has an `error` too while its model's directory is in
    trouble; its code is OK all the same, since it serves.

    Args:
        number: of the version.
        directory: the artifact.
    """

    def __init__(self, number: int, directory: pathlib.Path):
        self.number = number
        self.directory = directory
        self.state = "START"
        self.code = Code.OK
        self.error = ""
        self.model: Model | None = None
        self._fingerprint = version_files.fingerprint(directory)
        self._tried = time.monotonic()
        self._is_unsaid = False  # why it is refused is not in the log
        self._lock = threading.Lock()  # of the two below
        self._users = 0
        self._is_retired = False
        self._is_idle = threading.Event()

    def load(self, name: str, config: Config, may_be_partial: bool = False) -> bool:
        """Verifies, loads and warms the version. It is not AVAILABLE yet: who publishes it says so.

        Args:
            name: of the model.
            config: the server's options.
            may_be_partial: it may be being copied at this moment: then nothing is logged yet.

        Returns:
            Whether it can serve; else `code` and `error` say why not.
        """
        self.state = "LOADING"
        model = None
        try:
            if may_be_partial and (lacking := version_files.lacking(self.directory)):
                self._is_unsaid = True
                self.refuse(Code.DATA_LOSS, f"{self.directory} is not complete yet: {lacking}")
                return False
            model = Model(name, self.number, self.directory, config)
            model.warm_up()
        except Exception as error:  # one broken model must not take the others down
            self._close(model)
            is_damaged = isinstance(error, ArtifactError)
            self.refuse(Code.DATA_LOSS if is_damaged else Code.INTERNAL, str(error))
            log.warning("refused %s/%d: %s (%s)", name, self.number, self.error, self.directory)
            return False
        self.model = model
        return True

    def refuse(self, code: Code, error: str) -> None:
        """Says why the version does not serve: to clients, so not where its directory lies."""
        shown = "/".join(self.directory.parts[-2:])
        for place in (self.directory.resolve(), self.directory):
            error = error.replace(str(place), shown)
        self.code, self.error, self.state = code, error, "END"

    def warn_if_forgotten(self, name: str) -> None:
        """Says, once, that it is incomplete and that nobody seems to copy it any more.

        Args:
            name: of the model.
        """
        unchanged = time.monotonic() - self._tried  # whatever changed is tried as another `Version`
        if self._is_unsaid and unchanged > FORGOTTEN:
            self._is_unsaid = False
            text = "passed over %s/%d, whose files have not changed for %.0f s: %s (%s)"
            log.warning(text, name, self.number, unchanged, self.error, self.directory)

    @property
    def is_refused(self) -> bool:
        """Whether it could not be loaded."""
        return self.state == "END" and self.code != Code.OK

    def has_changed(self) -> bool:
        """Whether its files are others than those that were loaded, or refused."""
        now = version_files.fingerprint(self.directory)
        return now != () and now != self._fingerprint

    def is_worth_another_try(self) -> bool:
        """Whether a refused version may load now: its files changed, or they were not at fault."""
        was_at_fault = self.code == Code.DATA_LOSS
        waited = time.monotonic() - self._tried
        return self.has_changed() or (not was_at_fault and waited > RETRY)

    def hold(self) -> bool:
        """Keeps the version loaded until `release`; false if it is on its way out already."""
        with self._lock:
            if self._is_retired:
                return False
            self._users += 1
            return True

    def release(self) -> None:
        """Ends one `hold`."""
        with self._lock:
            self._users -= 1
            if self._is_retired and not self._users:
                self._is_idle.set()

    def retire(self) -> None:
        """Lets nobody hold the version any more; `unload` follows."""
        with self._lock:
            self._is_retired = True
            self.state = "UNLOADING"
            if not self._users:
                self._is_idle.set()

    def unload(self, timeout: float | None = None) -> None:
        """Unloads the retired version once nobody holds it.

        Args:
            timeout: seconds after which it is unloaded all the same; None waits for all.
        """
        self._is_idle.wait(timeout)
        with self._lock:  # only one of several gets to close it
            model, self.model = self.model, None
        self._close(model)
        del model
        memory.give_back()
        self.state = "END"

    def _close(self, model: Model | None) -> None:
        try:
            if model:
                model.close()
        except Exception:  # its memory may be lost, the server goes on
            log.exception("failed to unload version %d from %s", self.number, self.directory)
