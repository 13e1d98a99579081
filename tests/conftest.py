"""Fixtures shared by all tests."""

import os
import sys

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(autouse=True)
def determinism_ends_with_the_test():
    """Switches deterministic operations off again: a recipe's run has them on for its process."""
    yield
    if "tensorflow" in sys.modules:
        from tensorflow.python.framework import config  # it alone can switch them off

        config.disable_op_determinism()
