"""Labs of the chapter on preprocessing: what each step does to points and to pictures."""

import numpy as np

from dlcv_tf.data import digits, sets
from dlcv_tf.data.preprocess import Preprocess
from dlcv_tf.labs.lab import Finding, Table
from dlcv_tf.ops import whitening
from dlcv_tf.plots import pictures, planes

WAYS = ("channel", "mean_image", "pca", "whiten", "zca")
ENOUGH_VARIANCE = 10.0  # grey levels squared: above, an epsilon of 1e-5 does not matter


def preprocessing_in_the_plane(
    *, num_points: int = 400, epsilon: float = 1e-8, seed: int = 0
) -> Finding:
    """Points in the plane: raw, centred, scaled, decorrelated, whitened.

    The mean is taken off, each axis is divided by its deviation, or the points are turned to their
    principal axes (PCA: no correlation is left) and then each of those is divided by its deviation
    (whitening: a round cloud).

    Curriculum: row 49.

    Args:
        num_points: how many.
        epsilon: added to the variances, inside the root.
        seed: of the points.
    """
    random = np.random.default_rng(seed)
    raw = random.normal(size=(num_points, 2)) @ np.array([[2.0, 1.2], [0.0, 0.5]]) + [2.5, 1.5]
    centred = raw - raw.mean(axis=0)
    axes, variances = whitening.principal_axes(_covariance(centred))
    steps = {
        "raw": raw,
        "zero mean": centred,
        "scaled": centred / centred.std(axis=0),
        "PCA": centred @ whitening.whitening_matrix(axes, variances, "pca"),
        "whitened": centred @ whitening.whitening_matrix(axes, variances, "whiten", epsilon),
    }
    numbers, rows, drawn = {}, [], []
    for name, points in steps.items():
        covariance = _covariance(points - points.mean(axis=0))
        numbers[name] = {
            "largest_mean": float(abs(points.mean(axis=0)).max()),
            "covariance": float(covariance[0, 1]),
            "variances": covariance.diagonal().tolist(),
        }
        variances_now = numbers[name]["variances"]
        rows.append([name, *list(numbers[name].values())[:2], *variances_now])
        limits = {"x_limits": (-7.5, 8.5), "y_limits": (-7.5, 8.5)}
        drawn.append(planes.Plane(name, **limits, points=(points, np.zeros(num_points, int))))
    white = np.array([*numbers["whitened"]["variances"], numbers["whitened"]["covariance"]])
    return Finding(
        "Centring leaves no mean, PCA no correlation, whitening a variance of one on every axis.",
        numbers["zero mean"]["largest_mean"] < 1e-6
        and abs(numbers["PCA"]["covariance"]) < 1e-6
        and bool(abs(white - [1, 1, 0]).max() < 1e-6),
        f"The covariance of the two axes is {numbers['zero mean']['covariance']:.2f} at first and "
        f"{numbers['PCA']['covariance']:.0e} after PCA; after whitening the "
        f"variances are {white[0]:.6f} and {white[1]:.6f}.",
        numbers,
        [Table(["step", "largest |mean|", "covariance", "variance x", "variance y"], rows)],
        {"preprocessing_in_the_plane": planes.draw(drawn, columns=5)},
    )


