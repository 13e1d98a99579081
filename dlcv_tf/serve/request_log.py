"""The request log: a line of JSON for every request, written beside the requests by one thread."""

import base64
import logging
import os
import queue
import threading
import time
from collections.abc import Callable

import orjson

from dlcv_tf.errors import InputError
from dlcv_tf.serve.call import Call
from dlcv_tf.serve.config import Config

MOST_LINES = 10_000  # that wait to be written
MOST_BYTES = 64 * 2**20  # of pictures that wait with them
MOST_AT_ONCE = 500  # lines in one write
LOOK = 1.0  # seconds between two looks at whether the file was moved away

log = logging.getLogger(__name__)


class RequestLog:
    """Appends to a file, and never keeps a request waiting: what it cannot write, it drops.

    Whoever rotates the file moves it away; a new one is begun within a second. Several fronts may
    append to one file.

    Args:
        config: the server's options; `request_log` names the file.
        dropped: told how many lines were dropped.

    Raises:
        InputError: for a file that cannot be opened.
    """

    def __init__(self, config: Config, dropped: Callable[[int], None]):
        self._path = config.request_log
        self._dropped = dropped
        self._waiting: queue.Queue = queue.Queue(MOST_LINES)
        self._held = 0  # bytes of pictures
        self._lock = threading.Lock()  # of the above
        self._is_failing = False
        self._is_line_open = False  # the last write ended within a line
        try:
            self._file = self._open()
        except OSError as error:
            raise InputError(
                f"got request log {self._path}, which cannot be written: {error.strerror}"
            ) from None
        self._thread = threading.Thread(target=self._work, name="request log", daemon=True)
        self._thread.start()

    def write(self, call: Call) -> None:
        """Has one answered request written, soon."""
        size = len(call.body or b"")
        with self._lock:
            is_too_much = self._held + size > MOST_BYTES
            if not is_too_much:
                self._held += size
        try:
            if is_too_much:
                raise queue.Full
            self._waiting.put_nowait((time.time(), time.monotonic() - call.started, call))
        except queue.Full:
            with self._lock:
                self._held -= 0 if is_too_much else size
            self._dropped(1)

    def close(self) -> None:
        """Writes what waits, and closes the file."""
        self._waiting.put(None)
        self._thread.join(5.0)
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _work(self) -> None:
        looked = time.monotonic()
        is_open = True
        while is_open:
            batch = [self._waiting.get()]
            while len(batch) < MOST_AT_ONCE and not self._waiting.empty():
                batch.append(self._waiting.get())
            is_open = batch[-1] is not None
            calls = [each for each in batch if each is not None]
            if time.monotonic() - looked > LOOK:
                looked = time.monotonic()
                self._reopen_if_moved()
            lines = [_line(*each) for each in calls]
            with self._lock:
                self._held -= sum(len(call.body or b"") for _, _, call in calls)
            del batch, calls  # they hold pictures
            self._append(lines)

    def _append(self, lines: list[bytes]) -> None:
        """Writes lines at once, so that those of other fronts do not come in between."""
        if not lines:
            return
        data = b"\n" * self._is_line_open + b"".join(lines)
        try:
            if self._file is None:
                self._file = self._open()
            written = os.write(self._file, data)
        except OSError as error:
            self._fail(len(lines), error.strerror)
            return
        whole = data.count(b"\n", 0, written) - self._is_line_open
        if written < len(data):
            self._is_line_open = data[written - 1 : written] != b"\n"
            self._fail(len(lines) - whole, "there is no more room")
        else:
            self._is_failing = self._is_line_open = False

    def _fail(self, lines: int, reason: str) -> None:
        self._dropped(lines)
        if not self._is_failing:  # say it once, not once a request
            self._is_failing = True
            log.warning("request log %s: lines are dropped: %s", self._path, reason)

    def _reopen_if_moved(self) -> None:
        try:
            now = os.stat(self._path)
            opened = os.fstat(self._file) if self._file is not None else None
            if opened and (now.st_dev, now.st_ino) == (opened.st_dev, opened.st_ino):
                return
        except OSError:  # moved away, and nothing in its place yet
            pass
        if self._file is not None:
            os.close(self._file)
        self._file, self._is_line_open = None, False  # opened with the next line

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


def _line(now: float, seconds: float, call: Call) -> bytes:
    """Returns the line of one request; what is empty is left out."""
    values = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f"{now % 1:.3f}"[1:] + "Z",
        "request_id": call.request_id,
        "peer": call.peer,
        "path": call.path,
        "status": call.status,
        "api": call.api,
        "method": call.method,
        "model": call.model,
        "version": call.version,
        "signature": call.signature,
        "code": call.code.name,
        "error": call.error.encode(errors="replace").decode(),  # may quote half a surrogate pair
        "pictures": call.pictures,
        "batch": call.batch,
        "milliseconds": round(seconds * 1e3, 3),
        "stages": {name: round(value * 1e3, 3) for name, value in call.stages.items()},
        "bytes_in": call.bytes_in,
        "bytes_out": call.bytes_out,
        "body": base64.b64encode(call.body).decode() if call.body else "",
    }
    kept = {name: value for name, value in values.items() if value or name == "code"}
    return orjson.dumps(kept, option=orjson.OPT_APPEND_NEWLINE)
