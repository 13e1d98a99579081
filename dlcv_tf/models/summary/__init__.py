"""A Keras model as a table: shapes, parameters, memory, work, receptive fields, and advice."""

from dlcv_tf.models.summary.table import Row as Row
from dlcv_tf.models.summary.table import Summary as Summary
from dlcv_tf.models.summary.table import macs as macs
from dlcv_tf.models.summary.table import summarize as summarize
