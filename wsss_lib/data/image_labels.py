"""Image-level labels from what comes with a data set: XML annotations, class lists, tables, or the masks.

Every reader returns a float table [N, K] over all classes of the data set, in the order of ``ids``.
"""

import csv
import pickle
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor


def _column(name: str, columns: dict[str, int], source: Path) -> int:
    if name not in columns:
        raise ValueError(f"{source} names the class {name!r}, which the data set does not have: {', '.join(columns)}")
    return columns[name]


def annotated_objects(path: Path) -> list[ET.Element]:
    """The ``object`` elements of an annotation of VOC; parts of objects are inside them.

    Raises:
        ValueError: the file is not XML.
        FileNotFoundError: there is no annotation.
    """
    try:
        return ET.parse(path).getroot().findall("object")
    except ET.ParseError as error:
        raise ValueError(f"annotation {path} is not XML ({error}); fetch it again") from error
    except FileNotFoundError:
        raise FileNotFoundError(
            f"no annotation {path}; fetch the data set again, or choose other labels (masks, main, none, a file)"
        ) from None


def labels_from_xml(paths: Sequence[Path], classes: Sequence[str]) -> Tensor:
    """Classes of all objects of the annotations, difficult ones included; parts of objects are not asked.

    Raises:
        ValueError: a file is not XML, or names a class that the data set does not have.
        FileNotFoundError: an image has no annotation.
    """
    columns = {name: column for column, name in enumerate(classes)}
    table = torch.zeros(len(paths), len(classes))
    for row, path in enumerate(paths):
        for name in {found.findtext("name", "").strip() for found in annotated_objects(path)}:
            table[row, _column(name, columns, path)] = 1
    return table


def labels_from_lists(folder: Path, ids: Sequence[str], classes: Sequence[str]) -> Tensor:
    """From the lists ``<class>_<split>.txt`` of a folder, lines ``id 1``, ``id 0`` or ``id -1``; 0 is "only difficult
    objects" and counts as present. The lists of all splits are read.

    Raises:
        ValueError: an image stands in no list of some class.
    """
    rows = {name: row for row, name in enumerate(ids)}
    table = torch.full((len(ids), len(classes)), -1.0)
    for path in sorted(folder.glob("*.txt")):
        named = [name for name in classes if path.stem.startswith(f"{name}_")]
        if named:
            column = classes.index(max(named, key=len))  # "dog_house_train" is of "dog_house", not of "dog"
            for image_id, *values in map(str.split, path.read_text().splitlines()):
                if image_id in rows and values:
                    table[rows[image_id], column] = float(int(values[0]) >= 0)
    if (table < 0).any():
        row, column = (table < 0).nonzero()[0].tolist()
        raise ValueError(f"{ids[row]} stands in no list {folder}/{classes[column]}_*.txt; choose other labels")
    return table


def labels_from_table(path: Path, ids: Sequence[str], classes: Sequence[str]) -> Tensor:
    """From a CSV file with a column ``filename`` and one column of 0 and 1 per class (the sub-category seed).

    Raises:
        ValueError: a class has no column, an image has no row.
    """
    with open(path, newline="") as stream:
        reader = csv.DictReader(stream)
        missing = [name for name in ("filename", *classes) if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f"{path} has no column {', '.join(missing)}")
        rows = {Path(row["filename"]).stem: [float(row[name]) for name in classes] for row in reader}
    return _rows_of(rows, ids, path)


def labels_from_npy(path: Path, ids: Sequence[str], num_classes: int) -> Tensor:
    """From ``cls_labels.npy`` of the authors: a pickled dictionary, id -> float32 [K].

    Keys are ids (``2007_000032``) or, in IRN's copy, the integer without the line (2007000032). No pickled code runs.

    Raises:
        ValueError: the file holds anything else, or not all images.
    """
    stored = load_array_dictionary(path)
    wrong = next((value for value in stored.values() if value.shape != (num_classes,)), None)
    if wrong is not None:
        raise ValueError(f"{path} holds labels of shape {wrong.shape}, the data set has {num_classes} classes")
    if stored and isinstance(next(iter(stored)), int):
        numbers = {name: int(name.replace("_", "")) for name in ids if name.replace("_", "").isdigit()}
        stored = {name: stored[number] for name, number in numbers.items() if number in stored}
    return _rows_of(stored, ids, path)


