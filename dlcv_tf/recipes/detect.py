"""Recipes of detectors. Each docstring's first line is what `dlcv list recipes` shows."""

from dlcv_tf.recipes.recipe import Recipe

# What the single-shot recipes on the drawn scenes share.
SHAPES = {
    "data": "shapes",
    "task_class": "Detector",
    "batch_size": 32,
    "clip_norm": 10.0,
    "augmentations": ("flip", "vertical_flip", "quarter_turn"),
}
SHAPES_STRIDES = (4, 8)
SHAPES_SIZES = (((13, 13), (17, 17)), ((21, 21), (26, 26)))


def shapes_sliding_window() -> Recipe:
    """A sliding window on the drawn scenes: a classifier at all places and eight sizes.

    Neighbouring windows show the same thing, and windows of one grid overlap less than boxes that
    were moved: suppression from an overlap of 0.3 on. One training was measured at three: on
    validation 0.984 at 0.3 and 0.981 at 0.4; on test 0.967, 0.964, and 0.898 at 0.5.

    Command: `dlcv train shapes_sliding_window tune=off`.
    Machine: one core of an AMD EPYC (family 26), shared with other work; 2,260 s; 2026-11-25.
    Result: mAP@.5 0.967 (COCO's AP50) on 400 test pictures; the windows are the boxes.
    """
    return Recipe(
        name="shapes_sliding_window",
        network="sliding_window",
        network_options={
            "sizes": tuple((side, side) for side in (9, 10.5, 12, 14, 16.5, 19.5, 23, 27)),
            "widths": (24, 48, 96),
            "window": 22,
        },
        task_options={"iou_threshold": 0.3},
        method="sliding_window",
        epochs=45,
        learning_rate=0.04,
        **SHAPES,
    )


def shapes_ssd() -> Recipe:
    """SSD on the drawn scenes: two grids of two anchors.

    Command: `dlcv train shapes_ssd`.
    Machine: one core of an AMD EPYC (family 26), shared with other work; 206 s; 2026-11-25.
    Result: mAP@.5 0.975 (COCO's AP50) on 400 test pictures.
    """
    return Recipe(
        name="shapes_ssd",
        network="ssd",
        network_options={
            "widths": (24, 48, 96),
            "depths": (1, 2, 3),
            "strides": SHAPES_STRIDES,
            "anchors_per_cell": (2, 2),
        },
        method="anchors",
        method_options={"strides": SHAPES_STRIDES, "sizes": SHAPES_SIZES},
        epochs=40,
        learning_rate=0.03,
        **SHAPES,
    )


def shapes_yolo() -> Recipe:
    """The first YOLO on the drawn scenes: a grid of 8x8 cells, two boxes and one class in each.

    Command: `dlcv train shapes_yolo tune=off`.
    Machine: one core of an AMD EPYC (family 26), shared with other work; 155 s; 2026-11-25.
    Result: mAP@.5 0.936 (COCO's AP50) on 400 test pictures.
    """
    return Recipe(
        name="shapes_yolo",
        network="yolo",
        network_options={
            "widths": (24, 48, 96),
            "depths": (1, 2, 4),
            "grid": 8,
            "hidden_units": None,
        },
        method="grid",
        method_options={"boxes_per_cell": 2},
        epochs=60,
        learning_rate=0.02,
        **SHAPES,
    )


def shapes_yolo_anchors() -> Recipe:
    """A successor of YOLO on the drawn scenes: two grids of two anchors, features top down.

    Command: `dlcv train shapes_yolo_anchors tune=off`.
    Machine: one core of an AMD EPYC (family 26), shared with other work; 126 s; 2026-11-25.
    Result: mAP@.5 0.951 (COCO's AP50) on 400 test pictures.
    """
    return Recipe(
        name="shapes_yolo_anchors",
        network="yolo_anchors",
        network_options={
            "widths": (24, 48, 96),
            "depths": (1, 2, 3),
            "strides": SHAPES_STRIDES,
            "anchors_per_cell": (2, 2),
        },
        method="yolo_anchors",
        method_options={"strides": SHAPES_STRIDES, "sizes": SHAPES_SIZES},
        epochs=40,
        learning_rate=0.03,
        **SHAPES,
    )


def bccd_ssd() -> Recipe:
    """SSD for blood cells (red, white, platelets) in pictures of 240x320.

    For BCCD, https://github.com/Shenggan/BCCD_Dataset: 364 pictures in VOC's files. 311,784
    parameters. The last 22 pictures of `trainval` are the validation split.

    Command: `dlcv train bccd_ssd data=voc:PATH tune=off`.
    Machine: one core of an AMD EPYC (family 26), shared with other work; 380 s; 2026-11-25.
    Result: mAP@.5 0.902 on the 72 test pictures (COCO's AP50; platelets 0.880, red cells 0.858,
    white cells 0.968); by VOC's all-point rule 0.904.
    """
    strides = (8, 16)
    sizes = (((20, 20), (32, 32)), ((52, 52), (44, 62), (62, 44), (90, 90), (120, 110)))
    return Recipe(
        name="bccd_ssd",
        data="",
        network="ssd",
        network_options={
            "widths": (16, 24, 48, 96),
            "depths": (1, 2, 3, 3),
            "strides": strides,
            "anchors_per_cell": (2, 5),
        },
        task_class="Detector",
        task_options={"iou_threshold": 0.45},
        method="anchors",
        method_options={"strides": strides, "sizes": sizes},
        image_size=(240, 320),
        mean=(187.95, 177.45, 182.39),
        std=(15.34, 25.91, 19.10),
        train_split="trainval[:270]",
        validation_split="trainval[270:]",
        epochs=100,
        batch_size=8,
        learning_rate=0.02,
        clip_norm=10.0,
        augmentations=("flip", "vertical_flip", "scale", "colour"),
    )


