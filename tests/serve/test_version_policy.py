"""Which versions are loaded and unloaded, and where labels go: the rules alone."""

import hypothesis
import pytest
from hypothesis import strategies

from dlcv_tf.serve.version_policy import Policy, assign_labels, plan

LATEST, TWO, ALL = Policy(), Policy(latest=2), Policy(all=True)
ONLY_3 = Policy(specific=frozenset({3}))


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [
        (LATEST, {10}),
        (TWO, {9, 10}),
        (Policy(latest=7), {2, 3, 9, 10}),
        (ALL, {2, 3, 9, 10}),
        (ONLY_3, {3}),
        (Policy(specific=frozenset({3, 4})), {3}),
    ],
)
def test_what_a_policy_chooses(policy, chosen):
    assert policy.choose([2, 10, 3, 9]) == chosen
    assert policy.choose([]) == set()


@pytest.mark.parametrize(
    ("policy", "good", "serving", "load", "unload"),
    [
        # At the start everything is loaded, newest first.
        (LATEST, {1, 2}, {}, [2], []),
        (TWO, {1, 2, 3}, {}, [3, 2], []),
        (ALL, {1, 2, 3}, {}, [3, 2, 1], []),
        (ONLY_3, {1, 3, 5}, {}, [3], []),
        # A new version is loaded while the old one serves; the old one goes afterwards.
        (LATEST, {1, 2}, {1}, [2], []),
        (LATEST, {1, 2}, {1, 2}, [], [1]),
        (TWO, {1, 2, 3}, {1, 2}, [3], []),
        (TWO, {1, 2, 3}, {1, 2, 3}, [], [1]),
        (ONLY_3, {1, 3}, {1}, [3], []),
        (ONLY_3, {1, 3}, {1, 3}, [], [1]),
        # The newest was removed: that is how to go back.
        (LATEST, {1}, {2}, [1], []),
        (LATEST, {1}, {1, 2}, [], [2]),
        (ALL, {1, 3}, {1, 2, 3}, [], [2]),
        # Nothing good is left: what serves goes on.
        (LATEST, {}, {2}, [], []),
        (ALL, {}, {1, 2}, [], []),
        (ONLY_3, {1}, {1}, [], []),
        (ONLY_3, {}, {3}, [], []),
        # Nothing to do.
        (LATEST, {1, 2}, {2}, [], []),
        (LATEST, {}, {}, [], []),
    ],
)
def test_what_is_loaded_and_unloaded(policy, good, serving, load, unload):
    todo = plan(policy, set(good), set(serving))
    assert (todo.load, todo.unload) == (load, unload)


@pytest.mark.parametrize(
    ("good", "serving", "load", "unload"),
    [
        ({1, 2}, {}, [2, 1], []),  # loaded beside the newest
        ({1, 2, 3}, {1, 2, 3}, [], [2]),  # kept beside it
        ({2, 3}, {1, 2, 3}, [], [2]),  # kept though its directory is gone
        ({2}, {2}, [], []),  # it cannot be loaded
    ],
)
def test_a_labelled_version_is_kept_beside_the_newest(good, serving, load, unload):
    todo = plan(LATEST, set(good), set(serving), labelled=[1])
    assert (todo.load, todo.unload) == (load, unload)


NUMBERS = strategies.sets(strategies.integers(0, 6))
POLICIES = strategies.one_of(
    strategies.builds(Policy, latest=strategies.integers(1, 3)),
    strategies.just(ALL),
    strategies.builds(Policy, specific=strategies.frozensets(strategies.integers(0, 6))),
)


@hypothesis.given(POLICIES, NUMBERS, NUMBERS, NUMBERS, NUMBERS)
@hypothesis.settings(deadline=None, max_examples=200)
def test_following_the_plan_ends_and_never_leaves_a_model_without_a_version(
    policy, on_disk, serving, labelled, broken
):
    good, had_one = set(on_disk), bool(serving)
    for _ in range(30):
        todo = plan(policy, good, serving, labelled)
        if todo.load:
            number = todo.load[0]
            assert number in good - serving
            good, serving = (
                (good - {number}, serving) if number in broken else (good, serving | {number})
            )
        elif todo.unload:
            assert not set(todo.unload) & (policy.choose(good) | labelled)
            serving = serving - set(todo.unload)
        else:
            break
        assert serving or not had_one
    else:
        pytest.fail("the plan does not come to an end")
    assert policy.choose(good) <= serving


@pytest.mark.parametrize(
    ("now", "configured", "before_load", "labels", "refused"),
    [
        ({}, {"stable": 1}, False, {"stable": 1}, {}),
        ({"stable": 1}, {"stable": 2}, False, {"stable": 2}, {}),
        ({"stable": 1, "canary": 2}, {"stable": 2}, False, {"stable": 2}, {}),
        # Never to a version that is not loaded; one in use stays where it is.
        ({}, {"stable": 9}, False, {}, {"stable": 9}),
        ({"stable": 1}, {"stable": 9}, False, {"stable": 1}, {"stable": 9}),
        ({"stable": 8}, {"stable": 8}, False, {"stable": 8}, {"stable": 8}),
        # Unless the server was told so, and then only one that is not in use.
        ({}, {"stable": 9}, True, {"stable": 9}, {}),
        ({"stable": 9}, {"stable": 9}, True, {"stable": 9}, {}),
        ({"stable": 1}, {"stable": 9}, True, {"stable": 1}, {"stable": 9}),
        ({"stable": 9}, {"stable": 2}, True, {"stable": 2}, {}),
    ],
)
def test_where_labels_go(now, configured, before_load, labels, refused):
    assert assign_labels(now, configured, {1, 2}, before_load) == (labels, refused)
