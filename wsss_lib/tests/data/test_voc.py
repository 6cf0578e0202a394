import sys
from types import ModuleType

import numpy as np
import pytest
import torch

from wsss_lib.data.reading import DamagedFile
from wsss_lib.data.voc import VOC_CLASSES, ImageFolder, VocDataset, open_dataset, own_classes
from wsss_lib.tests.data.conftest import TRAIN, VAL
from wsss_lib.tests.data.trees import (
    CLASSES,
    cut_short,
    stripes,
    write_annotation,
    write_image,
    write_list,
    write_mask,
    write_voc,
)


def shown_labels(sample) -> set[int]:
    return set(np.unique(sample.mask).tolist())


def test_a_split_is_read_in_the_order_of_its_list(voc_root):
    write_list(voc_root / "ImageSets" / "Segmentation" / "backwards.txt", reversed(TRAIN))
    dataset = VocDataset(voc_root, "backwards")
    assert (dataset.classes, dataset.ids, len(dataset)) == (CLASSES, [*reversed(TRAIN)], len(TRAIN))
    for index, name in enumerate(dataset.ids):
        sample = dataset.read(index)
        present = [CLASSES.index(shown) + 1 for shown in TRAIN[name]]
        assert sample.id == name
        assert sample.image.mode == "RGB"
        assert sample.mask.dtype == np.uint8
        assert np.array_equal(sample.mask, stripes([0, *present, 255]))
        assert (1 + sample.class_labels.nonzero().flatten()).tolist() == sorted(present)
        assert torch.equal(sample.class_labels, dataset.class_labels[index])


def test_voc_itself_has_no_list_of_classes(tmp_path):
    root = write_voc(tmp_path / "VOC2007", {"train": {"000001": []}}, classes=None)
    write_annotation(root / "Annotations" / "000001.xml", ["tvmonitor", "aeroplane"])
    dataset = VocDataset(root, "train")
    assert dataset.classes == VOC_CLASSES
    assert dataset.class_labels.nonzero().tolist() == [[0, 0], [0, 19]]


def test_main_lists_without_masks_as_for_voc_2007(voc_root):
    write_list(voc_root / "ImageSets" / "Main" / "trainval.txt", [*TRAIN, *VAL])
    dataset = VocDataset(voc_root, "trainval", lists="Main", masks="none", labels="main")
    assert dataset.ids == [*TRAIN, *VAL]
    assert dataset.read(0).mask is None
    with pytest.raises(ValueError, match=r"has the lists trainval$"):  # not those of the classes
        VocDataset(voc_root, "test", lists="Main", masks="none")


@pytest.mark.parametrize("other, label", [("background", 0), ("ignore", 255)])
def test_a_subset_of_classes_renumbers_labels(voc_root, other, label):
    dataset = VocDataset(voc_root, "train", classes=["dog", "cat"], other_classes=other)
    assert dataset.classes == ("dog", "cat")
    assert dataset.class_labels.tolist() == [[0, 1], [1, 0], [0, 0], [1, 1]]
    new = {0: 0, 1: label, 2: 2, 3: 1, 255: 255}
    for index, name in enumerate(dataset.ids):
        present = [CLASSES.index(shown) + 1 for shown in TRAIN[name]]
        assert np.array_equal(dataset.read(index).mask, stripes([new[old] for old in (0, *present, 255)]))


def test_labels_from_masks_know_all_classes_before_the_subset(voc_root):
    dataset = VocDataset(voc_root, "train", classes=["dog", "cat"], labels="masks")
    assert torch.equal(dataset.class_labels, VocDataset(voc_root, "train", classes=["dog", "cat"]).class_labels)


def test_first_images_only(voc_root):
    dataset = VocDataset(voc_root, "train", max_images=2)
    assert dataset.ids == [*TRAIN][:2]
    assert dataset.class_labels.shape == (2, 3)


def test_nothing_named_means_all(voc_root):
    dataset = VocDataset(voc_root, "train", max_images=0, classes=[])
    assert dataset.fingerprint() == VocDataset(voc_root, "train").fingerprint()


def test_train_aug_is_train_and_what_sbd_adds(voc_root, sbd_root):
    dataset = VocDataset(voc_root, "train_aug", sbd=sbd_root)
    assert dataset.ids == [*TRAIN, "2008_000001", "2008_000002"]
    assert dataset.class_labels[-2:].tolist() == [[1, 0, 1], [0, 1, 0]]
    assert np.array_equal(dataset.read(len(TRAIN)).mask, stripes([0, 3, 3, 1]))
    assert dataset.image_path(len(TRAIN)).is_relative_to(sbd_root)
    assert VocDataset(voc_root, "train_aug", sbd=sbd_root, max_images=2).ids == [*TRAIN][:2]


