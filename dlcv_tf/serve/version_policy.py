"""Which versions are to serve, and what labels stand for: pure rules, without files or threads."""

import dataclasses
from collections.abc import Collection, Iterable, Mapping


@dataclasses.dataclass(frozen=True)
class Policy:
    """TF Serving's `ServableVersionPolicy`: which versions of a model are to serve.

    Args:
        latest: how many of the newest.
        specific: these and no others, whatever `latest` says; None for no such list.
        all: all there are.
    """

    latest: int = 1
    specific: frozenset[int] | None = None
    all: bool = False

    def choose(self, numbers: Iterable[int]) -> set[int]:
        """Returns those of the versions that are to serve."""
        if self.all:
            return set(numbers)
        if self.specific is not None:
            return self.specific & set(numbers)
        return set(sorted(numbers, reverse=True)[: self.latest])


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be done next: load the versions of `load`, or, if there are none, unload."""

    load: list[int]  # newest first
    unload: list[int]  # oldest first


def plan(
    policy: Policy,
    good: Collection[int],
    serving: Collection[int],
    labelled: Collection[int] = (),
) -> Plan:
    """Says which versions to load and to unload, so that the model is never without one.

    What is new is loaded before anything is unloaded; where the policy finds no good version at all
    (the directory vanished, the only new one is damaged), those that serve go on. A version that a
    label stands for is kept, and loaded, beside those of the policy: moving a label back must work.

    Args:
        policy: chooses among the good ones; so an older one stands in for a damaged one.
        good: versions on disk, without those that could not be loaded.
        serving: versions that are loaded.
        labelled: versions that labels stand for, or are to.
    """
    chosen = policy.choose(good)
    wanted = chosen | (set(labelled) & set(good))
    missing = sorted(wanted - set(serving), reverse=True)
    if missing or not chosen:
        return Plan(missing, [])
    return Plan([], sorted(set(serving) - wanted - set(labelled)))


def assign_labels(
    now: Mapping[str, int],
    configured: Mapping[str, int],
    available: Collection[int],
    before_load: bool = False,
) -> tuple[dict[str, int], dict[str, int]]:
    """Moves labels to the versions that the configuration names, as far as these are loaded.

    Args:
        now: label to version, as it stands.
        configured: label to version, as it is to be; a label that is not in it is dropped.
        available: versions that serve.
        before_load: a new label may stand for a version that is not loaded; one in use is moved to
            a loaded one even then.

    Returns:
        Label to version from now on, and those of `configured` that had to be left out.
    """
    labels, refused = {}, {}
    for label, version in configured.items():
        is_free = now.get(label, version) == version
        if version in available or (before_load and is_free):
            labels[label] = version
            continue
        refused[label] = version
        if label in now:
            labels[label] = now[label]
    return labels, refused
