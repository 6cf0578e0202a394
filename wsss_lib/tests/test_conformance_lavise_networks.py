"""LaViSE: explainer, loss, optimizer and training steps against the code of its authors and of its reproduction."""

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F

from wsss_lib.fit.dadapt_adam import DAdaptAdam
from wsss_lib.losses.ranking import margin_ranking_loss
from wsss_lib.networks.filter_explainer import FilterExplainer, build_target, explainer_from_authors
from wsss_lib.scores.words import top_k_accuracy
from wsss_lib.tests.golden_files import conforms
from wsss_lib.tests.networks.filled import fill_from_names


@lru_cache(maxsize=1)
def filled(model, layer, dimension, names, pooling="average"):
    """Explainer of a golden file with its filled weights."""
    network = FilterExplainer(build_target(model), layer, dimension, pooling=pooling, side=64, dropout=0.0)
    return fill_from_names(network, names, explainer_from_authors)


def explainer_of(golden, pooling="average"):
    names = tuple((name, tuple(shape)) for name, shape in golden.meta["state_dict"])
    params = golden.params
    layer = params.get("layer_target") or params["layer"]
    return filled(params["model"], layer, params["word_embedding_dim"], names, pooling)


def check_forward(golden, pooling="average"):
    network = explainer_of(golden, pooling)
    features = network.features(golden.tensor("in_images"))
    golden.check("out_features", features[:, : golden["out_features"].shape[1]])
    golden.check("out_features_sum", features.sum((0, 2, 3)))
    with torch.no_grad():
        golden.check("out_embedding", network(features))
        golden.check("out_embedding_masked", network(features * golden.tensor("in_masks")))


@conforms("lavise/forward_resnet18")
def test_forward_resnet18(golden):
    check_forward(golden)


@conforms("lavise/forward_resnet50")
def test_forward_resnet50(golden):
    check_forward(golden)


@conforms("lavise/forward_alexnet")
def test_forward_alexnet(golden):
    check_forward(golden, pooling="positions")
    filled.cache_clear()


@conforms("lavise/csmr_loss")
def test_csmr_loss(golden):
    cases = [key.removeprefix("in_cosine_") for key in golden.arrays if key.startswith("in_cosine_")]
    assert cases
    for case in cases:
        targets, losses, gradients = golden.tensor(f"in_targets_{case}"), [], []
        for margin in golden["in_margins"].tolist():
            cosines = golden.tensor(f"in_cosine_{case}").requires_grad_()
            losses.append(margin_ranking_loss(cosines, targets, margin=margin))
            gradients.append(torch.autograd.grad(losses[-1], cosines)[0])
        golden.check(f"out_loss_{case}", torch.stack(losses))
        if f"out_grad_{case}" in golden:
            golden.check(f"out_grad_{case}", torch.stack(gradients))


@conforms("lavise/csmr_loss_original")
def test_csmr_loss_original(golden):
    directions = F.normalize(golden.tensor("in_embeddings").T, dim=1)
    targets, chosen = golden.tensor("in_targets"), golden.tensor("in_train_idx")
    output = golden.tensor("in_output").requires_grad_()
    cosines = F.normalize(output, dim=1) @ directions.T
    of_drawn = margin_ranking_loss(cosines[:, chosen], targets[:, chosen], margin=golden.params["margin"],
                                   empty_rows="drop")  # fmt: skip
    golden.check("out_loss_annorate", of_drawn)
    golden.check("out_grad_annorate", torch.autograd.grad(of_drawn, output, retain_graph=True)[0])
    rows = len(output) - len(golden["out_grad_all"])
    of_all = margin_ranking_loss(cosines[rows:], targets[rows:], margin=golden.params["margin"], form="official")
    golden.check("out_loss_all", of_all)
    golden.check("out_grad_all", torch.autograd.grad(of_all, output)[0][rows:])


