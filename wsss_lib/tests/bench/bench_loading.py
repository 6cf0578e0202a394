"""Speed of an epoch of small images that are kept in memory, and of the list of labels of a VOC tree."""

import tempfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from wsss_lib.data.batch import make_loader
from wsss_lib.data.transforms import FlipZoom
from wsss_lib.data.voc import VocDataset
from wsss_lib.networks.base import IMAGENET
from wsss_lib.tests.bench import benchmark
from wsss_lib.tests.data.test_batch import MadeImages, epoch_of
from wsss_lib.tests.data.trees import CLASSES, write_annotation, write_list


@benchmark("an epoch of 300 images of 96 px, zoomed and flipped", seconds=0.4)
def an_epoch():
    images = MadeImages(300, side=96)

    def loader():
        return make_loader(images, FlipZoom(IMAGENET), batch_size=32, seed=0, shuffle=True)

    kept = loader()
    epoch_of(kept, 0)

    def means(one):
        return np.array([float(batch.images.mean()) for batch in epoch_of(one, 1)])

    return lambda: means(loader()), lambda: means(kept)


@benchmark("class labels of 1,000 images from annotations", seconds=1)
def class_labels():
    folder = tempfile.TemporaryDirectory()
    root = Path(folder.name) / "VOC2007"
    names = {f"2007_{number:06d}": ["cat"] for number in range(1000)}
    write_list(root / "classes.txt", ["background", *CLASSES])
    write_list(root / "ImageSets" / "Segmentation" / "train.txt", names)
    (root / "JPEGImages").mkdir()
    for name in names:
        (root / "JPEGImages" / f"{name}.jpg").touch()
        write_annotation(root / "Annotations" / f"{name}.xml", ["cat"])

    def one_by_one():
        """Each annotation parsed as a tree."""
        trees = (ElementTree.parse(root / "Annotations" / f"{name}.xml") for name in names)
        shown = ({element.text for element in tree.iterfind("object/name")} for tree in trees)
        return np.array([[float(name in of_image) for name in CLASSES] for of_image in shown])

    def read(folder=folder):  # the folder lives as long as the form
        return VocDataset(root, "train", masks="none").class_labels.numpy()

    return one_by_one, read
