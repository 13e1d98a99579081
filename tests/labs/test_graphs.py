"""Graphs are simplified, run as fast as they should, and go where Python does not."""

import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf.labs import graphs


def test_graph_optimization():
    finding = graphs.graph_optimization()
    assert finding.holds
    counts = finding.numbers["counts"]
    assert counts["run optimised"] < counts["run plainly"] < counts["written"]
    assert finding.numbers["fused"] and finding.numbers["difference"] < 1e-5
    optimised = {row[0]: row[3] for row in finding.tables[0].rows}
    assert optimised["Transpose"] == optimised["Sqrt"] == optimised["Relu"] == optimised["Exp"] == 0


@pytest.mark.slow
def test_execution_modes_give_the_same_losses():
    finding = graphs.execution_modes(steps=12)
    for facts in finding.numbers.values():
        assert facts["apart"] < 1e-3
        assert facts["milliseconds"].keys() == set(graphs.MODES)
        assert facts["milliseconds"]["graph"] < facts["milliseconds"]["eager"]
    assert finding.holds


@pytest.mark.slow
def test_exported_control_flow():
    finding = graphs.exported_control_flow(longest=9)
    assert finding.holds
    assert finding.numbers["traces"] == {"branch": 1, "loop": 1}
    assert finding.numbers["lengths"] == [1, 2, 3, 4, 9]
    assert max(finding.numbers["apart"].values()) < 1e-5


@pytest.mark.slow
def test_the_interpreter_elsewhere_cannot_import_this_package(tmp_path):
    module = graphs.Controlled(2, 0)
    signatures = {"branch": module.branch, "recur": module.recur}
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=signatures)
    answers = graphs._read_elsewhere(str(tmp_path / "model"), [[1.0, -3.0]], [np.zeros((4, 2))])
    assert answers == {"alone": True, "branches": [[1.0, 3.0]], "states": [[0.0, 0.0]]}