@conforms("lavise/dadapt_adam")
def test_dadapt_adam(golden):
    options = {
        "default": {},
        "decay": {"weight_decay": 0.1},
        "decoupled": {"weight_decay": 0.1, "decouple": True},
        "growth": {"growth": 1.5, "lr": 0.5},
    }
    for case, kind in options.items():
        parameters = [golden.tensor(key).requires_grad_() for key in ("in_p0", "in_p1")]
        optimizer = DAdaptAdam(parameters, **kind)
        estimates, values = [], []
        for gradients in zip(golden.tensor("in_g0"), golden.tensor("in_g1"), strict=True):
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            optimizer.step()
            estimates.append(optimizer.param_groups[0]["estimate"])
            values.append(torch.cat([parameter.detach().flatten() for parameter in parameters]))
        golden.check(f"out_d_{case}", np.array(estimates))
        golden.check(f"out_params_{case}", torch.stack(values))


def official_batches(golden, network):
    """Features, masked unless all masks of the batch are empty (the rule of the original), and targets, by batch."""
    size = golden.params.get("batch_size", 1)
    features = network.features(golden.tensor("in_images"))
    masks, targets = golden.tensor("in_masks"), golden.tensor("in_targets")
    for start in range(0, len(features), size):
        batch = slice(start, start + size)
        yield features[batch] * masks[batch] if masks[batch].any() else features[batch], targets[batch]


@conforms("lavise/train_epoch")
def test_train_epoch(golden):
    network = explainer_of(golden).train()
    optimizer = DAdaptAdam(network.head.parameters())
    directions = F.normalize(golden.tensor("in_embeddings").T, dim=1)
    losses, means, estimates = [], [], []
    for _ in range(golden.params["epochs"]):
        of_epoch, hits = [], 0.0
        for features, targets in official_batches(golden, network):
            cosines = F.normalize(network(features), dim=1) @ directions.T
            loss = margin_ranking_loss(cosines, targets, margin=golden.params["margin"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            of_epoch.append((loss.item(), len(targets)))
            hits += top_k_accuracy(cosines, targets, [1])[0] * len(targets)
        losses += [loss for loss, _ in of_epoch]
        means.append(sum(loss * size for loss, size in of_epoch) / sum(size for _, size in of_epoch))
        estimates.append(optimizer.param_groups[0]["estimate"])
    filled.cache_clear()
    golden.check("out_loss_per_batch", losses)
    golden.check("out_loss_per_epoch", means)
    golden.check("out_d_per_epoch", estimates)
    golden.check("out_top1_accuracy_last", hits / len(golden["in_images"]))
    golden.check("out_fc6_bias", network.head[6].bias)
    weight = network.head[0].weight
    golden.check("out_fc0_weight", weight[: len(golden["out_fc0_weight"])])


@conforms("lavise/train_epoch_original")
def test_train_epoch_original(golden):
    network = explainer_of(golden).train()
    optimizer = torch.optim.Adam(network.head.parameters(), lr=1e-4)
    directions = F.normalize(golden.tensor("in_embeddings").T, dim=1)
    chosen = golden.tensor("in_train_idx")
    losses, hits = [], 0.0
    images = zip(golden.tensor("in_images"), golden.tensor("in_masks"), golden.tensor("in_targets"), strict=True)
    for image, masks, targets in images:
        cosines = F.normalize(network(network.features(image[None]) * masks), dim=1) @ directions.T
        loss = margin_ranking_loss(cosines[:, chosen], targets[:, chosen], margin=golden.params["margin"],
                                   empty_rows="drop")  # fmt: skip
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        hits += top_k_accuracy(cosines, targets, [1])[0] * len(targets)
    filled.cache_clear()
    golden.check("out_loss_per_step", losses)
    golden.check("out_loss", np.mean(losses))
    golden.check("out_top1", hits / len(losses))


@conforms("lavise/validate")
@torch.no_grad()
def test_validate(golden):
    network = explainer_of(golden)
    directions = F.normalize(golden.tensor("in_embeddings").T, dim=1)
    batches = [
        (F.normalize(network(features), dim=1) @ directions.T, targets)
        for features, targets in official_batches(golden, network)
    ]
    cosines, targets = (torch.cat(part) for part in zip(*batches, strict=True))
    golden.check("out_cosine", cosines)
    golden.check(
        "out_loss_per_batch", [margin_ranking_loss(*batch, margin=golden.params["margin"]) for batch in batches]
    )
    golden.check("out_loss", margin_ranking_loss(cosines, targets, margin=golden.params["margin"]))
    golden.check("out_topk_accuracy", top_k_accuracy(cosines, targets, golden.params["ks"]), atol=0.01)
