"""Keras layers that the framework lacks, and the course's layers written out by hand."""

from dlcv_tf.layers.activations import ELU as ELU
from dlcv_tf.layers.activations import LeakyReLU as LeakyReLU
from dlcv_tf.layers.activations import PReLU as PReLU
from dlcv_tf.layers.activations import ReLU as ReLU
from dlcv_tf.layers.activations import Sigmoid as Sigmoid
from dlcv_tf.layers.activations import Tanh as Tanh
from dlcv_tf.layers.affine import Affine as Affine
from dlcv_tf.layers.affine import Maxout as Maxout
from dlcv_tf.layers.batch_norm import BATCH_NORMS as BATCH_NORMS
from dlcv_tf.layers.batch_norm import BatchNorm as BatchNorm
from dlcv_tf.layers.convolution import Convolution as Convolution
from dlcv_tf.layers.dropout import Dropout as Dropout
from dlcv_tf.layers.features import HOG as HOG
from dlcv_tf.layers.features import HueHistogram as HueHistogram
from dlcv_tf.layers.folding import fold_batch_norm as fold_batch_norm
from dlcv_tf.layers.local_response_norm import LocalResponseNorm as LocalResponseNorm
from dlcv_tf.layers.neighbours import NeighbourVotes as NeighbourVotes
from dlcv_tf.layers.pooling import AveragePool as AveragePool
from dlcv_tf.layers.pooling import MaxPool as MaxPool
from dlcv_tf.layers.pooling import SoftPool as SoftPool