def preprocessing_of_pictures(
    *, data: str = "digits", components: int = 20, epsilon: float = 1e-5, shown: int = 8
) -> Finding:
    """Pictures: mean image, PCA, whitening and ZCA, from the training split and used at test.

    `data.Preprocess` is fitted to the training pictures, in float64, and applied to them and to the
    test pictures. The covariance of what comes out is diagonal after PCA and the identity after
    whitening (for axes whose variance is far above epsilon). The test pictures' own mean is not
    zero: they are given the training pictures' statistics, as they must.

    Curriculum: row 49.

    Args:
        data: name of a data set, of pictures with at most 4,096 numbers.
        components: axes kept in the picture "from N axes".
        epsilon: added to the variances (of grey levels), inside the root.
        shown: pictures drawn of each kind.
    """
    train, test = (_pictures(data, split) for split in ("train", "test"))
    rows, numbers, layers = [], {}, {}
    for how in WAYS:
        layers[how] = layer = Preprocess.fitted(
            train, how, std=1.0, epsilon=epsilon, dtype="float64"
        )
        out, at_test = (np.asarray(layer(x)).reshape(len(x), -1) for x in (train, test))
        covariance = _covariance(out - out.mean(axis=0))
        numbers[how] = {
            "mean": float(abs(out.mean(axis=0)).max()),
            "test_mean": float(abs(at_test.mean(axis=0)).max()),
            "largest_covariance": float(abs(covariance - np.diag(covariance.diagonal())).max()),
            "largest_variance": float(covariance.diagonal().max()),
        }
        rows.append([how, *numbers[how].values()])
    variances = _covariance(np.asarray(layers["pca"](train))).diagonal()
    strong = variances > ENOUGH_VARIANCE
    white = _covariance(np.asarray(layers["whiten"](train))[:, strong])
    numbers["identity_error"] = float(abs(white - np.eye(len(white))).max())
    numbers["strong_axes"] = int(strong.sum())
    numbers["kept_variance"] = float(variances[:components].sum() / variances.sum())
    of_pca = np.asarray(layers["pca"](test[:shown]))[:, :components]
    rebuilt = of_pca @ np.asarray(layers["pca"].matrix)[:, :components].T
    mean_image = np.asarray(layers["mean_image"].mean_image)
    drawn = {
        "raw": test[:shown],
        "zero mean": _grey(np.asarray(layers["mean_image"](test[:shown]))),
        f"from {components} axes": (rebuilt.reshape(-1, *mean_image.shape) + mean_image)
        .clip(0, 255)
        .astype(np.uint8),
        "ZCA": _grey(np.asarray(layers["zca"](test[:shown]))),
    }
    titles = [name if first == 0 else "" for name in drawn for first in range(shown)]
    figure = pictures.grid(np.concatenate(list(drawn.values())), titles, columns=shown)
    return Finding(
        "Mean image, PCA and whitening do to pictures what they do to points.",
        all(numbers[how]["mean"] < 1e-6 < numbers[how]["test_mean"] for how in WAYS[1:])
        and numbers["pca"]["largest_covariance"] < 1e-6 * numbers["pca"]["largest_variance"]
        and numbers["identity_error"] < 1e-6,
        f"Without the mean image no pixel's mean is above {numbers['mean_image']['mean']:.0e}. PCA "
        f"leaves covariances of {numbers['pca']['largest_covariance']:.0e} beside variances of up "
        f"to {numbers['pca']['largest_variance']:.0f}. The {numbers['strong_axes']} axes with a "
        f"variance above {ENOUGH_VARIANCE:g} have, whitened, the identity as covariance within "
        f"{numbers['identity_error']:.0e}. {components} axes hold {numbers['kept_variance']:.0%} "
        "of the variance.",
        numbers,
        [
            Table(
                [
                    "way",
                    "largest |mean|",
                    "the same at test",
                    "largest covariance",
                    "largest variance",
                ],
                rows,
                "over all numbers of a picture, in grey levels; training pictures unless said",
            )
        ],
        {"preprocessing_of_pictures": figure},
    )


def _covariance(centred: np.ndarray) -> np.ndarray:
    return centred.T @ centred / len(centred)


def _pictures(name: str, split: str) -> np.ndarray:
    if name == "digits":
        return digits.arrays(split)[0]
    return np.stack([image for image, _ in sets.load(name, split)[0].as_numpy_iterator()])


def _grey(values: np.ndarray) -> np.ndarray:
    """Returns pictures of numbers about zero as uint8: zero is middle grey, each its own range."""
    reach = np.abs(values).max(axis=(1, 2, 3), keepdims=True)
    return np.round(127.5 + 127.5 * values / np.maximum(reach, 1e-12)).astype(np.uint8)


LABS = (preprocessing_in_the_plane, preprocessing_of_pictures)
