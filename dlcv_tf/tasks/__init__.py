"""Tasks: a network, how its pictures are prepared, its loss, and how its outputs become answers."""

from dlcv_tf.tasks.classifier import Classifier as Classifier
