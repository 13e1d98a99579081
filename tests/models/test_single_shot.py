import numpy as np
import pytest

from dlcv_tf import models
from dlcv_tf.errors import InputError
from dlcv_tf.tasks.methods.anchors import grid_anchors


def test_the_grid_of_the_first_yolo_is_7x7x30_for_voc():
    network = models.yolo((56, 56, 3), 20, (4, 4, 4), (1, 1, 1), grid=7, boxes_per_cell=2)
    assert network.output["grid"].shape == (None, 7, 7, 2 * 5 + 20) == (None, 7, 7, 30)
    network = models.yolo((56, 56, 3), 20, (4, 4, 4), (1, 1, 1), hidden_units=None)
    assert network.output["grid"].shape == (None, 7, 7, 30)
    with pytest.raises(InputError, match="features of 8x8 cells for a grid of 7x7"):
        models.yolo((64, 64, 3), 20, (4, 4, 4), (1, 1, 1), hidden_units=None)


@pytest.mark.parametrize("size", [(32, 48), (37, 51), (9, 33)])
def test_as_many_outputs_as_anchors_for_any_size(size):
    anchors = grid_anchors(size, (4, 8), [[(8, 8), (6, 9)], [(16, 16)]])
    network = models.ssd((*size, 3), 5, (4, 4, 4), (1, 1, 1), (4, 8), (2, 1))
    assert network.output["logits"].shape == (None, len(anchors), 6)
    assert network.output["deltas"].shape == (None, len(anchors), 4)
    network = models.yolo_anchors(
        (*size, 3), 5, (4, 4, 4), (1, 1, 1), (4, 8), (2, 1), top_down=False
    )
    sizes = {name: value.shape for name, value in network.output.items()}
    assert sizes == {
        "boxes": (None, len(anchors), 4),
        "objectness": (None, len(anchors), 1),
        "classes": (None, len(anchors), 5),
    }


@pytest.mark.parametrize("builder", [models.ssd, models.yolo_anchors])
def test_each_anchor_sees_its_own_place(builder):
    """A spot in the picture moves the outputs of the anchors around it, and of no others."""
    network = builder((32, 48, 3), 2, (8,), (1,), strides=(2,), anchors_per_cell=(2,))
    picture = np.zeros((2, 32, 48, 3), np.float32)
    picture[1, 20, 10] = 100
    outputs = network(picture)
    centres = grid_anchors((32, 48), (2,), [[(2, 2), (4, 4)]]).reshape(-1, 2, 2).mean(axis=1)
    apart = np.abs(centres - [10.5, 20.5]).max(axis=1)
    for values in outputs.values():
        changed = np.any(values[0] != values[1], axis=-1)
        assert changed[apart < 3].any() and not changed[apart > 4].any()


def test_errors():
    with pytest.raises(InputError, match=r"head at stride 16, expected some of \[2, 4, 8\]"):
        models.ssd((32, 32, 3), 2, (4, 4, 4), (1, 1, 1), strides=(4, 16), anchors_per_cell=(1, 1))
    with pytest.raises(InputError, match="one number of anchors, 1 or more, for each stride"):
        models.ssd((32, 32, 3), 2, (4, 4, 4), (1, 1, 1), strides=(4, 8), anchors_per_cell=(1,))
    with pytest.raises(InputError, match="one of each per stage"):
        models.yolo_anchors((32, 32, 3), 2, (4, 4), (1,), strides=(4,), anchors_per_cell=(1,))
    with pytest.raises(InputError, match="expected a picture whose sides 8 divides"):
        models.yolo_anchors((36, 36, 3), 2, (4, 4, 4), (1, 1, 1), (4, 8), (1, 1))
