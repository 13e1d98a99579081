"""The labs on detection by regions bear out what the course says, in small."""

import numpy as np

from dlcv_tf.labs import regions


def test_sliding_window():
    finding = regions.sliding_window(levels=(14.0, 21.0, 27.0))
    assert finding.holds
    numbers = finding.numbers
    assert numbers["boxes"] == (64 * 65 // 2) ** 2
    assert numbers["windows"] == sum(((side - 18) // 4 + 1) ** 2 for side in (82, 55, 43))
    assert numbers["macs"]["window by window"] > 3 * numbers["macs"]["one pass"]


def test_proposal_recall():
    finding = regions.proposal_recall(pictures=6, most=64)
    recall = finding.numbers["recall"]
    assert all((np.diff(values) >= 0).all() for values in recall.values())
    assert recall["enlarged twice, 0.5"][-1] > 0.9 > recall["random boxes, 0.5"][-1]
    assert recall["enlarged twice, 0.7"][-1] <= recall["enlarged twice, 0.5"][-1]


def test_rcnn_stages():
    finding = regions.rcnn_stages(train=40, test=8, epochs=2, count=24)
    numbers = finding.numbers
    assert set(numbers["map"]) == {"softmax", "softmax, corrected", "svm", "svm, corrected"}
    assert all(0 <= value["map"] <= value["map50"] <= 1 for value in numbers["map"].values())
    assert numbers["regions"] <= 40 * 28 and min(numbers["corrected"]) > 0
    assert np.shape(numbers["negatives"]) == (3, 6)


def test_fast_rcnn_training():
    finding = regions.fast_rcnn_training(train=16, test=4, epochs=2, count=16)
    losses = finding.numbers["losses"]
    assert losses.keys() == {"classification", "box"} and len(losses["box"]) == 2
    assert losses["classification"][1] < losses["classification"][0]


def test_seconds_per_picture():
    finding = regions.seconds_per_picture(counts=(4, 32), pictures=2)
    spent = finding.numbers["network_seconds"]
    assert spent.keys() == {"R-CNN", "Fast R-CNN", "Faster R-CNN"}
    assert finding.numbers["search_share_of_fast_rcnn"] > 0.3
    assert [row[0] for row in finding.tables[0].rows] == list(spent)
    assert finding.tables[0].rows[2][1] == 0  # Faster R-CNN searches for nothing
