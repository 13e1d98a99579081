"""One row for each public layer, loss, optimizer, network and task, for the tests that loop.

A layer, loss, optimizer, network or task that is missing here fails `test_conformance.py`.
"""

import keras
import numpy as np

from dlcv_tf import data, layers, losses, models, optimizers, tasks
from dlcv_tf.tasks import methods
from tests.helpers import pictures, ramp

SMALL = (8, 8, 3)
LARGE = (32, 32, 3)


def remembering(layer):
    """Returns a layer of neighbours that knows nine examples of six numbers, in five classes."""
    layer.build((None, 6))
    layer.remember(ramp((9, 6), low=-0.9), np.arange(9) % 5)
    return layer


@keras.saving.register_keras_serializable(package="tests")
class PoolAndUnpool(keras.layers.Layer):
    """Both layers of max unpooling: one has two outputs, the other two inputs."""

    def __init__(self, padding="same", **kwargs):
        super().__init__(**kwargs)
        self.padding = padding

    def build(self, input_shape):
        self.pool = layers.MaxPoolWithSwitches(self.padding)
        self.unpool = layers.MaxUnpool()

    def call(self, images):
        return self.unpool(*self.pool(images))

    def get_config(self):
        return super().get_config() | {"padding": self.padding}


# name: (function that makes it, example input, whether gradients reach a float input)
LAYERS = {
    "Affine": (lambda: layers.Affine(4), ramp((5, 2, 3)), True),
    "AveragePool": (lambda: layers.AveragePool(), ramp((3, 6, 4, 2)), True),
    "BedOfNails": (lambda: layers.BedOfNails(3), ramp((3, 4, 5, 2)), True),
    "BatchNorm": (lambda: layers.BatchNorm(), ramp((3, 4, 5, 2)), True),
    "Convolution": (lambda: layers.Convolution(4, 3, 2, "same"), ramp((3, 6, 5, 2)), True),
    "Dropout": (lambda: layers.Dropout(keep=0.8, inverted=False), ramp((3, 6)), True),
    "ELU": (lambda: layers.ELU(0.5), ramp((3, 6)), True),
    "LeakyReLU": (lambda: layers.LeakyReLU(), ramp((3, 6)), True),
    "MaxPool": (lambda: layers.MaxPool(3, 2), ramp((3, 7, 5, 2)), True),
    "MaxPoolWithSwitches": (lambda: PoolAndUnpool(), ramp((3, 5, 6, 2)), True),
    "MaxUnpool": (lambda: PoolAndUnpool("valid"), ramp((3, 5, 6, 2)), True),
    "Maxout": (lambda: layers.Maxout(4, pieces=3), ramp((5, 6)), True),
    "NearestUnpool": (lambda: layers.NearestUnpool(3), ramp((3, 4, 5, 2)), True),
    "NeighbourVotes": (
        lambda: remembering(layers.NeighbourVotes(9, 5, 3, "l1")),
        ramp((4, 6)),
        False,
    ),
    "PReLU": (lambda: layers.PReLU(), ramp((3, 4, 6)), True),
    "ReLU": (lambda: layers.ReLU(), ramp((3, 6)), True),
    "Sigmoid": (lambda: layers.Sigmoid(), ramp((3, 6)), True),
    "SoftPool": (lambda: layers.SoftPool(temperature=0.5), ramp((3, 6, 4, 2)), True),
    "Tanh": (lambda: layers.Tanh(), ramp((3, 6)), True),
    "EachRegion": (
        lambda: layers.EachRegion(keras.layers.Dense(4)),
        ramp((3, 2, 5)),
        True,
    ),
    "Resize": (lambda: layers.Resize((4, 7)), ramp((2, 5, 6, 3)), True),
    "WarpRegions": (
        lambda: layers.WarpRegions(6, context=1, fill=0.5),
        (ramp((2, 8, 9, 3)), ramp((2, 3, 4), low=0, high=9)),
        True,
    ),
    "WindowBoxes": (lambda: layers.WindowBoxes((4, 6), (2, 3)), ramp((2, 3, 4, 5)), False),
    "Proposals": (
        lambda: layers.Proposals((16, 24), [(2, 3)], [8], [[6, 10]], count=5),
        (ramp((2, 36)), ramp((2, 36, 4))),
        False,
    ),
    "RoIAlign": (
        lambda: layers.RoIAlign((2, 3), stride=4, sampling_ratio=0),
        (ramp((2, 5, 6, 3)), np.sort(ramp((2, 3, 4), low=0, high=24))),
        True,
    ),
    "RoIPool": (
        lambda: layers.RoIPool((2, 3), stride=4, rounding="outward", bins="floor"),
        (ramp((2, 5, 6, 3)), np.sort(ramp((2, 3, 4), low=0, high=24))),
        True,
    ),
    "Preprocess": (
        lambda: data.Preprocess((6, 5), 3, (10.0, 20.0, 30.0), (40.0, 50.0, 60.0)),
        pictures(2, (9, 7)),
        True,
    ),
    "HOG": (lambda: layers.HOG(cell=3, bins=4), ramp((2, 7, 6, 3), low=0, high=255), True),
    "HueHistogram": (lambda: layers.HueHistogram(4), ramp((2, 7, 6, 3), low=0), False),
    "LocalResponseNorm": (
        lambda: layers.LocalResponseNorm(depth=3, alpha=0.5),
        ramp((2, 3, 4, 6), low=-3, high=3),
        True,
    ),
}

