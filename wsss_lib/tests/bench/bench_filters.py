"""Speed of naming filters."""

import numpy as np
import torch
import torch.nn.functional as F

from wsss_lib.maps.activation_statistics import ActivationQuantile, TopImages
from wsss_lib.maps.filter_attention import attended_features, pooled_attention
from wsss_lib.networks.filter_explainer import build_explainer
from wsss_lib.scores.words import nearest_words, region_ious
from wsss_lib.tests.bench import benchmark


@benchmark("nearest words, 25 images, 100,000 x 300 vectors", ratio=20)
def words():
    vectors = torch.randn(100_000, 300)
    embeddings = torch.randn(25, 300)
    directions = F.normalize(vectors, dim=1)

    def slow():
        """Norms of the vocabulary and a full sort for every image."""
        found = []
        for embedding in embeddings:
            norms = torch.outer(embedding.norm()[None], vectors.norm(dim=1))
            found.append(torch.argsort(embedding[None] @ vectors.T / norms, descending=True)[0, :5])
        return torch.stack(found)

    return slow, lambda: nearest_words(embeddings, directions, 5)[0]


@benchmark("thresholds of 22 filters, 2,000 images", ratio=15)
def thresholds():
    maps = torch.randn(2000, 22, 7, 7).relu()

    def slow():
        """All values joined image by image, then sorted for each filter."""
        found = []
        values = torch.empty(22, 0)
        for batch in maps.split(1):
            values = torch.cat([values, batch.transpose(0, 1).flatten(1)], 1)
        for of_filter in values:
            found.append(np.quantile(of_filter.sort().values.numpy(), 0.995))
        return np.array(found)

    def fast():
        quantile = ActivationQuantile(22, maps[:, 0].numel())
        for batch in maps.split(64):
            quantile.update(batch)
        return quantile.value()

    return slow, fast


@benchmark("top 25 images of 512 filters, 2,000 images", ratio=8)
def top_images():
    maps = torch.randn(2000, 512, 7, 7).relu()

    def slow():
        """A sorted list for each filter, kept by bisection image by image."""
        import bisect

        kept = [[] for _ in range(512)]
        for image, of_image in enumerate(maps):
            maxima = of_image.amax((1, 2))
            for unit, best in enumerate(kept):
                value = maxima[unit].item()
                if len(best) < 25 or -value < best[-1][0]:
                    bisect.insort(best, (-value, image))
                    del best[25:]
        return torch.tensor([[image for _, image in best] for best in kept])

    def fast():
        top = TopImages(512, 25)
        for batch in maps.split(64):
            top.update(batch)
        return top.images

    return slow, fast


@benchmark("filter attention of 512 filters, one image", ratio=7)
def attention():
    features = torch.rand(1, 512, 7, 7)

    def slow():
        """Every filter by itself: reweight all channels, then pool."""
        zero = torch.zeros(1)
        return torch.cat([attended_features(features, torch.tensor([u]), zero).mean((2, 3)) for u in range(512)])

    return slow, lambda: pooled_attention(features)[0]


@benchmark("overlap of 20 instances at 224 px", ratio=12)
def overlaps():
    region, masks = torch.rand(224, 224) > 0.9, (torch.rand(20, 7, 7) > 0.5).float()

    def slow():
        """Each mask enlarged to the image and compared pixel by pixel."""
        found = []
        for mask in masks:
            large = F.interpolate(mask[None, None], (224, 224), mode="nearest")[0, 0] > 0
            found.append((large & region).sum() / (large | region).sum())
        return torch.stack(found)

    return slow, lambda: region_ious(region, masks)


@benchmark("features to train from, 8 images, 40 regions, 2 epochs", ratio=5)
def training_features():
    explainer = build_explainer("resnet18", "layer4", 8, options={}, side=64).eval()
    images, image_of_mask = torch.randn(8, 3, 64, 64), torch.arange(8).repeat_interleave(5)
    masks = (torch.rand(40, *explainer.grid) > 0.3).float()

    def slow():
        """The network runs for every region in every epoch."""
        for _epoch in range(2):
            pooled = explainer.pool(explainer.features(images[image_of_mask]) * masks[:, None])
        return pooled

    def fast():
        """It runs once for every image; an epoch reads what was kept."""
        kept = explainer.pool_masked(explainer.features(images), masks, image_of_mask)
        return [kept for _epoch in range(2)][-1]

    return slow, fast
