"""Clusters, sub-category labels, maps and loss of SC-CAM, FINCH and mva-wsss against the authors' own."""

import numpy as np
import torch
import torch.nn.functional as F

from wsss_lib.labels.clustering import finch, finch_with, first_neighbours, k_means, numbered_by_first_row
from wsss_lib.labels.sub_categories import (
    classes_by_mean,
    classes_by_vote,
    cluster_classes,
    entropy_map,
    merge_sub_maps,
    normalize_sub_maps,
    sub_category_labels,
)
from wsss_lib.labels.threshold import threshold_labels
from wsss_lib.losses.distillation import sub_category_loss
from wsss_lib.maps.cam import normalize_maps
from wsss_lib.tests.golden_files import conforms


@conforms("mva_wsss/finch_partitions")
def test_finch_partitions(golden):
    for case, features in enumerate(golden.series("in_x")):
        features = torch.from_numpy(features)
        options = {
            "distance": golden[f"in_distance_{case}"].item(),
            "early_exit": bool(golden[f"in_early_exit_{case}"]),
        }
        golden.check(f"out_first_neighbour_{case}", first_neighbours(features, options["distance"]))
        partitions = finch(features, **options)
        golden.check(f"out_partitions_{case}", partitions)
        golden.check(f"out_num_clust_{case}", partitions.amax(0) + 1)
        if (requested := int(golden[f"in_req_clust_{case}"])) > 0:
            golden.check(f"out_req_{case}", finch_with(features, requested, **options))
        else:
            assert golden[f"out_req_{case}"].tolist() == [-1], "none is stored where no number was asked for"
    assert case + 1 == len(golden.params["cases"])


@conforms("mva_wsss/cluster_labels")
def test_cluster_labels(golden):
    by_name = golden["in_name_rank"].argsort()
    features, class_labels = golden.tensor("in_features")[by_name], golden.tensor("in_labels")[by_name]
    clusters = cluster_classes(features, class_labels, lambda rows: finch(rows)[:, -1])
    labels, classes = sub_category_labels(clusters)
    golden.check("out_column_class", classes)
    column_index = torch.arange(len(classes)) - torch.searchsorted(classes, classes)
    golden.check("out_column_index", column_index)
    assert golden.meta["columns"] == [f"cluster_{k}_{j}" for k, j in zip(classes, column_index, strict=True)]
    golden.check("out_printed", len(classes) + 1)  # the script of the authors prints one too many
    for split, chosen in (("train", by_name < golden["in_n_train"]), ("val", by_name >= golden["in_n_train"])):
        golden.check(f"out_{split}_rows", by_name[chosen])
        golden.check(f"out_{split}_clusters", labels[torch.from_numpy(chosen)])


@conforms("mva_wsss/sccam_pseudo_labels")
def test_sccam_pseudo_labels(golden):
    features, class_labels, number = golden.tensor("in_features"), golden.tensor("in_labels"), int(golden["in_k"])
    clusters = torch.full(class_labels.shape, -1)
    clusters.T[class_labels.T > 0] = golden.tensor("in_cluster_ids").long()
    sub_categories = sub_category_labels(clusters)
    assert sub_categories.classes.tolist() == [k for k in range(class_labels.shape[1]) for _ in range(number)]
    images = class_labels.T.nonzero()[:, 1].tolist()  # class by class, as the authors list their images
    golden.check("out_n_pairs", len(images))
    order = list(dict.fromkeys(images))
    golden.check("out_row_index", order)
    golden.check("out_labels_sub", sub_categories.labels[order])
    golden.check("out_labels_parent", class_labels[order])

    ours = cluster_classes(features, class_labels, lambda rows: k_means(rows, number))
    for found, stored in zip(ours.T, clusters.T, strict=True):
        present = stored >= 0
        assert torch.equal(found[present], numbered_by_first_row(stored[present]))
        assert (found[~present] == -1).all()


@conforms("mva_wsss/sccam_cam_maps")
def test_sccam_cam_maps(golden):
    present, threshold = golden.tensor("in_label").nonzero().flatten(), golden["in_threshold"].item()
    number, num_classes = int(golden["in_k"]), len(golden["in_label"])
    class_labels = torch.ones(1, len(present))

    def label_map(maps):
        places = threshold_labels(maps[None], class_labels, threshold)[0]
        return torch.cat([torch.zeros(1, dtype=torch.int64), present + 1])[places]

    maps = normalize_maps(golden.tensor("in_cams_20").sum(0))
    golden.check("out_norm_20", maps)
    golden.check("out_label_20", label_map(maps))

    sub_maps = golden.tensor("in_cams_200").sum(0)
    classes = torch.arange(len(present)).repeat_interleave(number)
    normalized = normalize_sub_maps(sub_maps.flatten(0, 1)[None], classes, len(present))
    golden.check("out_norm_200", normalized[0].unflatten(0, sub_maps.shape[:2]))
    merged = merge_sub_maps(normalized, classes, len(present))[0]
    golden.check("out_merged_200", merged)
    golden.check("out_label_200", label_map(merged))
    golden.check("out_entropy", entropy_map(sub_maps))

    probabilities = golden.tensor("in_prob_200")
    all_classes = torch.arange(num_classes).repeat_interleave(number)
    golden.check("out_vote", classes_by_vote(probabilities, all_classes, num_classes)[0].nonzero().flatten())
    golden.check("out_sum", classes_by_mean(probabilities, all_classes, num_classes)[0].nonzero().flatten())


@conforms("mva_wsss/kd_loss")
def test_kd_loss(golden):
    logits, sub_logits = (golden.tensor(f"in_{part}logits").requires_grad_() for part in ("", "cluster_"))
    class_labels, sub_labels = golden.tensor("in_labels"), golden.tensor("in_cluster_labels")
    classification = F.multilabel_soft_margin_loss(logits, class_labels)
    golden.check("out_val_loss", classification)
    golden.check("out_val_loss_clusters", sub_category_loss(sub_logits, sub_labels, weight=1.0))
    loss = classification + sub_category_loss(sub_logits, sub_labels, golden["in_weight"].item())
    golden.check("out_loss", loss)
    loss.backward()
    golden.check("out_grad_logits", logits.grad)
    golden.check("out_grad_cluster_logits", sub_logits.grad)
    assert np.isclose(golden.params["weight"], golden["in_weight"]) and golden.params["n_clusters"] == len(
        sub_labels[0]
    )
