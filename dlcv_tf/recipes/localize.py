"""Recipes of localisers. Each docstring's first line is what `dlcv list recipes` shows."""

from dlcv_tf.recipes.recipe import Recipe


def shapes_localizer() -> Recipe:
    """Class and box of the one drawn shape in a picture: two heads, two losses.

    Command: `dlcv train shapes_localizer`.
    Machine: one core of an AMD EPYC (family 26), shared with other work; 45 s; 2026-11-25.
    Result: all 1,000 test pictures right in class and box, mean IoU of the boxes 0.885.
    """
    return Recipe(
        name="shapes_localizer",
        data="shapes",
        network="localizer",
        task_class="Localizer",
        task_options={"box_weight": 10.0},
        epochs=20,
        batch_size=64,
        optimizer="adam",
        learning_rate=3e-3,
        weight_decay=0.01,
        clip_norm=5.0,
        augmentations=("flip", "shift", "quarter_turn"),
    )
