"""Whether the other workers live: asked every second, so that none waits for one that has gone.

TensorFlow notices at once when a worker goes while a message from it is awaited, and else by its
heartbeats only: measured, 7 to 10 seconds later.
"""

import atexit
import threading

import tensorflow as tf
from tensorflow.python.eager import context  # its health check has no public name

from dlcv_tf.train.cluster import Place

SECONDS = 1.0
ANSWER_SECONDS = 10.0  # for a worker that lives, but is busy
ATTEMPTS = 3


def watch(place: Place) -> None:
    """Starts to watch the other workers; where one has gone, all that waits for it raises an error.

    Args:
        place: this process's; it and all others must have met.
    """
    others = [number for number in range(len(place.addresses)) if number != place.index]
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=(others, over), daemon=True)
    thread.start()
    atexit.register(over.set)


def _watch(others: list[int], over: threading.Event) -> None:
    while not over.wait(SECONDS):
        for number in others:
            if not any(_lives(number) for _ in range(ATTEMPTS)) and not over.is_set():
                message = f"worker {number} does not answer"
                context.context().abort_collective_ops(tf.errors.UNAVAILABLE, message)
                return


def _lives(number: int) -> bool:
    task = f"/job:worker/replica:0/task:{number}"
    try:
        context.context().check_collective_ops_peer_health(task, int(1000 * ANSWER_SECONDS))
    except (
        tf.errors.UnavailableError,
        tf.errors.FailedPreconditionError,  # another process has its address: it was started anew
        tf.errors.DeadlineExceededError,
    ):
        return False
    return True
