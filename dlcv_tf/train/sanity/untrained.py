"""A trained model as it was before: what the first steps of the recipe need."""

import keras


def untrained(model: keras.Model) -> keras.Model:
    """Returns a compiled copy of a model with new initial weights, and its optimizer at step 0.

    What does not come from training is kept: statistics of the preprocessing, fixed filters. A
    frozen layer keeps its weights too.

    Args:
        model: compiled model whose config gives the model back.
    """
    copy = type(model).from_config(model.get_config())
    copy.compile_from_config(model.get_compile_config())
    for mine, other in zip(copy.variables, model.variables, strict=True):
        if not (other.trainable or is_state(other)):
            mine.assign(other)
    return copy


def is_state(variable: keras.Variable) -> bool:
    """Tells whether a variable is no weight, but what training keeps: running statistics, seeds."""
    return "moving_" in variable.name or "seed" in variable.name
