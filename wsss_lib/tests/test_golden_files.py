"""Every golden file has one test; the comparison itself can fail."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from wsss_lib.tests.conftest import pytest_runtest_call
from wsss_lib.tests.golden_files import COMMITTED, Golden, names_with_a_test


def test_every_file_has_one_test(golden_folder):
    present = {path.relative_to(golden_folder).with_suffix("").as_posix() for path in golden_folder.rglob("*.npz")}
    tested = Counter(names_with_a_test())
    assert not {name for name, count in tested.items() if count > 1}, "two tests for one golden file"
    assert not present - set(tested), "golden files without a test"
    if golden_folder == COMMITTED:
        assert not set(tested) - present, "tests without a golden file"


def stored(tmp_path, **arrays) -> Golden:
    np.savez(tmp_path / "file.npz", meta='{"rtol": 0.001, "atol": 0.5}', **arrays)
    return Golden(tmp_path / "file.npz")


def test_check_accepts_the_value_and_refuses_another(tmp_path):
    golden = stored(tmp_path, out_a=np.array([10.0, 20.0]))
    golden.check("out_a", np.array([10.1, 20.0]))
    with pytest.raises(AssertionError, match="out_a"):
        golden.check("out_a", np.array([11.0, 20.0]))
    with pytest.raises(AssertionError, match="shape"):
        golden.check("out_a", np.array([[10.0, 20.0]]))


def test_what_was_read_is_known(tmp_path):
    golden = stored(tmp_path, in_a=np.ones(1), out_a=np.ones(1), out_b=np.ones(1), out_c_0=np.ones(1), out_d=np.ones(1))
    assert golden.unread() == ["out_a", "out_b", "out_c_0", "out_d"]
    golden.check("out_a", [1.0], atol=0.1)
    golden.tensor("out_b")
    golden.series("out_c")
    assert "out_d" in golden and golden.unread() == ["out_d"]


def test_a_test_that_leaves_out_a_result_fails(tmp_path):
    golden = stored(tmp_path, out_a=np.ones(1))
    item = SimpleNamespace(funcargs={"golden": golden})
    around = pytest_runtest_call(item)
    next(around)
    with pytest.raises(AssertionError, match=r"file\.npz: never compared are out_a"):
        next(around)
    around = pytest_runtest_call(item)
    next(around)
    golden.check("out_a", [1.0], atol=0.1)
    with pytest.raises(StopIteration):
        next(around)


@pytest.mark.parametrize("array, reason", [([0.1, 0.2], "zeros"), ([10.1, 10.2], "constant")])
def test_check_refuses_a_tolerance_that_cannot_fail(tmp_path, array, reason):
    golden = stored(tmp_path, out_a=np.array(array))
    with pytest.raises(AssertionError, match=reason):
        golden.check("out_a", golden["out_a"])
