"""One model as it stands, which readers share and never see change; and how the next one is made.

TF Serving calls it a servable: versions that were tried, those that serve, labels. `updated` looks
at the disk and loads; whoever called it puts the result in place of the old one, in one assignment.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator

from dlcv_tf.serve import version_files
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.models_config import Source
from dlcv_tf.serve.version import Version
from dlcv_tf.serve.version_policy import assign_labels, plan


@dataclasses.dataclass(frozen=True)
class Servable:
    """A model, its versions and labels, at one moment.

    Args:
        source: where its versions come from.
        tried: versions that were tried, and that are on their way in or out.
        serving: versions that answer requests.
        labels: label to version.
        error: what is wrong with its directory or labels, as clients may know it; what serves goes
            on.
        is_unloaded: somebody asked to unload it, so it stays unloaded until asked for again.
    """

    source: Source
    tried: dict[int, Version] = dataclasses.field(default_factory=dict)
    serving: dict[int, Version] = dataclasses.field(default_factory=dict)
    labels: dict[str, int] = dataclasses.field(default_factory=dict)
    error: str = ""
    is_unloaded: bool = False

    @functools.cached_property
    def newest(self) -> Version | None:
        """The greatest version that serves."""
        return self.serving[max(self.serving)] if self.serving else None

    def find(self, number: int | None, label: str | None) -> Version | None:
        """Returns the version that is to answer a request, or None."""
        if label is not None:
            number = self.labels.get(label, -1)
        return self.newest if number is None else self.serving.get(number)

    @property
    def is_loading(self) -> bool:
        """Whether nothing serves yet, but may soon."""
        on_the_way = [v for v in self.tried.values() if v.state in ("START", "LOADING")]
        return bool(on_the_way) and not self.serving


def updated(
    servable: Servable,
    config: Config,
    show: Callable[[dict[int, Version]], None],
    is_asked_for: bool = True,
) -> Servable:
    """Loads what a model's policy and labels want, and returns the model as it is to stand then.

    Nothing is unloaded here: the caller retires the versions that no longer serve, once the new
    ones are in place. So a model is never without a version while another one loads; the price is
    that both are in memory for a moment.

    Args:
        servable: the model as it stands, with the source it is to have.
        config: the server's options.
        show: called with `tried` before each load, for the model's status.
        is_asked_for: by somebody, not by the clock: then refused versions are tried again, versions
            whose files changed are loaded again, and a half-copied one is an error.
    """
    source = servable.source
    try:
        on_disk = version_files.find(source.base_path)
    except OSError as error:
        reason = f"Could not find base path {source.base_path.name} for servable {source.name}"
        return dataclasses.replace(servable, error=f"{reason} ({error.strerror})")
    tried = {n: v for n, v in servable.tried.items() if n in on_disk or v.state != "END"}
    ours = {  # not those of another base path, which the source had before
        number: version
        for number, version in servable.serving.items()
        if version.directory.parent == source.base_path
    }
    serving = {n: v for n, v in ours.items() if not (is_asked_for and v.has_changed())}
    refused = {
        number
        for number, version in tried.items()
        if version.is_refused
        and version.directory == on_disk.get(number)
        and not (is_asked_for or version.is_worth_another_try())
    }
    for number in refused:
        tried[number].warn_if_forgotten(source.name)
    good = on_disk.keys() - (refused - ours.keys())
    while (todo := plan(source.policy, good, serving, source.labels.values())).load:
        number = todo.load[0]
        version = Version(number, on_disk[number])
        tried = {**tried, number: version}
        show(tried)
        if version.load(source.name, config, may_be_partial=not is_asked_for):
            serving[number] = version
        elif number in ours:  # what was loaded from there before is as good as ever
            serving[number] = ours[number]
        else:
            good = good - {number}
    serving = {**ours, **serving}  # what changed, but could not be replaced, goes on
    if not on_disk and config.unload_emptied:
        serving = {}
    labels, unavailable = assign_labels(
        servable.labels, source.labels, serving, config.labels_before_load
    )
    for number in plan(source.policy, good, serving, labels.values()).unload:
        del serving[number]
    return dataclasses.replace(
        servable,
        tried=tried,
        serving=serving,
        labels=labels,
        error="; ".join(_problems(source, on_disk, tried, serving, unavailable)),
    )


def _problems(
    source: Source,
    on_disk: dict[int, pathlib.Path],
    tried: dict[int, Version],
    serving: dict[int, Version],
    unavailable: dict[str, int],
) -> Iterator[str]:
    """Says in TF Serving's words what is not as the source wants it."""
    name = source.name
    if not on_disk:
        yield (
            f"No versions of servable {name} found under base path {source.base_path.name}. "
            "Did you forget to name your leaf directory as a number (eg. '/1/')?"
        )
    for number in sorted((source.policy.specific or frozenset()) - serving.keys()):
        is_refused = number in tried and tried[number].is_refused
        yield (
            f"Version {number} of servable {name}, which was requested to be served as a "
            "'specific' version in the servable's version policy, "
            + (
                f"is refused: {tried[number].error}"
                if is_refused
                else "was not found in the file system"
            )
        )
    for label, number in unavailable.items():
        yield (
            f"Request to assign label to version {number} of model {name}, which is not currently "
            f"available for inference (label {label})"
        )
