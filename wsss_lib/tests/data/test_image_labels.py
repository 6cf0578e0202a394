import io
import os
import pickle

import numpy as np
import pytest
import torch

from wsss_lib.data.image_labels import (
    labels_from_lists,
    labels_from_masks,
    labels_from_npy,
    labels_from_table,
    labels_from_xml,
    load_array_dictionary,
)
from wsss_lib.tests.data.conftest import TRAIN
from wsss_lib.tests.data.trees import CLASSES, stripes, write_annotation, write_list

IDS = list(TRAIN)
EXPECTED = torch.tensor([[float(name in shown) for name in CLASSES] for shown in TRAIN.values()])
ROWS = {name: row.numpy() for name, row in zip(IDS, EXPECTED, strict=True)}


def test_every_source_says_the_same(voc_root):
    annotations = [voc_root / "Annotations" / f"{name}.xml" for name in IDS]
    table = ["filename,dog,cat,bird"]
    table += [f"./data/{name}.jpg,{row[2]:.0f},{row[1]:.0f},{row[0]:.0f}" for name, row in ROWS.items()]
    np.save(voc_root / "labels.npy", ROWS)

    def mask(row: int) -> np.ndarray:
        return stripes([0, *(1 + EXPECTED[row].nonzero().flatten()).tolist(), 255])

    assert torch.equal(labels_from_xml(annotations, CLASSES), EXPECTED)
    assert torch.equal(labels_from_lists(voc_root / "ImageSets" / "Main", IDS, CLASSES), EXPECTED)
    assert torch.equal(labels_from_table(write_list(voc_root / "labels.csv", table), IDS, CLASSES), EXPECTED)
    assert torch.equal(labels_from_npy(voc_root / "labels.npy", IDS, 3), EXPECTED)
    assert torch.equal(labels_from_masks(IDS, mask, 3), EXPECTED)


def test_unknown_class_names_file_and_class(tmp_path):
    path = write_annotation(tmp_path / "a.xml", ["cat", "unicorn"])
    with pytest.raises(ValueError, match=r"a\.xml names the class 'unicorn'.*bird, cat, dog"):
        labels_from_xml([path], CLASSES)


def test_missing_and_broken_annotation(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no annotation .*a\.xml.*masks"):
        labels_from_xml([tmp_path / "a.xml"], CLASSES)
    (tmp_path / "b.xml").write_text("<annotation><object>")
    with pytest.raises(ValueError, match=r"b\.xml is not XML"):
        labels_from_xml([tmp_path / "b.xml"], CLASSES)


def test_lists_difficult_objects_count_and_long_class_names_are_not_mixed_up(tmp_path):
    write_list(tmp_path / "dog_train.txt", ["a  0", "b -1"])
    write_list(tmp_path / "dog_house_train.txt", ["a -1", "b  1"])
    write_list(tmp_path / "train.txt", ["a", "b"])
    write_list(tmp_path / "dog_notes.txt", ["a", "b"])  # a list of ids only says nothing
    assert labels_from_lists(tmp_path, ["a", "b"], ["dog", "dog_house"]).tolist() == [[1, 0], [0, 1]]
    with pytest.raises(ValueError, match=r"c stands in no list .*/dog_\*\.txt"):
        labels_from_lists(tmp_path, ["a", "c"], ["dog", "dog_house"])


def test_table_lacks_a_column_or_a_row(tmp_path):
    path = write_list(tmp_path / "labels.csv", ["filename,bird,cat", "a.jpg,1,0"])
    with pytest.raises(ValueError, match=r"labels\.csv has no column dog"):
        labels_from_table(path, ["a"], CLASSES)
    with pytest.raises(ValueError, match=r"labels\.csv has no labels of 1 of 2 images, the first b"):
        labels_from_table(path, ["a", "b"], ["bird", "cat"])


def test_integer_keys_of_irn(tmp_path):
    np.save(tmp_path / "labels.npy", {int(name.replace("_", "")): row for name, row in ROWS.items()})
    assert torch.equal(labels_from_npy(tmp_path / "labels.npy", IDS[::-1], 3), EXPECTED.flip(0))
    with pytest.raises(ValueError, match="no labels of 1 of 1 images, the first 2009_000001"):
        labels_from_npy(tmp_path / "labels.npy", ["2009_000001"], 3)
    with pytest.raises(ValueError, match=r"shape \(3,\), the data set has 20 classes"):
        labels_from_npy(tmp_path / "labels.npy", IDS, 20)


def as_npy(pickled: bytes, shape: tuple[int, ...] = ()) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": shape})
    return stream.getvalue() + pickled


def old_pickle(content: object, protocol: int) -> bytes:
    """As old releases of numpy wrote it: other protocol, other module name."""
    array = np.array(content, dtype=object)
    return pickle.dumps(array, protocol).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", "|u1", "<i8"])
def test_files_of_old_numpy_releases(tmp_path, protocol, kind):
    path = tmp_path / "labels.npy"
    path.write_bytes(as_npy(old_pickle({"a": np.array([1, 0, 1], dtype=kind)}, protocol)))
    loaded = load_array_dictionary(path)["a"]
    assert loaded.tolist() == [1, 0, 1]
    assert loaded.dtype == np.dtype(kind)


class Malicious:
    """Unpickling it calls a function of the attacker's choice."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def attacks(target) -> list:
    command = f"touch {target}"
    return [
        Malicious(os.system, command),
        {"a": Malicious(os.system, command)},
        {Malicious(os.system, command): np.zeros(3, np.float32)},
        {"a": np.array([Malicious(os.system, command)], dtype=object)},
        Malicious(eval, f"open({str(target)!r}, 'w')"),
        Malicious(getattr, "text", "join"),
        Malicious(np.fromfile, str(target)),
        Malicious(np.memmap, str(target), np.uint8, "w+", 0, (4,)),
    ]


@pytest.mark.parametrize("number", range(8))
def test_no_pickled_code_runs(tmp_path, number):
    path, target = tmp_path / "cls_labels.npy", tmp_path / "executed"
    np.save(path, attacks(target)[number], allow_pickle=True)
    with pytest.raises(ValueError, match=r"cls_labels\.npy is not a dictionary of number arrays"):
        load_array_dictionary(path)
    assert not target.exists()
    if number == 0:  # the attack would work on who trusts the file
        np.load(path, allow_pickle=True)
        assert target.exists()


@pytest.mark.parametrize(
    "content",
    [[1, 2], "text", {"a": 1.0}, {"a": "text"}, {1.5: np.zeros(3)}, {"a": np.zeros((2, 2))}, {"a": np.array(["b"])}],
)
def test_anything_else_is_refused(tmp_path, content):
    np.save(tmp_path / "labels.npy", np.array(content, dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"labels\.npy is not a dictionary"):
        load_array_dictionary(tmp_path / "labels.npy")


@pytest.mark.parametrize("content", [b"", b"not numpy", as_npy(b""), as_npy(b"\x80\x04N."), as_npy(b"", (1,))])
def test_broken_files_are_refused(tmp_path, content):
    (tmp_path / "labels.npy").write_bytes(content)
    with pytest.raises(ValueError, match=r"labels\.npy is not a dictionary"):
        load_array_dictionary(tmp_path / "labels.npy")
    np.save(tmp_path / "numbers.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"numbers\.npy is not a dictionary.*float64"):
        load_array_dictionary(tmp_path / "numbers.npy")
