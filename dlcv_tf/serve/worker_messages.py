"""Messages between the server and a worker process: a header of JSON, then the bytes of arrays.

Nothing that is received is ever executed: no pickle. A message is two lengths, the header's and the
whole body's, then both.
"""

import json
import math
import socket
import struct

import numpy as np

_LENGTHS = struct.Struct("<IQ")
_JOINED = 65536  # bytes up to which one write beats several


def send(connection: socket.socket, header: dict, arrays: dict[str, np.ndarray]) -> None:
    """Sends one message. Only one thread at a time may do so.

    Args:
        connection: a stream socket.
        header: what JSON can hold; `arrays` is added.
        arrays: numbers, or object arrays of bytes.

    Raises:
        OSError: if the other side is gone.
    """
    specs, buffers = [], []
    for name, array in arrays.items():
        spec: dict = {"name": name, "shape": array.shape}
        if array.dtype == object:
            strings = array.ravel().tolist()
            spec["lengths"] = [len(string) for string in strings]
            buffers.extend(strings)
        else:
            spec["dtype"] = array.dtype.name
            buffers.append(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        specs.append(spec)
    text = json.dumps(header | {"arrays": specs}).encode()
    size = sum(len(buffer) for buffer in buffers)
    start = _LENGTHS.pack(len(text), size) + text
    if size <= _JOINED:
        connection.sendall(b"".join([start, *buffers]))
        return
    connection.sendall(start)
    for buffer in buffers:
        connection.sendall(buffer)


def receive(connection: socket.socket) -> tuple[dict, dict[str, np.ndarray]] | None:
    """Waits for one message; None once the other side has closed the connection, or died."""
    start = _read(connection, _LENGTHS.size)
    if start is None:
        return None
    header_size, size = _LENGTHS.unpack(start)
    text, body = _read(connection, header_size), _read(connection, size)
    if text is None or body is None:
        return None
    header = json.loads(text)
    arrays, offset = {}, 0
    for spec in header.pop("arrays"):
        if "lengths" in spec:
            flat = np.empty(len(spec["lengths"]), dtype=object)
            for index, length in enumerate(spec["lengths"]):
                flat[index] = bytes(body[offset : offset + length])
                offset += length
        else:
            count = math.prod(spec["shape"])
            flat = np.frombuffer(body, np.dtype(spec["dtype"]), count, offset)
            offset += flat.nbytes
        arrays[spec["name"]] = flat.reshape(spec["shape"])
    return header, arrays


def _read(connection: socket.socket, size: int) -> bytearray | None:
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        try:
            count = connection.recv_into(view)
        except OSError:  # reset, or closed on this side
            return None
        if not count:
            return None
        view = view[count:]
    return buffer
