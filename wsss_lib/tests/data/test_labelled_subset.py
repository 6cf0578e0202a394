import warnings
from collections import Counter

import numpy as np
import pytest
import torch

from wsss_lib.data.labelled_subset import (
    HalfAndHalfSampler,
    choose_labelled,
    class_distribution,
    make_half_and_half_loader,
)
from wsss_lib.data.partly_masked import PartlyMasked
from wsss_lib.data.transforms import WholeImage
from wsss_lib.data.voc import VocDataset
from wsss_lib.networks.base import IMAGENET
from wsss_lib.tests.data.trees import write_voc


def some_labels(num_images=120, num_classes=6, seed=0):
    labels = np.random.default_rng(seed).random((num_images, num_classes)) < np.linspace(0.05, 0.5, num_classes)
    labels[np.arange(num_images), np.arange(num_images) % num_classes] = True
    return labels.astype(int)


def test_distribution_counts_labels_and_mixes():
    labels = some_labels()
    counts = [sum(row[k] for row in labels) for k in range(6)]
    assert class_distribution(labels) == pytest.approx([count / sum(counts) for count in counts])
    assert class_distribution(labels, 1.0) == pytest.approx([1 / 6] * 6)
    with pytest.raises(ValueError, match=r"uniform 2 is not in \[0, 1\]"):
        class_distribution(labels, 2)


def slow_official(labels, num_masks, uniform, seed):
    """The draw, image by image."""
    rng = np.random.RandomState(seed)
    wanted, remaining, chosen = class_distribution(labels, uniform), list(range(len(labels))), []
    kept, total = [0] * labels.shape[1], num_masks
    for _ in range(num_masks):
        need = [max(wanted[k] * total - kept[k], 0) for k in range(labels.shape[1])]
        share = [value / sum(need) for value in need]
        neediest = share.index(max(share))
        weights = [
            min(share[k] for k in np.flatnonzero(labels[image])) if labels[image, neediest] else 0.0
            for image in remaining
        ]
        image = int(rng.choice(remaining, 1, p=np.array(weights) / sum(weights))[0])
        remaining.remove(image)
        chosen.append(image)
        kept = [count + label for count, label in zip(kept, labels[image], strict=True)]
        total += sum(labels[image]) - 1
    return chosen


