"""`RegionDetector`: a detector that is told where to look: R-CNN and Fast R-CNN."""

import keras
import tensorflow as tf

from dlcv_tf.data import proposals
from dlcv_tf.errors import InputError
from dlcv_tf.tasks.detector import Detector


@keras.saving.register_keras_serializable(package="dlcv_tf")
class RegionDetector(Detector):
    """A detector whose network takes proposals beside the picture.

    Called on pictures alone it finds the proposals itself, by selective search. That takes longer
    than all the rest, so that for training they are found once and given: `fit` then has
    `((pictures, proposals), targets)`, as `data.proposals.attach` makes them.

    Selective search is no part of a graph: such a task answers in Python, and is not exported.

    Args:
        network: functional model from `{"images", "proposals"}` to the raw outputs of its `method`.
        preprocess: as with `Detector`.
        labels: class names, without a background.
        method: as with `Detector`.
        num_proposals: how many are looked at where the task finds them itself.
        search: options of `data.proposals.selective_search`.
        **kwargs: further arguments of `Detector`.

    Call arguments:
        inputs: (batch, height, width, 3) pictures of any size, uint8 or float [0, 255]; or a pair
            of these and (batch, n, 4) proposals in their pixels, rows without area being padding.
    """

    def __init__(
        self, network, preprocess, labels, method, num_proposals=64, search=None, **kwargs
    ):
        super().__init__(network, preprocess, labels, method, **kwargs)
        if not isinstance(self.network.input, dict) or "proposals" not in self.network.input:
            raise InputError(
                "got a network that takes no proposals, expected one of models.rcnn or "
                "models.fast_rcnn: others are trained by tasks.Detector"
            )
        if num_proposals < 1:
            raise InputError(f"got num_proposals={num_proposals}, expected 1 or more")
        self.num_proposals = num_proposals
        self.search = dict(search or {})

    def call(self, inputs, training=None):
        images, boxes = self.with_proposals(inputs)
        scale = self._scale(tf.shape(images)[1:3], self.preprocess.size)
        inputs = {"images": self.preprocess(images), "proposals": boxes * scale}
        return self.network(inputs, training=training)

    def with_proposals(self, inputs) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns pictures and (batch, n, 4) proposals, which are found if they are not given."""
        if isinstance(inputs, tuple | list):
            images, boxes = inputs
            return images, tf.cast(boxes, tf.float32)
        pixels = tf.saturate_cast(tf.round(tf.cast(inputs, tf.float32)), tf.uint8)
        boxes = tf.numpy_function(
            lambda images: proposals.padded(images, self.num_proposals, **self.search),
            [pixels],
            tf.float32,
        )
        return inputs, tf.ensure_shape(boxes, (inputs.shape[0], self.num_proposals, 4))

    def answer(self, images, image_size=None):
        size = tf.shape(_pictures(images))[1:3] if image_size is None else image_size
        return self.decode(self(images, training=False), size)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return super().compute_loss(_pictures(x), y, y_pred, sample_weight, training)

    def get_config(self):
        return super().get_config() | {
            "num_proposals": self.num_proposals,
            "search": self.search,
        }


def _pictures(inputs):
    return inputs[0] if isinstance(inputs, tuple | list) else inputs