CLASS_MAPS = np.array([[[0, 3, 4], [1, 255, 2]], [[2, 2, 255], [1, 0, 0]]], np.uint8)

# name: (function that makes it, targets, predictions)
LOSSES = {
    "DiceLoss": (
        lambda: losses.DiceLoss(smooth=0.5, squared=True, per_picture=True),
        CLASS_MAPS,
        ramp((2, 2, 3, 5), low=-4, high=6),
    ),
    "PixelCrossentropy": (
        lambda: losses.PixelCrossentropy(class_weights=(1, 2, 0, 0.5, 3), normalize_by="pixels"),
        CLASS_MAPS,
        ramp((2, 2, 3, 5), low=-4, high=6),
    ),
    "MulticlassHinge": (
        lambda: losses.MulticlassHinge(delta=12.0, squared=True),
        np.array([0, 3, 4, 1, 3, 2]),
        ramp((6, 5), low=-4, high=6),
    ),
    "SmoothedCrossentropy": (
        lambda: losses.SmoothedCrossentropy(0.2),
        np.array([0, 3, 4, 1, 3, 2]),
        ramp((6, 5), low=-4, high=6),
    ),
}

# name: function that makes it
OPTIMIZERS = {
    "SGD": lambda: optimizers.SGD(0.1),
    "Momentum": lambda: optimizers.Momentum(optimizers.step_decay(0.1, every=3), momentum=0.8),
    "Nesterov": lambda: optimizers.Nesterov(0.1, form="look_ahead", weight_decay=0.01),
    "AdaGrad": lambda: optimizers.AdaGrad(0.1, epsilon=1e-6, epsilon_inside=True, initial=0.2),
    "RMSProp": lambda: optimizers.RMSProp(0.1, decay=0.8, clipnorm=1.0),
    "Adam": lambda: optimizers.Adam(0.1, beta_1=0.8, beta_2=0.99, epsilon_hat=True),
}


def knn(shape, num_classes):
    """Returns a nearest-neighbour network that knows seven examples."""
    network = models.knn(shape, num_classes, num_examples=7, k=3)
    network.get_layer("votes").remember(ramp((7, *shape), low=-0.9), np.arange(7) % num_classes)
    return network


# A small Faster R-CNN.
TWO_STAGE = {
    "width": 4,
    "features": "c2",
    "anchor_sizes": (8, 16),
    "num_proposals": 6,
    "hidden_units": (8,),
}

