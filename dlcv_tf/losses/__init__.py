"""Losses: Keras objects to `compile` with, and the functions they are made of."""

from dlcv_tf.losses import naive as naive
from dlcv_tf.losses import regularize as regularize
from dlcv_tf.losses.classification import MulticlassHinge as MulticlassHinge
from dlcv_tf.losses.classification import SmoothedCrossentropy as SmoothedCrossentropy
from dlcv_tf.losses.classification import log_softmax as log_softmax
from dlcv_tf.losses.classification import multiclass_hinge as multiclass_hinge
from dlcv_tf.losses.classification import softmax as softmax
from dlcv_tf.losses.classification import softmax_crossentropy as softmax_crossentropy