def labels_from_masks(ids: Sequence[str], read_mask: Callable[[int], np.ndarray], num_classes: int) -> Tensor:
    """Classes that the mask shows; ``read_mask(row)`` gives labels [H, W], 0 background, 1..K, 255 ignore."""
    table = torch.zeros(len(ids), 256)
    for row in range(len(ids)):
        table[row, torch.from_numpy(np.flatnonzero(np.bincount(read_mask(row).ravel(), minlength=256)))] = 1
    return table[:, 1 : num_classes + 1].clone()


def _rows_of(rows: dict[str, Any], ids: Sequence[str], source: Path) -> Tensor:
    missing = [name for name in ids if name not in rows]
    if missing:
        raise ValueError(f"{source} has no labels of {len(missing)} of {len(ids)} images, the first {missing[0]}")
    return torch.from_numpy(np.array([rows[name] for name in ids], dtype=np.float32))


def load_array_dictionary(path: Path) -> dict[str | int, np.ndarray]:
    """A pickled dictionary of one-dimensional number arrays in ``.npy`` clothing, without running pickled code.

    Raises:
        ValueError: the file is not that, or asks for anything but such arrays.
    """
    refuse = f"{path} is not a dictionary of number arrays, as the authors' cls_labels.npy is"
    with open(path, "rb") as stream:
        try:
            version = np.lib.format.read_magic(stream)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = header(stream)
            if shape != () or dtype != np.dtype(object):
                raise ValueError(f"it holds {dtype} of shape {shape}")
            stored = _ArrayUnpickler(stream).load()
            stored = stored.content[0] if isinstance(stored, _PickledArray) else stored
            if not isinstance(stored, dict) or not {type(key) for key in stored} <= {str, int}:
                raise ValueError(f"it holds {type(stored).__name__}, or keys that are no ids")
            arrays = {key: np.asarray(value.content) for key, value in stored.items()}
            if any(array.ndim != 1 or array.dtype.kind not in "fiub" for array in arrays.values()):
                raise ValueError("an entry is not a list of numbers")
            return arrays
        except Exception as error:  # a hostile or broken pickle can raise anything
            raise ValueError(f"{refuse}: {error}") from error


class _PickledType:
    """Stands for a numpy type in a pickle: a plain number, or object for the dictionary itself."""

    def __init__(self, code: str, align: bool = False, copy: bool = True):
        self.code, self.byte_order = code, "="

    def __setstate__(self, state: tuple) -> None:
        self.byte_order = state[1]

    def number_type(self) -> np.dtype:
        if self.code not in {f"{kind}{size}" for kind in "fiub" for size in (1, 2, 4, 8)}:
            raise pickle.UnpicklingError(f"type {self.code!r} is not a number")
        return np.dtype(self.code).newbyteorder(self.byte_order)


class _PickledArray:
    """Stands for a numpy array in a pickle; ``content`` is an array of numbers, or the list of objects."""

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, _, content = state
        if kind.code in ("O", "O8"):
            self.content = list(content)
        else:
            self.content = np.frombuffer(content, kind.number_type()).reshape(shape)


def _empty_array(*_: Any) -> _PickledArray:
    return _PickledArray()


def _latin_bytes(text: str, encoding: str) -> bytes:
    """What old pickles call for bytes stored as text."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {encoding!r}")
    return text.encode("latin1")


class _ArrayUnpickler(pickle.Unpickler):
    """Knows the names that a pickled array needs, all of them as stand-ins of this file, and no other."""

    known: ClassVar = {
        "numpy.ndarray": "ndarray",
        "numpy.dtype": _PickledType,
        "numpy.core.multiarray._reconstruct": _empty_array,
        "numpy._core.multiarray._reconstruct": _empty_array,
        "_codecs.encode": _latin_bytes,
    }

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in self.known:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not allowed")
        return self.known[f"{module}.{name}"]
