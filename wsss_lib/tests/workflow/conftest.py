"""The small project of the workflow's tests."""

import pytest

from wsss_lib.tests.workflow.toy import Toy


@pytest.fixture
def toy(tmp_path) -> Toy:
    return Toy(tmp_path)
