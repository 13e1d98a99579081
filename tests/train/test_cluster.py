"""Who the workers are is read from `TF_CONFIG`; what it cannot be is said in one line."""

import json

import pytest

from dlcv_tf.errors import InputError
from dlcv_tf.train import cluster


def config(index, kind="worker", addresses=("192.0.2.1:29500", "192.0.2.2:29500")):
    return json.dumps({"cluster": {kind: addresses}, "task": {"type": kind, "index": index}})


def test_places(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert cluster.place() == cluster.ALONE and cluster.ALONE.is_chief
    monkeypatch.setenv("TF_CONFIG", cluster.EXAMPLE)
    assert cluster.place() == cluster.Place(0, ("192.0.2.1:29500", "192.0.2.2:29500"))
    monkeypatch.setenv("TF_CONFIG", config(1))
    assert not cluster.place().is_chief
    monkeypatch.setenv("TF_CONFIG", config(0, addresses=("192.0.2.1:29500",)))
    assert cluster.place() == cluster.ALONE


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "expected JSON as in"),
        ('{"cluster": {"worker": ["192.0.2.1:29500"]}}', "expected JSON as in"),
        (config(0, "chief"), "expected JSON as in"),
        (config(2), "got index 2 among 2 workers in TF_CONFIG, expected 0 to 1"),
        (
            '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "ps", "index": 0}}',
            "expected workers only",
        ),
    ],
)
def test_a_broken_variable_is_refused(text, message, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError, match=message):
        cluster.place()


def test_local_workers_have_ports_of_their_own():
    configs = [json.loads(text) for text in cluster.local(3)]
    assert [one["task"]["index"] for one in configs] == [0, 1, 2]
    (addresses,) = {tuple(one["cluster"]["worker"]) for one in configs}
    assert len(set(addresses)) == 3