def test_a_mask_of_the_data_set_goes_before_that_of_sbd(voc_root, sbd_root):
    (voc_root / "SegmentationClass").rename(voc_root / "SegmentationClassAug")
    write_mask(voc_root / "SegmentationClassAug" / "2008_000001.png", stripes([2]))
    dataset = VocDataset(voc_root, "train_aug", sbd=sbd_root, masks="SegmentationClassAug")
    assert shown_labels(dataset.read(len(TRAIN))) == {2}
    assert shown_labels(dataset.read(len(TRAIN) + 1)) == {0, 2}


@pytest.mark.parametrize("spelling", ["train_aug", "trainaug"])
def test_a_list_of_train_aug_needs_no_sbd(voc_root, spelling):
    write_list(voc_root / "ImageSets" / "Segmentation" / f"{spelling}.txt", VAL)
    assert VocDataset(voc_root, "train_aug").ids == [*VAL]


def test_masks_and_labels_may_lie_elsewhere(voc_root, tmp_path):
    for name in VAL:
        write_mask(tmp_path / "pseudo" / f"{name}.png", stripes([3]))
    np.save(tmp_path / "cls_labels.npy", {name: np.array([0, 1, 0], np.float32) for name in VAL})
    dataset = VocDataset(voc_root, "val", masks=str(tmp_path / "pseudo"), labels=str(tmp_path / "cls_labels.npy"))
    assert shown_labels(dataset.read(0)) == {3}
    assert dataset.class_labels.tolist() == [[0, 1, 0]] * len(VAL)


def test_without_labels(voc_root):
    dataset = VocDataset(voc_root, "val", labels="none")
    assert not dataset.has_labels
    assert not dataset.class_labels.any()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"split": "vall"}, "unknown split 'vall': .*ImageSets/Segmentation has the lists train, val$"),
        ({"split": "train_aug"}, "train_aug can also be made with SBD .*download sbd"),
        ({"split": "bird"}, "unknown split"),
        ({"classes": ["cat", "unicorn"]}, "no class unicorn; .* has bird, cat, dog"),
        ({"classes": ["cat", "cat"]}, "a class is named twice"),
        ({"max_images": -1}, "max_images -1 should be a number of images, or 0 for all"),
        ({"other_classes": "void"}, "'void' is not known; choose one of background, ignore"),
        ({"labels": "masks", "masks": "none"}, "labels from masks need masks"),
        ({"split": "val", "classes": ["dog", "cat"]}, "no image of cat among the 2 of split 'val'"),
        ({"split": "val", "require_every_class": True}, "no image of cat"),
    ],
)
def test_bad_options(voc_root, options, message):
    with pytest.raises(ValueError, match=message):
        VocDataset(voc_root, **{"split": "train", **options})


def test_a_class_without_images_is_allowed_on_request(voc_root):
    assert VocDataset(voc_root, "val", classes=["cat"], require_every_class=False).class_labels.sum() == 0
    assert VocDataset(voc_root, "val", classes=["dog", "bird"], max_images=1).class_labels.tolist() == [[1, 0]]


def test_empty_split(voc_root):
    write_list(voc_root / "ImageSets" / "Segmentation" / "none.txt", [])
    with pytest.raises(ValueError, match=r"none\.txt is empty"):
        VocDataset(voc_root, "none")


