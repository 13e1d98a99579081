"""The labs on detection bear out what the course says."""

from dlcv_tf.labs import detection


def test_one_pass():
    finding = detection.one_pass(grids=(1, 7), strides=(8, 16))
    assert finding.holds
    first, seventh = finding.numbers["cells"]
    # All objects of a picture are in the one cell of a 1x1 grid: 400 are the first in theirs.
    assert finding.numbers["objects"] == 975 and first["lost"] == 1 - 400 / 975
    assert 0 < seventh["lost"] < 0.01
    fine, coarse = finding.numbers["anchors"]
    assert [fine["anchors"], coarse["anchors"]] == [2 * 8 * 8, 2 * 4 * 4]
    assert fine["reached"] > 0.8 > 0.4 > coarse["reached"]
    assert min(fine["positives"], coarse["positives"]) >= 1  # an anchor of its own for each object
    assert finding.figures.keys() == {"one_pass_cells", "one_pass_anchors"}


def test_anchors_of_the_wrong_size_find_nothing():
    finding = detection.one_pass(grids=(1, 7), strides=(8, 16), side=60.0)
    assert finding.numbers["anchors"][0]["reached"] == 0
    assert finding.numbers["anchors"][0]["positives"] == 1  # the best ones all the same
