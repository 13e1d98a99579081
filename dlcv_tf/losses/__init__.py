"""Losses: Keras objects to `compile` with, and the functions they are made of."""

from dlcv_tf.losses import naive as naive
from dlcv_tf.losses import regularize as regularize
from dlcv_tf.losses.classification import MulticlassHinge as MulticlassHinge
from dlcv_tf.losses.classification import SmoothedCrossentropy as SmoothedCrossentropy
from dlcv_tf.losses.classification import log_softmax as log_softmax
from dlcv_tf.losses.classification import multiclass_hinge as multiclass_hinge
from dlcv_tf.losses.classification import softmax as softmax
from dlcv_tf.losses.classification import softmax_crossentropy as softmax_crossentropy
from dlcv_tf.losses.detection import box_overlap as box_overlap
from dlcv_tf.losses.detection import focal as focal
from dlcv_tf.losses.detection import hard_negatives as hard_negatives
from dlcv_tf.losses.detection import smooth_l1 as smooth_l1
from dlcv_tf.losses.segmentation import DiceLoss as DiceLoss
from dlcv_tf.losses.segmentation import PixelCrossentropy as PixelCrossentropy
from dlcv_tf.losses.segmentation import dice_loss as dice_loss
from dlcv_tf.losses.segmentation import median_frequency as median_frequency
from dlcv_tf.losses.segmentation import pixel_crossentropy as pixel_crossentropy
