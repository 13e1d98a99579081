"""What `tools/bench.py` trains: six networks, their batches and their data. Needs NumPy alone.

Each network stands in `bench_networks.py` for Keras and in `bench_torch_networks.py` for PyTorch.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Workload:
    """A network to train.

    Args:
        what: the network in words.
        input_shape: of one example.
        target_shape: of one example's class numbers; () for one class a picture.
        classes: number of them.
        batch_size: examples in a step.
        steps: training steps in a measured block.
        num_examples: how many random ones there are.
        vocabulary: the inputs are numbers below it instead of pixels.
        augmented: pictures are shifted and flipped at random, as in the recipe.
        convolutional: it has convolutions, so that PyTorch may like channels last.
    """

    what: str
    input_shape: tuple[int, ...]
    target_shape: tuple[int, ...] = ()
    classes: int = 10
    batch_size: int = 32
    steps: int = 10
    num_examples: int = 2048
    vocabulary: int | None = None
    augmented: bool = False
    convolutional: bool = True

    @property
    def unit(self) -> str:
        """What is counted per second."""
        return "tokens" if self.vocabulary else "pictures"

    @property
    def units(self) -> int:
        """How many of them a training step has."""
        return self.batch_size * (self.input_shape[0] if self.vocabulary else 1)


WORKLOADS = {
    "resnet20": Workload(
        "ResNet-20, CIFAR-10", (32, 32, 3), batch_size=128, steps=10, augmented=True
    ),
    "resnet18": Workload("ResNet-18, 64x64", (64, 64, 3), batch_size=32, steps=8),
    "mobilenetv2": Workload("MobileNetV2, 96x96", (96, 96, 3), batch_size=32, steps=8),
    "mlp": Workload(
        "MLP 784-512-256-10",
        (28, 28, 1),
        batch_size=128,
        steps=468,  # an epoch, whose start takes as long as many steps: each block has one
        num_examples=60_000,
        convolutional=False,
    ),
    "char_lstm": Workload(
        "char LSTM, 256 units, 100 steps",
        (100,),
        target_shape=(100,),
        classes=65,
        batch_size=64,
        steps=6,
        num_examples=20_000,
        vocabulary=65,
        convolutional=False,
    ),
    "unet": Workload(
        "U-Net, 128x128, width 16",
        (128, 128, 3),
        target_shape=(128, 128),
        classes=11,
        batch_size=8,
        steps=8,
        num_examples=512,
    ),
}


def examples(workload: Workload, path: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Returns (inputs, targets): those stored at `path`, or random ones of the workload's shapes.

    Args:
        workload: whose examples.
        path: `.npz` file with `images` and `labels`, used where their shape fits.

    Returns:
        (examples, *input_shape) uint8 pictures or int32 numbers; (examples, *target_shape) int32.
    """
    if path is not None:
        stored = np.load(path)
        images = stored["images"]
        if images.shape[1:] == workload.input_shape and not workload.target_shape:
            return images, stored["labels"].astype(np.int32)
    random = np.random.default_rng(0)
    shape = (workload.num_examples, *workload.input_shape)
    if workload.vocabulary:
        inputs = random.integers(0, workload.vocabulary, shape, np.int32)
    else:
        inputs = random.integers(0, 256, shape, np.uint8)
    targets = (workload.num_examples, *workload.target_shape)
    return inputs, random.integers(0, workload.classes, targets, np.int32)
