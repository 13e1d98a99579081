"""The nine-step training recipe: what to look at before a network is trained in earnest.

The lecture numbers its steps 1, 3, 3, 4 ...; here they run from 1 to 9 (`step.NAMES`).

Reference: CS231n, lecture 5 ("babysitting the learning process") and notes, "Learning".
"""

from dlcv_tf.train.sanity.nine_steps import babysit as babysit
from dlcv_tf.train.sanity.sample import input_shape as input_shape
from dlcv_tf.train.sanity.step import NAMES as NAMES
from dlcv_tf.train.sanity.step import Report as Report
from dlcv_tf.train.sanity.step import Step as Step
from dlcv_tf.train.sanity.untrained import untrained as untrained
