"""TF Serving's `models.config`: which models to serve, from where, which versions, what labels."""

import dataclasses
import os
import pathlib
import re

from google.protobuf import text_format

from dlcv_tf.artifact import tfs_messages
from dlcv_tf.errors import InputError
from dlcv_tf.serve.version_policy import Policy

EXAMPLE = 'model_config_list { config { name: "net" base_path: "/models/net" } }'
PLATFORMS = ("", "tensorflow")  # of the same files; which executor runs them is no matter of theirs


@dataclasses.dataclass(frozen=True)
class Source:
    """Where the versions of one model come from.

    Args:
        name: the model's name.
        base_path: the directory that holds a directory for each version.
        policy: which versions are to serve.
        labels: label to the version it is to stand for.
    """

    name: str
    base_path: pathlib.Path
    policy: Policy = Policy()
    labels: dict[str, int] = dataclasses.field(default_factory=dict)


def read(path: str | os.PathLike) -> list[Source]:
    """Reads a `models.config`: a ModelServerConfig as text.

    Args:
        path: the file; a relative `base_path` in it starts from the file's directory.

    Raises:
        InputError: if there is no such file, or it does not name the models rightly.
    """
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"got {path} as models.config, which cannot be read: {error}") from None
    return parse(text, path)


def parse(text: str, path: str | os.PathLike) -> list[Source]:
    """Reads the text of a `models.config`.

    Args:
        text: a ModelServerConfig, e.g. `EXAMPLE`.
        path: where it stands: named in errors, and relative base paths start beside it.

    Raises:
        InputError: if the text does not name the models rightly.
    """
    message = tfs_messages.ModelServerConfig()
    try:
        text_format.Parse(text, message, descriptor_pool=tfs_messages.pool())
        return sources(message, pathlib.Path(path).parent)
    except text_format.ParseError as error:
        raise InputError(
            f"{path}:{error}: expected the text of a ModelServerConfig, such as {EXAMPLE}"
        ) from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def sources(message, root: str | os.PathLike) -> list[Source]:
    """Returns the models that a ModelServerConfig message names.

    Args:
        message: a `tfs_messages.ModelServerConfig`.
        root: where relative base paths start.

    Raises:
        InputError: for a name, path, policy or label that cannot be.
    """
    if message.WhichOneof("config") != "model_config_list":
        got = message.WhichOneof("config") or "no models"
        raise InputError(f"got {got}, expected a model_config_list, such as {EXAMPLE}")
    found = [_source(config, pathlib.Path(root)) for config in message.model_config_list.config]
    names = [source.name for source in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(
            f"got {twice} twice, expected each model once: give each a name of its own"
        )
    return found


def _source(config, root: pathlib.Path) -> Source:
    name = config.name
    # TF Serving's URLs cannot hold the others.
    if not re.fullmatch(r"[^/:\s]+", name) or not name.isprintable() or name in (".", ".."):
        raise InputError(
            f"got {name!r} as a model's name, expected one without '/', ':' and spaces"
        )
    if not config.base_path:
        raise InputError(
            f"model {name!r}: got no base_path, expected the directory that holds its versions"
        )
    if "://" in config.base_path or not config.base_path.isprintable():
        raise InputError(
            f"model {name!r}: got the base_path {config.base_path!r}, expected a directory of this "
            "machine: copy the model here, or mount its bucket"
        )
    if config.model_platform not in PLATFORMS:
        raise InputError(
            f"model {name!r}: got the model_platform {config.model_platform!r}, expected "
            "'tensorflow' or none: every artifact of dlcv_tf is one"
        )
    labels = dict(config.version_labels)
    for label, version in labels.items():
        if not label or not label.isprintable() or version < 0:
            raise InputError(
                f"model {name!r}: got version {version} for the label {label!r}, expected a label "
                "with a name, and a version's number"
            )
    return Source(name, root / config.base_path, _policy(name, config.model_version_policy), labels)


def _policy(name: str, message) -> Policy:
    kind = message.WhichOneof("policy_choice")
    if kind == "all":
        return Policy(all=True)
    if kind == "specific":
        numbers = frozenset(message.specific.versions)
        if not numbers or min(numbers) < 0:
            raise InputError(
                f"model {name!r}: got specific versions {sorted(numbers)}, expected one or more, "
                "such as specific { versions: 1 }"
            )
        return Policy(specific=numbers)
    return Policy(latest=max(message.latest.num_versions, 1))  # 0 is 1, as in TF Serving
