"""The Python client of the server, waiting or asynchronous, without TensorFlow.

    with Client("http://127.0.0.1:8501") as client:
        client.answer("bccd_ssd", "blood.png").things
        client.predict("cifar10_airbench", pixels)["probabilities"]

KServe's binary tensors by default, the smallest and fastest; TF Serving's JSON for labels, which
KServe does not have, and for a stock TF Serving (`protocol="tensorflow"`).
"""

import asyncio
import ssl
import time
from collections.abc import Generator

import httpx

from dlcv_tf.errors import InputError
from dlcv_tf.serve import client_messages
from dlcv_tf.serve.client_messages import Reply, Send, Target
from dlcv_tf.serve.client_pictures import PictureAnswer
from dlcv_tf.serve.errors import Code, ServingError

__all__ = ["AsyncClient", "Client", "Code", "PictureAnswer", "ServingError"]


class _Calls:
    """What both clients can do; `AsyncClient` returns awaitables of what is stated here."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8501",
        *,
        token: str | None = None,
        ca: str | None = None,
        protocol: str = "kserve",
        timeout: float = 30.0,
        retries: int = 3,
    ):
        """Opens no connection yet.

        Args:
            url: of the server, http or https.
            token: which the server asks for, or None.
            ca: PEM file of the authority that signed the server's certificate; None for those the
                machine trusts.
            protocol: `"kserve"`, or `"tensorflow"` for TF Serving's JSON.
            timeout: seconds for a call that states none, all it sends and waits for together.
            retries: how often a request is sent again after 503 with Retry-After, and to a server
                that could not be reached; nothing else is ever sent twice.

        Raises:
            InputError: for an option that is not as stated.
        """
        self._messages = client_messages.Messages(protocol, timeout, retries)
        options: dict = {"base_url": _base(url), "timeout": None}
        if ca is not None:
            try:
                options["verify"] = ssl.create_default_context(cafile=ca)
            except (OSError, ssl.SSLError) as error:
                raise InputError(f"got ca {ca!r}, expected a PEM file: {error}") from None
        if token is not None:
            if not (token.isascii() and token.isprintable()):
                raise InputError("got a token of other than printable ASCII characters")
            options["headers"] = {"authorization": f"Bearer {token}"}
        self._http = self._open(options)

    def models(self) -> dict[str, list[dict]]:
        """Returns the name of every model with its `status`; a stock TF Serving lists none.

        Raises:
            ServingError: the code and the server's words.
        """
        return self._run(self._messages.models())

    def status(self, name: str, version: int | None = None) -> list[dict]:
        """Returns `version`, `state` ("AVAILABLE" if it serves) and `error` of every version.

        Args:
            name: of the model.
            version: only this one.

        Raises:
            ServingError: NOT_FOUND for an unknown one.
        """
        return self._run(self._messages.status(Target(name, version)))

    def metadata(self, name: str, *, version: int | None = None, label: str | None = None) -> dict:
        """Returns `version`, and `signatures`: `dtype` and `shape` of all `inputs` and `outputs`.

        Args:
            name: of the model.
            version: a number, or None for the newest.
            label: of a version, instead.

        Raises:
            ServingError: NOT_FOUND for an unknown one.
        """
        return self._run(self._messages.metadata(Target(name, version, label)))

    def predict(
        self,
        name: str,
        inputs,
        *,
        version: int | None = None,
        label: str | None = None,
        signature: str | None = None,
        outputs: list[str] | None = None,
        timeout: float | None = None,
    ) -> dict:
        """Returns the arrays that a model answers, by name, with a batch axis.

        Args:
            name: of the model.
            inputs: one picture or a list of them: pixels (height, width[, channels]) uint8, bytes
                of a picture file, or the path of one; or a batch (batch, height, width, channels);
                or a dict of input name to array for any other signature. Of files, the answer holds
                the names of classes, too.
            version: a number, or None for the newest.
            label: of a version, instead.
            signature: its name; None for the one that takes such inputs.
            outputs: names of the wanted ones; None for all.
            timeout: seconds, of which a KServe server hears.

        Raises:
            ServingError: the code and the server's words; UNAVAILABLE where there is no server.
            InputError: for what is no picture.
        """
        target = Target(name, version, label, signature, outputs)
        return self._run(self._messages.predict(target, inputs, timeout))

    def answer(
        self,
        name: str,
        picture,
        *,
        version: int | None = None,
        label: str | None = None,
        score: float = 0.3,
        timeout: float | None = None,
    ) -> PictureAnswer:
        """Returns what is in a picture, and where.

        Args:
            name: of the model.
            picture: pixels (height, width[, channels]) uint8, bytes of a picture file, or the path
                of one; it is sent as a file.
            version: a number, or None for the newest.
            label: of a version, instead.
            score: least one of a detection, from 0 to 1.
            timeout: seconds.

        Raises:
            ServingError: the code and the server's words.
            InputError: for what is no picture.
        """
        target = Target(name, version, label, "image_bytes")
        return self._run(_only(self._messages.answers(target, [picture], score, timeout)))

    def answers(
        self,
        name: str,
        pictures,
        *,
        version: int | None = None,
        label: str | None = None,
        score: float = 0.3,
        timeout: float | None = None,
    ) -> list[PictureAnswer]:
        """Returns what is in each of some pictures, and where; one request asks of all.

        Args:
            name: of the model.
            pictures: a list of them, each as for `answer`; or (batch, height, width, channels).
            version: a number, or None for the newest.
            label: of a version, instead.
            score: least one of a detection, from 0 to 1.
            timeout: seconds.

        Raises:
            ServingError: the code and the server's words.
            InputError: for what is no picture.
        """
        target = Target(name, version, label, "image_bytes")
        return self._run(self._messages.answers(target, pictures, score, timeout))

    def _open(self, options: dict) -> httpx.Client | httpx.AsyncClient:
        raise NotImplementedError

    def _run(self, conversation: Generator):
        raise NotImplementedError


class Client(_Calls):
    """Calls a server and waits; threads may share one, and with it its connections."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def _open(self, options: dict) -> httpx.Client:
        return httpx.Client(**options)

    def _run(self, conversation: Generator):
        result = None
        while True:
            try:
                step = conversation.send(result)
            except StopIteration as end:
                return end.value
            if isinstance(step, Send):
                result = self._send(step)
            else:
                result = time.sleep(step)

    def _send(self, step: Send) -> Reply | Exception:
        extensions = {"timeout": _Left(step.deadline)}
        try:
            with self._http.stream(**_arguments(step), extensions=extensions) as response:
                pieces = []
                for piece in response.iter_bytes():
                    pieces.append(piece)
                    if time.monotonic() > step.deadline:  # they come, but come too slowly
                        return TimeoutError()
                return Reply(response.status_code, response.headers, b"".join(pieces))
        except httpx.RequestError as error:
            return error