# name: (function that makes it, example input)
MODELS = {
    "knn": (lambda: knn(SMALL, 5), ramp((2, *SMALL))),
    "linear": (lambda: models.linear(SMALL, 5), ramp((2, *SMALL))),
    "mlp": (lambda: models.mlp(SMALL, 5, hidden_units=(7,), dropout=0.2), ramp((2, *SMALL))),
    "feature_mlp": (
        lambda: models.feature_mlp(SMALL, 5, cell=4, hidden_units=(7,)),
        ramp((4, *SMALL), low=0),
    ),
    "convnet": (
        lambda: models.convnet(SMALL, 5, filters=(4, 4), hidden_units=8),
        ramp((4, *SMALL)),
    ),
    "lenet5": (lambda: models.lenet5(SMALL, 5), ramp((2, *SMALL))),
    "alexnet": (
        lambda: models.alexnet((67, 67, 3), 5, (4, 4, 6, 6, 4), 8, dropout=0.2, grouped=True),
        ramp((4, 67, 67, 3)),
    ),
    "googlenet": (
        lambda: models.googlenet((48, 48, 3), 5, True, auxiliary=True, width=0.125),
        ramp((4, 48, 48, 3)),
    ),
    "airbench": (
        lambda: models.airbench((18, 18, 3), 5, widths=(4, 6, 8)),
        ramp((4, 18, 18, 3)),
    ),
    "resnet20": (lambda: models.resnet20(SMALL, 5, width=4), ramp((4, *SMALL))),
    "resnet32": (lambda: models.resnet32(SMALL, 5, width=4), ramp((4, *SMALL))),
    "resnet56": (lambda: models.resnet56(SMALL, 5, width=4), ramp((4, *SMALL))),
    "resnet18": (lambda: models.resnet18(LARGE, 5, width=4), ramp((4, *LARGE))),
    "resnet34": (lambda: models.resnet34(LARGE, 5, width=4), ramp((4, *LARGE))),
    "resnet50": (lambda: models.resnet50(LARGE, 5, width=4), ramp((4, *LARGE))),
    "resnet101": (lambda: models.resnet101(LARGE, 5, width=4), ramp((4, *LARGE))),
    "resnet152": (lambda: models.resnet152(LARGE, 5, width=4), ramp((4, *LARGE))),
    "sliding_window": (
        lambda: models.sliding_window((16, 16, 3), 5, ((8, 8), (10, 6)), (4, 4, 6), window=10),
        ramp((4, 16, 16, 3)),
    ),
    "localizer": (
        lambda: models.localizer((16, 16, 3), 5, widths=(4, 6), hidden_units=8),
        ramp((4, 16, 16, 3)),
    ),
    "joint_heatmaps": (
        lambda: models.joint_heatmaps((16, 16, 3), 3, widths=(4, 4, 6), stride=2),
        ramp((4, 16, 16, 3)),
    ),
    "joint_regression": (
        lambda: models.joint_regression((16, 16, 3), 3, widths=(4, 6), hidden_units=8),
        ramp((4, 16, 16, 3)),
    ),
    "faster_rcnn": (
        lambda: models.faster_rcnn(LARGE, 5, **TWO_STAGE),
        ramp((4, *LARGE)),
    ),
    "mask_rcnn": (
        lambda: models.mask_rcnn(LARGE, 5, TWO_STAGE, (4,), num_joints=3, joint_filters=(4,)),
        ramp((4, *LARGE)),
    ),
    "ssd": (
        lambda: models.ssd(LARGE, 5, (4, 6, 8), (1, 1, 1), (4, 8), (2, 3)),
        ramp((4, *LARGE)),
    ),
    "yolo": (
        lambda: models.yolo(LARGE, 5, (4, 6), (1, 1), grid=3, hidden_units=7),
        ramp((4, *LARGE)),
    ),
    "yolo_anchors": (
        lambda: models.yolo_anchors(LARGE, 5, (4, 6, 8), (1, 1, 1), (4, 8), (2, 1)),
        ramp((4, *LARGE)),
    ),
}

MODELS |= {
    "full_resolution": (
        lambda: models.full_resolution((7, 6, 3), 5, width=4, depth=2),
        ramp((4, 7, 6, 3)),
    ),
    "fcn32s": (lambda: models.fcn32s(LARGE, 5, width=2, head_width=6), ramp((4, *LARGE))),
    "fcn16s": (
        lambda: models.fcn16s((64, 40, 3), 5, 2, 6, "nearest", batch_norm=False),
        ramp((2, 64, 40, 3)),
    ),
    "fcn8s": (lambda: models.fcn8s(LARGE, 5, 2, 6, "bilinear"), ramp((4, *LARGE))),
    "fcn_resnet50": (
        lambda: models.fcn_resnet50(LARGE, 5, width=4, auxiliary=True),
        ramp((4, *LARGE)),
    ),
    "segnet": (lambda: models.segnet((14, 12, 3), 5, (4, 6, 6), (1, 2, 1)), ramp((4, 14, 12, 3))),
    "unet": (
        lambda: models.unet((40, 33, 3), 5, 2, 3, "mirror", "max_unpooling"),
        ramp((2, 40, 33, 3)),
    ),
    "strided_unet": (lambda: models.strided_unet((14, 12, 3), 5, (4, 6, 8)), ramp((4, 14, 12, 3))),
}


def classifier():
    """Returns a small classifier of 8x8 RGB pictures in five classes."""
    network = models.convnet(SMALL, 5, filters=(4,), hidden_units=8, dropout=0.0)
    return tasks.Classifier(network, data.Preprocess(SMALL[:2], 3), list("abcde"))


