import numpy as np
import pytest
import torch

from wsss_lib.data.partly_masked import AllButSplit, PartlyMasked, all_but, open_images, with_boundary
from wsss_lib.data.voc import VocDataset
from wsss_lib.tests.data.trees import write_voc

SPLITS = {
    "train": {"b": ["cat"], "d": ["dog", "bird"], "f": ["bird"]},
    "val": {"a": ["dog"], "c": ["cat"]},
    "more": {"e": ["dog"]},
}


@pytest.fixture
def root(tmp_path):
    return write_voc(tmp_path, SPLITS)


def test_all_images_but_a_split(root):
    images = AllButSplit(root, "val", labels="xml")
    assert images.ids == ["b", "d", "e", "f"] and not images.has_masks
    assert images.class_labels.tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 1], [1, 0, 0]]


def test_some_images_keep_their_mask(root):
    images, masked = AllButSplit(root, "val"), VocDataset(root, "train")
    partly = PartlyMasked(images, masked, [2, 0])
    assert (partly.with_mask.tolist(), partly.without_mask.tolist()) == ([0, 3], [1, 2])
    assert len(partly) == 4 and partly.has_masks
    for index, name in enumerate(partly.ids):
        sample = partly.read(index)
        assert sample.id == name and torch.equal(sample.class_labels, images.class_labels[index])
        if name in ("b", "f"):
            assert np.array_equal(sample.mask, masked.read(masked.ids.index(name)).mask)
        else:
            assert sample.mask.shape == (sample.image.height, sample.image.width) and (sample.mask == 255).all()


def test_boundary_as_background_only_where_there_is_a_mask(root):
    masked = VocDataset(root, "train")
    partly = PartlyMasked(masked, masked, [1], boundary="background")
    assert 255 in masked.read(1).mask and 255 not in partly.read(1).mask
    assert (partly.read(0).mask == 255).all()
    with pytest.raises(ValueError, match="choose one of ignore, background"):
        with_boundary(np.zeros(1), "")


def test_fingerprints_tell_which_masks_are_kept(root):
    masked = VocDataset(root, "train")
    prints = {PartlyMasked(masked, masked, rows, boundary=b).fingerprint()
              for rows in ([0], [1], None) for b in ("ignore", "background")}  # fmt: skip
    assert len(prints) == 6


def test_what_does_not_fit_is_refused(root):
    masked, val = VocDataset(root, "train"), VocDataset(root, "val")
    with pytest.raises(ValueError, match="2 images with a mask are not among the 3 images, the first a"):
        PartlyMasked(masked, val)
    with pytest.raises(ValueError, match="classes differ"):
        PartlyMasked(masked, VocDataset(root, "train", classes=["cat"]))


def test_names_that_are_not_left_out():
    names = [f"{number:04}" for number in np.random.default_rng(0).permutation(300)]
    assert all_but(names, names[:40]) == sorted(name for name in names if name not in names[:40])


def test_images_of_a_list_or_of_all_but_one(root):
    assert open_images(root, "train").ids == ["b", "d", "f"]
    assert open_images(root, "-val", max_images=3).ids == ["b", "d", "e"]
    assert not open_images(root, "-val").has_masks
    with pytest.raises(ValueError, match="unknown split 'nothing'"):
        open_images(root, "-nothing")
