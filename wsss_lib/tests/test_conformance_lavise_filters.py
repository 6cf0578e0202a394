"""LaViSE: thresholds, images, words and recall of filters against the code of its authors and of its reproduction."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from wsss_lib.figures.filters import darkened
from wsss_lib.maps.activation_statistics import ActivationQuantile, TopImages
from wsss_lib.maps.filter_attention import attended_features, masked_images, regions_of
from wsss_lib.networks.base import IMAGENET
from wsss_lib.scores.words import count_words, mean_recall, nearest_words, region_words, word_recall
from wsss_lib.tests.golden_files import conforms
from wsss_lib.tests.test_conformance_lavise_networks import explainer_of


def quantiles(activations, quantile, batch=3):
    """Streamed as the notebook does it, in small batches."""
    found = ActivationQuantile(activations.shape[1], activations[:, 0].numel(), quantile)
    for part in activations.split(batch):
        found.update(part)
    return found.value()


def top_images(activations, count, batch=3):
    found = TopImages(activations.shape[1], count)
    for part in activations.split(batch):
        found.update(part)
    return found


@conforms("lavise/activation_threshold")
def test_activation_threshold(golden):
    activations = golden.tensor("in_activations")[:, golden["in_filters"]]
    for kind in ("official", "intended"):
        golden.check(f"out_threshold_{kind}", quantiles(activations, golden.params[f"quantile_{kind}"]))


@conforms("lavise/top_activating_images")
def test_top_activating_images(golden):
    activations = golden.tensor("in_activations")[:, golden["in_filters"]]
    stored = golden["out_images"]
    found = np.full(stored.shape, -1)
    for row, count in zip(found, golden["in_p"].tolist(), strict=True):
        images = top_images(activations, count).images
        row[:, : images.shape[1]] = images
    golden.check("out_images", found)


@conforms("lavise/nearest_words")
def test_nearest_words(golden):
    directions = F.normalize(golden.tensor("in_vectors"), dim=1)
    golden.check("out_words", nearest_words(golden.tensor("in_pred"), directions, golden.params["s"])[0])


@conforms("lavise/recall")
def test_recall(golden):
    found = np.zeros(golden["out_recall"].shape)
    for row, threshold in zip(found, golden["in_iou_thresholds"].tolist(), strict=True):
        for image in range(len(row)):
            words = [(word,) for word in golden["in_targets"][image].tolist()]
            region, masks = golden.tensor("in_regions")[image, 0], golden.tensor("in_masks")[image, :, 0]
            truth = region_words(region, masks, words, threshold)
            row[image] = word_recall(truth, golden["in_words"][image].tolist()) / 100
    golden.check("out_recall", found)


@conforms("lavise/heatmap")
def test_heatmap(golden):
    image, heat = golden.tensor("in_image"), golden.tensor("in_map")[0]
    found = [darkened(image, heat, lowest) for lowest in golden.params["opacities"]]
    golden.check("out_heatmap", torch.stack(found))
    golden.check("out_unnormalized", IMAGENET.denormalize(golden.tensor("in_normalized")))


@torch.no_grad()
def embeddings_of(network, images, filters, thresholds, method):
    """Embedding of each image as one filter sees it, by a method under the original's name."""
    features = network.features(images)
    maps = features[torch.arange(len(features)), filters]
    if method == "image":
        return network(network.features(masked_images(images, maps, thresholds)))
    ours = {"projection": "attention"}.get(method, method)
    return network(attended_features(features, filters, thresholds, method=ours, form="official"))


@conforms("lavise/explain_methods")
def test_explain_methods(golden):
    network, images = explainer_of(golden), golden.tensor("in_images")
    found = torch.zeros(golden["out_pred"].shape)
    for row, unit, threshold in zip(found, golden["in_filters"].tolist(), golden.tensor("in_thresholds"), strict=True):
        filters = torch.full((len(images),), unit)
        for place, method in enumerate(golden.params["methods"]):
            row[place] = embeddings_of(network, images, filters, threshold.expand(len(images)), method)
    golden.check("out_pred", found)


