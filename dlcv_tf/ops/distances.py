"""Distances between two sets of points in the course's three forms, and the nearest neighbours.

L1 is the sum of the absolute differences (Manhattan), L2 the root of the sum of their squares
(Euclid). All functions take (points, features) matrices: flatten pictures first. float64 is kept,
everything else is computed in float32.
"""

import functools
import numbers

import numpy as np
import tensorflow as tf

from dlcv_tf.errors import InputError, unknown

KINDS = ("l1", "l2")
FEATURES_AT_ONCE = 16  # of L1, unrolled: as many rows as XLA keeps in registers and cache
QUERIES_AT_ONCE = 256  # of `nearest`: 51 MB of distances to 50,000 examples
NUMBERS_AT_ONCE = 2**21  # of differences in float64: 16 MB
TENSOR_FLOAT = 2.0**-10  # rounding of products on GPUs that take TensorFloat-32 for float32


def two_loops(points, others, kind: str = "l2") -> tf.Tensor:
    """Returns all distances, each by itself: one loop over the points, one over the others.

    The definition, and the slowest form: `pairwise` gives the same numbers.

    Args:
        points: (m, features).
        others: (n, features).
        kind: `"l1"` or `"l2"`.

    Returns:
        (m, n) distances.

    Raises:
        InputError: wrong shapes, an unknown kind, or numbers that are not finite.
    """
    return _two_loops(*_checked(points, others, kind), kind)


def one_loop(points, others, kind: str = "l2") -> tf.Tensor:
    """Returns all distances, a row at a time: one loop over the points.

    Differences are taken before they are squared, so that even the smallest distance is exact.

    Args:
        points: (m, features).
        others: (n, features).
        kind: `"l1"` or `"l2"`.

    Returns:
        (m, n) distances.

    Raises:
        InputError: wrong shapes, an unknown kind, or numbers that are not finite.
    """
    return _one_loop(*_checked(points, others, kind), kind)


def pairwise(points, others, kind: str = "l2") -> tf.Tensor:
    """Returns all distances without a loop over points.

    L2 is one matrix product: |x - y|^2 = |x|^2 - 2 x.y + |y|^2, clipped at 0, since rounding may
    leave a little less. By the same rounding small distances lose digits: two equal points that
    are r away from the mean come out some r * sqrt(eps) apart (eps 1e-7 in float32, 2e-16 in
    float64), where `one_loop` says 0. So the mean of the others is taken off all points first.

    Args:
        points: (m, features).
        others: (n, features).
        kind: `"l1"` or `"l2"`.

    Returns:
        (m, n) distances: m * n numbers of memory; `nearest` needs less.

    Raises:
        InputError: wrong shapes, an unknown kind, or numbers that are not finite.

    Example:
        >>> pairwise([[0.0, 0.0]], [[3.0, 4.0], [1.0, 1.0]], "l1").numpy().tolist()
        [[7.0, 2.0]]
    """
    points, others = _checked(points, others, kind)
    if kind == "l1":
        return l1_to_columns(points, tf.transpose(others))
    mean = tf.reduce_mean(others, axis=0)
    points, columns = points - mean, _centred_columns(others, mean)
    own = tf.reduce_sum(tf.square(points), axis=1, keepdims=True)  # (m, 1)
    return tf.sqrt(tf.maximum(own - tf.matmul(2 * points, columns) + squared_norms(columns), 0))


