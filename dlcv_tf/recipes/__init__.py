"""Recipes: data, network, task, optimizer, schedule and augmentation in one small dataclass.

`RECIPES` is the one list; each entry is a function whose docstring carries the command, the
machine, the time and the result of a real run.
"""

from dlcv_tf.errors import unknown
from dlcv_tf.recipes.classify import cifar10_airbench as cifar10_airbench
from dlcv_tf.recipes.classify import cifar10_features as cifar10_features
from dlcv_tf.recipes.classify import cifar10_fully_connected as cifar10_fully_connected
from dlcv_tf.recipes.classify import cifar10_resnet20 as cifar10_resnet20
from dlcv_tf.recipes.classify import cifar10_softmax as cifar10_softmax
from dlcv_tf.recipes.classify import cifar10_svm as cifar10_svm
from dlcv_tf.recipes.classify import cifar10_two_layer as cifar10_two_layer
from dlcv_tf.recipes.classify import digits_linear as digits_linear
from dlcv_tf.recipes.classify import digits_resnet as digits_resnet
from dlcv_tf.recipes.classify import folder_resnet18 as folder_resnet18
from dlcv_tf.recipes.classify import mnist_convnet as mnist_convnet
from dlcv_tf.recipes.recipe import Recipe as Recipe

RECIPES = {
    "digits_linear": digits_linear,
    "digits_resnet": digits_resnet,
    "mnist_convnet": mnist_convnet,
    "cifar10_svm": cifar10_svm,
    "cifar10_softmax": cifar10_softmax,
    "cifar10_two_layer": cifar10_two_layer,
    "cifar10_fully_connected": cifar10_fully_connected,
    "cifar10_features": cifar10_features,
    "cifar10_resnet20": cifar10_resnet20,
    "cifar10_airbench": cifar10_airbench,
    "folder_resnet18": folder_resnet18,
}


def get(name: str) -> Recipe:
    """Returns a recipe by name.

    Raises:
        InputError: there is none of that name; suggests the closest.
    """
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name]()
