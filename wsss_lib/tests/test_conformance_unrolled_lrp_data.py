"""Which images keep their mask, the order of the images, and one item, against the authors' code."""

import warnings

import numpy as np
import torch
from PIL import Image

from wsss_lib.data.batch import Draws, Sample
from wsss_lib.data.labelled_subset import HalfAndHalfSampler, choose_labelled, class_distribution
from wsss_lib.data.partly_masked import AllButSplit, PartlyMasked, with_boundary
from wsss_lib.data.square_crop import CenterSquare
from wsss_lib.data.voc import VOC_CLASSES, VocDataset
from wsss_lib.losses.mask_and_label import visible_labels
from wsss_lib.networks.unet import POSITIVE
from wsss_lib.tests.data.trees import write_annotation, write_image, write_list, write_mask
from wsss_lib.tests.golden_files import conforms


@conforms("unrolled_lrp/sampling_masks")
def test_sampling_masks(golden):
    labels = golden["in_labels"]
    golden.check("out_distribution", class_distribution(labels))
    for number, (num_masks, uniform, seed) in enumerate(golden.params["n_alpha_seed"]):
        golden.check(f"out_mixed{number}", class_distribution(labels, uniform))
        chosen = choose_labelled(labels, num_masks, uniform=uniform, seed=seed, form="official")
        golden.check(f"out_ids{number}", chosen)
    share, seed = golden.params["random_subset"].values()
    subset = np.random.RandomState(seed).choice(len(labels), int(share * len(labels)), replace=False)
    golden.check("out_random_subset", subset)  # not used by the authors; the draw that choose_labelled builds on


@conforms("unrolled_lrp/sampling_semisup")
def test_sampling_semisup(golden):
    params = golden.params
    pools = golden["in_with_mask"], golden["in_without_mask"]
    shares = {"share": params["p_A"], "fluctuation": params["fluct"], "seed": params["seed"]}
    sampler = HalfAndHalfSampler(*pools, batch_size=params["batch_size"], **shares)
    assert len(sampler) == params["ds_size"]
    for epoch in (0, 2, 1):
        sampler.set_epoch(epoch)
        epochs, indices = zip(*sampler, strict=True)
        assert set(epochs) == {epoch}
        golden.check(f"out_epoch{epoch + 1}", indices)


@conforms("unrolled_lrp/dataset_split")
def test_dataset_split(golden, tmp_path):
    names, val = golden["in_names"].tolist(), golden["in_val"].tolist()
    with_mask = np.array(names)[golden["in_has_mask"]].tolist()
    for name, row in zip(names, golden["in_labels_onehot"], strict=True):
        write_image(tmp_path / "JPEGImages" / f"{name}.jpg")
        write_annotation(tmp_path / "Annotations" / f"{name}.xml", np.compress(row[1:], VOC_CLASSES))
    for name in with_mask:
        write_mask(tmp_path / "SegmentationClass" / f"{name}.png", np.zeros((12, 16)))
    write_list(tmp_path / "ImageSets/Segmentation/val.txt", val)
    write_list(tmp_path / "ImageSets/Segmentation/train.txt", sorted(set(with_mask) - set(val)))

    train, masked, test = AllButSplit(tmp_path, "val"), VocDataset(tmp_path, "train"), VocDataset(tmp_path, "val")
    every = PartlyMasked(train, masked)
    golden.check("out_train_all_images", np.array(every.ids))
    golden.check("out_train_all_idx_mask", every.with_mask)
    golden.check("out_train_all_idx_no_mask", every.without_mask)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some classes have no mask at all here
        params = golden.params
        chosen = choose_labelled(
            masked.class_labels, params["num_labels"], uniform=params["uniform_masks"], form="official"
        )
    few = PartlyMasked(train, masked, chosen)
    golden.check("out_train_few_images", np.array(few.ids))
    golden.check("out_train_few_idx_mask", few.with_mask)
    golden.check("out_train_few_idx_no_mask", few.without_mask)
    for key, found in (("all_len", every), ("few_len", few), ("few_full_supervision_len", few.with_mask)):
        golden.check(f"out_train_{key}", len(found))
    golden.check("out_test_images", np.array(test.ids))
    golden.check("out_test_idx_mask", PartlyMasked(test, test).with_mask)


@conforms("unrolled_lrp/dataset_eval_item")
def test_dataset_eval_item(golden):
    view = CenterSquare(POSITIVE, golden.params["crop_size"])
    keys = [key for key in golden.arrays if key.startswith("in_image")]
    assert keys
    for number in range(len(keys)):
        mask = with_boundary(golden[f"in_mask{number}"], "background")
        num_classes = len(golden[f"out_labels{number}"]) - 1
        sample = Sample("", Image.fromarray(golden[f"in_image{number}"]), torch.zeros(num_classes), mask)
        image, mask = view(sample, Draws(0))
        golden.check(f"out_image{number}", image)
        golden.check(f"out_mask{number}", mask, atol=0)
        labels = visible_labels(mask[None].long(), sample.class_labels[None])[0]
        golden.check(f"out_labels{number}", torch.cat([torch.ones(1), labels]), atol=0)
