"""One replica of the server on Ray: the models, the application and the RPCs as Ray calls them."""

import asyncio
import dataclasses
import os
import pathlib
import tempfile
from concurrent import futures

import grpc

from dlcv_tf.serve import grpc_health, grpc_methods, grpc_server
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.errors import ServingError
from dlcv_tf.serve.repository import Repository

HEALTH_CHECK = f"/{grpc_health.SERVICE}/Check"


class Models:
    """A replica: the models, and what answers requests for them.

    Args:
        options: the fields of the server's `Config`.
        run: names the directory, on this machine, in which the replicas count together.
    """

    def __init__(self, options: dict, run: str):
        config = Config(**options)
        # Each replica has a part of the machine, and cannot change the models of all others.
        self._config = dataclasses.replace(config, fronts=max(config.replicas, config.max_replicas))
        _count_together(run)
        from dlcv_tf.serve import app, server

        self._models = Repository(self._config)
        self._models.load()
        self._models.watch()
        self._observing = server.observer(self._models, self._config)
        observe, numbers = self._observing.__enter__()
        self._app = app.App(self._models, self._config, observe, numbers)
        self._runner = grpc_methods.Runner(self._models, self._config, observe)
        self._health = grpc_health.Health(self._models).handlers(None)
        self._threads = futures.ThreadPoolExecutor(self._config.request_threads, "grpc")

    def __serve_build_asgi_app__(self):
        app = self._app

        async def mounted(scope, receive, send) -> None:
            async def forward(message) -> None:
                headers = message.get("headers", ())
                # Ray's proxy sends that one itself, with the same value.
                kept = [pair for pair in headers if pair[0] != b"x-request-id"]
                await send(message | ({"headers": kept} if headers else {}))

            if scope["type"] != "lifespan":
                await app(scope, receive, forward)
                return
            while (await receive())["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})

        return mounted

    async def served(self) -> list[dict]:
        """Returns what `server.served` returns, of this replica."""
        from dlcv_tf.serve import server

        return server.served(self._models)

    async def answer_rpc(self, path: str, data: bytes, given) -> "_Message":
        """Answers a unary RPC in a thread.

        Args:
            path: of the RPC.
            data: its request.
            given: Ray's context of the RPC.
        """
        return await self._in_thread(lambda: self._answer_one(path, data, _Context(given)))

    async def _in_thread(self, function):
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    def _answer_one(self, path: str, data: bytes, context: "_Context") -> "_Message":
        try:
            if path == HEALTH_CHECK:
                return _Message(self._health[path].unary_unary(data, context))
            method = grpc_server.METHODS[path]
            try:
                grpc_methods.check_caller(self._config, context.invocation_metadata())
            except ServingError as error:
                self._runner.refuse(method, error, context)
            handler = self._runner.handler(method)
            if method.on_error:
                return _Message(next(handler.stream_stream(iter([data]), context)))
            return _Message(handler.unary_unary(data, context))
        except _AbortedError:
            return _Message(b"")  # the context has the code, which is what the client gets

    async def answer_stream(self, path: str, requests, given):
        """Answers each message of a stream, one after the other."""
        context = _Context(given)
        async for data in requests:
            response = await self._in_thread(lambda d=data: self._answer_one(path, d, context))
            if context.is_aborted:
                return
            yield response

    def __del__(self):
        if hasattr(self, "_threads"):
            self._models.close()
            self._observing.__exit__(None, None, None)


class _Message:
    """Bytes that Ray takes for a protobuf message."""

    def __init__(self, data: bytes):
        self._data = data

    def SerializeToString(self) -> bytes:
        return self._data


class _AbortedError(Exception):
    """Ends an RPC whose code is set already."""


class _Context:
    """Ray's context of an RPC as a `grpc.ServicerContext`, as far as `grpc_methods` asks it.

    Ray does not tell the replica the client's deadline; it ends the RPC itself when it passes.
    """

    def __init__(self, given):
        self._given = given
        self.is_aborted = False

    def invocation_metadata(self) -> list[tuple[str, str]]:
        return self._given.invocation_metadata()

    def peer(self) -> str:
        return self._given.peer()

    def time_remaining(self) -> None:
        return None

    def set_trailing_metadata(self, metadata) -> None:
        self._given.set_trailing_metadata(list(metadata))

    def abort(self, code: grpc.StatusCode, details: str):
        self.is_aborted = True
        self._given.set_code(code)
        self._given.set_details(details)
        raise _AbortedError(details)


def _rpc(path: str):
    """Returns the method of `Models` that Ray calls for an RPC."""

    async def unary(self, request, grpc_context):
        return await self.answer_rpc(path, request, grpc_context)

    async def stream(self, requests, grpc_context):
        async for response in self.answer_stream(path, requests, grpc_context):
            yield response

    method = grpc_server.METHODS.get(path)
    return stream if method and method.on_error else unary


for _path in (*grpc_server.METHODS, HEALTH_CHECK):
    setattr(Models, _path.rpartition("/")[2], _rpc(_path))


def counts(run: str) -> pathlib.Path:
    """Returns the directory, on this machine, of what the replicas count together."""
    return pathlib.Path(tempfile.gettempdir()) / f"dlcv-metrics-{run}"


def _count_together(run: str) -> None:
    """Has prometheus_client, not imported yet, count in files that all replicas here read."""
    directory = counts(run)
    directory.mkdir(mode=0o700, exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    from prometheus_client import multiprocess

    for file in directory.glob("gauge_live*_*.db"):
        process = file.stem.rpartition("_")[2]
        if not pathlib.Path("/proc", process).exists():  # a replica that died
            multiprocess.mark_process_dead(process)
