"""Recipes of picture classifiers. Each docstring's first line is what `dlcv list recipes` shows."""

from dlcv_tf.recipes.recipe import Recipe

# Published per-channel statistics of the CIFAR-10 training pictures, times 255.
CIFAR10_MEAN = (125.307, 122.950, 113.865)
CIFAR10_STD = (62.993, 62.089, 66.705)
# What the small recipes on CIFAR-10 share.
CIFAR10 = {
    "data": "cifar10",
    "mean": CIFAR10_MEAN,
    "std": CIFAR10_STD,
    "train_split": "train[:49000]",
    "validation_split": "train[49000:]",
}


def digits_linear() -> Recipe:
    """Linear classifier on the embedded digits: one template per class.

    Command: `dlcv train digits_linear`.
    Machine: 2 cores of an AMD EPYC (family 26); 1 s; 2026-11-24.
    Result: 96.7 % of 359 test pictures.
    """
    return Recipe(
        name="digits_linear",
        data="digits",
        network="linear",
        epochs=30,
        batch_size=64,
        learning_rate=0.05,
        weight_decay=1e-3,
    )


def digits_resnet() -> Recipe:
    """ResNet-20 on the embedded digits: what `dlcv quickstart` trains.

    Command: `dlcv train digits_resnet`.
    Machine: 2 cores of an AMD EPYC (family 26); 6 s; 2026-11-24.
    Result: 98.3 % of 359 test pictures; 98.9 % on 2 cores of an Intel Xeon, whose rounding differs.
    """
    return Recipe(
        name="digits_resnet",
        data="digits",
        network="resnet20",
        epochs=30,
        batch_size=64,
        learning_rate=0.1,
        augmentations=("shift",),
    )


def mnist_convnet() -> Recipe:
    """LeNet-style network on MNIST.

    Command: `dlcv train mnist_convnet`.
    Machine: 2 cores of an AMD EPYC (family 26), shared with other work; 52 s; 2026-11-24.
    Result: 99.44 % of the 10,000 test pictures.
    """
    return Recipe(
        name="mnist_convnet",
        data="mnist",
        network="convnet",
        network_options={"filters": (16, 32)},
        mean=(33.32,),
        std=(78.57,),
        train_split="train[:58000]",
        validation_split="train[58000:]",
        epochs=8,
        learning_rate=0.1,
        augmentations=("shift",),
    )


def cifar10_svm() -> Recipe:
    """Linear classifier with the multiclass hinge loss on CIFAR-10.

    Command: `dlcv train cifar10_svm`.
    Machine: 2 cores of an AMD EPYC (family 26), shared with other work; 22 s; 2026-11-24.
    Result: 40.23 % of the 10,000 test pictures.
    """
    return Recipe(
        name="cifar10_svm",
        network="linear",
        loss="hinge",
        epochs=15,
        learning_rate=3e-4,
        weight_decay=1.0,
        augmentations=("flip",),
        **CIFAR10,
    )


def cifar10_softmax() -> Recipe:
    """Linear classifier with the softmax loss on CIFAR-10.

    Command: `dlcv train cifar10_softmax`.
    Machine: 2 cores of an AMD EPYC (family 26), shared with other work; 24 s; 2026-11-24.
    Result: 41.56 % of the 10,000 test pictures.
    """
    return Recipe(
        name="cifar10_softmax",
        network="linear",
        epochs=15,
        learning_rate=1e-3,
        weight_decay=1.0,
        augmentations=("flip",),
        **CIFAR10,
    )


def cifar10_two_layer() -> Recipe:
    """Two-layer network on the pixels of CIFAR-10: 500 hidden units.

    Command: `dlcv train cifar10_two_layer`.
    Machine: 2 cores of an AMD EPYC (family 26), shared with other work; 34 s; 2026-11-24.
    Result: 58.17 % of the 10,000 test pictures.
    """
    return Recipe(
        name="cifar10_two_layer",
        network="mlp",
        network_options={"hidden_units": (500,)},
        epochs=12,
        learning_rate=0.02,
        weight_decay=1e-2,
        augmentations=("flip",),
        **CIFAR10,
    )


def cifar10_fully_connected() -> Recipe:
    """Four fully connected layers with batch norm and dropout on the pixels of CIFAR-10.

    Command: `dlcv train cifar10_fully_connected`.
    Machine: 2 cores of an AMD EPYC (family 26), shared with other work; 95 s; 2026-11-24.
    Result: 60.51 % of the 10,000 test pictures.
    """
    return Recipe(
        name="cifar10_fully_connected",
        network="mlp",
        network_options={"hidden_units": (1024, 512, 256), "dropout": 0.2, "batch_norm": True},
        epochs=15,
        learning_rate=0.05,
        weight_decay=5e-3,
        augmentations=("flip",),
        **CIFAR10,
    )


def cifar10_features() -> Recipe:
    """Two-layer network on histograms of edges and colours of CIFAR-10.

    Command: `dlcv train cifar10_features`.
    Machine: 2 cores of an AMD EPYC (family 26), shared with other work; 71 s; 2026-11-24.
    Result: 64.13 % of the 10,000 test pictures.
    """
    return Recipe(
        name="cifar10_features",
        network="feature_mlp",
        network_options={"hidden_units": (512,), "dropout": 0.5},
        epochs=12,
        augmentations=("flip",),
        **CIFAR10 | {"mean": (0.0,), "std": (255.0,)},  # hues need colours as they are
    )


def cifar10_resnet20() -> Recipe:
    """ResNet-20 on CIFAR-10 in ten epochs, under an hour on two cores.

    Command: `dlcv train cifar10_resnet20`.
    Machine: 2 cores of an Intel Xeon at 2.80 GHz, shared with other work; 2,819 s; 2026-11-23.
    Result: 86.86 % of the 10,000 test pictures. (Of commit 5eb9b31, whose head began with Glorot's
    initial weights instead of small ones.)
    """
    return Recipe(
        name="cifar10_resnet20",
        data="cifar10",
        network="resnet20",
        mean=CIFAR10_MEAN,
        std=CIFAR10_STD,
        train_split="train[:49000]",
        validation_split="train[49000:]",
        epochs=10,
        learning_rate=0.2,
        augmentations=("flip", "shift"),
    )


def cifar10_airbench() -> Recipe:
    """Whitening, six convolutions, one cycle on CIFAR-10: the shipped classifier.

    Command: `dlcv train cifar10_airbench`.
    Machine: 2 cores of an AMD EPYC (family 26), shared with other work; 3,462 s; 2026-11-24.
    Result: 93.43 % of the 10,000 test pictures (92.71 % without their mirror images).
    """
    return Recipe(
        name="cifar10_airbench",
        data="cifar10",
        network="airbench",
        mean=CIFAR10_MEAN,
        std=CIFAR10_STD,
        train_split="train[:49000]",
        validation_split="train[49000:]",
        epochs=30,
        batch_size=256,
        learning_rate=0.3,
        test_time_flip=True,
        label_smoothing=0.1,
        augmentations=("flip", "shift", "cutout"),
    )


def folder_resnet18() -> Recipe:
    """ResNet-18 on a folder of your own pictures, one folder per class.

    Command: `dlcv train folder_resnet18 data=folder:PATH`.
    Result: depends on the pictures. Give `image_size=128,128` where detail matters and time allows.
    """
    return Recipe(
        name="folder_resnet18",
        data="",
        network="resnet18",
        image_size=(64, 64),
        epochs=20,
        batch_size=32,
        learning_rate=0.05,
        augmentations=("flip", "shift"),
    )
