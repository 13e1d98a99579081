"""How kinds of detection networks are trained and read: a `Method` for each."""

from dlcv_tf.tasks.methods.anchors import AnchorMethod as AnchorMethod
from dlcv_tf.tasks.methods.grid import GridMethod as GridMethod
from dlcv_tf.tasks.methods.rcnn import RCNN as RCNN
from dlcv_tf.tasks.methods.sliding_window import SlidingWindow as SlidingWindow
from dlcv_tf.tasks.methods.two_stage import FasterRCNN as FasterRCNN
from dlcv_tf.tasks.methods.two_stage import FastRCNN as FastRCNN
from dlcv_tf.tasks.methods.two_stage import MaskRCNN as MaskRCNN
from dlcv_tf.tasks.methods.yolo_anchors import YOLOAnchorMethod as YOLOAnchorMethod

METHODS: dict[str, type] = {
    "anchors": AnchorMethod,
    "grid": GridMethod,
    "fast_rcnn": FastRCNN,
    "faster_rcnn": FasterRCNN,
    "mask_rcnn": MaskRCNN,
    "rcnn": RCNN,
    "sliding_window": SlidingWindow,
    "yolo_anchors": YOLOAnchorMethod,
}
