"""The server: artifacts in, endpoints out. No TensorFlow, no Keras; it knows only `artifact`.

Data flows one way, and each file is one step of it:

    bytes     app.py                   reads a request within its limits, picks the protocol
      |       tensorflow_rest.py       a protocol: one function, from request to answer
      |       tensorflow_requests.py   JSON to arrays, with TF Serving's errors
      |       repository.py            names, versions and states: which one is to answer
      |       model.py                 one loaded version: arrays in, arrays out, by signature
      |       tensorflow_answers.py    arrays to JSON
      v       tensorflow_messages.py   status and metadata, as TF Serving's protos
    bytes     app.py                   writes the answer

`errors.py` says what may go wrong, by gRPC's canonical codes; `server.py` holds sockets, uvicorn,
signals and the ready line.

What comes later has its place: gRPC (`tensorflow_grpc.py`, on `tensorflow_messages.py` and
`errors.Code`) starts beside uvicorn in `server.py`; KServe v2 (`kserve_rest.py`) is one more entry
of `app.PROTOCOLS`; other executors and dynamic batching stand behind `Model.predict`, which no
protocol looks into; hot swap and labels are `repository.py`'s, whose readers never wait for a load.
"""

import importlib

_MODULES = (
    "app",
    "errors",
    "model",
    "repository",
    "server",
    "tensorflow_answers",
    "tensorflow_messages",
    "tensorflow_requests",
    "tensorflow_rest",
)


def __getattr__(name: str):
    """Imports a module of the room on first use (PEP 562)."""
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {_MODULES}")