def nearest(
    queries, examples, k: int, kind: str = "l2", *, chunk: int = QUERIES_AT_ONCE
) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds the k nearest examples of each query, some queries at a time.

    Memory is that of two copies of the examples and of `chunk` rows of distances, however many
    queries there are. L2 takes the matrix product of `pairwise` to leave out the examples that are
    too far away whatever it has rounded. The distances of the others, hardly more than k, are
    computed from the differences in float64, and these decide. Where distances are small beside
    those from the mean, as in clusters far apart, many are left: right, but slower.

    Args:
        queries: (m, features).
        examples: (n, features).
        k: how many, 1 to n.
        kind: `"l1"` or `"l2"`.
        chunk: queries at a time.

    Returns:
        (m, k) int32 numbers of the examples, nearest first, the smaller number first where
        distances are equal; and their (m, k) distances.

    Raises:
        InputError: wrong shapes, an unknown kind, k or chunk out of range, or numbers that are not
            finite.
    """
    queries, examples = _checked(queries, examples, kind)
    check_k(k, examples.shape[0])
    if not isinstance(chunk, numbers.Integral) or chunk < 1:
        raise InputError(f"got chunk={chunk!r}, expected a whole number of queries, 1 or more")
    mean = tf.reduce_mean(examples, axis=0) if kind == "l2" else tf.zeros((), examples.dtype)
    columns = _centred_columns(examples, mean)
    norms = squared_norms(columns) if kind == "l2" else None
    parts = []
    for start in range(0, queries.shape[0], chunk):
        part = queries[start : start + chunk]
        if kind == "l1":
            indices, nearness = nearest_columns(part, columns, k)
            parts.append((indices, -nearness))
        else:
            pairs = _candidates(part - mean, columns, k, norms)
            parts.append(_nearest_of(part, examples, k, pairs))
    return tuple(tf.concat(each, axis=0) for each in zip(*parts, strict=True))


def check_k(k: int, num_examples: int) -> None:
    """Raises InputError unless there are k examples to be near to."""
    if not isinstance(k, numbers.Integral) or not 1 <= k <= num_examples:
        raise InputError(
            f"got k={k} with {num_examples} examples, expected 1 to {num_examples}: "
            "lower k, or remember more examples"
        )


def check_kind(kind: str) -> None:
    """Raises InputError unless the distance is a known one."""
    if kind not in KINDS:
        raise unknown("distance", kind, KINDS)


def l1_to_columns(points: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Returns L1 distances to points that are the columns of a matrix.

    The sum grows feature by feature, over all pairs at once: no tensor is larger than the result.
    Called eagerly it is compiled by XLA, which makes one pass of every 16 features; inside a graph
    it becomes part of that graph, which other formats can run too.

    Args:
        points: (m, features).
        columns: (features, n).

    Returns:
        (m, n) distances.
    """
    if not tf.executing_eagerly():
        return _l1(points, columns)
    return _compiled_l1(points.shape[1], points.dtype)(points, columns)


