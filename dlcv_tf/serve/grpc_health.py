"""gRPC's health service: whether the server, its services and its models answer.

Reference: https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

import dataclasses
import threading
from collections.abc import Callable
from concurrent import futures

import grpc
from google.protobuf.message import DecodeError

from dlcv_tf.artifact import inference_messages
from dlcv_tf.serve.repository import Repository

SERVICE = "grpc.health.v1.Health"
INTERVAL = 0.25  # seconds between two looks at what is watched

# The server as a whole, TF Serving's short names, and the full ones that gRPC's own clients use.
SERVICES = (
    "",
    "ModelService",
    "PredictionService",
    "tensorflow.serving.ModelService",
    "tensorflow.serving.PredictionService",
    "inference.GRPCInferenceService",
)


@dataclasses.dataclass
class _Watcher:
    """A client that watches: what, what it heard last, and what is on its way to it."""

    service: str
    send: Callable
    heard: str = ""
    sending: futures.Future | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether nothing is on its way: gRPC sends one message after the other."""
        return self.sending is None or self.sending.done()


class Health:
    """Answers Check and Watch, the latter without a thread for each watcher.

    Args:
        models: whose health it is; a service is well once all models have been looked at, a model
            while one of its versions serves.
    """

    def __init__(self, models: Repository):
        self._models = models
        self._is_stopped = threading.Event()
        self._lock = threading.Lock()
        self._watchers: list[_Watcher] = []
        # A client that does not read may hold one of these for long, but not what looks.
        self._senders = futures.ThreadPoolExecutor(8, "health")
        self._thread: threading.Thread | None = None

    def handlers(self, threads: futures.ThreadPoolExecutor) -> dict[str, grpc.RpcMethodHandler]:
        """Returns the handlers of the service's methods by their paths.

        Args:
            threads: answer, so that health does not wait for those of the requests.
        """

        def check(data: bytes, context: grpc.ServicerContext) -> bytes:
            return self._check(data, context)

        def watch(data: bytes, context: grpc.ServicerContext, send: Callable) -> None:
            self._watch(data, context, send)

        check.experimental_thread_pool = watch.experimental_thread_pool = threads
        watch.experimental_non_blocking = True
        return {
            f"/{SERVICE}/Check": grpc.unary_unary_rpc_method_handler(check),
            f"/{SERVICE}/Watch": grpc.unary_stream_rpc_method_handler(watch),
        }

    def status(self, service: str) -> str:
        """Returns the name of a service's or a model's ServingStatus."""
        if service in SERVICES:
            is_well = self._models.ready
        elif service in self._models.names():
            is_well = self._models.model_ready(service)
        else:
            return "SERVICE_UNKNOWN"
        return "SERVING" if is_well and not self._is_stopped.is_set() else "NOT_SERVING"

    def stop(self) -> None:
        """Says NOT_SERVING from now on, and ends the watches: the server takes no more requests."""
        self._is_stopped.set()
        with self._lock:
            watchers, self._watchers = self._watchers, []
        self._senders.shutdown(wait=False)
        # In a thread, since a client that does not read would keep the server from stopping.
        threading.Thread(target=self._end, args=(watchers,), daemon=True).start()

    def _check(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        service = _service(data, context)
        status = self.status(service)
        if status == "SERVICE_UNKNOWN":
            known = ", ".join(filter(None, [*SERVICES, *self._models.names()]))
            text = f"got service {service!r}, expected none or one of {known}"
            context.abort(grpc.StatusCode.NOT_FOUND, text)
        return _response(status)

    def _watch(self, data: bytes, context: grpc.ServicerContext, send: Callable) -> None:
        watcher = _Watcher(_service(data, context), send)
        with self._lock:
            if self._is_stopped.is_set():
                context.abort(grpc.StatusCode.UNAVAILABLE, "the server stops")
            self._watchers.append(watcher)
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep_looking, daemon=True)
                self._thread.start()
        if not context.add_callback(lambda: self._forget(watcher)):
            self._forget(watcher)  # it has gone already
        self._look()

    def _end(self, watchers: list[_Watcher]) -> None:
        """Tells watchers the last of it, and that no more will come."""
        futures.wait([watcher.sending for watcher in watchers if watcher.sending], timeout=1)
        for watcher in watchers:
            status = self.status(watcher.service)
            if watcher.is_waiting and status != watcher.heard:
                watcher.send(_response(status))
            watcher.send(None)

    def _forget(self, watcher: _Watcher) -> None:
        with self._lock:
            if watcher in self._watchers:
                self._watchers.remove(watcher)

    def _keep_looking(self) -> None:
        while not self._is_stopped.wait(INTERVAL):
            self._look()

    def _look(self) -> None:
        """Sends every watcher the status that it has not heard yet."""
        with self._lock:
            for watcher in self._watchers:
                status = self.status(watcher.service)
                if status != watcher.heard and watcher.is_waiting:
                    watcher.heard = status
                    watcher.sending = self._senders.submit(watcher.send, _response(status))


def _service(data: bytes, context: grpc.ServicerContext) -> str:
    try:
        return inference_messages.HealthCheckRequest.FromString(data).service
    except DecodeError as error:
        text = f"got bytes that are no HealthCheckRequest: {error}"
        return context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)


def _response(status: str) -> bytes:
    message = inference_messages.HealthCheckResponse(
        status=inference_messages.HealthCheckResponse.ServingStatus.Value(status)
    )
    return message.SerializeToString()
