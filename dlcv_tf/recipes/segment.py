"""Recipes of segmenters. Each docstring's first line is what `dlcv list recipes` shows."""

from dlcv_tf.recipes.recipe import Recipe

# The root of the median frequency of each class over its own, of the 367 training maps of CamVid:
# rare classes weigh more, but not by as much as `losses.median_frequency` says.
CAMVID_WEIGHTS = (
    *(0.530, 0.449, 2.186, 0.385, 1.000, 0.651, 1.963, 1.406, 0.888),
    *(2.525, 2.970),
)
# What the recipes on CamVid share: 240x180 pixels, 11 classes, 367 + 101 pictures. What was chosen
# was chosen by the validation split, which was then trained on too; the few test pictures evaluated
# after each epoch are for looking at.
CAMVID = {
    "data": "",
    "task_class": "Segmenter",
    "task_options": {"class_weights": CAMVID_WEIGHTS},
    "image_size": (180, 240),
    "mean": (104.96, 108.21, 110.24),
    "std": (76.99, 78.06, 76.95),
    "train_split": "train+val",
    "validation_split": "test[:32]",
    "epochs": 60,
    "batch_size": 8,
    "optimizer": "adam",
    "learning_rate": 3e-3,
    "weight_decay": 0.02,
    "augmentations": ("flip", "scale", "crop", "colour"),
}


def shapes_unet() -> Recipe:
    """U-Net on the embedded drawn scenes: background and six shapes.

    Nine pixels in ten are background: it weighs less, or the shapes are told from it, but not from
    each other, for tens of epochs.

    Command: `dlcv train shapes_unet`.
    Machine: one core of an AMD EPYC (family 26), shared with other work; 423 s; 2026-11-25.
    Result: mean IoU of 0.942 over 7 classes on 400 test pictures.
    """
    return Recipe(
        name="shapes_unet",
        data="shapes",
        network="unet",
        network_options={"width": 12, "levels": 4, "batch_norm": True},
        task_class="Segmenter",
        task_options={"class_weights": (0.2, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)},
        epochs=40,
        batch_size=16,
        optimizer="adam",
        learning_rate=0.01,
        weight_decay=0.01,
        augmentations=("flip",),
    )


def camvid_unet() -> Recipe:
    """Narrow U-Net at half the size on CamVid's road scenes: the shipped segmenter.

    The dice loss beside the cross-entropy gave two points more on the validation split.

    Command: `dlcv train camvid_unet data=masks:PATH`.
    Machine: one core of an AMD EPYC (family 26), shared with other work; 1,015 s; 2026-11-25.
    Result: mean IoU of 0.503 over 11 classes on the 233 test pictures.
    """
    return Recipe(
        name="camvid_unet",
        network="strided_unet",
        network_options={"filters": (20, 40, 56, 72, 88)},
        **CAMVID | {"task_options": {**CAMVID["task_options"], "dice_weight": 1.0}},
    )


def camvid_segnet() -> Recipe:
    """Narrow SegNet with max unpooling by switches on CamVid's road scenes.

    Command: `dlcv train camvid_segnet data=masks:PATH`.
    Machine: one core of an AMD EPYC (family 26), shared with other work; 1,341 s; 2026-11-25.
    Result: mean IoU of 0.459 over 11 classes on the 233 test pictures.
    """
    return Recipe(
        name="camvid_segnet",
        network="segnet",
        network_options={"filters": (24, 48, 64, 64), "depths": (1, 2, 2, 2), "stride": 2},
        **CAMVID | {"epochs": 80},
    )