@conforms("lavise/explain_methods_original")
def test_explain_methods_original(golden):
    network, images = explainer_of(golden), golden.tensor("in_images")
    filters = torch.full((len(images),), int(golden["in_filter"]))
    thresholds = golden.tensor("in_threshold").expand(len(images))
    methods = golden.params["methods"]
    found = [embeddings_of(network, images, filters, thresholds, method) for method in methods]
    golden.check("out_pred", torch.stack(found, 1))


@conforms("lavise/infer_filter_original")
@torch.no_grad()
def test_infer_filter_original(golden):
    from wsss_lib.tests.fill import filled_tensor

    activations, params = golden.tensor("in_activations"), golden.params
    weight, bias = (filled_tensor(name, tuple(shape), torch.float32) for name, shape in golden.meta["state_dict"])
    directions = F.normalize(golden.tensor("in_vectors"), dim=1)
    top = top_images(activations, params["p"])
    for case, (unit, method) in enumerate(params["runs"]):
        chosen, maxima = top.images[unit], top.maxima[unit].tolist()
        filters, thresholds = torch.full((len(chosen),), unit), golden.tensor("in_thresholds")[unit].expand(len(chosen))
        ours = {"projection": "attention"}.get(method, method)
        features = attended_features(activations[chosen], filters, thresholds, method=ours)
        words = nearest_words(features.mean((2, 3)) @ weight.T + bias, directions, params["s"])[0].tolist()
        counts = np.zeros(len(directions), int)
        for word, number in count_words(words, maxima, votes="floor"):
            counts[word] = number
        golden.check(f"out_wordcounts_{case}", counts)


@conforms("lavise/infer_filters")
@torch.no_grad()
def test_infer_filters(golden):
    network, params = explainer_of(golden), golden.params
    images, filters = golden.tensor("in_images"), golden["in_filters"].tolist()
    features = network.features(images)
    directions = F.normalize(golden.tensor("in_vectors"), dim=1)
    top = top_images(features[:, filters], params["p"])
    for name, quantile in (("official", 0.005), ("q90", 0.9)):
        thresholds = quantiles(features[:, filters], quantile)
        golden.check(f"out_thresholds_{name}", thresholds)
        for method in ("projection", "activation", "image"):
            terms, rows = [], []
            for place, unit in enumerate(filters):
                fires = top.maxima[place] > 0
                chosen, maxima = top.images[place][fires], top.maxima[place][fires].tolist()
                units, limits = torch.full((len(chosen),), unit), thresholds[place].expand(len(chosen))
                found = embeddings_of(network, images[chosen], units, limits, method)
                words = nearest_words(found, directions, params["s"])[0].tolist()
                regions = regions_of(features[chosen, unit], limits, tuple(images.shape[2:]))
                for image, region, predicted in zip(chosen.tolist(), regions, words, strict=True):
                    named = [(word,) for word in golden["in_targets"][image].tolist()]
                    masks = golden.tensor("in_masks")[image, :, 0]
                    truth = region_words(region, masks, named, params["threshold_iou"])
                    terms.append(word_recall(truth, predicted) / 100)
                rows += words
                for votes, suffix in (("one", ""), ("ceil", "_weighted")):
                    key = f"out_wordcounts_{method}_{name}{suffix}_{place}"
                    if key in golden:
                        counts = np.zeros(len(directions), int)
                        for word, number in count_words(words, maxima, votes=votes):
                            counts[word] = number
                        golden.check(key, counts)
            golden.check(f"out_topwords_{method}_{name}", rows)
            golden.check(f"out_recall_terms_{method}_{name}", terms)
            golden.check(f"out_recall_{method}_{name}", mean_recall(terms))
            assert not all(map(math.isnan, terms))
