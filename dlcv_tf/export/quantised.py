"""What an int8 file answers: all of it, or raw outputs with the decoding described beside it."""

import inspect

from dlcv_tf.artifact import decoding, detections
from dlcv_tf.tasks.detector import CANDIDATES
from dlcv_tf.tasks.picture_task import PictureTask


def answers_whole(task: PictureTask) -> bool:
    """Tells whether a task's decoding goes into its int8 file too, as a softmax does.

    Suppression has no int8 kernels, and places would be rounded to 256 steps.
    """
    return task.targets == "labels"


def decode_facts(task: PictureTask) -> dict:
    """Returns how raw outputs become answers, for the manifest and `artifact.decoding.decode`."""
    name = type(task).__name__
    wanted = inspect.signature(decoding.TASKS[name]).parameters
    known = task.get_config() | {"size": list(task.preprocess.size)}
    facts = {"task": name} | {key: known[key] for key in known if key in wanted}
    if name == "Detector":
        method = type(task.method).__name__
        options = inspect.signature(detections.METHODS[method]).parameters
        config = task.method.get_config()
        facts |= {
            "method": {"name": method} | {key: config[key] for key in config if key in options},
            "candidates": CANDIDATES,
        }
    return facts


def refusal(task: PictureTask) -> str | None:
    """Returns why a task can have no int8 file; None where it can."""
    if answers_whole(task):
        return None
    if "proposals" in task.network.output:
        return "the network selects its proposals inside, by suppression: it has no int8 kernels"
    name = type(task).__name__
    method = type(task.method).__name__ if name == "Detector" else None
    if name not in decoding.TASKS or (method and method not in detections.METHODS):
        return f"the raw outputs of {method or name} are decoded in the graph only"
    return None