class AsyncClient(_Calls):
    """Calls a server from asyncio: every method of `Client` as a coroutine."""

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    def _open(self, options: dict) -> httpx.AsyncClient:
        return httpx.AsyncClient(**options)

    async def _run(self, conversation: Generator):
        result = None
        while True:
            try:
                step = conversation.send(result)
            except StopIteration as end:
                return end.value
            if isinstance(step, Send):
                result = await self._send(step)
            else:
                result = await asyncio.sleep(step)

    async def _send(self, step: Send) -> Reply | Exception:
        try:
            async with asyncio.timeout(step.deadline - time.monotonic()):
                response = await self._http.request(**_arguments(step))
            return Reply(response.status_code, response.headers, response.content)
        except (TimeoutError, httpx.RequestError) as error:
            return error


class _Left(dict):
    """The seconds until a deadline, for whatever phase of a request HTTPX asks.

    It asks once for each, so that only a server that sends its headers byte by byte outlasts it.
    """

    def __init__(self, deadline: float):
        super().__init__()
        self._deadline = deadline

    def get(self, key, default=None) -> float:
        return max(self._deadline - time.monotonic(), 0.001)


def _base(url: str) -> httpx.URL:
    try:
        base = httpx.URL(url)
    except (TypeError, httpx.InvalidURL) as error:
        raise InputError(f"got url {url!r}, expected one of a server: {error}") from None
    if base.scheme not in ("http", "https") or not base.host:
        raise InputError(f"got url {url!r}, expected one like http://127.0.0.1:8501")
    return base


def _arguments(step: Send) -> dict:
    return {
        "method": step.method,
        "url": step.path,
        "content": step.body or None,
        "headers": step.headers,
    }


def _only(conversation: Generator) -> Generator:
    """Returns the single result of a conversation that returns a list."""
    (found,) = yield from conversation
    return found
