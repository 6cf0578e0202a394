"""Runs of several notebooks, made up."""

import pytest

from wsss_lib.tests.explore.made_up import write_everything


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    outputs = write_everything(tmp_path)
    monkeypatch.setenv("WSSS_OUTPUTS", str(outputs))
    return outputs
