import numpy as np
import pytest

from wsss_lib.data.reading import DamagedFile
from wsss_lib.data.sbd import sbd_categories, sbd_folder, sbd_ids, sbd_mask
from wsss_lib.tests.data.trees import cut_short, stripes


def test_folder_is_found_in_the_unpacked_archive(sbd_root):
    folder = sbd_root / "benchmark_RELEASE" / "dataset"
    assert sbd_folder(sbd_root) == sbd_folder(sbd_root / "benchmark_RELEASE") == sbd_folder(folder) == folder


def test_missing_folder_names_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}.*inst/.*wsss_lib.data.download sbd"):
        sbd_folder(tmp_path)


def test_lists_categories_and_masks(sbd_root):
    folder = sbd_folder(sbd_root)
    assert sbd_ids(folder) == {"2008_000001", "2008_000002", "2007_000001", "2007_000011"}
    assert sbd_categories(folder / "inst" / "2008_000001.mat") == {1, 3}
    mask = sbd_mask(folder / "cls" / "2008_000001.mat")
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, stripes([0, 3, 3, 1]))


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_shortened_file_is_named(sbd_root, share):
    path = cut_short(sbd_folder(sbd_root) / "cls" / "2008_000001.mat", share)
    with pytest.raises(DamagedFile, match=r"2008_000001\.mat"):
        sbd_mask(path)
