"""The server on Ray: what needs no Ray, and, where Ray is, a cluster in a network of its own."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys

import pytest

from dlcv_tf.errors import InputError
from dlcv_tf.serve import grpc_server, ray_engine, ray_replica
from dlcv_tf.serve.config import Config
from tests.serve.test_server import dlcv_serve, failure

HAS_RAY = importlib.util.find_spec("ray") is not None


@pytest.mark.skipif(HAS_RAY, reason="Ray is installed")
def test_a_missing_ray_says_how_to_have_it(models_dir):
    message = failure("--engine", "ray", "--models", str(models_dir))
    assert "without Ray" in message and "pip install '.[ray]'" in message
    with pytest.raises(InputError, match="without Ray"):
        ray_engine.application({"models": str(models_dir)})


def test_the_options_of_the_deployment_follow_from_the_servers():
    config = Config(request_threads=8, queue=9, drain=3.0, replicas=2)
    options = ray_engine.deployment_options(config)
    assert options["num_replicas"] == 2 and "autoscaling_config" not in options
    assert (options["max_ongoing_requests"], options["max_queued_requests"]) == (8, 9)
    assert options["graceful_shutdown_timeout_s"] == 3.0
    assert options["max_surge_percent"] == 100  # new replicas serve before old ones stop
    scaled = ray_engine.deployment_options(Config(replicas=2, max_replicas=5))
    assert scaled["autoscaling_config"] == {"min_replicas": 2, "max_replicas": 5}
    assert "num_replicas" not in scaled


def test_fronts_are_the_embedded_servers(models_dir):
    message = failure("--engine", "ray", "--fronts", "2", "--models", str(models_dir))
    assert "say how many with --replicas" in message


@pytest.mark.skipif(not HAS_RAY, reason="Ray, an extra, is not installed")
def test_ray_looks_at_its_proxies_every_second():
    code = (
        "from dlcv_tf.serve import ray_engine; ray_engine._prepare(); "
        "from ray.serve._private import constants; print(constants.PROXY_HEALTH_CHECK_PERIOD_S)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert float(done.stdout.split()[-1]) == 1.0


def test_print_config_shows_the_engine():
    arguments = ("--print-config", "--engine", "ray", "--replicas", "2", "--max-replicas", "4")
    with dlcv_serve(*arguments) as process:
        options = json.loads(process.communicate(timeout=20)[0])
    assert (options["engine"], options["replicas"], options["max_replicas"]) == ("ray", 2, 4)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"model": "x"}, r"got args \['model'\], expected some of .*'models'"),
        ({"token": "secret"}, r"got args \['token'\], .*'token_file'"),
        ({"token_file": "/no/such/file"}, "token_file /no/such/file, which cannot be read"),
        ({"replicas": 0}, "got replicas 0, expected a number from 1 up"),
    ],
)
def test_wrong_arguments_of_the_application_are_named(args, message):
    with pytest.raises(InputError, match=message):
        ray_engine.application(args)


def test_the_replica_has_every_rpc_and_the_proxy_is_told_of_it():
    added = {}

    class Server:
        def add_generic_rpc_handlers(self, handlers):
            for handler in handlers:
                added.update(handler._method_handlers)

    ray_engine.add_to_server(ray_replica.Models, Server())
    assert set(added) == {*grpc_server.METHODS, "/grpc.health.v1.Health/Check"}
    for path, handler in added.items():
        assert callable(getattr(ray_replica.Models, path.rpartition("/")[2]))
        assert handler.request_deserializer is None  # the proxy passes bytes on


@pytest.mark.slow
@pytest.mark.skipif(not HAS_RAY, reason="Ray, an extra, is not installed")
@pytest.mark.skipif(not shutil.which("unshare") or not shutil.which("ip"), reason="no unshare, ip")
def test_two_replicas_answer_as_the_embedded_server_does(models_dir, tmp_path):
    """In a network namespace: Ray listens on all interfaces."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = ["unshare", "--map-root-user", "--net", "sh", "-c"]
    command += ['ip link set lo up && exec "$@"', "sh", sys.executable, str(program)]
    done = subprocess.run(
        [*command, str(models_dir)],
        capture_output=True,
        text=True,
        timeout=180,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    )
    assert done.returncode == 0, done.stdout + done.stderr


PROGRAM = """
import json, sys, time, urllib.error, urllib.request
import grpc
from dlcv_tf.artifact import inference_messages, tfs_messages
from tests.serve.test_server import dlcv_serve, ready

arguments = ("--engine", "ray", "--replicas", "2", "--port", "0", "--json", "--models", sys.argv[1])
with dlcv_serve(*arguments) as process:
    line = json.loads(ready(process))
    assert [model["name"] for model in line["models"]] == ["grey", "tiny"], line
    body = b'{"instances": [[[[1, 2, 3]]]]}'
    for _ in range(8):
        url = line["rest"] + "/v1/models/tiny:predict"
        answer = json.load(urllib.request.urlopen(url, body))
        assert len(answer["predictions"][0]["probabilities"]) == 6, answer
    try:
        urllib.request.urlopen(line["rest"] + "/v1/models/none")
        raise AssertionError
    except urllib.error.HTTPError as error:
        assert error.code == 404 and b"Could not find any versions" in error.read()
    metrics = urllib.request.urlopen(line["rest"] + "/metrics").read().decode()
    assert 'code="OK",method="predict",model="tiny",version="10"} 8.0' in metrics, metrics
    with grpc.insecure_channel(line["grpc"]) as channel:
        def call(path, data):
            return channel.unary_unary(path)(data, timeout=20)
        health = inference_messages.HealthCheckResponse.FromString(
            call("/grpc.health.v1.Health/Check", b"")
        )
        assert health.status == 1
        request = tfs_messages.GetModelStatusRequest()
        request.model_spec.name = "tiny"
        path = "/tensorflow.serving.ModelService/GetModelStatus"
        status = tfs_messages.GetModelStatusResponse.FromString(
            call(path, request.SerializeToString())
        )
        assert 10 in [each.version for each in status.model_version_status]
        request.model_spec.name = "none"
        try:
            call(path, request.SerializeToString())
            raise AssertionError
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND, error
        infer = inference_messages.ModelInferRequest(model_name="tiny")
        infer.inputs.add(name="images", datatype="UINT8", shape=[1, 1, 1, 3])
        infer.raw_input_contents.append(bytes(3))
        stream = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        answers = list(stream(iter([infer.SerializeToString()] * 3), timeout=20))
        assert len(answers) == 3
    process.terminate()
    assert process.wait(60) == 0, process.stderr.read()
"""
