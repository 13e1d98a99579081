"""All forms of both distances agree with NumPy, and the nearest are those of scikit-learn."""

import numpy as np
import pytest
import tensorflow as tf
from sklearn.neighbors import NearestNeighbors

from dlcv_tf.errors import InputError
from dlcv_tf.ops import distances

FORMS = (distances.two_loops, distances.one_loop, distances.pairwise)


def oracle(points, others, kind):
    differences = points[:, None] - others
    if kind == "l1":
        return np.abs(differences).sum(axis=-1)
    return np.sqrt((differences**2).sum(axis=-1))


def cloud(count, features, seed=0):
    return np.random.default_rng(seed).normal(size=(count, features))


@pytest.mark.parametrize("kind", distances.KINDS)
@pytest.mark.parametrize("features", [1, 15, 16, 37, 64])  # L1 takes 16 at a time
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_every_form_is_the_definition(form, features, kind):
    points, others = cloud(7, features), cloud(9, features, seed=1)
    expected = oracle(points, others, kind)
    got = form(points, others, kind)
    assert got.dtype == tf.float64
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9)
    single = form(points.astype(np.float32), others.astype(np.float32), kind)
    assert single.dtype == tf.float32
    np.testing.assert_allclose(single, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", distances.KINDS)
def test_three_implementations_agree_on_pictures(kind):
    points, others = (np.round(255 * np.abs(np.sin(cloud(n, 3072)))) for n in (11, 13))
    reference = distances.two_loops(points, others, kind)
    for form in FORMS[1:]:
        assert np.linalg.norm(form(points, others, kind) - reference) < 1e-3
    # Whole numbers below 2^24 are exact in float32 too, and so is L1 of pictures.
    if kind == "l1":
        single = distances.pairwise(points.astype(np.uint8), others.astype(np.uint8), kind)
        assert single.dtype == tf.float32
        np.testing.assert_array_equal(single, reference)


def test_the_expansion_gives_no_root_of_a_negative_number():
    points = 1000 + cloud(50, 100).astype(np.float32)
    apart = distances.pairwise(points, points).numpy()
    assert np.isfinite(apart).all() and (apart >= 0).all()
    assert (np.diag(apart) < 1e4 * 100**0.5 * 1e-3).all()
    np.testing.assert_array_equal(np.diag(distances.one_loop(points, points)), 0)


@pytest.mark.parametrize("kind", distances.KINDS)
@pytest.mark.parametrize("form", FORMS[1:], ids=lambda form: form.__name__)
def test_inside_a_graph_of_any_size_it_is_the_same(form, kind):
    points, others = cloud(5, 20), cloud(4, 20, seed=1)
    spec = [tf.TensorSpec((None, 20), tf.float64)] * 2
    traced = tf.function(lambda a, b: form(a, b, kind), input_signature=spec, autograph=False)
    for count in (5, 2):
        expected = oracle(points[:count], others, kind)
        np.testing.assert_allclose(traced(points[:count], others), expected, atol=1e-9)


@pytest.mark.parametrize("kind, metric", [("l1", "manhattan"), ("l2", "euclidean")])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("chunk", [3, 100])
def test_nearest_are_those_of_scikit_learn(kind, metric, dtype, chunk):
    queries, examples = cloud(10, 20).astype(dtype), cloud(50, 20, seed=1).astype(dtype)
    indices, apart = distances.nearest(queries, examples, 4, kind, chunk=chunk)
    search = NearestNeighbors(n_neighbors=4, algorithm="brute", metric=metric).fit(examples)
    expected_apart, expected = search.kneighbors(queries)
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(apart, expected_apart, rtol=1e-5)


@pytest.mark.parametrize("kind", distances.KINDS)
def test_examples_are_their_own_neighbours_at_distance_zero(kind):
    examples = 1e4 + cloud(300, 20).astype(np.float32)  # where the expansion loses its digits
    indices, apart = distances.nearest(examples, examples, 3, kind)
    np.testing.assert_array_equal(indices[:, 0], np.arange(300))
    np.testing.assert_array_equal(apart[:, 0], 0)
    assert (np.diff(apart, axis=1) >= 0).all()


@pytest.mark.parametrize("kind", distances.KINDS)
def test_of_equal_distances_the_smaller_number_comes_first(kind):
    examples = np.array([[2.0], [-1.0], [1.0], [-1.0], [1.0]])
    indices, apart = distances.nearest([[0.0]], examples, 5, kind)
    assert indices.numpy().tolist() == [[1, 2, 3, 4, 0]]
    assert apart.numpy().tolist() == [[1, 1, 1, 1, 2]]


def exact(queries, examples, k):
    apart = oracle(np.float64(queries), np.float64(examples), "l2")
    return np.argsort(apart, axis=1, kind="stable")[:, :k]


def test_an_outlier_leaves_the_neighbours_right():
    examples = np.array([[0, 0], [1, 0], [2, 0], [0, 30000]], np.float32)
    found, apart = distances.nearest(examples[:3], examples, 1)
    assert found.numpy().tolist() == [[0], [1], [2]] and not apart.numpy().any()


def test_of_equal_l2_distances_the_smaller_number_comes_first_though_the_mean_is_off():
    examples = [[1, 0], [-1, 0], [0, 1], [0, -1], [2, 2.3]]
    assert distances.nearest(np.zeros((1, 2)), examples, 1)[0].numpy().tolist() == [[0]]
    random = np.random.default_rng(0)
    points = random.integers(0, 4, (300, 5)).astype(np.float32)  # hundreds of ties
    queries = random.integers(0, 4, (50, 5)).astype(np.float32)
    for k in (1, 7):
        got = distances.nearest(queries, points, k, chunk=20)[0]
        np.testing.assert_array_equal(got, exact(queries, points, k))


@pytest.mark.parametrize("step", [distances.NUMBERS_AT_ONCE, 100])
def test_clusters_far_apart_leave_the_neighbours_right(step, monkeypatch):
    monkeypatch.setattr(distances, "NUMBERS_AT_ONCE", step)
    points = cloud(120, 20).astype(np.float32)
    points[60:] += 1e4
    got, apart = distances.nearest(points, points, 3)
    np.testing.assert_array_equal(got, exact(points, points, 3))
    assert apart.dtype == tf.float32 and not apart[:, 0].numpy().any()


def test_numbers_whose_squares_overflow_still_have_neighbours():
    points = np.array([[1e25], [3e25], [7e25]], np.float32)
    assert distances.nearest(points, points, 2)[0].numpy().tolist() == [[0, 1], [1, 0], [2, 1]]


def test_few_candidates_are_left_where_distances_are_large_beside_rounding():
    points, examples = (tf.constant(cloud(n, 64, seed=n), tf.float32) for n in (20, 5000))
    columns = tf.transpose(examples)
    pairs = distances._candidates(points, columns, 10, distances.squared_norms(columns))
    assert 200 <= len(pairs) < 220


def test_bad_input_says_how_to_mend_it():
    good = np.zeros((3, 4))
    with pytest.raises(InputError, match=r"shapes \(3, 2, 2\) and \(3, 4\).*flatten pictures"):
        distances.pairwise(np.zeros((3, 2, 2)), good)
    with pytest.raises(InputError, match=r"shapes \(0, 4\) and \(3, 4\).*not empty"):
        distances.nearest(good[:0], good, 1)
    with pytest.raises(InputError, match=r"shapes \(3, 4\) and \(3, 5\)"):
        distances.two_loops(good, np.zeros((3, 5)))
    with pytest.raises(InputError, match="unknown distance 'l3': did you mean"):
        distances.one_loop(good, good, "l3")
    with pytest.raises(InputError, match="got k=4 with 3 examples, expected 1 to 3"):
        distances.nearest(good, good, 4)
    with pytest.raises(InputError, match="got k=0"):
        distances.nearest(good, good, 0)
    with pytest.raises(InputError, match="got k=1.5"):
        distances.nearest(good, good, 1.5)
    for chunk in (0, -1, 2.5):
        with pytest.raises(InputError, match=f"got chunk={chunk}, expected a whole number"):
            distances.nearest(good, good, 1, chunk=chunk)
    for value in (np.nan, np.inf, -np.inf):
        bad = good.copy()
        bad[1, 2] = value
        for function in (*FORMS, lambda a, b: distances.nearest(a, b, 1)):
            with pytest.raises(InputError, match="got 1 of 3 points with a NaN, an infinite"):
                function(good, bad)
