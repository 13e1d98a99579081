"""Embedded data set `digits`: 1,797 real 8x8 pictures of handwritten digits.

The UCI "Optical Recognition of Handwritten Digits" test set, as scikit-learn ships it.
"""

import numpy as np

LABELS = tuple(str(digit) for digit in range(10))
SPLIT_SEED = 2017
FRACTIONS = {"train": 0.7, "val": 0.1, "test": 0.2}


def arrays(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the pictures and labels of a fixed stratified split.

    Args:
        split: `"train"` (70 %), `"val"` (10 %) or `"test"` (20 %).

    Returns:
        (n, 8, 8, 1) uint8 pictures, white on black, and (n,) int64 labels.
    """
    from sklearn import datasets

    bunch = datasets.load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., None]  # 0..16 to 0..255
    labels = bunch.target.astype(np.int64)
    random = np.random.default_rng(SPLIT_SEED)
    chosen = []
    for digit in range(len(LABELS)):
        members = random.permutation(np.flatnonzero(labels == digit))
        bounds = np.round(np.cumsum([0, *FRACTIONS.values()]) * len(members)).astype(int)
        part = list(FRACTIONS).index(split)
        chosen.append(members[bounds[part] : bounds[part + 1]])
    indices = random.permutation(np.concatenate(chosen))
    return images[indices], labels[indices]
