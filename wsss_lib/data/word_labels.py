"""Concepts: the words that regions are annotated with, the released label tables, and the supervised share."""

import pickle
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.models import MobileNet_V2_Weights
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

from wsss_lib.paths import data_path


def concepts_of(regions: Iterable[Iterable[tuple[str, ...]]]) -> list[str]:
    """Every word that some region of some image has, in alphabetical order.

    >>> concepts_of([[("traffic", "light")], [("dog",), ("light",)]])
    ['dog', 'light', 'traffic']
    """
    return sorted({word for image in regions for words in image for word in words})


def concept_rows(names: Sequence[str], index: Mapping[str, int]) -> dict[str, int]:
    """Row of every word of every name that has a vector, words in the order of the names (the tables of the seed).

    >>> concept_rows(["traffic light", "light bulb"], {"light": 4, "traffic": 2})
    {'traffic': 2, 'light': 4}
    """
    return {word: index[word] for name in names for word in name.split() if word in index}


def supervised_concepts(num_concepts: int, share: float, rng: np.random.RandomState, form: str = "paper") -> list[int]:
    """Positions of the concepts that supervise; the others are left to test what the words alone carry over.

    Args:
        num_concepts: C.
        share: in (0, 1].
        rng: numpy's legacy generator, as the authors seed it.
        form: ``paper``: round(C share) different ones, sorted; ``official``: int(C share) drawn with replacement, in
            the order drawn, repeated ones counting twice (the authors' code).

    Raises:
        ValueError: the share leaves no concept, or is above 1.
    """
    number = round(num_concepts * share) if form == "paper" else int(num_concepts * share)
    if not 0 < share <= 1 or number < 1:
        raise ValueError(f"a share of {share} of {num_concepts} concepts leaves none, or more than all; choose (0, 1]")
    if form == "paper":
        return sorted(rng.choice(num_concepts, number, replace=False).tolist())
    return rng.choice(num_concepts, number).tolist()


def multi_hot(words: Sequence[Iterable[str]], concepts: Sequence[str]) -> Tensor:
    """Targets, float [n, C]: 1 where a region has a concept; words that are no concept are left aside.

    >>> multi_hot([("traffic", "light"), ("dog",)], ["dog", "light"])
    tensor([[0., 1.], [1., 0.]])
    """
    column = {word: position for position, word in enumerate(concepts)}
    targets = torch.zeros(len(words), len(concepts))
    for row, of_region in zip(targets, words, strict=True):
        for word in of_region:
            if word in column:
                row[column[word]] = 1
    return targets


def read_coco_table(path: Path) -> tuple[dict[str, list[int]], dict[int, str]]:
    """Released label table of COCO: name -> rows of GloVe 6B, in the order of the ids, and row -> name.

    Raises:
        ValueError: the file holds something else.
    """
    try:
        table = torch.load(path, map_location="cpu", weights_only=True)
        return dict(table["stoi"]), dict(table["itos"])
    except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError, EOFError) as error:
        raise ValueError(f"{path} is no label table of COCO (a dict of stoi and itos): {error}") from error


def coco_table_targets(category_ids: Sequence[int], stoi: Mapping[str, list[int]], itos: Mapping[int, str]) -> Tensor:
    """Targets over the classes of the released table, float [n, len(itos)]; ids count from 1, as in COCO.

    Raises:
        ValueError: an id is not in the table.
    """
    names = list(stoi)
    if outside := [number for number in category_ids if not 1 <= number <= len(names)]:
        raise ValueError(f"category ids {outside} are not in the label table, which has 1 to {len(names)}")
    column = {row: position for position, row in enumerate(itos)}
    targets = torch.zeros(len(category_ids), len(itos))
    for target, number in zip(targets, category_ids, strict=True):
        target[[column[row] for row in stoi[names[number - 1]]]] = 1
    return targets


class _Plain(pickle.Unpickler):
    """Plain values only: nothing of a pickle is executed."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"refused {module}.{name}")


def read_genome_table(path: Path) -> list[str]:
    """Words of the released label table of Visual Genome (``vg_labels.pkl``) in the order of their numbers.

    Raises:
        ValueError: the file holds something else than words with numbers.
    """
    try:
        with open(path, "rb") as stream:
            table = _Plain(stream).load()
        return sorted(table, key=table.__getitem__)
    except (pickle.UnpicklingError, AttributeError, TypeError, EOFError) as error:
        raise ValueError(f"{path} is no label table of Visual Genome (a dict word -> number): {error}") from error


def entity_words() -> set[str]:
    """Words for things that can be seen: every word of COCO's categories, the last word of each class of ImageNet.

    Both lists of names come with torchvision. They stand in for the authors' list of 1,202 entities.

    >>> {"traffic", "shark", "dog"} <= entity_words(), "great" in entity_words()
    (True, False)
    """
    categories = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    classes = MobileNet_V2_Weights.IMAGENET1K_V1.meta["categories"]
    of_categories = {word for name in categories for word in name.lower().split()}
    return of_categories | {name.lower().replace("-", " ").split()[-1] for name in classes}


def answerable_words(word_list: str) -> set[str] | None:
    """Words that may be answered, None for all of a vocabulary.

    Args:
        word_list: "" for all, "classes" for :func:`entity_words`, or a file below ``$WSSS_DATA`` with a word a line.
    """
    if not word_list:
        return None
    return entity_words() if word_list == "classes" else set(read_word_list(data_path(word_list)))


def read_word_list(path: Path) -> list[str]:
    """Different words of a list, one a line (``entities.txt``), in their order."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return list(dict.fromkeys(line.strip() for line in lines if line.strip()))
