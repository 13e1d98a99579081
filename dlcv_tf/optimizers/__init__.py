"""Update rules and learning-rate schedules as Keras objects."""

from dlcv_tf.optimizers.schedules import OneCycle as OneCycle
