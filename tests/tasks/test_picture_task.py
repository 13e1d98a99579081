"""What all tasks share: measuring traces the answer once, and sees what has changed since."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import data, models, tasks
from tests.helpers import pictures

SIZE = (12, 16)
TRACES = []


@keras.saving.register_keras_serializable(package="tests")
class Counted(tasks.Segmenter):
    """A segmenter that keeps count of how often its answer is traced."""

    def answer(self, images, image_size=None):
        TRACES.append(self.name)
        return super().answer(images, image_size)


@pytest.fixture
def task():
    keras.utils.set_random_seed(0)
    TRACES.clear()
    network = models.strided_unet((*SIZE, 3), 3, (4, 6))
    return Counted(network, data.Preprocess(SIZE), ["a", "b", "c"])


@pytest.fixture
def batches():
    images = pictures(6, SIZE)
    return tf.data.Dataset.from_tensor_slices((images, images[..., 0] // 90)).batch(4)


def test_the_answer_is_traced_once_for_every_size_of_a_batch(task, batches):
    first = task.measure(batches)
    assert len(TRACES) == 2  # four pictures, then any number
    assert task.measure(batches) == first and len(TRACES) == 2


def test_current_weights_are_measured(task, batches):
    before = task.measure(batches)
    task.compile(keras.optimizers.Adam(0.05))
    task.fit(batches, epochs=2, shuffle=False, verbose=0)
    trained = task.measure(batches)
    assert trained != before and len(TRACES) == 2
    task.compile(keras.optimizers.SGD(0.1))
    assert task.measure(batches) == trained
    task.set_weights([np.zeros_like(each) for each in task.get_weights()])
    assert task.measure(batches) != trained and len(TRACES) == 2


def test_what_was_traced_is_not_saved(task, batches, tmp_path):
    expected = task.measure(batches)
    task.save(tmp_path / "task.keras")
    again = keras.models.load_model(tmp_path / "task.keras")
    TRACES.clear()
    assert again.measure(batches) == expected and len(TRACES) == 2
    tf.saved_model.save(task, tmp_path / "saved")
    assert not hasattr(tf.saved_model.load(tmp_path / "saved"), "_traced")
