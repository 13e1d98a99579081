"""Tasks: a network, how its pictures are prepared, its loss, and how its outputs become answers.

Importing the room registers every class that a saved task (`task.keras`) may name.
"""

import dlcv_tf.losses  # noqa: F401  registers the losses
import dlcv_tf.optimizers  # noqa: F401  registers the schedules
from dlcv_tf.tasks.classifier import Classifier as Classifier
from dlcv_tf.tasks.detector import Detector as Detector
from dlcv_tf.tasks.instance_segmenter import InstanceSegmenter as InstanceSegmenter
from dlcv_tf.tasks.localizer import Localizer as Localizer
from dlcv_tf.tasks.neighbours import NearestNeighbours as NearestNeighbours
from dlcv_tf.tasks.pose_estimator import PoseEstimator as PoseEstimator
from dlcv_tf.tasks.region_detector import RegionDetector as RegionDetector
from dlcv_tf.tasks.segmenter import Segmenter as Segmenter