def nearest_neighbours():
    """Returns a nearest-neighbour task with room for six 8x8 RGB pictures in five classes."""
    network = models.knn(SMALL, 5, num_examples=6, distance="l1")
    return tasks.NearestNeighbours(network, data.Preprocess(SMALL[:2], 3), list("abcde"))


def localizer():
    """Returns a small localizer of 16x16 RGB pictures in five classes."""
    network = models.localizer((16, 16, 3), 5, widths=(4, 6), hidden_units=8)
    return tasks.Localizer(network, data.Preprocess((16, 16), 3), list("abcde"))


def pose_estimator():
    """Returns a small estimator of three joints in 16x16 RGB pictures."""
    network = models.joint_heatmaps((16, 16, 3), 3, widths=(4, 4, 6), stride=2)
    return tasks.PoseEstimator(network, data.Preprocess((16, 16), 3), list("abc"))


def segmenter():
    """Returns a small segmenter of 12x16 RGB pictures in five classes."""
    network = models.strided_unet((12, 16, 3), 5, (4, 6))
    preprocess = data.Preprocess((12, 16), 3)
    return tasks.Segmenter(network, preprocess, list("abcde"), [1, 2, 1, 1, 0.5], dice_weight=0.5)


def detector():
    """Returns a small SSD of 32x32 RGB pictures in five classes."""
    network = models.ssd(LARGE, 5, (4, 6, 8), (1, 1, 1), (4, 8), (1, 1))
    method = methods.AnchorMethod((4, 8), (((8, 8),), ((14, 14),)))
    preprocess = data.Preprocess(LARGE[:2], 3)
    return tasks.Detector(
        network, preprocess, list("abcde"), method, score_threshold=0.01, max_detections=5
    )


def region_detector():
    """Returns a small R-CNN of 16x16 RGB pictures in five classes."""
    network = models.rcnn((16, 16, 3), 5, crop=8, context=1, widths=(4, 6), hidden_units=8)
    method = methods.RCNN()
    search = {"enlarge": 1.0}
    preprocess = data.Preprocess((16, 16), 3)
    return tasks.RegionDetector(
        network, preprocess, list("abcde"), method, 6, search, max_detections=4
    )


def instance_segmenter():
    """Returns a small Mask R-CNN of 32x32 RGB pictures in five classes, with joints."""
    network = models.mask_rcnn(LARGE, 5, TWO_STAGE, (4,), num_joints=3, joint_filters=(4,))
    method = methods.MaskRCNN(samples=8, rpn_samples=16, joint_weight=1.0)
    preprocess = data.Preprocess(LARGE[:2], 3)
    return tasks.InstanceSegmenter(
        network, preprocess, list("abcde"), method, score_threshold=0.01, max_detections=5
    )


# of pictures of 20x24 pixels
BOXES = np.array([[2, 3, 12, 13]] * 6, np.float32) + ramp((6, 1), low=0, high=5)
THINGS = {
    "boxes": np.stack([BOXES, np.zeros_like(BOXES)], axis=1),
    "classes": np.stack([np.arange(6) % 5, np.zeros(6)], axis=1).astype(np.int32),
    "valid": np.tile([True, False], (6, 1)),
    "ignored": np.zeros((6, 2), bool),
}
PARTS = {
    "masks": (pictures(6, (20, 24), 2) > 128).transpose(0, 3, 1, 2).astype(np.uint8),
    "joints": np.concatenate([ramp((6, 2, 3, 2), low=0, high=20), np.ones((6, 2, 3, 1))], axis=-1),
}
JOINTS = np.concatenate([ramp((6, 3, 2), low=0, high=20), np.ones((6, 3, 1), np.float32)], axis=-1)


# name: (function that makes it, pictures, targets)
TASKS = {
    "Classifier": (classifier, pictures(6, (8, 8)), ramp((6,), low=0, high=4).round()),
    "NearestNeighbours": (nearest_neighbours, pictures(6, (8, 8)), np.arange(6) % 5),
    "Localizer": (localizer, pictures(6, (20, 24)), {"class": np.arange(6) % 5, "box": BOXES}),
    "Detector": (detector, pictures(6, (20, 24)), THINGS),
    "Segmenter": (segmenter, pictures(6, (20, 24)), pictures(6, (20, 24), 1)[..., 0] // 52),
    "InstanceSegmenter": (instance_segmenter, pictures(6, (20, 24)), THINGS | PARTS),
    "RegionDetector": (region_detector, pictures(6, (20, 24)), THINGS),
    "PoseEstimator": (pose_estimator, pictures(6, (20, 24)), {"joints": JOINTS}),
}
