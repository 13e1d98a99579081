"""Times single operations of ResNet-20, TensorFlow's kernels beside PyTorch's: where the wall is.

    .venv/bin/python tools/bench_operations.py tensorflow          threads inside each operation
    .venv/bin/python tools/bench_operations.py tensorflow --parts  two half batches, a thread each
    .venv-bench/bin/python tools/bench_operations.py torch         channels-last, two threads

Milliseconds are medians for a batch of 128, forward, gradient of the input, gradient of the filter;
in brackets GFLOP/s. What a call costs around an empty operation is taken off.
"""

import argparse
import statistics
import time

BATCH = 128
SHAPES = ((32, 16), (16, 32), (8, 64), (32, 64), (16, 256))  # side, channels of a 3x3 convolution
CONVOLUTIONS = ("forward", "forward by im2col", "input", "filter")
WARM_UP, REPEATS = 5, 30


def milliseconds(call) -> float:
    """Returns the median time of a call."""
    times = []
    for _ in range(WARM_UP + REPEATS):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times[WARM_UP:])


def tensorflow_calls(parts: int):
    """Gives (side, channels, {operation: call}, call of nothing) for each shape."""
    import tensorflow as tf

    if parts > 1:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(parts)
    for side, channels in SHAPES:
        shape = (BATCH // parts, side, side, channels)
        pictures = [tf.random.normal(shape) for _ in range(parts)]
        kernel = tf.random.normal((3, 3, channels, channels))
        same = {"strides": [1] * 4, "padding": "SAME"}

        def forward(x, kernel=kernel, same=same):
            return tf.raw_ops.Conv2D(input=x, filter=kernel, **same)

        def of_input(x, kernel=kernel, same=same, shape=shape):
            return tf.raw_ops.Conv2DBackpropInput(
                input_sizes=shape, filter=kernel, out_backprop=x, **same
            )

        def of_filter(x, kernel=kernel, same=same):
            return tf.raw_ops.Conv2DBackpropFilter(
                input=x, filter_sizes=kernel.shape, out_backprop=x, **same
            )

        def norm(x, channels=channels):
            ones, nothing = tf.ones(channels), tf.zeros(0)
            return tf.raw_ops.FusedBatchNormV3(
                x=x, scale=ones, offset=ones, mean=nothing, variance=nothing, is_training=True
            ).y

        def im2col(x, kernel=kernel, channels=channels):
            columns = tf.image.extract_patches(x, [1, 3, 3, 1], [1] * 4, [1] * 4, "SAME")
            return tf.matmul(
                tf.reshape(columns, (-1, 9 * channels)), tf.reshape(kernel, (-1, channels))
            )

        operations = {
            "forward": forward,
            "forward by im2col": im2col,
            "input": of_input,
            "filter": of_filter,
            "batch norm": norm,
            "ReLU": tf.nn.relu,
            "": lambda x: x,
        }
        calls = {name: _graph(tf, operation, pictures) for name, operation in operations.items()}
        yield side, channels, calls, calls.pop("")


def _graph(tf, operation, pictures):
    @tf.function(autograph=False)
    def run(pictures):
        # One number of each answer, so that nothing large is handed over.
        return [tf.reshape(operation(x), [-1])[0] for x in pictures]

    return lambda: [float(answer) for answer in run(pictures)]


def torch_calls():
    """Gives (side, channels, {operation: call}, call of nothing) for each shape."""
    import torch

    for side, channels in SHAPES:
        last = {"memory_format": torch.channels_last}
        x = torch.randn(BATCH, channels, side, side).to(**last)
        kernel = torch.randn(channels, channels, 3, 3).to(**last)
        norm = torch.nn.BatchNorm2d(channels)

        def back(mask, x=x, kernel=kernel):
            sizes = [[1, 1]] * 3
            torch.ops.aten.convolution_backward(
                x, x, kernel, None, *sizes, False, [0, 0], 1, [*mask, False]
            )

        calls = {
            "forward": lambda x=x, kernel=kernel: torch.conv2d(x, kernel, padding=1),
            "input": lambda back=back: back([True, False]),
            "filter": lambda back=back: back([False, True]),
            "batch norm": lambda norm=norm, x=x: norm(x),
            "ReLU": lambda x=x: torch.relu(x),
        }
        yield side, channels, calls, lambda: None


def main() -> None:
    """Prints a line for each shape."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("library", choices=("tensorflow", "torch"))
    parser.add_argument("--parts", action="store_true", help="two halves of the batch")
    options = parser.parse_args()
    shapes = torch_calls() if options.library == "torch" else tensorflow_calls(1 + options.parts)
    for side, channels, calls, nothing in shapes:
        idle = milliseconds(nothing)
        giga = 2 * BATCH * side**2 * channels**2 * 9 / 1e9
        found = []
        for name, call in calls.items():
            spent = max(milliseconds(call) - idle, 1e-3)
            speed = f" ({1000 * giga / spent:.0f})" if name in CONVOLUTIONS else ""
            found.append(f"{name} {spent:.2f}{speed}")
        print(f"{side}x{side}x{channels}: " + ", ".join(found), flush=True)


if __name__ == "__main__":
    main()
