"""The process that runs one version's SavedModel: `python -m dlcv_tf.serve.tensorflow_worker`.

The only file of the room that imports TensorFlow, and no other file imports it.
`tensorflow_executor.py` starts it and is at the other end of its socket; when that end closes, for
whatever reason, this process ends.
"""

import argparse
import concurrent.futures
import os
import socket
import threading
import time

import numpy as np

from dlcv_tf.serve import worker_messages
from dlcv_tf.serve.errors import Code


def main() -> None:
    """Loads the model, says so, and answers until the other side is gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory")
    parser.add_argument("--socket", type=int, required=True, help="file descriptor")
    parser.add_argument("--lanes", type=int, required=True, help="requests that run at once")
    parser.add_argument("--threads", type=int, help="of one operation")
    parser.add_argument("--gpu-memory", type=int, help="megabytes")
    arguments = parser.parse_args()
    connection = socket.socket(fileno=arguments.socket)
    lock = threading.Lock()  # of sending
    try:
        signatures = _load(arguments)
    except Exception as error:
        worker_messages.send(connection, {"error": f"{type(error).__name__}: {error}"}, {})
        return
    worker_messages.send(connection, {"signatures": sorted(signatures)}, {})
    with concurrent.futures.ThreadPoolExecutor(arguments.lanes) as threads:
        while (message := worker_messages.receive(connection)) is not None:
            threads.submit(_answer, connection, lock, signatures, *message)
        os._exit(0)  # what still runs is for nobody


def _load(arguments: argparse.Namespace) -> dict:
    """Returns the SavedModel's signatures by name."""
    import tensorflow as tf

    if arguments.threads:
        tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    for gpu in tf.config.list_physical_devices("GPU"):
        if arguments.gpu_memory:
            limit = tf.config.LogicalDeviceConfiguration(memory_limit=arguments.gpu_memory)
            tf.config.set_logical_device_configuration(gpu, [limit])
        else:
            tf.config.experimental.set_memory_growth(gpu, True)
    return dict(tf.saved_model.load(arguments.directory).signatures)


def _answer(
    connection: socket.socket,
    lock: threading.Lock,
    signatures: dict,
    header: dict,
    inputs: dict[str, np.ndarray],
) -> None:
    """Runs one request and sends its answer, or what went wrong."""
    answer, outputs = {"id": header["id"]}, {}
    deadline = header["deadline"]  # this clock is the same in all processes
    if deadline is not None and time.monotonic() > deadline:
        return  # the other side has given it up
    try:
        start = time.perf_counter()
        outputs = _run(signatures[header["signature"]], inputs)
        answer["seconds"] = time.perf_counter() - start
    except Exception as error:
        code = getattr(error, "error_code", Code.INTERNAL)  # TensorFlow's are gRPC's
        answer |= {"code": int(code), "error": getattr(error, "message", None) or str(error)}
    try:
        with lock:
            worker_messages.send(connection, answer, outputs)
    except OSError:  # the other side is gone, the main thread sees it too
        pass


def _run(signature, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    import tensorflow as tf

    tensors = {
        name: tf.constant(array, tf.string if array.dtype == object else array.dtype)
        for name, array in inputs.items()
    }
    return {name: tensor.numpy() for name, tensor in signature(**tensors).items()}


if __name__ == "__main__":
    main()
