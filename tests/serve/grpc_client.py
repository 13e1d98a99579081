"""A real gRPC server on a loopback port, and a client of it without generated code."""

import contextlib
import os

import grpc
from google.protobuf import message_factory

from dlcv_tf.artifact import inference_messages, tfs_messages
from dlcv_tf.serve import grpc_server
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.repository import Repository

LIMIT = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Client:
    """Calls a server; every call is kept in `calls`, as the server observed it."""

    def __init__(self, server, models, calls, channel):
        self.server, self.models, self.calls, self.channel = server, models, calls, channel

    @property
    def address(self):
        return f"127.0.0.1:{self.server.port}"

    def __call__(self, path, request, timeout=30, **options):
        """Calls `Service/Method` of any of the services with a message, or with bytes."""
        service_name, name = path.split("/")
        method = service(service_name).methods_by_name[name]
        answer = message_factory.GetMessageClass(method.output_type)
        call = self.channel.unary_unary(
            f"/{method.containing_service.full_name}/{name}",
            response_deserializer=answer.FromString,
        )
        data = request if isinstance(request, bytes) else request.SerializeToString()
        return call(data, timeout=timeout, **options)

    def error(self, path, request, **options):
        """Calls, and returns the code's name and the text of the error there must be."""
        try:
            answer = self(path, request, **options)
        except grpc.RpcError as error:
            return error.code().name, error.details()
        raise AssertionError(f"got an answer, expected an error: {answer}")

    def error_code(self, path, request, **options):
        """Calls, and returns the name of the code, "OK" for an answer."""
        try:
            self(path, request, **options)
        except grpc.RpcError as error:
            return error.code().name
        return "OK"


def service(name):
    """Returns the descriptor of a service by its simple name."""
    packages = {
        "Health": (inference_messages, "grpc.health.v1"),
        "GRPCInferenceService": (inference_messages, "inference"),
    }
    messages, package = packages.get(name, (tfs_messages, "tensorflow.serving"))
    return messages.pool().FindServiceByName(f"{package}.{name}")


@contextlib.contextmanager
def running(directory, load=True, **options):
    """Serves a models directory over gRPC alone."""
    config = Config(models=os.fspath(directory), **{"grpc_port": 0, "poll": 0} | options)
    models, calls = Repository(config), []
    server = grpc_server.start(models, config, calls.append)
    try:
        if load:
            models.load()
        with grpc.insecure_channel(f"127.0.0.1:{server.port}", LIMIT) as channel:
            yield Client(server, models, calls, channel)
    finally:
        server.stop(0)
        models.close()
