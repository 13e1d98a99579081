"""The server: artifacts in, endpoints out. No TensorFlow, no Keras; it knows only `artifact`.

Data flows one way, and each file is one step of it:

    bytes     app.py                   reads a request within its limits, picks the protocol
      |       tensorflow_rest.py       a protocol: one function, from request to answer
      |       tensorflow_requests.py   JSON to arrays, with TF Serving's errors
      |       served_models.py         names, versions and labels: which one is to answer
      |       model.py                 one loaded version: arrays in, arrays out, by signature
      |       tensorflow_answers.py    arrays to JSON
      v       tensorflow_messages.py   status and metadata, as TF Serving's protos
    bytes     app.py                   writes the answer

`errors.py` says what may go wrong, by gRPC's canonical codes; `server.py` holds sockets, uvicorn,
signals and the ready line; `ray_engine.py` does so as an application of Ray Serve,
whose replicas are `ray_replica.py`.

The other way in is gRPC, with the same models behind it:

    bytes     grpc_server.py           the port: TLS, who may call; threads: grpc_threads.py,
      |                                health: grpc_health.py
      |       grpc_methods.py          one RPC: deadline, parsing, errors, what is measured
      |       tensorflow_grpc.py       TF Serving's two services; kserve_grpc.py: KServe v2's
      v       tensorflow_tensors.py    TensorProto to arrays and back; kserve_tensors.py: KServe's

`tensorflow_examples.py` classifies tf.Example protos, for both ways.

A protocol over HTTP is an entry of `app.PROTOCOLS`; the second one is KServe v2:

    kserve_rest.py           from request to answer; `kserve_requests.py`, `kserve_answers.py`
    http_pictures.py         bodies that are a picture, both ways, of both protocols
    page.py                  the web page at `/`: files of `page/`, and what there is to try
    openapi.py               says at `/openapi.json` what there is; `openapi_schemas.py`: of tensors
    request_bodies.py        receives bodies: each has a limit, and all together
    http_encoding.py         compressed bodies, and headers that let pages of other origins call

`http_server.py` is uvicorn with limits on what a client may hold, and a drain that loses nothing;
`fronts.py` starts several processes of all this, which share the ports. `stopping.py` has the
signals that stop them.

Around all of them: `config.py` has every option, `access.py` asks for the token, `call.py` is one
request on its way, which `metrics.py` counts (by version: `statistics.py`) and `request_log.py`
writes down. `memory.py` has large requests wait for one another.

Behind `Model.predict` stands what runs the network, which no protocol looks into:

    tuning.py               at load: measures, chooses executor, threads and size of batches
    warmup.py               the requests that are measured with, and run before a version serves
    batching.py             the queue: so many run at once, the rest wait, and run together
    executors.py            ONNX Runtime, LiteRT, OpenVINO in this process
    tensorflow_executor.py  TensorFlow in a process of its own: tensorflow_worker.py is that process
    worker_messages.py      what the two send each other

Beside that, `repository.py` changes what is served while the server runs, and no reader waits:

    models_config.py    which models there are, from where; `version_files.py`: which versions
    version_policy.py   which of them are wanted, and what labels stand for
    servable.py         one model as it stands, and as it stands after a look at the disk
    version.py          one version: loaded, held by requests, unloaded after the last of them

On the other end of the line is `client.py`: Python's client, waiting or asynchronous. What both say
is in `client_messages.py`, which `client_bodies.py` writes and reads; `client_pictures.py` reads
pictures for it, and answers.
"""

import importlib

_MODULES = (
    "access",
    "app",
    "batching",
    "call",
    "client",
    "client_bodies",
    "client_messages",
    "client_pictures",
    "config",
    "errors",
    "executors",
    "fronts",
    "grpc_health",
    "grpc_methods",
    "grpc_server",
    "grpc_threads",
    "http_encoding",
    "http_messages",
    "http_pictures",
    "http_server",
    "json_documents",
    "kserve_answers",
    "kserve_grpc",
    "kserve_requests",
    "kserve_rest",
    "kserve_tensors",
    "memory",
    "metrics",
    "model",
    "models_config",
    "openapi",
    "openapi_schemas",
    "page",
    "ray_engine",
    "ray_replica",
    "repository",
    "request_bodies",
    "request_log",
    "servable",
    "served_models",
    "server",
    "statistics",
    "stopping",
    "tensorflow_answers",
    "tensorflow_example_requests",
    "tensorflow_examples",
    "tensorflow_executor",
    "tensorflow_grpc",
    "tensorflow_messages",
    "tensorflow_requests",
    "tensorflow_rest",
    "tensorflow_tensors",
    "tensorflow_worker",
    "tuning",
    "version",
    "version_files",
    "version_policy",
    "warmup",
    "worker_messages",
)


def __getattr__(name: str):
    """Imports a module of the room on first use (PEP 562)."""
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {_MODULES}")
