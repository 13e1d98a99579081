"""The benchmark's network in LitServe, which takes base64 in JSON, or the bytes.

litserve_server.py MODEL PORT BATCH litserve|litserve-bytes
"""

import base64
import sys
from typing import Annotated

import litserve
import numpy as np
import onnx_session
from fastapi import Body, Response

SHAPE = (64, 64, 3)


class InJson(litserve.LitAPI):
    """Takes {"images": base64 of float32}, gives {"probabilities": numbers}."""

    def __init__(self, path: str, **options):
        super().__init__(**options)
        self._path = path

    def setup(self, device: str) -> None:
        self._run = onnx_session.load(self._path)

    def decode_request(self, request):
        return np.frombuffer(base64.b64decode(request["images"]), np.float32).reshape(SHAPE)

    def batch(self, inputs):
        return np.stack(inputs)

    def predict(self, images):
        return self._run(images if images.ndim == 4 else images[None])

    def unbatch(self, output):
        return list(output)

    def encode_response(self, output):
        return {"probabilities": output.reshape(-1).tolist()}


class Raw(InJson):
    """Takes the bytes of the picture, gives those of the probabilities."""

    def decode_request(self, request: Annotated[bytes, Body()]):
        return np.frombuffer(request, np.float32).reshape(SHAPE)

    def encode_response(self, output) -> Response:
        return Response(output.tobytes(), media_type="application/octet-stream")


def main() -> None:
    """Serves until it is terminated."""
    path, port, batch, name = sys.argv[1:]
    api = (InJson if name == "litserve" else Raw)(path, max_batch_size=int(batch))
    server = litserve.LitServer(api, accelerator="cpu", fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=int(port),
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )


if __name__ == "__main__":
    main()
