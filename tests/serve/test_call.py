"""One request on its way: its id, its stages, its deadline."""

import time

import pytest

from dlcv_tf.serve.call import Call, request_id
from dlcv_tf.serve.errors import Code, ServingError


def test_a_plain_request_id_is_kept_and_any_other_replaced():
    assert request_id("a-1.b_c:/+=@") == "a-1.b_c:/+=@"
    made = {request_id(given) for given in ("", "two words", "new\nline", "\u00e9", "x" * 129)}
    assert len(made) == 5 and all(made)


def test_stages_add_up_whatever_happens_in_them():
    call = Call()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), call.stage("run"):
            time.sleep(0.01)
            1 / 0  # noqa: B018
    assert 0.02 <= call.stages["run"] < 2


def test_a_deadline_that_has_passed():
    Call().check_deadline()
    Call(deadline=time.monotonic() + 60).check_deadline()
    with pytest.raises(ServingError, match="the deadline passed 0") as caught:
        Call(deadline=time.monotonic() - 1).check_deadline()
    assert caught.value.code == Code.DEADLINE_EXCEEDED
