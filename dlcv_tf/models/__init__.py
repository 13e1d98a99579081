"""Networks: builder functions that return functional `keras.Model`s with raw outputs in a dict.

A builder takes the shape of a preprocessed picture and the number of classes first. A network knows
no loss, no data and no decoding, and answers the same keys in training and in inference.
"""

from dlcv_tf.models.classify.airbench import airbench as airbench
from dlcv_tf.models.classify.alexnet import alexnet as alexnet
from dlcv_tf.models.classify.convnet import convnet as convnet
from dlcv_tf.models.classify.features import feature_mlp as feature_mlp
from dlcv_tf.models.classify.googlenet import googlenet as googlenet
from dlcv_tf.models.classify.knn import knn as knn
from dlcv_tf.models.classify.lenet import lenet5 as lenet5
from dlcv_tf.models.classify.linear import linear as linear
from dlcv_tf.models.classify.linear import templates as templates
from dlcv_tf.models.classify.mlp import mlp as mlp
from dlcv_tf.models.classify.resnet import resnet18 as resnet18
from dlcv_tf.models.classify.resnet import resnet20 as resnet20
from dlcv_tf.models.classify.resnet import resnet32 as resnet32
from dlcv_tf.models.classify.resnet import resnet34 as resnet34
from dlcv_tf.models.classify.resnet import resnet50 as resnet50
from dlcv_tf.models.classify.resnet import resnet56 as resnet56
from dlcv_tf.models.classify.resnet import resnet101 as resnet101
from dlcv_tf.models.classify.resnet import resnet152 as resnet152

BUILDERS = {
    "knn": knn,
    "linear": linear,
    "mlp": mlp,
    "feature_mlp": feature_mlp,
    "convnet": convnet,
    "lenet5": lenet5,
    "alexnet": alexnet,
    "googlenet": googlenet,
    "airbench": airbench,
    "resnet20": resnet20,
    "resnet32": resnet32,
    "resnet56": resnet56,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "resnet101": resnet101,
    "resnet152": resnet152,
}
