"""Recipes: data, network, task, optimizer, schedule and augmentation in one small dataclass.

`RECIPES` is the one list; each entry is a function whose docstring carries the command, the
machine, the time and the result of a real run.
"""

from dlcv_tf.errors import unknown
from dlcv_tf.recipes.classify import cifar10_airbench as cifar10_airbench
from dlcv_tf.recipes.classify import cifar10_features as cifar10_features
from dlcv_tf.recipes.classify import cifar10_fully_connected as cifar10_fully_connected
from dlcv_tf.recipes.classify import cifar10_resnet20 as cifar10_resnet20
from dlcv_tf.recipes.classify import cifar10_softmax as cifar10_softmax
from dlcv_tf.recipes.classify import cifar10_svm as cifar10_svm
from dlcv_tf.recipes.classify import cifar10_two_layer as cifar10_two_layer
from dlcv_tf.recipes.classify import digits_linear as digits_linear
from dlcv_tf.recipes.classify import digits_resnet as digits_resnet
from dlcv_tf.recipes.classify import folder_resnet18 as folder_resnet18
from dlcv_tf.recipes.classify import mnist_convnet as mnist_convnet
from dlcv_tf.recipes.detect import bccd_faster_rcnn as bccd_faster_rcnn
from dlcv_tf.recipes.detect import bccd_ssd as bccd_ssd
from dlcv_tf.recipes.detect import coco_mask_rcnn as coco_mask_rcnn
from dlcv_tf.recipes.detect import shapes_faster_rcnn as shapes_faster_rcnn
from dlcv_tf.recipes.detect import shapes_keypoint_rcnn as shapes_keypoint_rcnn
from dlcv_tf.recipes.detect import shapes_mask_rcnn as shapes_mask_rcnn
from dlcv_tf.recipes.detect import shapes_sliding_window as shapes_sliding_window
from dlcv_tf.recipes.detect import shapes_ssd as shapes_ssd
from dlcv_tf.recipes.detect import shapes_yolo as shapes_yolo
from dlcv_tf.recipes.detect import shapes_yolo_anchors as shapes_yolo_anchors
from dlcv_tf.recipes.localize import shapes_localizer as shapes_localizer
from dlcv_tf.recipes.pose import lspet_heatmaps as lspet_heatmaps
from dlcv_tf.recipes.pose import lspet_regression as lspet_regression
from dlcv_tf.recipes.pose import shapes_pose as shapes_pose
from dlcv_tf.recipes.pose import shapes_pose_regression as shapes_pose_regression
from dlcv_tf.recipes.recipe import Recipe as Recipe
from dlcv_tf.recipes.segment import camvid_segnet as camvid_segnet
from dlcv_tf.recipes.segment import camvid_unet as camvid_unet
from dlcv_tf.recipes.segment import shapes_unet as shapes_unet

RECIPES = {
    "digits_linear": digits_linear,
    "digits_resnet": digits_resnet,
    "mnist_convnet": mnist_convnet,
    "cifar10_svm": cifar10_svm,
    "cifar10_softmax": cifar10_softmax,
    "cifar10_two_layer": cifar10_two_layer,
    "cifar10_fully_connected": cifar10_fully_connected,
    "cifar10_features": cifar10_features,
    "cifar10_resnet20": cifar10_resnet20,
    "cifar10_airbench": cifar10_airbench,
    "folder_resnet18": folder_resnet18,
    "shapes_localizer": shapes_localizer,
    "shapes_pose": shapes_pose,
    "shapes_pose_regression": shapes_pose_regression,
    "lspet_heatmaps": lspet_heatmaps,
    "lspet_regression": lspet_regression,
    "shapes_sliding_window": shapes_sliding_window,
    "shapes_ssd": shapes_ssd,
    "shapes_yolo": shapes_yolo,
    "shapes_yolo_anchors": shapes_yolo_anchors,
    "bccd_ssd": bccd_ssd,
    "shapes_mask_rcnn": shapes_mask_rcnn,
    "shapes_keypoint_rcnn": shapes_keypoint_rcnn,
    "coco_mask_rcnn": coco_mask_rcnn,
    "shapes_faster_rcnn": shapes_faster_rcnn,
    "bccd_faster_rcnn": bccd_faster_rcnn,
    "shapes_unet": shapes_unet,
    "camvid_unet": camvid_unet,
    "camvid_segnet": camvid_segnet,
}


def get(name: str) -> Recipe:
    """Returns a recipe by name.

    Raises:
        InputError: there is none of that name; suggests the closest.
    """
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name]()
