"""Sockets, uvicorn and signals around the application; the ready line."""

import asyncio
import contextlib
import dataclasses
import errno
import functools
import json
import logging
import os
import resource
import socket
import threading
from collections.abc import Callable, Iterator

import uvloop

from dlcv_tf.errors import InputError
from dlcv_tf.serve import access, fronts, grpc_server, metrics, request_log, stopping
from dlcv_tf.serve.app import App
from dlcv_tf.serve.call import Call
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.http_server import Server
from dlcv_tf.serve.repository import Repository

log = logging.getLogger(__name__)


def serve(config: Config, as_json: bool = False) -> None:
    """Serves a models directory until SIGTERM, SIGINT (Ctrl-C) or SIGHUP; says when it is ready.

    Args:
        config: the server's options.
        as_json: print the ready line as JSON.

    Raises:
        InputError: for a directory without models, and a port that cannot be had.
    """
    if warning := access.warning(config):
        log.warning("%s", warning)
    _raise_limit_of_files()
    if config.fronts == 1:
        serve_one(config, Repository(config), as_json)
        return

    def say(ready: dict) -> None:
        print(ready_line(ready, as_json), flush=True)

    models = Repository(config)  # it never loads them
    with observer(models, config) as observed:
        stand_in = functools.partial(_stand_in, models, observed)
        fronts.serve(config, bind, stand_in, say)


def serve_one(config: Config, models: Repository, as_json: bool = False) -> None:
    """Serves from this process alone, or as one of several fronts.

    Args:
        config: the server's options.
        models: those it serves; they are not loaded yet.
        as_json: print the ready line as JSON.
    """
    if config.fronts > 1:  # others answer meanwhile; this one would refuse what the kernel gives it
        models.load()
    with _listen(config) as listener, observer(models, config) as observed:
        app = App(models, config, *observed)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            is_cut = runner.run(_serve(app, models, listener, config, observed[0], as_json))
    if is_cut:  # a thread runs on, though nobody waits for its answer any more
        log.warning("requests were cut that took longer than --drain %g s", config.drain)
        os._exit(1)


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
    try:
        with observer(repository, config) as observed:
            with _answering(repository, observed, config) as base:
                yield base
    finally:
        repository.close()


@contextlib.contextmanager
def _answering(models: Repository, observed: tuple, config: Config) -> Iterator[str]:
    """Answers over HTTP from a thread of this process; yields the base URL."""
    with _listen(config) as listener:
        server = Server(App(models, config, *observed), config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield url(config, *listener.getsockname()[:2])
        finally:
            server.stop()
            thread.join()


@contextlib.contextmanager
def _stand_in(models: Repository, observed: tuple, config: Config) -> Iterator[None]:
    """Answers on both ports that the models are being loaded, and that the server lives."""
    grpc = None if config.grpc_port is None else grpc_server.start(models, config, observed[0])
    try:
        # A client that is slow to be told so must not keep the fronts from being looked after.
        with _answering(models, observed, dataclasses.replace(config, drain=min(config.drain, 1))):
            yield
    finally:
        if grpc:
            grpc.stop(0)


@contextlib.contextmanager
def observer(models: Repository, config: Config) -> Iterator[tuple[Callable, Callable]]:
    """Yields what takes each call at its end, and what returns the numbers for Prometheus.

    Args:
        models: those whose states and queues are counted.
        config: the server's options: whether there is a request log.
    """
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
    app: App,
    models: Repository,
    listener: socket.socket,
    config: Config,
    observe: Callable[[Call], None],
    as_json: bool,
) -> bool:
    """Answers health checks from the first moment on, and loads the models meanwhile.

    Returns whether the drain was too short for what was under way.
    """
    grpc = None if config.grpc_port is None else grpc_server.start(models, config, observe)
    http = Server(app, config)
    stopped = asyncio.Event()

    loop, since = asyncio.get_running_loop(), []

    def stop() -> None:
        since.append(loop.time())
        if since[-1] - since[0] > stopping.ONE_STOP:
            log.warning("stopped for the second time: what is under way is cut")
            os._exit(1)  # whatever a thread still runs
        log.info("stopping: what is under way is answered, within %g s", config.drain)
        stopped.set()
        app.drain()
        http.stop()

    signals = stopping.signals()
    for number in signals:
        loop.add_signal_handler(number, stop)
    serving = asyncio.create_task(http.serve(sockets=[listener]))
    load = asyncio.sleep(0) if config.fronts > 1 else asyncio.to_thread(models.load)
    loading = asyncio.create_task(load)
    waiting = asyncio.create_task(stopped.wait())
    try:
        await asyncio.wait([loading, waiting], return_when=asyncio.FIRST_COMPLETED)
        if not stopped.is_set():
            loading.result()
            models.watch()
            ready = {
                "rest": url(config, *listener.getsockname()[:2]),
                "grpc": grpc and address(config.host, grpc.port),
                "models": served(models),
                "refused": models.refused(),
            }
            print(ready_line(ready, as_json) + "\n", end="", flush=True)  # in one piece
            await waiting
    finally:
        http.stop()
        ending = [serving, asyncio.to_thread(grpc.stop, config.drain)] if grpc else [serving]
        await asyncio.gather(*ending)
        is_cut = app.is_busy or bool(grpc and grpc.is_busy)
        if not is_cut:
            await asyncio.to_thread(models.close)
            await asyncio.wait([loading])
        waiting.cancel()
        for number in signals:
            loop.remove_signal_handler(number)
    return is_cut


def _listen(config: Config) -> socket.socket:
    return bind(config.host, config.port, is_shared=config.fronts > 1)


def _raise_limit_of_files() -> None:
    """Lets the process hold as many connections as the machine allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def bind(host: str, port: int, is_shared: bool = False) -> socket.socket:
    """Returns a listening socket, or says why there is none.

    Args:
        host: address to listen on.
        port: 0 for a free one.
        is_shared: whether other processes may listen there too (SO_REUSEPORT).

    Raises:
        InputError: for an address that is not of this machine, and a port that cannot be had.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"got --port {port}, expected 0 to 65535")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048, reuse_port=is_shared)
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


def url(config: Config, host: str, port: int) -> str:
    """Returns the base URL of a server that listens there."""
    scheme = "https" if config.tls_certificate else "http"
    return f"{scheme}://{address(host, port)}"


def address(host: str, port: int) -> str:
    """Returns `HOST:PORT`, as URLs and gRPC have it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def served(models: Repository) -> list[dict]:
    """Returns name, version and executor of each version that serves, for the ready line."""
    return [
        {"name": model.name, "version": model.version, "executor": model.executor.name}
        for model in models.loaded()
    ]


def ready_line(ready: dict, as_json: bool) -> str:
    """Returns the ready line.

    Args:
        ready: `rest` and `grpc`, the addresses (None without gRPC), `models`, as `served`, and
            `refused`: what keeps the server from being ready.
        as_json: whether programs are to read it.
    """
    if as_json:
        return json.dumps(ready)
    names = ", ".join("{name}/{version} by {executor}".format(**each) for each in ready["models"])
    addresses = "{rest} and, for gRPC, {grpc}" if ready["grpc"] else "{rest}"
    where = f"{addresses.format(**ready)} ({names})"
    if refused := ready.get("refused"):
        reasons = "; ".join(f"{which}: {why}" for which, why in refused.items())
        return f"dlcv serve: answers at {where}, but is not ready: {reasons}"
    return f"dlcv serve: ready at {where}"