def test_a_missing_data_set_names_path_content_and_command(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        VocDataset(tmp_path / "VOCdevkit" / "VOC2012", "train")
    message = str(error.value)
    for part in (str(tmp_path / "VOCdevkit" / "VOC2012"), "JPEGImages", "ImageSets/Segmentation", "SegmentationClass",
                 "Annotations", "`python -m wsss_lib.data.download voc2012`"):  # fmt: skip
        assert part in message


def test_an_incomplete_data_set_says_what_is_missing(voc_root):
    with pytest.raises(FileNotFoundError, match=r"missing: SegmentationClassAug;.*download voc_aug"):
        VocDataset(voc_root, "train", masks="SegmentationClassAug")
    with pytest.raises(FileNotFoundError, match="training on image labels needs none"):
        write_list(voc_root / "ImageSets" / "Segmentation" / "train_aug.txt", [*TRAIN, "2008_000001"])
        write_image(voc_root / "JPEGImages" / "2008_000001.jpg")
        VocDataset(voc_root, "train_aug")
    with pytest.raises(FileNotFoundError, match=r"missing: cls_labels\.npy"):
        VocDataset(voc_root, "train", labels="cls_labels.npy")
    with pytest.raises(FileNotFoundError, match="there are data sets inside: own_data"):
        VocDataset(voc_root.parent, "train")
    with pytest.raises(FileNotFoundError, match="set masks to none"):
        VocDataset(voc_root / "JPEGImages", "train")
    (voc_root / "Annotations").rename(voc_root / "elsewhere")
    with pytest.raises(FileNotFoundError, match=r"missing: Annotations;.*if they are read from masks"):
        VocDataset(voc_root, "train")
    (voc_root / "elsewhere").rename(voc_root / "Annotations")
    (voc_root / "SegmentationClass" / "2007_000002.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"SegmentationClass lacks 1 of the 4 files .*2007_000002"):
        VocDataset(voc_root, "train")
    (voc_root / "JPEGImages" / "2007_000003.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"JPEGImages lacks 1 of the 4 files .*2007_000003"):
        VocDataset(voc_root, "train")


def test_an_incomplete_sbd_says_what_is_missing(voc_root, sbd_root):
    (sbd_root / "benchmark_RELEASE/dataset/img/2008_000002.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks 1 of the 6 files .*2008_000002"):
        VocDataset(voc_root, "train_aug", sbd=sbd_root)


def test_mask_of_another_size(voc_root):
    write_mask(voc_root / "SegmentationClass" / "2007_000002.png", stripes([0], height=9))
    with pytest.raises(ValueError, match=r"2007_000002\.png is 9 x 16 px, its image .*2007_000002\.jpg is 12 x 16"):
        VocDataset(voc_root, "train").read(1)


@pytest.mark.parametrize("options", [{}, {"classes": ["cat"]}, {"other_classes": "ignore"}])
def test_label_outside_the_list(voc_root, options):
    write_mask(voc_root / "SegmentationClass" / "2007_000002.png", stripes([0, 4, 255]))
    with pytest.raises(ValueError, match=r"2007_000002\.png holds the label 4; .*0 \(background\) to 3 \(dog\)"):
        VocDataset(voc_root, "train", **options).read(1)


@pytest.mark.parametrize("folder, suffix", [("JPEGImages", "jpg"), ("SegmentationClass", "png")])
def test_a_damaged_file_is_named_or_skipped(voc_root, folder, suffix):
    cut_short(voc_root / folder / f"2007_000002.{suffix}")
    with pytest.raises(DamagedFile, match=rf"{folder}/2007_000002\.{suffix} is corrupt or truncated"):
        VocDataset(voc_root, "train").read(1)
    with pytest.warns(UserWarning, match="skipped 1 of 4 images, corrupt or truncated: 2007_000002$"):
        dataset = VocDataset(voc_root, "train", skip_corrupt=True)
    whole = VocDataset(voc_root, "train")
    assert (dataset.ids, dataset.skipped) == ([name for name in whole.ids if name != "2007_000002"], ["2007_000002"])
    assert torch.equal(dataset.class_labels, whole.class_labels[[0, 2, 3]])
    assert [dataset.read(index).id for index in range(3)] == dataset.ids


def test_damaged_sbd_masks_are_skipped_too(voc_root, sbd_root):
    cut_short(sbd_root / "benchmark_RELEASE/dataset/cls/2008_000001.mat")
    with pytest.warns(UserWarning, match="skipped 1 of 6 images"):
        assert VocDataset(voc_root, "train_aug", sbd=sbd_root, skip_corrupt=True).ids == [*TRAIN, "2008_000002"]


@pytest.mark.filterwarnings("ignore:skipped")
def test_nothing_left_after_skipping(voc_root):
    for name in VAL:
        cut_short(voc_root / "JPEGImages" / f"{name}.jpg")
    with pytest.raises(ValueError, match="every image of split 'val'"):
        VocDataset(voc_root, "val", skip_corrupt=True)


@pytest.mark.parametrize(
    "lines, message",
    [
        (["cat", "dog"], "line 1 of .*classes.txt should read background"),
        (["background"], "1 to 254 classes"),
        (["background", "cat", "cat"], "each once"),
        (["background", *map(str, range(255))], "1 to 254 classes"),
        ([], "line 1"),
    ],
)
def test_bad_list_of_classes(tmp_path, lines, message):
    write_list(tmp_path / "classes.txt", lines)
    with pytest.raises(ValueError, match=message):
        own_classes(tmp_path)


def test_fingerprint_changes_with_what_it_should(voc_root):
    options = [{}, {"max_images": 3}, {"labels": "none"}, {"masks": "none"}, {"classes": ["cat", "dog"]},
               {"classes": ["dog", "cat"]}, {"other_classes": "ignore"}]  # fmt: skip
    found = {VocDataset(voc_root, "train", **option).fingerprint() for option in options}
    assert len(found) == len(options)
    before = VocDataset(voc_root, "train").fingerprint()
    assert before == VocDataset(voc_root, "train").fingerprint()
    write_image(voc_root / "JPEGImages" / "2007_000002.jpg", height=13)
    assert before != VocDataset(voc_root, "train").fingerprint()


def test_image_folder(tmp_path):
    for name in ("b.jpg", "a.png", "c.JPG", "c.png"):
        write_image(tmp_path / name, seed=ord(name[0]))
    (tmp_path / "notes.txt").touch()
    dataset = ImageFolder(tmp_path, ["cat", "dog"])
    assert (dataset.ids, dataset.classes, dataset.has_labels) == (["a", "b", "c.JPG", "c.png"], ("cat", "dog"), False)
    sample = dataset.read(1)
    assert (sample.id, sample.image.size, sample.mask, sample.class_labels.tolist()) == ("b", (16, 12), None, [0, 0])
    assert ImageFolder(tmp_path, ["cat"], max_images=2).ids == ["a", "b"]
    assert dataset.fingerprint() != ImageFolder(tmp_path, ["cat", "cow"]).fingerprint()


def test_image_folder_without_photographs(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no photograph in .*\.jpg"):
        ImageFolder(tmp_path, ["cat"])
    with pytest.raises(FileNotFoundError, match=r"no folder .*absent"):
        ImageFolder(tmp_path / "absent", ["cat"])


def test_image_folder_with_a_damaged_photograph(tmp_path):
    write_image(tmp_path / "a.jpg")
    cut_short(write_image(tmp_path / "b.jpg"))
    with pytest.raises(DamagedFile, match=r"b\.jpg"):
        ImageFolder(tmp_path, ["cat"]).read(1)
    with pytest.warns(UserWarning, match="skipped 1 of 2 images"):
        assert ImageFolder(tmp_path, ["cat"], skip_corrupt=True).ids == ["a"]
    cut_short(tmp_path / "a.jpg")
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="every photograph"):
        ImageFolder(tmp_path, ["cat"], skip_corrupt=True)


def test_open_by_name_below_the_folder_of_data_sets(voc_root, sbd_root, monkeypatch):
    monkeypatch.setenv("WSSS_DATA", str(voc_root.parent))
    assert open_dataset("own_data", "val").ids == [*VAL]
    assert open_dataset("own_data", "train_aug").ids[-1] == "2008_000002"  # finds sbd beside it
    with pytest.raises(ValueError, match="can also be made with SBD"):
        open_dataset("own_data", "train_aug", sbd="elsewhere")
    with pytest.raises(FileNotFoundError, match=r"nothing at .*VOCdevkit/VOC2007.*JPEGImages.*download voc2007"):
        open_dataset("VOCdevkit/VOC2007", "train")
    monkeypatch.delenv("WSSS_DATA")
    with pytest.raises(FileNotFoundError, match="WSSS_DATA"):
        open_dataset("own_data", "val")


def test_open_a_folder_by_path(voc_root, monkeypatch):
    assert open_dataset(voc_root, "val").ids == [*VAL]
    monkeypatch.chdir(voc_root)
    assert open_dataset(".", "val").ids == [*VAL]
    photographs = open_dataset("./JPEGImages", "", masks="none", classes=["cat"], max_images=1)
    assert (type(photographs), photographs.ids) == (ImageFolder, ["2007_000001"])
    with pytest.raises(FileNotFoundError, match="name the classes and set masks to none"):
        open_dataset("./JPEGImages", "")


def test_open_the_embedded_benchmark(voc_root, monkeypatch):
    asked = []
    synthetic = ModuleType("synthetic")
    synthetic.Benchmark = lambda: "the demo's"
    synthetic.ensure_benchmark = lambda benchmark: asked.append(benchmark) or voc_root
    monkeypatch.setitem(sys.modules, "wsss_lib.data.synthetic", synthetic)
    assert open_dataset("benchmark", "val").ids == [*VAL]
    assert open_dataset("benchmark", "val", benchmark="a small one").ids == [*VAL]
    assert asked == ["the demo's", "a small one"]
