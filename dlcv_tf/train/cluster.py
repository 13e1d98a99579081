"""Who trains together: this process's place among the workers that `TF_CONFIG` names.

No TensorFlow: the command line starts workers without loading it.
"""

import dataclasses
import json
import os
import socket

from dlcv_tf.errors import InputError

VARIABLE = "TF_CONFIG"
GONE = "another worker has ended or cannot be reached"
EXAMPLE = (
    '{"cluster": {"worker": ["192.0.2.1:29500", "192.0.2.2:29500"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


@dataclasses.dataclass(frozen=True)
class Place:
    """A process's place among the workers.

    Args:
        index: number of the process, from 0; worker 0 is the chief, which writes files and talks.
        addresses: `host:port` of every worker; none where the process trains alone.
    """

    index: int = 0
    addresses: tuple[str, ...] = ()

    @property
    def is_chief(self) -> bool:
        """Whether the process writes files and shows progress."""
        return self.index == 0


ALONE = Place()


def place() -> Place:
    """Returns this process's place, as `TF_CONFIG` tells it.

    Raises:
        InputError: the variable is not what TensorFlow's multi-worker training takes.
    """
    text = os.environ.get(VARIABLE)
    if not text:
        return ALONE
    try:
        value = json.loads(text)
        cluster, task = value["cluster"], value["task"]
        addresses = [str(address) for address in cluster["worker"]]
        index = int(task["index"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"got {VARIABLE}={text!r}, expected JSON as in {EXAMPLE}; unset it to train alone"
        ) from error
    if set(cluster) != {"worker"} or task.get("type") != "worker":
        raise InputError(
            f"got {VARIABLE}={text!r}, expected workers only, worker 0 being the chief, as in "
            f"{EXAMPLE}"
        )
    if not 0 <= index < len(addresses):
        raise InputError(
            f"got index {index} among {len(addresses)} workers in {VARIABLE}, expected 0 to "
            f"{len(addresses) - 1}: number the machines in the order of their addresses"
        )
    return ALONE if len(addresses) == 1 else Place(index, tuple(addresses))


def local(workers: int) -> list[str]:
    """Returns the `TF_CONFIG` of each of some workers on this machine, at ports that are free.

    Args:
        workers: how many.
    """
    sockets = [socket.socket() for _ in range(workers)]
    try:
        for each in sockets:  # all at once, so that no two get the same port
            each.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    finally:
        for each in sockets:
            each.close()
    return [
        json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}})
        for index in range(workers)
    ]
