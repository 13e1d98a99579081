"""The labs on preprocessing bear out what the course says."""

from dlcv_tf.labs import preprocessing


def test_points_in_the_plane():
    finding = preprocessing.preprocessing_in_the_plane(seed=3)
    numbers = finding.numbers
    assert finding.holds
    assert numbers["raw"]["largest_mean"] > 1 and abs(numbers["scaled"]["covariance"]) > 0.5
    assert numbers["zero mean"]["largest_mean"] < 1e-6
    assert abs(numbers["PCA"]["covariance"]) < 1e-6
    assert all(abs(variance - 1) < 1e-6 for variance in numbers["whitened"]["variances"])
    # An epsilon that is not small beside the variances leaves less than one.
    assert not preprocessing.preprocessing_in_the_plane(epsilon=0.1).holds


def test_pictures():
    finding = preprocessing.preprocessing_of_pictures()
    numbers = finding.numbers
    assert finding.holds
    assert numbers["identity_error"] < 1e-6 and numbers["strong_axes"] == 55
    assert numbers["whiten"]["test_mean"] > 0.01  # not zero: the statistics are training's
    assert 0.85 < numbers["kept_variance"] < 0.95
