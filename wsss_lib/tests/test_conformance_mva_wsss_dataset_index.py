"""Image-level label tables of the sub-category seed, from a VOC and an SBD tree written here."""

import numpy as np

from wsss_lib.data.voc import VOC_CLASSES, VocDataset
from wsss_lib.tests.data.trees import write_annotation, write_image, write_list, write_mask, write_sbd
from wsss_lib.tests.golden_files import conforms

VOC, SBD = "data/VOCdevkit/VOC2012", "data/benchmark"
SPLITS = "train", "val"


@conforms("mva_wsss/dataset_index")
def test_dataset_index(golden, tmp_path):
    root, sbd = tmp_path / VOC, tmp_path / SBD
    names, split = golden["in_voc_names"], golden["in_voc_split"]
    for name, counts in zip(names.tolist(), golden["in_voc_counts"], strict=True):
        write_annotation(root / "Annotations" / f"{name}.xml", np.repeat(VOC_CLASSES, counts))
        write_image(root / "JPEGImages" / f"{name}.jpg")
        write_mask(root / "SegmentationClass" / f"{name}.png", np.zeros((12, 16)))
    for number, name in enumerate(SPLITS):
        write_list(root / "ImageSets" / "Segmentation" / f"{name}.txt", sorted(names[split == number].tolist()))
    categories = [(np.flatnonzero(row) + 1).tolist() for row in golden["in_sbd_labels"]]
    of_split = [
        {
            name: categories[row]
            for row, name in enumerate(golden["in_sbd_names"].tolist())
            if golden["in_sbd_split"][row] == number
        }
        for number in range(len(SPLITS))
    ]
    write_sbd(sbd, *of_split)

    for table, split_name in (("train", "train"), ("test", "val"), ("train_aug", "train_aug")):
        dataset = VocDataset(root, split_name, sbd=sbd)
        files = [dataset.image_path(row).relative_to(tmp_path).as_posix() for row in range(len(dataset))]
        files = [f"./{file}" if file.startswith(VOC) else file for file in files]  # as the authors wrote them
        order = np.argsort(files)
        golden.check(f"out_{table}_files", np.array(files)[order])
        golden.check(f"out_{table}_labels", dataset.class_labels.numpy()[order])
