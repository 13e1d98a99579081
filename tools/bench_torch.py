"""Worker of `tools/bench.py`: trains a network with PyTorch. Runs in `.venv-bench`.

bench_torch.py WORKLOAD eager FILE             PyTorch as it comes
bench_torch.py WORKLOAD channels_last FILE     pictures and weights in channels-last order
bench_torch.py WORKLOAD compile FILE           channels-last, through torch.compile

Networks without convolutions have no channels-last order.
"""

import argparse
from collections.abc import Iterator

import numpy as np
import torch
from bench_torch_networks import NETWORKS
from bench_worker import Channel
from bench_workloads import WORKLOADS, Workload, examples
from torch.nn import functional

CIFAR10_MEAN = (125.307, 122.950, 113.865)
CIFAR10_STD = (62.993, 62.089, 66.705)
PADDING = 4


def batches(workload: Workload, inputs: np.ndarray, targets: np.ndarray) -> Iterator[tuple]:
    """Gives shuffled batches without end, pictures as (batch, channels, height, width) floats."""
    inputs, targets = torch.from_numpy(inputs), torch.from_numpy(targets).long()
    if not workload.vocabulary:
        inputs = inputs.permute(0, 3, 1, 2).contiguous()
    channels = inputs.shape[1]
    mean, std = torch.full((channels,), 127.5), torch.full((channels,), 127.5)
    if workload.augmented:
        mean, std = torch.tensor(CIFAR10_MEAN), torch.tensor(CIFAR10_STD)
    while True:
        for chosen in torch.randperm(len(inputs)).split(workload.batch_size):
            if len(chosen) < workload.batch_size:
                continue
            batch = inputs[chosen]
            if workload.augmented:
                batch = augmented(batch)
            if not workload.vocabulary:
                batch = (batch.float() - mean.view(1, -1, 1, 1)) / std.view(1, -1, 1, 1)
            yield batch, targets[chosen]


def augmented(images: torch.Tensor) -> torch.Tensor:
    """Crops each of (batch, channels, side, side) pictures at random out of a margin, and flips."""
    count, channels, side, _ = images.shape
    padded = functional.pad(images, (PADDING,) * 4)
    top, left = torch.randint(0, 2 * PADDING + 1, (2, count, 1))
    pixel = torch.arange(side)
    columns = torch.where(torch.rand(count, 1) < 0.5, side - 1 - pixel, pixel) + left
    rows = (pixel + top)[:, None, :, None]
    each = torch.arange(count).view(-1, 1, 1, 1)
    channel = torch.arange(channels).view(1, -1, 1, 1)
    return padded[each, channel, rows, columns[:, None, None, :]]


def main() -> None:
    """Runs one variant until its input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("variant", choices=("eager", "channels_last", "compile"))
    parser.add_argument("file")
    options = parser.parse_args()
    workload = WORKLOADS[options.workload]
    channel = Channel()
    stream = batches(workload, *examples(workload, options.file))
    model = NETWORKS[options.workload]()
    channels_last = workload.convolutional and options.variant != "eager"
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    trainable = (p.numel() for p in model.parameters() if p.requires_grad)
    facts = {
        "parameters": sum(trainable),
        "batch_size": workload.batch_size,
        "version": torch.__version__,
    }
    run = torch.compile(model) if options.variant == "compile" else model
    for _ in channel.steps(**facts):
        inputs, targets = next(stream)
        if channels_last:
            inputs = inputs.to(memory_format=torch.channels_last)
        optimizer.zero_grad()
        functional.cross_entropy(run(inputs), targets).backward()
        optimizer.step()


if __name__ == "__main__":
    main()
