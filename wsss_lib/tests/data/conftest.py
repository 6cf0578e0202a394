"""Data sets that the tests of this folder read."""

from pathlib import Path

import pytest

from wsss_lib.tests.data.trees import write_sbd, write_voc

TRAIN = {"2007_000001": ["cat"], "2007_000002": ["dog", "bird"], "2007_000003": ["bird"], "2007_000004": ["cat", "dog"]}
VAL = {"2007_000011": ["dog"], "2007_000012": ["bird"]}


@pytest.fixture
def voc_root(tmp_path) -> Path:
    """A data set of three classes with the splits ``train`` and ``val``."""
    return write_voc(tmp_path / "own_data", {"train": TRAIN, "val": VAL})


@pytest.fixture
def sbd_root(tmp_path) -> Path:
    """SBD with two images of its own, one of VOC train and one of VOC val."""
    train = {"2008_000002": [2], "2007_000001": [2]}
    return write_sbd(tmp_path / "sbd", train, {"2008_000001": [3, 3, 1], "2007_000011": [3]})
