"""One RPC, from bytes to bytes: who may call, parsing, deadline, errors, what is measured."""

import dataclasses
import logging
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator

import grpc
from google.protobuf.message import DecodeError

from dlcv_tf.errors import InputError
from dlcv_tf.serve import access, memory
from dlcv_tf.serve.call import Call, request_id
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.errors import Code, ServingError, internal, invalid
from dlcv_tf.serve.repository import Repository

log = logging.getLogger(__name__)

STATUS_CODES = {code.value[0]: code for code in grpc.StatusCode}
MAX_DETAILS = 1024  # characters of an error (TF Serving's grpc_status_util.cc); longer ones are cut
NO_DEADLINE = 1e9  # seconds: gRPC says ages, rather than None, where the client gives no deadline


@dataclasses.dataclass(frozen=True)
class Method:
    """A method of a service.

    Args:
        api: of the protocol, for `Call.api`.
        name: of the method, for `Call.method`.
        request_class: of its request message.
        answer: `(request, models, config, call)` to the response message.
        on_error: for streams: `(bytes of the request, ServingError)` to the response that tells of
            it.
    """

    api: str
    name: str
    request_class: type
    answer: Callable
    on_error: Callable | None = None


class Runner:
    """Runs the methods of all services but health.

    Args:
        models: who answers.
        config: the server's options.
        observe: gets every call at its end.
    """

    def __init__(self, models: Repository, config: Config, observe: Callable[[Call], None]):
        self._models = models
        self._config = config
        self._observe = observe
        self._bodies = memory.bodies(config)
        # Those that wait for a turn are all in memory.
        self._capacity = memory.Capacity(config.max_bodies)
        self._turns = threading.BoundedSemaphore(config.request_threads)

    def handler(self, method: Method) -> grpc.RpcMethodHandler:
        """Returns gRPC's handler of a method, which takes and gives bytes."""
        if method.on_error:
            return grpc.stream_stream_rpc_method_handler(
                lambda requests, context: self._answer_stream(method, requests, context)
            )
        return grpc.unary_unary_rpc_method_handler(
            lambda data, context: self._answer(method, data, context)
        )

    def refuse(self, method: Method, error: ServingError, context: grpc.ServicerContext) -> None:
        """Ends an RPC with an error before its request has been read."""
        call = Call(api=method.api, method=method.name, request_id=_request_id(context))
        call.peer = self._peer(context)
        _failed(call, error)
        self._observe(call)
        _abort(context, error)

    def _answer(self, method: Method, data: bytes, context: grpc.ServicerContext) -> bytes:
        call = self._call(method, data, context)
        try:
            return self._run(method, data, call)
        except Exception as error:
            failure = _failed(call, error)
        finally:
            self._observe(call)
        return _abort(context, failure)

    def _answer_stream(
        self, method: Method, requests: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        """Answers one message after the other; an error is an answer, and the stream goes on."""
        for data in requests:
            call = self._call(method, data, context)
            try:
                response = self._run(method, data, call)
            except Exception as error:
                failure = _failed(call, error)
                response = method.on_error(data, failure).SerializeToString()
            finally:
                self._observe(call)
            yield response

    def _run(self, method: Method, data: bytes, call: Call) -> bytes:
        with self._capacity.take(len(data)):
            return self._run_in_turn(method, data, call)

    def _run_in_turn(self, method: Method, data: bytes, call: Call) -> bytes:
        with call.stage("queue"):
            self._take_turn(call)
        try:
            with self._bodies.hold(len(data), call):
                with call.stage("parse"):
                    request = _parse(method.request_class, data)
                response = method.answer(request, self._models, self._config, call)
            with call.stage("render"):
                body = response.SerializeToString()
        finally:
            self._turns.release()
        call.bytes_out = len(body)
        return body

    def _take_turn(self, call: Call) -> None:
        if not self._turns.acquire(blocking=False):
            left = call.deadline - time.monotonic()
            if left <= 0 or not self._turns.acquire(timeout=left):
                call.check_deadline()
                raise ServingError(Code.DEADLINE_EXCEEDED, "the deadline passed in the queue")

    def _peer(self, context: grpc.ServicerContext) -> str:
        """Returns the client's address, which only the log wants to know."""
        if self._config.request_log is None:
            return ""
        return urllib.parse.unquote(context.peer().partition(":")[2])  # ipv6:%5B::1%5D:5001

    def _call(self, method: Method, data: bytes, context: grpc.ServicerContext) -> Call:
        left = context.time_remaining()
        if left is None or left > NO_DEADLINE:
            left = self._config.timeout
        return Call(
            api=method.api,
            method=method.name,
            deadline=time.monotonic() + left,
            request_id=_request_id(context),
            peer=self._peer(context),
            bytes_in=len(data),
            body=data if self._config.log_pictures else None,
        )


def check_caller(config: Config, metadata) -> None:
    """Raises UNAUTHENTICATED unless the metadata of an RPC bring the token, if there is one."""
    if config.token is not None:
        given = next((value for key, value in metadata if key == "authorization"), "")
        access.check_token(config, given if isinstance(given, str) else "")


def _parse(request_class: type, data: bytes):
    try:
        return request_class.FromString(data)
    except DecodeError as error:
        name = request_class.DESCRIPTOR.full_name
        raise invalid(f"got {len(data)} bytes that are no {name}: {error}") from None


def _failed(call: Call, error: Exception) -> ServingError:
    """Writes an error into the call; returns it as one that the client may see."""
    if isinstance(error, InputError):
        error = invalid(str(error))
    elif not isinstance(error, ServingError):
        log.error("failed to answer %s %s", call.api, call.method, exc_info=error)
        error = internal(error)
    call.code, call.error = error.code, error.message
    return error


def _abort(context: grpc.ServicerContext, error: ServingError):
    """Ends an RPC with an error; never returns."""
    details = error.message
    if len(details) > MAX_DETAILS:
        details = details[:MAX_DETAILS] + "...TRUNCATED"
    if error.code == Code.UNAVAILABLE:
        # gRPC's own Retry-After, in milliseconds, heeded by clients that have a retry policy.
        context.set_trailing_metadata((("grpc-retry-pushback-ms", "1000"),))
    return context.abort(STATUS_CODES[int(error.code)], details)


def _request_id(context: grpc.ServicerContext) -> str:
    for key, value in context.invocation_metadata():
        if key == "x-request-id":
            return request_id(value)
    return request_id()
