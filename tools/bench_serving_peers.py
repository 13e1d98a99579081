"""The servers that `tools/bench_serving.py` compares: environments, how each starts and is asked.

Each runs the same ONNX file in ONNX Runtime with one thread, as its own documents say for most
throughput; batches are as large as was fastest here.
"""

import base64
import dataclasses
import json
import os
import pathlib
import secrets
import subprocess
import sys

import bench_serving_net as net
import numpy as np
from bench_serving_load import Way

from dlcv_tf.artifact import inference_messages, tfs_messages

SCRIPTS = pathlib.Path(__file__).parent / "peers"
PORT, GRPC_PORT = 18501, 18500
ONNX_RUNTIME = "onnxruntime==1.32.0"
OURS = "dlcv"
KSERVE_GRPC = "/inference.GRPCInferenceService/ModelInfer"


@dataclasses.dataclass(frozen=True)
class Peer:
    """A server of others.

    Args:
        title: for the tables.
        requirements: what its environment holds, the server itself first.
        python: the interpreter its environment is made with.
        environment: whose environment it shares; its own if empty.
        batch: most pictures that run together, of 1, 8 and 32 the quickest here.
    """

    title: str
    requirements: tuple[str, ...]
    python: str = sys.executable
    environment: str = ""
    batch: int = 1


PEERS = {
    # Triton loads the system's libpython, which must fit the environment's standard library.
    "pytriton": Peer(
        "PyTriton", ("nvidia-pytriton==0.7.0", ONNX_RUNTIME), "/usr/bin/python3", batch=32
    ),
    "litserve": Peer("LitServe", ("litserve==0.2.19", ONNX_RUNTIME)),
    "litserve-bytes": Peer("LitServe", ("litserve==0.2.19",), environment="litserve"),
    "mlserver": Peer("MLServer", ("mlserver==1.7.1", ONNX_RUNTIME)),
    "ray": Peer("Ray Serve", ("ray[serve]==2.60.0", ONNX_RUNTIME)),
}
NAMES = (OURS, *PEERS)


def set_up(folder: pathlib.Path, names: list[str]) -> None:
    """Makes the environment of each peer."""
    for name in names:
        if PEERS[name].environment:
            continue
        print(f"{name}: {', '.join(PEERS[name].requirements)}", flush=True)
        make = [PEERS[name].python, "-m", "venv", "--without-pip", folder / name]
        subprocess.run(make, check=True)
        pip = [sys.executable, "-m", "pip", "--python", python(folder, name), "install", "--quiet"]
        subprocess.run([*pip, *PEERS[name].requirements], check=True)


def python(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Returns the interpreter of a server's environment."""
    if name == OURS:
        return pathlib.Path(sys.executable)
    return folder / (PEERS[name].environment or name) / "bin" / "python"


def versions(folder: pathlib.Path, name: str) -> dict[str, str]:
    """Returns the versions of the server and of ONNX Runtime in a server's environment."""
    packages = ["dlcv_tf"]
    if name != OURS:
        packages = [PEERS[name].requirements[0].partition("==")[0].partition("[")[0]]
    packages += ["onnxruntime", "numpy"]
    code = "import sys, json, importlib.metadata as m; "
    code += "print(json.dumps({name: m.version(name) for name in sys.argv[1:]}))"
    command = [python(folder, name), "-c", code, *packages]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def command(
    name: str, folder: pathlib.Path, model: pathlib.Path
) -> tuple[list[str], dict[str, str]]:
    """Returns how a server starts: program and arguments, and what its environment adds.

    Args:
        name: of the server.
        folder: of the environments.
        model: the ONNX file of the artifact.
    """
    program = str(python(folder, name))
    ports = [str(PORT), str(GRPC_PORT)]
    if name == OURS:
        options = ["serve", "--models", str(model.parents[2]), "--executor", "onnx"]
        options += ["--threads", "1", "--port", ports[0], "--grpc-port", ports[1]]
        return [program, "-m", "dlcv_tf.cli.main", *options], {}
    batch = PEERS[name].batch
    if name == "mlserver":
        return _mlserver(program, model, batch)
    script = {"pytriton": "pytriton_server.py", "ray": "ray_server.py"}
    arguments = [str(SCRIPTS / script.get(name, "litserve_server.py")), str(model), ports[0]]
    if name == "pytriton":
        return [program, *arguments, ports[1], str(batch)], {}
    if name == "ray":
        return [program, *arguments, str(batch)], _ray(model)
    return [program, *arguments, str(batch), name], {}


def _mlserver(program: str, model: pathlib.Path, batch: int) -> tuple[list[str], dict[str, str]]:
    """MLServer runs the network in its own process: with one core, another one only costs."""
    folder = model.parent / "mlserver"
    folder.mkdir(exist_ok=True)
    settings = {"name": net.NAME, "implementation": "mlserver_runtime.OnnxRuntime"}
    settings["parameters"] = {"uri": str(model)}
    if batch > 1:
        settings |= {"max_batch_size": batch, "max_batch_time": 0.001}
    (folder / "model-settings.json").write_text(json.dumps(settings))
    environment = {
        "PYTHONPATH": str(SCRIPTS),
        "MLSERVER_HOST": "127.0.0.1",
        "MLSERVER_HTTP_PORT": str(PORT),
        "MLSERVER_GRPC_PORT": str(GRPC_PORT),
        "MLSERVER_PARALLEL_WORKERS": "0",
        "MLSERVER_DEBUG": "false",
    }
    return [str(pathlib.Path(program).with_name("mlserver")), "start", str(folder)], environment


def _ray(model: pathlib.Path) -> dict[str, str]:
    """Ray's guide to high throughput: HAProxy before the replicas, which answer it directly."""
    folder = model.parents[3] / "ha"  # the path of a socket must be short
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_raylet_start_wait_time_s": "120",  # it gives up early on one core
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.fspath(SCRIPTS),
    }


