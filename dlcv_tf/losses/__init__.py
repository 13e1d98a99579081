"""Losses as Keras objects."""

from dlcv_tf.losses.classification import SmoothedCrossentropy as SmoothedCrossentropy
