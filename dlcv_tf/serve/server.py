"""Sockets, uvicorn and signals around the application; the ready line."""

import asyncio
import contextlib
import errno
import json
import math
import os
import signal
import socket
import threading
from collections.abc import Iterator

import uvicorn

from dlcv_tf.errors import InputError
from dlcv_tf.serve import grpc_server
from dlcv_tf.serve.app import App
from dlcv_tf.serve.call import Call
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.repository import Repository

KEEP_ALIVE = 75  # seconds: above the 60 after which common load balancers let go of a connection


def serve(config: Config, as_json: bool = False) -> None:
    """Serves a models directory until SIGINT (Ctrl-C) or SIGTERM; prints one line when ready.

    Args:
        config: the server's options.
        as_json: print the ready line as JSON.

    Raises:
        InputError: for a directory without models, and a port that cannot be had.
    """
    models = Repository(config)
    with _bind(config.host, config.port) as listener:
        server = _server(App(models, config), config)
        with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
            runner.run(_serve(server, models, listener, config, as_json))


@contextlib.contextmanager
def running(models: str | os.PathLike, **options) -> Iterator[str]:
    """Serves a models directory from a thread of this process, for tests and demonstrations.

    Args:
        models: holds `NAME/VERSION/manifest.json`.
        **options: further fields of `Config`; the port is a free one if none is given.

    Yields:
        The base URL, e.g. `"http://127.0.0.1:40123"`; the models are loaded.

    Raises:
        InputError: for a directory without models, and a port that cannot be had.
    """
    config = Config(models=os.fspath(models), **{"port": 0} | options)
    repository = Repository(config)
    repository.load()
    with _bind(config.host, config.port) as listener:
        server = _server(App(repository, config), config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield _url(listener)
        finally:
            server.should_exit = True
            thread.join()
            repository.close()


async def _serve(
    server: uvicorn.Server,
    models: Repository,
    listener: socket.socket,
    config: Config,
    as_json: bool,
) -> None:
    """Answers health checks from the first moment on, and loads the models meanwhile."""
    grpc = None if config.grpc_port is None else grpc_server.start(models, config, _ignore)

    def stop(*_) -> None:
        server.should_exit = True

    # uvicorn stops on these signals too, but then raises them again, which would end this process
    # as if it had crashed: this handler takes them, and those that come before uvicorn listens.
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.to_thread(models.load)
        if not server.should_exit:
            models.watch()
            grpc_address = grpc and _address(config.host, grpc.port)
            print(_ready_line(models, _url(listener), grpc_address, as_json), flush=True)
    except InputError:
        server.should_exit = True
        raise
    finally:
        await serving
        if grpc:
            await asyncio.to_thread(grpc.stop, config.drain)
        await asyncio.to_thread(models.close)
        for number, handler in before.items():
            signal.signal(number, handler)


def _server(app: App, config: Config) -> uvicorn.Server:
    settings = uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=math.ceil(config.drain),
    )
    return uvicorn.Server(settings)


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
    return f"http://{_address(*listener.getsockname()[:2])}"


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _ready_line(models: Repository, url: str, grpc: str | None, as_json: bool) -> str:
    loaded = models.loaded()
    if as_json:
        names = [{"name": model.name, "version": model.version} for model in loaded]
        return json.dumps({"rest": url, "grpc": grpc, "models": names})
    names = ", ".join(f"{model.name}/{model.version}" for model in loaded)
    addresses = f"{url} and, for gRPC, {grpc}" if grpc else url
    return f"dlcv serve: ready at {addresses} ({names})"


def _ignore(call: Call) -> None:
    """Takes the calls that gRPC has answered; nothing is measured of them yet."""
