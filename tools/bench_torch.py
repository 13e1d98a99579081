"""Worker of `tools/bench.py`: trains the same ResNet-20 with PyTorch. Runs in `.venv-bench`.

bench_torch.py eager FILE             PyTorch as it comes
bench_torch.py channels_last FILE     pictures and weights in channels-last order
bench_torch.py compile FILE           channels-last, through torch.compile
"""

import argparse
from collections.abc import Iterator

import numpy as np
import torch
from bench_worker import Channel
from torch import nn
from torch.nn import functional

MEAN = (125.307, 122.950, 113.865)
STD = (62.993, 62.089, 66.705)
BATCH_SIZE = 128
PADDING = 4


class Block(nn.Module):
    """Residual block of two 3x3 convolutions; its shortcut has no parameters (option A).

    Args:
        channels: of the input.
        filters: of the output, as many as the input's or twice that, then at half the size.
    """

    def __init__(self, channels: int, filters: int):
        super().__init__()
        self.stride = filters // channels
        self.missing = filters - channels
        self.conv1 = nn.Conv2d(channels, filters, 3, self.stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(filters)

    def forward(self, x):
        """Returns x + F(x)."""
        shortcut = x
        if self.missing:
            half = self.missing // 2
            shortcut = functional.pad(
                x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, self.missing - half)
            )
        x = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(x)) + shortcut)


class ResNet20(nn.Module):
    """The CIFAR ResNet-20, from (batch, 3, 32, 32) normalised pictures to ten logits."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        sizes = [(16, 16)] * 3 + [(16, 32)] + [(32, 32)] * 2 + [(32, 64)] + [(64, 64)] * 2
        self.blocks = nn.Sequential(*(Block(*size) for size in sizes))
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        """Returns the logits."""
        x = functional.relu(self.norm(self.stem(x)))
        return self.head(self.blocks(x).mean(dim=(2, 3)))


def augmented_batches(images: torch.Tensor, labels: torch.Tensor) -> Iterator[tuple]:
    """Gives shuffled batches without end, each picture cropped and flipped at random.

    Args:
        images: (n, 3, 32, 32) uint8.
        labels: (n,) int64.
    """
    side = images.shape[-1]
    mean = torch.tensor(MEAN).view(1, 3, 1, 1)
    std = torch.tensor(STD).view(1, 3, 1, 1)
    each = torch.arange(BATCH_SIZE).view(-1, 1, 1, 1)
    channel = torch.arange(3).view(1, 3, 1, 1)
    pixel = torch.arange(side)
    while True:
        for chosen in torch.randperm(len(images)).split(BATCH_SIZE):
            if len(chosen) < BATCH_SIZE:
                continue
            padded = functional.pad(images[chosen], (PADDING,) * 4)
            top, left = torch.randint(0, 2 * PADDING + 1, (2, BATCH_SIZE, 1))
            columns = torch.where(torch.rand(BATCH_SIZE, 1) < 0.5, side - 1 - pixel, pixel) + left
            rows = (pixel + top)[:, None, :, None]
            cropped = padded[each, channel, rows, columns[:, None, None, :]]
            yield (cropped.float() - mean) / std, labels[chosen]


def main() -> None:
    """Runs one variant until its input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variant", choices=("eager", "channels_last", "compile"))
    parser.add_argument("file")
    options = parser.parse_args()
    channel = Channel()
    stored = np.load(options.file)
    images = torch.from_numpy(stored["images"]).permute(0, 3, 1, 2).contiguous()
    batches = augmented_batches(images, torch.from_numpy(stored["labels"]).long())
    order = torch.contiguous_format if options.variant == "eager" else torch.channels_last
    model = ResNet20().to(memory_format=order)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    facts = {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "batch_size": BATCH_SIZE,
        "version": torch.__version__,
    }
    run = torch.compile(model) if options.variant == "compile" else model
    for _ in channel.steps(**facts):
        pictures, labels = next(batches)
        optimizer.zero_grad()
        functional.cross_entropy(run(pictures.to(memory_format=order)), labels).backward()
        optimizer.step()


if __name__ == "__main__":
    main()
