"""The benchmark's network in Triton, by PyTriton.

pytriton_server.py MODEL HTTP_PORT GRPC_PORT BATCH
"""

import sys

import numpy as np
import onnx_session
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig


def main() -> None:
    """Serves until it is terminated."""
    path, http_port, grpc_port, size = sys.argv[1], *map(int, sys.argv[2:5])
    run = onnx_session.load(path)

    @batch
    def answer(images):
        return {"probabilities": run(images)}

    config = TritonConfig(
        http_address="127.0.0.1",
        http_port=http_port,
        grpc_address="127.0.0.1",
        grpc_port=grpc_port,
        allow_metrics=False,
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name="net",
            infer_func=answer,
            inputs=[Tensor(name="images", dtype=np.float32, shape=(64, 64, 3))],
            outputs=[Tensor(name="probabilities", dtype=np.float32, shape=(10,))],
            config=ModelConfig(max_batch_size=size, batcher=DynamicBatcher()),
        )
        triton.serve()


if __name__ == "__main__":
    main()
