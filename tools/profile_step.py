"""Shows which kernels a training step spends its time in, by TensorFlow's profiler.

    python tools/profile_step.py WORKLOAD [keras|fused|parts]

`keras` is the step as Keras has it, `fused` with fused kernels, `parts` with the batch in as many
parts as there are cores. Times of kernels that run side by side add up to more than the step's.
"""

import argparse
import collections
import os
import pathlib
import re
import tempfile

import keras
import tensorflow as tf
from bench_networks import NETWORKS
from bench_workloads import WORKLOADS, examples

from dlcv_tf.train import steps

STEPS = 10
SHOWN = 16


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("variant", choices=("keras", "fused", "parts"), default="fused", nargs="?")
    options = parser.parse_args()
    cores = os.cpu_count()
    variant = steps.Variant(parts=cores, threads=1) if options.variant == "parts" else steps.DEFAULT
    variant.use_threads()
    workload, model = WORKLOADS[options.workload], NETWORKS[options.workload]()
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True, weight_decay=5e-4),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    batch = tuple(array[: workload.batch_size] for array in examples(workload))
    dataset = tf.data.Dataset.from_tensors(batch).repeat()
    steps.make_variables(model, dataset.element_spec)
    if options.variant == "keras":
        step = tf.function(model.train_step, autograph=False)
        take = lambda iterator, _: step(next(iterator))["loss"]  # noqa: E731
    else:
        compiled = steps.compiled(model, dataset.element_spec, variant)
        take = lambda iterator, one: compiled(iterator, one)[1]  # noqa: E731
    iterator, one = iter(dataset), tf.constant(1)
    for _ in range(5):
        float(take(iterator, one))
    with tempfile.TemporaryDirectory() as directory:
        tf.profiler.experimental.start(directory)
        for _ in range(STEPS):
            float(take(iterator, one))
        tf.profiler.experimental.stop()
        times, counts = kernels(directory)
    print(f"{options.workload}, {options.variant}: milliseconds and calls of a step")
    for name, spent in times.most_common(SHOWN):
        print(f"{name:40s} {spent / STEPS:8.2f} {counts[name] / STEPS:6.0f}")


def kernels(directory: str) -> tuple[collections.Counter, collections.Counter]:
    """Returns the milliseconds and the calls of each kind of kernel in a profile."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    (path,) = pathlib.Path(directory).rglob("*.xplane.pb")
    space.ParseFromString(path.read_bytes())
    times, counts = collections.Counter(), collections.Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                kind = re.fullmatch(r".*:(\w+)", name)  # "conv1/Conv2D:Conv2D"
                if kind and kind[1] not in ("Process", "Run"):
                    times[kind[1]] += event.duration_ps / 1e9
                    counts[kind[1]] += 1
    return times, counts


if __name__ == "__main__":
    main()
