"""Sockets, uvicorn and signals around the application; the ready line."""

import asyncio
import contextlib
import errno
import json
import logging
import math
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn

from dlcv_tf.errors import InputError
from dlcv_tf.serve import access, grpc_server, metrics, request_log
from dlcv_tf.serve.app import App
from dlcv_tf.serve.call import Call
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.repository import Repository

log = logging.getLogger(__name__)

KEEP_ALIVE = 75  # seconds: above the 60 after which common load balancers let go of a connection


def serve(config: Config, as_json: bool = False) -> None:
    """Serves a models directory until SIGINT (Ctrl-C) or SIGTERM; prints one line when ready.

    Args:
        config: the server's options.
        as_json: print the ready line as JSON.

    Raises:
        InputError: for a directory without models, and a port that cannot be had.
    """
    if warning := access.warning(config):
        log.warning("%s", warning)
    models = Repository(config)
    with _bind(config.host, config.port) as listener, _observer(models, config) as observer:
        server = _server(App(models, config, *observer), config)
        with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
            runner.run(_serve(server, models, listener, config, observer[0], as_json))


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
    with _bind(config.host, config.port) as listener, _observer(repository, config) as observer:
        server = _server(App(repository, config, *observer), config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield _url(listener, config)
        finally:
            server.should_exit = True
            thread.join()
            repository.close()


@contextlib.contextmanager
def _observer(models: Repository, config: Config) -> Iterator[tuple[Callable, Callable]]:
    """Yields what takes each call at its end, and what returns the numbers for Prometheus."""
    counted = metrics.Metrics(models)
    if config.request_log is None:
        yield counted.observe, counted.text
        return
    with contextlib.closing(request_log.RequestLog(config, counted.dropped)) as written:

        def observe(call: Call) -> None:
            counted.observe(call)
            written.write(call)

        yield observe, counted.text


async def _serve(
    server: uvicorn.Server,
    models: Repository,
    listener: socket.socket,
    config: Config,
    observe: Callable[[Call], None],
    as_json: bool,
) -> None:
    """Answers health checks from the first moment on, and loads the models meanwhile."""
    grpc = None if config.grpc_port is None else grpc_server.start(models, config, observe)

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
            print(_ready_line(models, _url(listener, config), grpc_address, as_json), flush=True)
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
        ssl_certfile=config.tls_certificate,
        ssl_keyfile=config.tls_key,
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


def _url(listener: socket.socket, config: Config) -> str:
    scheme = "https" if config.tls_certificate else "http"
    return f"{scheme}://{_address(*listener.getsockname()[:2])}"


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
