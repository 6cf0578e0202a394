"""Speed of the scores of model guidance, against the authors' way: pair by pair, decision by decision."""

import numpy as np
import torch

from wsss_lib.scores.localization import box_iou, energy_pointing_game
from wsss_lib.scores.multilabel import DecisionCounts
from wsss_lib.tests.bench import benchmark


@benchmark("EPG and IoU of 64 pairs, 224 px", ratio=1.7, seconds=0.025)
def energy_and_iou():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(64, 224, 224, generator=generator)
    corners = torch.randint(0, 112, (64, 2), generator=generator).tolist()
    masks = torch.zeros(64, 224, 224, dtype=torch.bool)
    for mask, (left, top) in zip(masks, corners, strict=True):
        mask[top : top + 100, left : left + 90] = True

    def epg_of_one(positive, mask):
        inside = positive[torch.where(mask == 1)].sum()
        total = positive.sum()
        return (inside / total).item() if total >= 1e-7 else 0.0

    def iou_of_one(positive, mask):
        lowest, highest = positive.min(), positive.max()
        if highest - lowest >= 1e-7:
            positive = (positive - lowest) / (highest - lowest)
        above = (positive > 0.5).float()
        both = len(torch.where((above == 1) & (mask == 1))[0])
        either = len(torch.where((above == 1) | (mask == 1))[0])
        return both / either if either else 0.0

    def slow():
        fractions = []
        for attribution, (left, top) in zip(maps, corners, strict=True):
            mask = torch.zeros(224, 224)
            mask[top : top + 100, left : left + 90] = 1
            positive = attribution.clamp(min=0)
            fractions.append((100 * epg_of_one(positive, mask), 100 * iou_of_one(positive, mask)))
        return np.array(fractions)

    return slow, lambda: torch.stack([energy_pointing_game(maps, masks), box_iou(maps, masks)], 1)


@benchmark("multi-label counts, 4 batches of 64 x 80", ratio=50, seconds=0.004)
def multilabel_counts():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 64, 80, generator=generator)
    labels = (torch.rand(4, 64, 80, generator=generator) < 0.05).float()

    def slow():
        counts = [0, 0, 0, 0]
        for scores, present in zip(logits.flatten(0, 1), labels.flatten(0, 1), strict=True):
            for score, label in zip(scores, present, strict=True):
                predicted = score >= 0
                if label == 1:
                    counts[0 if predicted else 3] += 1
                else:
                    counts[2 if predicted else 1] += 1
        return np.array(counts)

    def fast():
        counts = DecisionCounts()
        for batch in zip(logits, labels, strict=True):
            counts += DecisionCounts.of(*batch)
        return np.array(counts.as_tuple())

    return slow, fast
