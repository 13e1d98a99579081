"""Labs: small experiments, each of which tries one claim of the course and shows what it found.

A lab is a function of keyword arguments with defaults that returns a `Finding`; its docstring's
first line is what `dlcv list labs` shows. Every chapter of the course is a module here, whose
`LABS` lists its own.
"""

from dlcv_tf.errors import unknown
from dlcv_tf.labs import (
    activations,
    backprop,
    batch_norm,
    by_hand,
    convolution,
    detection,
    ensembles,
    graphs,
    initialization,
    linear,
    localization,
    loss_surface,
    losses,
    nearest_neighbour,
    optimization,
    pipelines,
    pixel_distance,
    preprocessing,
    regions,
    relu_speed,
    search,
    segmentation,
    software,
)
from dlcv_tf.labs.lab import Finding as Finding
from dlcv_tf.labs.lab import Table as Table

CHAPTERS = (
    nearest_neighbour,
    pixel_distance,
    linear,
    losses,
    backprop,
    by_hand,
    convolution,
    activations,
    relu_speed,
    preprocessing,
    initialization,
    batch_norm,
    search,
    loss_surface,
    optimization,
    ensembles,
    software,
    graphs,
    pipelines,
    segmentation,
    localization,
    regions,
    detection,
)
LABS = {lab.__name__: lab for chapter in CHAPTERS for lab in chapter.LABS}


def get(name: str):
    """Returns a lab by name.

    Raises:
        InputError: there is none of that name; suggests the closest.
    """
    if name not in LABS:
        raise unknown("lab", name, LABS)
    return LABS[name]
