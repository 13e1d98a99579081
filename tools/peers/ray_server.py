"""The benchmark's network in Ray Serve, bytes in and out.

ray_server.py MODEL PORT BATCH
"""

import signal
import sys

import numpy as np
import onnx_session
import ray
from ray import serve
from ray.serve.config import HTTPOptions
from starlette.requests import Request
from starlette.responses import Response

PATH, PORT, BATCH = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


@serve.deployment(max_ongoing_requests=100)
class Net:
    """Takes the bytes of one picture, gives those of its probabilities."""

    def __init__(self, path: str):
        self._run = onnx_session.load(path)

    async def __call__(self, request: Request) -> Response:
        image = np.frombuffer(await request.body(), np.float32).reshape(1, 64, 64, 3)
        output = self._run(image) if BATCH == 1 else await self._together(image)
        return Response(output.tobytes(), media_type="application/octet-stream")

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=0)
    async def _together(self, images: list[np.ndarray]) -> list[np.ndarray]:
        return list(self._run(np.concatenate(images)))


def main() -> None:
    """Serves until it is terminated."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options=HTTPOptions(host="127.0.0.1", port=PORT))
    serve.run(Net.bind(PATH))
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    ray.shutdown()


if __name__ == "__main__":
    main()