@pytest.mark.parametrize("uniform", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_choice_follows_the_definition(seed, uniform):
    labels = some_labels(seed=seed)
    expected = slow_official(labels, 15, uniform, seed)
    for form in ("official", "paper"):
        assert choose_labelled(labels, 15, uniform=uniform, seed=seed, form=form).tolist() == expected


def test_uniform_masks_even_out_the_classes():
    labels = np.repeat(np.eye(3, dtype=int), [100, 20, 5], axis=0)
    counts = labels[choose_labelled(labels, 15, uniform=1.0)].sum(0)
    assert counts.tolist() == [5, 5, 5]
    assert labels[choose_labelled(labels, 25)].sum(0).tolist() == [20, 4, 1]


def test_seeds_choose_different_images_and_budgets_are_kept():
    labels = torch.from_numpy(some_labels())
    subsets = {tuple(choose_labelled(labels, 20, seed=seed).tolist()) for seed in range(4)}
    assert len(subsets) == 4 and {len(set(subset)) for subset in subsets} == {20}
    assert choose_labelled(labels, 0).tolist() == list(range(120))
    assert sorted(choose_labelled(labels, 120).tolist()) == list(range(120))


def test_a_class_without_a_mask_is_named_and_left_out():
    labels = some_labels()
    labels[:, 2] = 0
    labels[labels.sum(1) == 0, 0] = 1
    with pytest.warns(UserWarning, match=r"shows the classes \[2\]"):
        chosen = choose_labelled(labels, 30, uniform=1.0)
    assert len(chosen) == 30
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(choose_labelled(labels, 30, uniform=1.0, form="official")) < 30


def test_images_without_any_class_are_taken_last():
    labels = np.array([[0, 0], [1, 0], [0, 1]])
    assert choose_labelled(labels, 3).tolist()[-1] == 0


@pytest.mark.parametrize("num_masks", [121, -1])
def test_more_masks_than_there_are(num_masks):
    with pytest.raises(ValueError, match="120 exist; ask for at most these, or 0 for all"):
        choose_labelled(some_labels(), num_masks)


def test_unknown_forms_are_refused():
    with pytest.raises(ValueError, match="choose official or paper"):
        choose_labelled(some_labels(), 3, form="exact")


def batches_of(sampler, epoch=0):
    sampler.set_epoch(epoch)
    return np.array([index for _, index in sampler]).reshape(-1, sampler.batch_size)


def test_half_of_each_batch_has_a_mask():
    sampler = HalfAndHalfSampler(range(7), range(7, 40), batch_size=10, seed=1)
    batches = batches_of(sampler)
    assert batches.shape == (4, 10) and ((batches < 7).sum(1) == 5).all()
    counts = Counter(batches[batches < 7].tolist())
    assert len(counts) == 7 and max(counts.values()) - min(counts.values()) <= 1
    assert len(set(batches[batches >= 7].tolist())) == 20
    assert batches_of(sampler, 1).tolist() != batches.tolist()


def test_an_epoch_depends_on_seed_and_number_only():
    options = {"batch_size": 4, "num_batches": 5}
    first, second = (HalfAndHalfSampler(range(5), range(5, 9), seed=3, **options) for _ in range(2))
    later = batches_of(first, 3).tolist()
    for epoch in (0, 2, 3):
        again = batches_of(second, epoch).tolist()
    assert again == later == batches_of(first, 3).tolist()
    assert batches_of(HalfAndHalfSampler(range(5), range(5, 9), seed=4, **options), 3).tolist() != later


def test_the_number_of_masks_in_a_batch_fluctuates_as_told():
    sampler = HalfAndHalfSampler(range(50), range(50, 99), batch_size=4, seed=0, fluctuation=4.0, num_batches=200)
    counts = (batches_of(sampler) < 50).sum(1)
    assert set(counts.tolist()) == {0, 1, 2, 3, 4} and counts.mean() == pytest.approx(2, abs=0.3)


@pytest.mark.parametrize("pools, share", [((range(6), ()), 0.5), (((), range(6)), 0.5), ((range(6), range(6, 9)), 1.0)])
def test_batches_of_one_pool(pools, share):
    sampler = HalfAndHalfSampler(*pools, batch_size=3, seed=0, share=share, fluctuation=0.0, num_batches=4)
    assert Counter(batches_of(sampler).ravel().tolist()) == dict.fromkeys(range(6), 2)


def test_processes_share_an_epoch():
    sampler = HalfAndHalfSampler(range(5), range(5, 30), batch_size=2, seed=0, num_batches=7)
    alone = batches_of(sampler)
    shards = []
    for rank in range(2):
        sampler.set_shard(rank, 2)
        shards.append(batches_of(sampler))
    assert [len(shard) for shard in shards] == [4, 4] and len(sampler) == 8
    joined = np.stack(shards, axis=1).reshape(-1, 2)
    assert np.array_equal(joined[:7], alone) and np.array_equal(joined[7], alone[0])
    with pytest.raises(ValueError, match=r"rank 2 is not in 0\.\.1"):
        sampler.set_shard(2, 2)


@pytest.mark.parametrize(
    "pools, options, message",
    [
        (((), ()), {}, "both pools are empty"),
        (((1, 2), (2, 3)), {}, r"images \[2\] are in both pools"),
        (((1,), (2,)), {"share": 1.5}, r"share 1\.5 of images with masks"),
    ],
)
def test_bad_pools(pools, options, message):
    with pytest.raises(ValueError, match=message):
        HalfAndHalfSampler(*pools, batch_size=2, seed=0, **options)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_loader_reads_in_the_order_of_the_sampler(tmp_path, num_workers):
    root = write_voc(tmp_path, {"train": {name: ["cat"] for name in "abcdef"}})
    images = VocDataset(root, "train")
    partly = PartlyMasked(images, images, [1, 4])
    sampler = HalfAndHalfSampler(partly.with_mask, partly.without_mask, batch_size=4, seed=0, num_batches=3)
    loader = make_half_and_half_loader(partly, WholeImage(IMAGENET), sampler, num_workers=num_workers)
    loader.sampler.set_epoch(2)
    batches = list(loader)
    assert [batch.ids for batch in batches] == [[images.ids[i] for i in row] for row in batches_of(sampler, 2)]
    for batch in batches:
        known = (batch.masks != 255).flatten(1).any(1)
        assert [name in "be" for name in batch.ids] == known.tolist() and known.sum() == 2