def ways(name: str) -> list[Way]:
    """Returns the ways to ask a server for the picture's probabilities."""
    image = net.picture()
    if name == OURS:
        return [
            _predict(image),
            _kserve_grpc("gRPC, KServe v2", image),
            _kserve_binary("HTTP, KServe v2 tensors as bytes", image),
            _predict_json(image),
        ]
    if name == "pytriton":
        return [
            _kserve_grpc("gRPC, KServe v2", image),
            _kserve_binary("HTTP, KServe v2 tensors as bytes", image),
        ]
    if name == "litserve":
        return [_base64(image)]
    if name == "litserve-bytes":
        return [_raw("HTTP, bytes", "/predict", image)]
    if name == "mlserver":
        return [_kserve_grpc("gRPC, KServe v2", image), _kserve_json(image)]
    return [_raw("HTTP, bytes", "/", image)]


def _predict(image: np.ndarray) -> Way:
    request = tfs_messages.PredictRequest(model_spec={"name": net.NAME})
    request.inputs[net.INPUT].CopyFrom(tfs_messages.tensor(image))

    def read(answer: bytes) -> np.ndarray:
        response = tfs_messages.PredictResponse.FromString(answer)
        return np.array([response.outputs[net.OUTPUT].float_val], np.float32)

    path = "/tensorflow.serving.PredictionService/Predict"
    return Way("gRPC, TF Serving", path, request.SerializeToString(), is_grpc=True, read=read)


def _kserve_grpc(name: str, image: np.ndarray) -> Way:
    request = inference_messages.ModelInferRequest(model_name=net.NAME)
    request.inputs.add(name=net.INPUT, datatype="FP32", shape=image.shape)
    request.raw_input_contents.append(image.tobytes())

    def read(answer: bytes) -> np.ndarray:
        response = inference_messages.ModelInferResponse.FromString(answer)
        if response.raw_output_contents:
            return np.frombuffer(response.raw_output_contents[0], np.float32)[None]
        return np.array([response.outputs[0].contents.fp32_contents], np.float32)

    return Way(name, KSERVE_GRPC, request.SerializeToString(), is_grpc=True, read=read)


def _kserve_binary(name: str, image: np.ndarray) -> Way:
    body, length = net.kserve_body(net.INPUT, image, net.OUTPUT)
    headers = {"Content-Type": "application/octet-stream"}
    headers["Inference-Header-Content-Length"] = str(length)

    def read(answer: bytes) -> np.ndarray:
        return np.frombuffer(answer[-4 * net.CLASSES :], np.float32)[None]

    return Way(name, f"/v2/models/{net.NAME}/infer", body, headers, read=read)


def _predict_json(image: np.ndarray) -> Way:
    body = json.dumps({"instances": image.tolist()}).encode()
    return _json("HTTP, TF Serving JSON", f"/v1/models/{net.NAME}:predict", body, "predictions")


def _kserve_json(image: np.ndarray) -> Way:
    data = image.reshape(-1).tolist()
    tensor = {"name": net.INPUT, "shape": list(image.shape), "datatype": "FP32", "data": data}
    body = json.dumps({"inputs": [tensor]}).encode()
    path = f"/v2/models/{net.NAME}/infer"

    def read(answer: bytes) -> np.ndarray:
        return np.array([json.loads(answer)["outputs"][0]["data"]], np.float32)

    headers = {"Content-Type": "application/json"}
    return Way("HTTP, KServe v2 JSON", path, body, headers, read=read)


def _base64(image: np.ndarray) -> Way:
    body = json.dumps({"images": base64.b64encode(image.tobytes()).decode()}).encode()
    return _json("HTTP, base64 in JSON", "/predict", body, net.OUTPUT)


def _json(name: str, path: str, body: bytes, key: str) -> Way:
    def read(answer: bytes) -> np.ndarray:
        return np.array(json.loads(answer)[key], np.float32).reshape(1, -1)

    return Way(name, path, body, {"Content-Type": "application/json"}, read=read)


def _raw(name: str, path: str, image: np.ndarray) -> Way:
    def read(answer: bytes) -> np.ndarray:
        return np.frombuffer(answer, np.float32)[None]

    headers = {"Content-Type": "application/octet-stream"}
    return Way(name, path, image.tobytes(), headers, read=read)
