"""Metrics of answers: `update_state(targets, answers)` with NumPy batches, `result()` in floats."""

from dlcv_tf.metrics.detection import DetectionMetric as DetectionMetric
from dlcv_tf.metrics.detection import InstanceMetric as InstanceMetric
from dlcv_tf.metrics.keypoints import PoseMetric as PoseMetric
from dlcv_tf.metrics.localization import LocalizationMetric as LocalizationMetric
from dlcv_tf.metrics.segmentation import SegmentationMetric as SegmentationMetric
