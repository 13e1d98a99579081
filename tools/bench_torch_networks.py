"""The networks of `bench_workloads.py` in PyTorch, with as many parameters as their Keras twins.

They take (batch, channels, height, width) floats, or (batch, time) numbers, and return the logits
with the classes in axis 1.
"""

import torch
from torch import nn
from torch.nn import functional


def conv_norm(channels: int, filters: int, size: int, stride: int = 1, groups: int = 1, **options):
    """Returns a bias-free convolution and batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(channels, filters, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(filters, **options),
    )


class Block(nn.Module):
    """Residual block of two 3x3 convolutions.

    Args:
        channels: of the input.
        filters: of the output, as many as the input's or twice that, then at half the size.
        projection: whether a shortcut that changes size is a 1x1 convolution; else it takes every
            second pixel and pads with zeros (option A).
    """

    def __init__(self, channels: int, filters: int, projection: bool):
        super().__init__()
        self.stride = filters // channels
        self.missing = filters - channels
        self.conv1 = conv_norm(channels, filters, 3, self.stride)
        self.conv2 = conv_norm(filters, filters, 3)
        changed = projection and self.missing
        self.shortcut = conv_norm(channels, filters, 1, self.stride) if changed else None

    def forward(self, x):
        """Returns x + F(x)."""
        shortcut = x
        if self.shortcut is not None:
            shortcut = self.shortcut(x)
        elif self.missing:
            half = self.missing // 2
            shortcut = functional.pad(
                x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, self.missing - half)
            )
        x = functional.relu(self.conv1(x))
        return functional.relu(self.conv2(x) + shortcut)


class Mean(nn.Module):
    """Averages over height and width."""

    def forward(self, x):
        """Returns (batch, channels)."""
        return x.mean(dim=(2, 3))


def resnet20() -> nn.Module:
    """Builds the CIFAR ResNet-20."""
    sizes = [(16, 16)] * 3 + [(16, 32)] + [(32, 32)] * 2 + [(32, 64)] + [(64, 64)] * 2
    blocks = [Block(*size, projection=False) for size in sizes]
    return nn.Sequential(conv_norm(3, 16, 3), nn.ReLU(), *blocks, Mean(), nn.Linear(64, 10))


def resnet18() -> nn.Module:
    """Builds the ImageNet ResNet-18 for ten classes."""
    sizes = [(64, 64)] * 2
    for filters in (128, 256, 512):
        sizes += [(filters // 2, filters), (filters, filters)]
    stem = [conv_norm(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    blocks = [Block(*size, projection=True) for size in sizes]
    return nn.Sequential(*stem, *blocks, Mean(), nn.Linear(512, 10))


class InvertedResidual(nn.Module):
    """MobileNetV2's block: 1x1 expansion, 3x3 depthwise, 1x1 projection."""

    def __init__(self, channels: int, filters: int, stride: int, expansion: int):
        super().__init__()
        inner = channels * expansion
        norm = {"eps": 1e-3, "momentum": 1e-3}
        layers = [conv_norm(channels, inner, 1, **norm), nn.ReLU6()] if expansion != 1 else []
        layers += [conv_norm(inner, inner, 3, stride, groups=inner, **norm), nn.ReLU6()]
        self.layers = nn.Sequential(*layers, conv_norm(inner, filters, 1, **norm))
        self.residual = stride == 1 and channels == filters

    def forward(self, x):
        """Returns the block's output."""
        return x + self.layers(x) if self.residual else self.layers(x)


def mobilenetv2() -> nn.Module:
    """Builds MobileNetV2 for ten classes (table 2 of the paper)."""
    layers, channels = [conv_norm(3, 32, 3, 2), nn.ReLU6()], 32
    table = [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ]
    for expansion, filters, count, stride in table:
        for number in range(count):
            step = stride if number == 0 else 1
            layers.append(InvertedResidual(channels, filters, step, expansion))
            channels = filters
    layers += [conv_norm(320, 1280, 1), nn.ReLU6(), Mean(), nn.Linear(1280, 10)]
    return nn.Sequential(*layers)


def mlp() -> nn.Module:
    """Builds the MLP 784-512-256-10."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 512),
        nn.ReLU(),
        nn.Linear(512, 256),
        nn.ReLU(),
        nn.Linear(256, 10),
    )


class CharLSTM(nn.Module):
    """Embedding of 64, LSTM of 256 units, a score for each of 65 characters."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(65, 64)
        self.lstm = nn.LSTM(64, 256, batch_first=True)
        self.lstm.bias_hh_l0.requires_grad_(False)  # the second bias that only PyTorch has
        self.head = nn.Linear(256, 65)

    def forward(self, tokens):
        """Returns (batch, 65, time) logits."""
        states, _ = self.lstm(self.embedding(tokens))
        return self.head(states).transpose(1, 2)


class UNet(nn.Module):
    """U-Net with padded convolutions and batch normalisation, 16 to 128 channels, 11 classes."""

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 128)):
        super().__init__()
        self.down, self.up, self.merge = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        channels = 3
        for width in widths:
            self.down.append(self._double(channels, width))
            channels = width
        for width in reversed(widths[:-1]):
            self.up.append(nn.ConvTranspose2d(channels, width, 2, 2))
            self.merge.append(self._double(2 * width, width))
            channels = width
        self.head = nn.Conv2d(channels, 11, 1)

    @staticmethod
    def _double(channels, width):
        return nn.Sequential(
            conv_norm(channels, width, 3), nn.ReLU(), conv_norm(width, width, 3), nn.ReLU()
        )

    def forward(self, x):
        """Returns (batch, 11, height, width) logits."""
        skipped = []
        for number, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if number else x)
            skipped.append(x)
        skipped.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([skipped.pop(), up(x)], dim=1))
        return self.head(x)


NETWORKS = {
    "resnet20": resnet20,
    "resnet18": resnet18,
    "mobilenetv2": mobilenetv2,
    "mlp": mlp,
    "char_lstm": CharLSTM,
    "unet": UNet,
}
