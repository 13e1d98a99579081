"""Worker of `tools/bench.py`: runs an artifact with one runtime alone, or through our server.

    bench_inference.py onnx|tflite|tflite_int8|saved_model|server ARTIFACT FILE

FILE holds the pictures, as `bench_training.py pictures` writes them.
"""

import argparse
import base64
import http.client
import io
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable

import numpy as np
from bench_worker import Channel
from PIL import Image

from dlcv_tf.artifact.manifest import Manifest

LARGEST_BATCH = 32
UNCOUNTED_CALLS = 3


def onnx_calls(path: pathlib.Path) -> Callable:
    """Returns what makes calls of a bare ONNX Runtime session, with its own settings."""
    import onnxruntime

    session = onnxruntime.InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images, kind: lambda: session.run(None, {name: images})


def litert_calls(path: pathlib.Path) -> Callable:
    """Returns what makes calls of a bare LiteRT interpreter, with a thread per core."""
    from ai_edge_litert import interpreter as litert

    def calls(images, kind):
        interpreter = litert.Interpreter(os.fspath(path), num_threads=os.cpu_count())
        tensor = interpreter.get_input_details()[0]["index"]
        interpreter.resize_tensor_input(tensor, images.shape)
        interpreter.allocate_tensors()
        outputs = [output["index"] for output in interpreter.get_output_details()]

        def call():
            interpreter.set_tensor(tensor, images)
            interpreter.invoke()
            return [interpreter.get_tensor(output) for output in outputs]

        return call

    return calls


def tensorflow_calls(path: pathlib.Path) -> Callable:
    """Returns what makes calls of the SavedModel's `serving_default` signature."""
    import tensorflow as tf

    loaded = tf.saved_model.load(os.fspath(path))

    def calls(images, kind):
        signature = loaded.signatures["serving_default"]
        return lambda: [value.numpy() for value in signature(images=tf.constant(images)).values()]

    return calls


def server_calls(connection: http.client.HTTPConnection, name: str) -> Callable:
    """Returns what makes requests to the server: all but writing and reading of JSON is timed."""

    def calls(images, kind):
        content_type, body = request_body(images, kind)
        headers = {"Content-Type": content_type}

        def call():
            connection.request("POST", f"/v1/models/{name}:predict", body, headers)
            response = connection.getresponse()
            answer = response.read()
            if response.status != 200:
                raise RuntimeError(f"the server answers {response.status}: {answer[:500]}")
            return answer

        answered = len(json.loads(call())["predictions"])
        if answered != len(images):
            raise RuntimeError(f"the server answers {answered} predictions for {len(images)}")
        return call

    return calls


def request_body(images: np.ndarray, kind: str) -> tuple[str, bytes]:
    """Returns the content type and body of a request.

    Args:
        images: (batch, height, width, channels) uint8.
        kind: `"png"`, the file itself, for a batch of one; `"pixels"`, or `"base64"`, files in
            JSON.
    """
    if kind == "png":
        return "image/png", png(images[0])
    if kind == "pixels":
        request = {"instances": images.tolist()}
    else:
        files = [{"b64": base64.b64encode(png(image)).decode()} for image in images]
        request = {"signature_name": "image_bytes", "instances": files}
    return "application/json", json.dumps(request).encode()


def png(image: np.ndarray) -> bytes:
    """Returns a (height, width, 1 or 3) uint8 picture as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, "PNG")
    return buffer.getvalue()


def pictures(path: str, manifest: Manifest) -> np.ndarray:
    """Returns pictures of the artifact's size: those of the file where they are of that size."""
    shape = (*manifest.preprocessing["size"], manifest.preprocessing["channels"])
    images = np.load(path)["images"][:LARGEST_BATCH]
    if images.shape[1:] == shape:
        return images
    return np.random.default_rng(0).integers(0, 256, (LARGEST_BATCH, *shape), np.uint8)


def answer_requests(channel: Channel, calls: Callable, images: np.ndarray) -> None:
    """Measures blocks of calls on request: the median milliseconds of those in some seconds."""
    prepared = {}
    channel.answer()
    for request in channel.requests():
        batch, kind = request["batch"], request["kind"]
        if (batch, kind) not in prepared:
            prepared[batch, kind] = calls(images[:batch], kind)
        call = prepared[batch, kind]
        for _ in range(UNCOUNTED_CALLS):
            call()
        seconds = []
        while sum(seconds) < request["seconds"]:
            started = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - started)
        channel.answer(milliseconds=1000 * statistics.median(seconds), calls=len(seconds))


def serve_and_answer(channel: Channel, directory: pathlib.Path, images: np.ndarray) -> None:
    """Starts `dlcv serve` as a process of its own and calls it over loopback."""
    command = [pathlib.Path(sys.executable).with_name("dlcv"), "serve", "--port", "0", "--json"]
    command += ["--models", directory.parent.parent]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        ready = server.stdout.readline()
        if not ready:
            raise RuntimeError("dlcv serve ended before it was ready")
        address = urllib.parse.urlsplit(json.loads(ready)["rest"])
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
        answer_requests(channel, server_calls(connection, directory.parent.name), images)
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    """Runs one runtime, or the server, until its input ends."""
    runtimes = {
        "onnx": onnx_calls,
        "tflite": litert_calls,
        "tflite_int8": litert_calls,
        "saved_model": tensorflow_calls,
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runtime", choices=[*runtimes, "server"])
    parser.add_argument("artifact", type=pathlib.Path)
    parser.add_argument("file")
    options = parser.parse_args()
    channel = Channel()
    manifest = Manifest.load(options.artifact)
    images = pictures(options.file, manifest)
    if options.runtime == "server":
        serve_and_answer(channel, options.artifact.absolute(), images)
    else:
        path = options.artifact / manifest.formats[options.runtime]["path"]
        answer_requests(channel, runtimes[options.runtime](path), images)


if __name__ == "__main__":
    main()