# What the networks of two stages share on the drawn scenes, whose things are 13 to 26 pixels large.
SHAPES_REGIONS = {
    "width": 24,
    "features": "c2",
    "anchor_sizes": (12, 20, 32),
    "num_proposals": 32,
    "hidden_units": (128,),
}


def shapes_faster_rcnn() -> Recipe:
    """Faster R-CNN on the drawn scenes: 32 regions in a map of stride 4.

    Command: `dlcv train shapes_faster_rcnn`.
    Machine: one core of an AMD EPYC (family 26), shared with other work; 141 s; 2026-11-25.
    Result: mAP@.5 0.982 (COCO's AP50) on 400 test pictures.
    """
    return Recipe(
        name="shapes_faster_rcnn",
        data="shapes",
        network="faster_rcnn",
        network_options=SHAPES_REGIONS,
        task_class="Detector",
        method="faster_rcnn",
        epochs=30,
        batch_size=16,
        optimizer="adam",
        learning_rate=0.002,
        weight_decay=1e-4,
    )


def bccd_faster_rcnn() -> Recipe:
    """Faster R-CNN for blood cells (red, white, platelets) in pictures of 240x320.

    Command: `dlcv train bccd_faster_rcnn data=voc:PATH`.
    Machine: 1 core of an AMD EPYC (family 26), shared with other work; 318 s; 2026-11-25.
    Result: mAP@.5 of 0.901 on 72 test pictures (white cells 0.964, platelets 0.905, red 0.835).
    """
    return Recipe(
        name="bccd_faster_rcnn",
        data="",
        network="faster_rcnn",
        network_options={
            "width": 24,
            "features": "c3",
            "anchor_sizes": (20, 50, 96),
            "num_proposals": 64,
            "hidden_units": (128,),
        },
        task_class="Detector",
        task_options={"iou_threshold": 0.45},
        method="faster_rcnn",
        image_size=(240, 320),
        mean=(187.95, 177.45, 182.39),
        std=(15.34, 25.91, 19.10),
        train_split="trainval[:270]",
        validation_split="trainval[270:]",
        epochs=50,
        batch_size=8,
        optimizer="adam",
        learning_rate=0.002,
        weight_decay=1e-4,
        augmentations=("flip", "vertical_flip", "scale", "colour"),
    )


def shapes_mask_rcnn() -> Recipe:
    """Mask R-CNN on the drawn scenes: Faster R-CNN with a mask of 28x28 for each box.

    Command: `dlcv train shapes_mask_rcnn`.
    Machine: one core of an AMD EPYC (family 26), shared with other work; 241 s; 2026-11-25.
    Result: AP50 of masks 0.973, of boxes 0.981, on 400 test pictures.
    """
    return Recipe(
        name="shapes_mask_rcnn",
        data="shapes",
        network="mask_rcnn",
        network_options={"detector": SHAPES_REGIONS, "mask_filters": (32, 32)},
        task_class="InstanceSegmenter",
        task_options={"max_detections": 20},
        method="mask_rcnn",
        method_options={"samples": 32},
        epochs=30,
        batch_size=16,
        optimizer="adam",
        learning_rate=0.002,
        weight_decay=1e-4,
    )


def shapes_keypoint_rcnn() -> Recipe:
    """Mask R-CNN with a branch for joints and none for masks, on the drawn figures.

    Command: `dlcv train shapes_keypoint_rcnn tune=off`.
    Machine: 2 cores of an AMD EPYC (family 26); 61 s; 2026-11-25.
    Result: AP of joints (COCO's OKS) 0.985, at 0.5 1.000; of boxes 0.905, on 400 test pictures.
    """
    return Recipe(
        name="shapes_keypoint_rcnn",
        data="shapes",
        network="mask_rcnn",
        network_options={
            "detector": SHAPES_REGIONS | {"anchor_sizes": (32, 44, 56), "num_proposals": 16},
            "mask_filters": (),
            "num_joints": 14,
            "joint_filters": (32, 32, 32),
        },
        task_class="InstanceSegmenter",
        task_options={"max_detections": 5},
        method="mask_rcnn",
        method_options={"mask_weight": 0.0, "joint_weight": 0.3, "samples": 16},
        epochs=12,
        batch_size=16,
        optimizer="adam",
        learning_rate=0.002,
        weight_decay=1e-4,
        augmentations=("flip",),
    )


def coco_mask_rcnn() -> Recipe:
    """Mask R-CNN with a feature pyramid that learns 20 pictures of COCO by heart.

    A check of the whole, not a model: it is tested on the pictures that it has seen.

    Command: `dlcv train coco_mask_rcnn data=coco:PATH`.
    Machine: one core of an AMD EPYC (family 26), shared with other work; 877 s; 2026-11-25.
    Result: AP50 of masks 0.967, of boxes 0.985, on these 20 pictures.
    """
    return Recipe(
        name="coco_mask_rcnn",
        data="",
        network="mask_rcnn",
        network_options={
            "detector": {
                "width": 16,
                "features": "pyramid",
                "anchor_sizes": (10, 24, 48, 96, 192),
                "num_proposals": 100,
                "hidden_units": (256,),
            },
            "mask_filters": (32, 32),
        },
        task_class="InstanceSegmenter",
        method="mask_rcnn",
        method_options={"samples": 64, "positive_part": 0.5},
        image_size=(256, 320),
        train_split="train[:20]",
        validation_split="train[:20]",
        test_split="train[:20]",
        epochs=300,
        batch_size=4,
        optimizer="adam",
        learning_rate=0.002,
        weight_decay=0.0,
    )
