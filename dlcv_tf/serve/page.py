"""The web page at `/`: its files, and what it asks about the models."""

import hashlib
import importlib.resources
import pathlib

import orjson

from dlcv_tf import __version__
from dlcv_tf.serve import http_pictures
from dlcv_tf.serve.call import Call
from dlcv_tf.serve.errors import Code, ServingError
from dlcv_tf.serve.http_messages import Answer, Request
from dlcv_tf.serve.model import BYTES_SIGNATURE, Model
from dlcv_tf.serve.repository import Repository
from dlcv_tf.serve.version import Version

MODELS_PATH = "/page/models.json"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
HEADERS = {
    "cache-control": "no-cache",  # kept, but asked for again: the next server may have other files
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src "
    "'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors "
    "'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

# What each task answers, as the page draws it.
KINDS = {
    "Classifier": "classes",
    "Localizer": "place",
    "PoseEstimator": "joints",
    "Detector": "boxes",
    "InstanceSegmenter": "boxes",
    "Segmenter": "map",
}


def static(method: str, path: str, headers: dict[str, str]) -> Answer | None:
    """Answers with a file of the page, which needs no token; None for any other path.

    Args:
        method: of the request.
        path: as sent; it is looked up as it stands, so that none leads out of the page.
        headers: of the request, names in lower case.
    """
    file = FILES.get(path)
    if file is None:
        return None
    if method not in ("GET", "HEAD"):
        text = orjson.dumps({"error": f"Method not allowed: {method} {path}, expected GET"})
        return Answer(text, 405, headers={"allow": "GET, HEAD"})
    known = [tag.strip().removeprefix("W/") for tag in headers.get("if-none-match", "").split(",")]
    if file.headers["etag"] in known or known == ["*"]:
        return Answer(b"", 304, file.content_type, file.headers)
    return file


def models(request: Request, repository: Repository, call: Call) -> Answer:
    """Answers GET `/page/models.json`: all versions, their states, and what those that serve do.

    Args:
        request: the HTTP request.
        repository: the models.
        call: gets what is measured.

    Raises:
        ServingError: NOT_FOUND for any other request.
    """
    call.api = call.method = "page"
    if request.path != MODELS_PATH or request.method not in ("GET", "HEAD"):
        raise ServingError(Code.NOT_FOUND, f"Not found: {request.method} {request.path}")
    listed = [_model(repository, name) for name in repository.names()]
    values = {"version": __version__, "ready": repository.ready, "models": listed}
    return Answer(orjson.dumps(values), headers={"cache-control": "no-store"})


def _model(repository: Repository, name: str) -> dict:
    found = {"name": name, "labels": repository.labels(name), "error": "", "versions": []}
    try:
        found["versions"] = [_version(each) for each in repository.versions(name)]
    except ServingError as error:  # none was tried yet, or its directory is in trouble
        found["error"] = error.message
    return found


def _version(version: Version) -> dict:
    found = {"number": str(version.number), "state": version.state, "error": version.error}
    model = version.model  # once: it may be unloaded meanwhile
    return found if model is None else found | _abilities(model)


def _abilities(model: Model) -> dict:
    """Returns what the page needs to know to send a picture and to draw the answer."""
    manifest = model.manifest
    metric = manifest.main_metric
    value = manifest.formats.get(model.executor.name, {}).get(metric)
    signature = model.signatures.get(BYTES_SIGNATURE)
    return {
        "task": manifest.task,
        "kind": _kind(manifest.task, signature),
        "classes": manifest.labels,
        "size": manifest.preprocessing.get("size"),
        "executor": model.executor.name,
        "metric": None if value is None else {"name": metric, "value": value},
    }


def _kind(task: str, signature: dict | None) -> str:
    """Returns how an answer is drawn: a kind of `KINDS`, a "picture", or "values" as JSON.

    It is "none" where no encoded picture is taken.
    """
    if signature is None:
        return "none"
    if task in KINDS:
        return KINDS[task]
    png = Request("POST", "", {"accept": f"{http_pictures.PNG}, application/json"})
    return "picture" if http_pictures.wanted(png, signature, pictures=1) else "values"


def _files() -> dict[str, Answer]:
    """Reads all files of the page, once: path to answer."""
    found = {}
    root = importlib.resources.files("dlcv_tf.serve") / "page"
    for folder, place in (("", root), ("samples/", root / "samples")):
        for file in place.iterdir():
            kind = TYPES.get(pathlib.PurePosixPath(file.name).suffix)
            if kind and file.is_file():
                body = file.read_bytes()
                tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
                path = "/" if file.name == "index.html" else f"/page/{folder}{file.name}"
                found[path] = Answer(body, content_type=kind, headers=HEADERS | {"etag": tag})
    return found


FILES = _files()
