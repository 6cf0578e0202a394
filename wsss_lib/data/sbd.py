"""Semantic Boundaries Dataset (Hariharan et al., ICCV 2011): the images that turn VOC ``train`` into ``train_aug``."""

from pathlib import Path

import numpy as np
from scipy.io import loadmat

from wsss_lib.data.reading import DamagedFile, read_ids


def sbd_folder(root: Path) -> Path:
    """The folder with ``img``, ``inst``, ``cls`` and the lists, in or below the unpacked archive.

    Raises:
        FileNotFoundError: no such folder.
    """
    candidates = [root, root / "dataset", root / "benchmark_RELEASE" / "dataset"]
    for folder in candidates:
        if all((folder / name).exists() for name in ("img", "inst", "cls", "train.txt", "val.txt")):
            return folder
    raise FileNotFoundError(
        f"no SBD data set at {root}: there should be img/, inst/, cls/, train.txt and val.txt, in it or in its "
        "benchmark_RELEASE/dataset; `python -m wsss_lib.data.download sbd` fetches it"
    )


def sbd_ids(folder: Path) -> set[str]:
    """All images of SBD, those of its train and its val list (which are not those of VOC)."""
    return {*read_ids(folder / "train.txt"), *read_ids(folder / "val.txt")}


def _read_mat(path: Path, key: str) -> np.ndarray:
    try:
        return loadmat(path, variable_names=[key])[key][0, 0]
    except FileNotFoundError:
        raise
    except Exception as error:  # scipy raises whatever the damage leads to
        raise DamagedFile(
            f"SBD file {path} is corrupt or truncated ({error!r}); fetch it again with "
            "`python -m wsss_lib.data.download sbd`"
        ) from error


def sbd_categories(path: Path) -> set[int]:
    """Classes (1..20) of the instances of one image, from ``inst/<id>.mat``."""
    return set(_read_mat(path, "GTinst")["Categories"].ravel().tolist())


def sbd_mask(path: Path) -> np.ndarray:
    """Label of every pixel, uint8 [H, W], from ``cls/<id>.mat``; without the 255 border of VOC."""
    return _read_mat(path, "GTcls")["Segmentation"].astype(np.uint8)
