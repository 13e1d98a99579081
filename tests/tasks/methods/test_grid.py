import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.tasks.methods import GridMethod
from tests.tasks.methods import scenes

SIZE, GRID, CLASSES = (30, 60), 3, 3


def raw(random):
    numbers = 2 * 5 + CLASSES
    return {"grid": random.uniform(0, 1, (2, GRID, GRID, numbers)).astype(np.float32)}


def box_of(numbers, row, column):
    x, y = (column + numbers[0]) * SIZE[1] / GRID, (row + numbers[1]) * SIZE[0] / GRID
    wide, high = numbers[2] ** 2 * SIZE[1], numbers[3] ** 2 * SIZE[0]
    return [x - wide / 2, y - high / 2, x + wide / 2, y + high / 2]


def by_loops(outputs, targets, method):
    """Returns equation 3 of the paper, one cell at a time, its mean over the pictures."""
    names = ("box_loss", "object_loss", "no_object_loss", "class_loss")
    sums = dict.fromkeys(names, 0.0)
    for picture, cells in enumerate(outputs["grid"].astype(float)):
        owners = {}
        for thing in range(len(targets["boxes"][picture])):
            if targets["valid"][picture, thing] and not targets["ignored"][picture, thing]:
                x1, y1, x2, y2 = targets["boxes"][picture, thing].astype(float)
                row = int((y1 + y2) / 2 / SIZE[0] * GRID)
                column = int((x1 + x2) / 2 / SIZE[1] * GRID)
                owners.setdefault((min(row, GRID - 1), min(column, GRID - 1)), thing)
        crowds = targets["boxes"][picture][targets["ignored"][picture]]
        for row in range(GRID):
            for column in range(GRID):
                numbers = cells[row, column]
                guesses = [numbers[5 * number : 5 * number + 5] for number in range(2)]
                thing = owners.get((row, column))
                responsible = None
                if thing is not None:
                    box = targets["boxes"][picture, thing].astype(float)
                    overlaps = [scenes.iou(box_of(g, row, column), box)[0] for g in guesses]
                    apart = [np.sum((box_of(g, row, column) - box) ** 2) for g in guesses]
                    responsible = int(np.argmax(overlaps) if any(overlaps) else np.argmin(apart))
                    guess = guesses[responsible]
                    wanted = [
                        (box[0] + box[2]) / 2 / SIZE[1] * GRID - column,
                        (box[1] + box[3]) / 2 / SIZE[0] * GRID - row,
                        np.sqrt((box[2] - box[0]) / SIZE[1]),
                        np.sqrt((box[3] - box[1]) / SIZE[0]),
                    ]
                    sums["box_loss"] += method.box_weight * np.sum((guess[:4] - wanted) ** 2)
                    confidence = overlaps[responsible] if method.rescore else 1
                    sums["object_loss"] += (guess[4] - confidence) ** 2
                    one_hot = np.eye(CLASSES)[targets["classes"][picture, thing]]
                    sums["class_loss"] += np.sum((numbers[10:] - one_hot) ** 2)
                for number, guess in enumerate(guesses):
                    box = box_of(guess, row, column)
                    crowded = any(scenes.iou(box, crowd)[1] >= 0.5 for crowd in crowds)
                    if number != responsible and not crowded:
                        sums["no_object_loss"] += method.no_object_weight * guess[4] ** 2
    return {name: value / len(outputs["grid"]) for name, value in sums.items()}


@pytest.mark.parametrize("seed", range(3))
def test_loss_is_the_papers(seed):
    random = np.random.default_rng(seed)
    outputs, targets = raw(random), scenes.some(SIZE, random)
    method = GridMethod(rescore=seed > 0)
    got = method.losses(None, outputs, targets, SIZE, True)
    expected = by_loops(outputs, targets, method)
    assert got.keys() == expected.keys() == set(method.loss_names)
    for name in expected:
        np.testing.assert_allclose(got[name], expected[name], rtol=2e-5)


def exact(box, label):
    """Returns outputs that say box and label, where its centre is, with full confidence."""
    grid = np.zeros((1, GRID, GRID, 10 + CLASSES), np.float32)
    x, y = (box[0] + box[2]) / 2 / SIZE[1] * GRID, (box[1] + box[3]) / 2 / SIZE[0] * GRID
    roots = np.sqrt([(box[2] - box[0]) / SIZE[1], (box[3] - box[1]) / SIZE[0]])
    grid[0, int(y), int(x), 5:10] = [x % 1, y % 1, *roots, 1]  # the second of two boxes
    grid[0, int(y), int(x), 10 + label] = 1
    return {"grid": grid}


def test_the_right_answer_costs_nothing_and_is_read_back():
    box = [22.0, 3, 50, 21]
    outputs, method = exact(box, 2), GridMethod()
    losses = method.losses(None, outputs, scenes.targets([[box]], [[2]]), SIZE, True)
    assert all(abs(float(value)) < 1e-10 for value in losses.values())
    boxes, scores = method.candidates(None, outputs, SIZE)
    assert boxes.shape == (1, 18, 4) and scores.shape == (1, 18, CLASSES)
    best = np.unravel_index(np.argmax(scores), scores.shape)
    assert best == (0, (1 * 3 + 1) * 2 + 1, 2) and np.count_nonzero(scores) == 1
    np.testing.assert_allclose(boxes[0, best[1]], box, rtol=1e-5)


def test_a_cell_learns_its_first_object_alone():
    first, second = [22.0, 11, 30, 19], [25.0, 12, 35, 18]
    outputs, method = exact(first, 1), GridMethod()
    losses = method.losses(None, outputs, scenes.targets([[first, second]], [[1, 0]]), SIZE, True)
    assert all(abs(float(value)) < 1e-10 for value in losses.values())
    losses = method.losses(None, outputs, scenes.targets([[second, first]], [[0, 1]]), SIZE, True)
    assert losses["class_loss"] == 2 and losses["box_loss"] > 0.1


def test_small_boxes_count_more():
    method = GridMethod()

    def cost(side):
        outputs = exact([30 - side / 2, 15 - side / 2, 30 + side / 2, 15 + side / 2], 0)
        wrong = scenes.targets([[[29 - side / 2, 14 - side / 2, 31 + side / 2, 16 + side / 2]]], 0)
        return float(method.losses(None, outputs, wrong, SIZE, True)["box_loss"])

    assert cost(4) > 2 * cost(12)


def test_pictures_without_objects_learn_no_confidence():
    outputs = {"grid": tf.constant(raw(np.random.default_rng(0))["grid"])}
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        losses = GridMethod().losses(
            None, outputs, scenes.targets(np.zeros((2, 3, 4)), 0, valid=False), SIZE, True
        )
        loss = tf.add_n([*losses.values()])
    assert loss == losses["no_object_loss"] > 0
    touched = np.any(tape.gradient(loss, outputs)["grid"] != 0, axis=(0, 1, 2))
    np.testing.assert_array_equal(np.flatnonzero(touched), [4, 9])


def test_config_and_errors():
    method = GridMethod(3, 4.0, 0.25, False)
    clone = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(method))
    assert clone.get_config() == method.get_config()
    with pytest.raises(InputError, match="boxes_per_cell=0"):
        GridMethod(0)
    with pytest.raises(InputError, match="13 numbers in a cell for 3 boxes"):
        method.candidates(None, raw(np.random.default_rng(0)), SIZE)