def nearest_columns(
    points: tf.Tensor, columns: tf.Tensor, k: int, norms: tf.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds the columns of a matrix that are nearest to points, inside a graph or eagerly.

    Args:
        points: (m, features).
        columns: (features, n).
        k: how many.
        norms: (n,) `squared_norms` of the columns for L2, None for L1.

    Returns:
        (m, k) int32 numbers of the columns, nearest first, the smaller number first where they are
        equally near; and how near they are, (m, k): minus the L1 distance; or |x|^2 minus the
        square of the L2 distance, which is 2 x.y - |y|^2, in the same order and less work.
    """
    if norms is None:
        nearness = -l1_to_columns(points, columns)
    else:
        nearness = tf.matmul(2 * points, columns) - norms
    values, indices = tf.math.top_k(nearness, k)
    return indices, values


@tf.function(jit_compile=True, autograph=False, reduce_retracing=True)  # no matrix of squares
def squared_norms(columns: tf.Tensor) -> tf.Tensor:
    """Returns the (n,) squared lengths of the columns of a (features, n) matrix."""
    return tf.reduce_sum(tf.square(columns), axis=0)


def _checked(points, others, kind: str) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns two sets of points as float tensors of one type."""
    check_kind(kind)
    points, others = tf.convert_to_tensor(points), tf.convert_to_tensor(others)
    dtype = tf.float64 if tf.float64 in (points.dtype, others.dtype) else tf.float32
    shapes = tuple(points.shape), tuple(others.shape)
    fits = [len(shape) for shape in shapes] == [2, 2] and shapes[0][1] == shapes[1][1]
    if not fits or 0 in shapes[0] + shapes[1]:
        raise InputError(
            f"got points of shapes {shapes[0]} and {shapes[1]}, expected (m, features) and "
            "(n, features), not empty: flatten pictures, and bring both to one size"
        )
    return check_finite(tf.cast(points, dtype)), check_finite(tf.cast(others, dtype))


def check_finite(points: tf.Tensor) -> tf.Tensor:
    """Returns the points; raises InputError where one of their numbers is NaN or infinite."""
    if tf.executing_eagerly() and not tf.math.is_finite(tf.reduce_sum(points)):
        bad = points.shape[0] - int(tf.reduce_sum(tf.cast(_finite_rows(points), tf.int32)))
        raise InputError(
            f"got {bad} of {points.shape[0]} points with a NaN, an infinite or a huge number, "
            "expected finite ones: every distance to them would be one too"
        )
    return points


def _finite_rows(points: tf.Tensor) -> tf.Tensor:
    axes = list(range(1, len(points.shape)))
    return tf.math.is_finite(tf.reduce_sum(points, axis=axes))


@tf.function(autograph=False, reduce_retracing=True)  # so that there is one copy, not two
def _centred_columns(points: tf.Tensor, mean: tf.Tensor) -> tf.Tensor:
    """Returns points less a mean as the columns of a matrix."""
    return tf.transpose(points) - mean[..., None]


def _norm(differences: tf.Tensor, kind: str) -> tf.Tensor:
    """Returns the length of (..., features) differences."""
    if kind == "l1":
        return tf.reduce_sum(tf.abs(differences), axis=-1)
    return tf.sqrt(tf.reduce_sum(tf.square(differences), axis=-1))


@tf.function(autograph=False, reduce_retracing=True)
def _two_loops(points, others, kind):
    def row(point):
        return tf.map_fn(lambda other: _norm(point - other, kind), others)

    return tf.map_fn(row, points)


@tf.function(autograph=False, reduce_retracing=True)
def _one_loop(points, others, kind):
    return tf.map_fn(lambda point: _norm(point - others, kind), points)


def _l1(points: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    rows = tf.transpose(points)  # (features, m)
    size = FEATURES_AT_ONCE
    blocks, rest = divmod(rows.shape[0], size)
    num_points, num_columns = tf.shape(rows)[1], tf.shape(columns)[1]

    def add(total, ours, theirs):
        for a, b in zip(tf.unstack(ours), tf.unstack(theirs), strict=True):
            total += tf.abs(a[:, None] - b[None])  # (m, n)
        return total

    total = tf.zeros((num_points, num_columns), rows.dtype)
    if blocks:  # reshaped, for XLA makes ten times slower code of slices
        ours = tf.reshape(rows[: blocks * size], (blocks, size, num_points))
        theirs = tf.reshape(columns[: blocks * size], (blocks, size, num_columns))
        _, total = tf.while_loop(
            lambda block, _: block < blocks,
            lambda block, total: (block + 1, add(total, ours[block], theirs[block])),
            (tf.constant(0), total),
        )
    if rest:
        total = add(total, rows[blocks * size :], columns[blocks * size :])
    return total


@functools.cache
def _compiled_l1(features: int, dtype: tf.DType):
    """Returns L1 compiled by XLA for any number of points and of columns."""
    signature = [tf.TensorSpec((None, features), dtype), tf.TensorSpec((features, None), dtype)]
    return tf.function(_l1, signature, autograph=False, jit_compile=True)


def _rounding(features: int, dtype: tf.DType) -> float:
    """Bounds what rounding does to 2 x.y, as a part of |x|^2 + |y|^2, and to |y|^2, of |y|^2."""
    # A sum of n products, in any order, is off by n units at most; a few more for the centring.
    relative = (features + 16) * float(np.finfo(dtype.as_numpy_dtype).eps) / 2
    coarse = tf.config.experimental.tensor_float_32_execution_enabled()
    if dtype == tf.float32 and coarse and tf.config.list_logical_devices("GPU"):
        relative += TENSOR_FLOAT
    return relative


def _candidates(points: tf.Tensor, columns: tf.Tensor, k: int, norms: tf.Tensor) -> tf.Tensor:
    """Returns (pairs, 2) numbers of points and columns: all that may be among the k nearest."""
    relative = _rounding(points.shape[1], points.dtype)
    own = tf.reduce_sum(tf.square(points), axis=1, keepdims=True)  # (m, 1)
    # With e for `relative`, nearness 2 x.y - |y|^2 is wrong by e |x|^2 + 2 e |y|^2 at most.
    most = tf.matmul(2 * points, columns) - (1 - 2 * relative) * norms  # e |x|^2 is left out
    values, indices = tf.math.top_k(most, k)
    least = values - relative * (4 * tf.gather(norms, indices) + 2 * own)
    bound = tf.reduce_min(least, axis=1, keepdims=True)  # k columns are as near as this, or nearer
    return tf.where(tf.logical_not(most < bound))  # so that a sum that overflowed stays in


def _nearest_of(queries: tf.Tensor, examples: tf.Tensor, k: int, pairs: tf.Tensor):
    """Returns the k nearest examples of each query, of pairs of both, and their L2 distances."""
    step = max(1, NUMBERS_AT_ONCE // queries.shape[1])
    apart = []
    for start in range(0, pairs.shape[0], step):
        rows, columns = tf.unstack(pairs[start : start + step], axis=1)
        ends = (tf.gather(queries, rows), tf.gather(examples, columns))
        apart.append(_norm(tf.cast(ends[0], tf.float64) - tf.cast(ends[1], tf.float64), "l2"))
    rows, columns = tf.unstack(pairs, axis=1)
    ragged = functools.partial(tf.RaggedTensor.from_value_rowids, value_rowids=rows)
    apart = ragged(tf.concat(apart, axis=0)).to_tensor(float("inf"))  # (m, most candidates)
    values, order = tf.math.top_k(-apart, k)  # the smaller number first, as the pairs are sorted
    indices = tf.gather(ragged(tf.cast(columns, tf.int32)).to_tensor(), order, batch_dims=1)
    return indices, tf.cast(-values, queries.dtype)
