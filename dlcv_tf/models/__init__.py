"""Networks: builder functions that return functional `keras.Model`s with raw outputs in a dict.

A builder takes the shape of a preprocessed picture and the number of classes first. A network knows
no loss, no data and no decoding, and answers the same keys in training and in inference.
"""

from dlcv_tf.models.classify.airbench import airbench as airbench
from dlcv_tf.models.classify.alexnet import alexnet as alexnet
from dlcv_tf.models.classify.convnet import convnet as convnet
from dlcv_tf.models.classify.features import feature_mlp as feature_mlp
from dlcv_tf.models.classify.googlenet import googlenet as googlenet
from dlcv_tf.models.classify.knn import knn as knn
from dlcv_tf.models.classify.lenet import lenet5 as lenet5
from dlcv_tf.models.classify.linear import linear as linear
from dlcv_tf.models.classify.linear import templates as templates
from dlcv_tf.models.classify.mlp import mlp as mlp
from dlcv_tf.models.classify.resnet import resnet18 as resnet18
from dlcv_tf.models.classify.resnet import resnet20 as resnet20
from dlcv_tf.models.classify.resnet import resnet32 as resnet32
from dlcv_tf.models.classify.resnet import resnet34 as resnet34
from dlcv_tf.models.classify.resnet import resnet50 as resnet50
from dlcv_tf.models.classify.resnet import resnet56 as resnet56
from dlcv_tf.models.classify.resnet import resnet101 as resnet101
from dlcv_tf.models.classify.resnet import resnet152 as resnet152
from dlcv_tf.models.detect.fast_rcnn import fast_rcnn as fast_rcnn
from dlcv_tf.models.detect.faster_rcnn import faster_rcnn as faster_rcnn
from dlcv_tf.models.detect.mask_rcnn import mask_rcnn as mask_rcnn
from dlcv_tf.models.detect.rcnn import rcnn as rcnn
from dlcv_tf.models.detect.sliding_window import sliding_window as sliding_window
from dlcv_tf.models.detect.sliding_window import window_by_window as window_by_window
from dlcv_tf.models.detect.ssd import ssd as ssd
from dlcv_tf.models.detect.yolo import yolo as yolo
from dlcv_tf.models.detect.yolo import yolo_anchors as yolo_anchors
from dlcv_tf.models.pose.heatmaps import joint_heatmaps as joint_heatmaps
from dlcv_tf.models.pose.joint_regression import joint_regression as joint_regression
from dlcv_tf.models.pose.localizer import localizer as localizer
from dlcv_tf.models.segment.fcn import fcn8s as fcn8s
from dlcv_tf.models.segment.fcn import fcn16s as fcn16s
from dlcv_tf.models.segment.fcn import fcn32s as fcn32s
from dlcv_tf.models.segment.fcn import fcn_resnet50 as fcn_resnet50
from dlcv_tf.models.segment.full_resolution import by_patches as by_patches
from dlcv_tf.models.segment.full_resolution import full_resolution as full_resolution
from dlcv_tf.models.segment.segnet import segnet as segnet
from dlcv_tf.models.segment.unet import strided_unet as strided_unet
from dlcv_tf.models.segment.unet import unet as unet

BUILDERS = {
    "knn": knn,
    "linear": linear,
    "mlp": mlp,
    "feature_mlp": feature_mlp,
    "convnet": convnet,
    "lenet5": lenet5,
    "alexnet": alexnet,
    "googlenet": googlenet,
    "airbench": airbench,
    "resnet20": resnet20,
    "resnet32": resnet32,
    "resnet56": resnet56,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "resnet101": resnet101,
    "resnet152": resnet152,
    "full_resolution": full_resolution,
    "fcn32s": fcn32s,
    "fcn16s": fcn16s,
    "fcn8s": fcn8s,
    "fcn_resnet50": fcn_resnet50,
    "segnet": segnet,
    "unet": unet,
    "strided_unet": strided_unet,
    "localizer": localizer,
    "joint_heatmaps": joint_heatmaps,
    "joint_regression": joint_regression,
    "sliding_window": sliding_window,
    "faster_rcnn": faster_rcnn,
    "mask_rcnn": mask_rcnn,
    "ssd": ssd,
    "yolo": yolo,
    "yolo_anchors": yolo_anchors,
}
