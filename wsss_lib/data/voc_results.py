"""Predictions in the file tree that the VOC evaluation server wants, and a check before they are sent."""

from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from wsss_lib.data.batch import Dataset
from wsss_lib.data.reading import files_by_stem


def voc_result_path(
    image_id: str, *, year: int = 2012, competition: str = "comp6", split: str = "test"
) -> PurePosixPath:
    """Where the prediction of one image lies; comp6 is segmentation with data from anywhere, comp5 with VOC alone.

    >>> str(voc_result_path("2008_000006"))
    'results/VOC2012/Segmentation/comp6_test_cls/2008_000006.png'
    """
    return PurePosixPath(f"results/VOC{year}/Segmentation/{competition}_{split}_cls/{image_id}.png")


def check_voc_results(root: Path, dataset: Dataset, num_labels: int) -> None:
    """Refuse a tree that the server would: images too many or too few, other sizes, labels that are no class.

    Args:
        root: folder that holds ``results``.
        dataset: the images that were to be labelled.
        num_labels: K + 1.

    Raises:
        ValueError: says which file is wrong and how.
    """
    folder = (Path(root) / voc_result_path("")).parent
    found = files_by_stem(folder, (".png",)) if folder.is_dir() else {}
    if missing := [image_id for image_id in dataset.ids if image_id not in found]:
        raise ValueError(f"{folder} lacks {len(missing)} of {len(dataset)} predictions, the first {missing[0]}")
    if extra := sorted(found.keys() - set(dataset.ids)):
        raise ValueError(f"{folder} holds {len(extra)} predictions of other images, the first {extra[0]}; remove them")
    for index, image_id in enumerate(dataset.ids):
        path = Path(found[image_id].path)
        with Image.open(path) as prediction:
            mode, size, labels = prediction.mode, prediction.size, np.unique(np.asarray(prediction))
        if mode != "P":
            raise ValueError(f"{path} has mode {mode}; the server wants palette PNG (P)")
        if size != (wanted := dataset.read(index).image.size):
            raise ValueError(f"{path} is {size} px, its image {wanted} (width, height); resize the prediction")
        if labels.max() >= num_labels:
            raise ValueError(f"{path} holds the label {labels.max()}; the server knows 0 to {num_labels - 1} only")
