"""Sockets, uvicorn and signals around the application; the ready line."""

import asyncio
import contextlib
import errno
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator

import uvicorn

from dlcv_tf.artifact import pictures
from dlcv_tf.errors import InputError
from dlcv_tf.serve.app import MAX_BODY, App
from dlcv_tf.serve.repository import Repository

HOST = "127.0.0.1"
PORT = 8501  # TF Serving's REST port
KEEP_ALIVE = 75  # seconds: above the 60 after which common load balancers let go of a connection
SHUTDOWN = 5  # seconds that requests under way get to finish


def serve(
    models_dir: str | os.PathLike,
    host: str = HOST,
    port: int = PORT,
    *,
    max_body: int = MAX_BODY,
    max_pixels: int = pictures.MAX_PIXELS,
    as_json: bool = False,
) -> None:
    """Serves a models directory until SIGINT (Ctrl-C) or SIGTERM; prints one line when ready.

    Args:
        models_dir: holds `NAME/VERSION/manifest.json`.
        host: the address to listen on.
        port: the REST port; 0 takes a free one.
        max_body: the largest request body in bytes, inflated.
        max_pixels: of the encoded pictures in one request together.
        as_json: print the ready line as JSON.

    Raises:
        InputError: for a directory without models, and a port that cannot be had.
    """
    models = Repository(models_dir, max_pixels)
    with _bind(host, port) as listener:
        server = _server(App(models, max_body))
        with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
            runner.run(_serve(server, models, listener, as_json))


@contextlib.contextmanager
def running(models_dir: str | os.PathLike, host: str = HOST, port: int = 0) -> Iterator[str]:
    """Serves a models directory from a thread of this process, for tests and demonstrations.

    Args:
        models_dir: holds `NAME/VERSION/manifest.json`.
        host: the address to listen on.
        port: the REST port; 0 takes a free one.

    Yields:
        The base URL, e.g. `"http://127.0.0.1:40123"`; the models are loaded.

    Raises:
        InputError: for a directory without models, and a port that cannot be had.
    """
    models = Repository(models_dir)
    models.load()
    with _bind(host, port) as listener:
        server = _server(App(models))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield _url(listener)
        finally:
            server.should_exit = True
            thread.join()


async def _serve(
    server: uvicorn.Server, models: Repository, listener: socket.socket, as_json: bool
) -> None:
    """Answers health checks from the first moment on, and loads the models meanwhile."""

    def stop(*_) -> None:
        server.should_exit = True

    # uvicorn stops on these signals too, but then raises them again, which would end this process
    # as if it had crashed: this handler takes them, and those that come before uvicorn listens.
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.to_thread(models.load)
        if not server.should_exit:
            print(_ready_line(models, _url(listener), as_json), flush=True)
    except InputError:
        server.should_exit = True
        raise
    finally:
        await serving
        for number, handler in before.items():
            signal.signal(number, handler)


def _server(app: App) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=SHUTDOWN,
    )
    return uvicorn.Server(config)


def _bind(host: str, port: int) -> socket.socket:
    """Returns a listening socket, or says why there is none."""
    if not 0 <= port <= 65535:
        raise InputError(f"got --port {port}, expected 0 to 65535")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except socket.gaierror as error:
        raise InputError(
            f"got --host {host!r}, which is no address of this machine: {error}"
        ) from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise InputError(
                f"port {port} of {host} is in use: stop what listens there, or choose another with "
                "--port (0 takes a free one)"
            ) from None
        raise InputError(f"cannot listen on {host} port {port}: {error.strerror}") from None


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _ready_line(models: Repository, url: str, as_json: bool) -> str:
    loaded = models.loaded()
    if as_json:
        names = [{"name": model.name, "version": model.version} for model in loaded]
        return json.dumps({"rest": url, "models": names})
    names = ", ".join(f"{model.name}/{model.version}" for model in loaded)
    return f"dlcv serve: ready at {url} ({names})"
