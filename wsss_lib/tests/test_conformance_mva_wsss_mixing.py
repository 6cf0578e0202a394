"""Mixing methods and uncertainty terms against mva-wsss and FMix."""

from contextlib import nullcontext
from functools import partial
from unittest.mock import Mock

import torch
import torch.nn.functional as F

from wsss_lib.data.batch import Batch
from wsss_lib.data.mixing import (
    MixingDraws,
    amplitudes,
    binarize,
    draw_partners,
    draw_share,
    fmix,
    frequencies,
    low_frequency_images,
    mixup,
)
from wsss_lib.losses.uncertainty import concentration_loss, entropy_loss, spatial_moments
from wsss_lib.maps.cam import class_activation_maps
from wsss_lib.networks.checkpoints import classifier_from_authors
from wsss_lib.networks.classifier import Classifier, ClassifierOutput
from wsss_lib.networks.hidden_mixing import mixed_output
from wsss_lib.tests.golden_files import conforms
from wsss_lib.tests.networks.filled import resnet38_network
from wsss_lib.tests.notebook_steps import steps_of

#: places where manifold mixup mixes, by the authors' numbers
AUTHORS_LAYERS = {2: "input", 3: "b2_2", 4: "b3_2", 5: "b4_5", 6: "b5_2", 7: "b6"}


def sizes(golden) -> list[tuple[int, int]]:
    return [tuple(map(int, shape)) for shape in golden.series("in_shape")]


def authors_mask(draws, alpha, decay, size, max_soft=0.0, reformulate=False):
    """Share and mask [1, H, W], with all random numbers in the authors' order."""
    share = draw_share(alpha, draws, reformulate=reformulate)
    noise = torch.from_numpy(draws.numpy.randn(1, *frequencies(*size).shape, 2))
    images = low_frequency_images(noise, size, decay)
    return share, binarize(images, [share], [draws.random() > 0.5], max_soft)


@conforms("mva_wsss/mixup")
def test_mixup(golden):
    images, labels, partners = (golden.tensor(f"in_{name}") for name in ("x", "y", "perm"))
    share = golden["in_lam"].item()
    golden.check("out_mixed", mixup(images, share, partners))
    golden.check("out_y_a", labels)
    golden.check("out_y_b", labels[partners])
    logits = golden.tensor("in_logits").requires_grad_()
    loss = F.multilabel_soft_margin_loss(logits, mixup(labels, share, partners))
    loss.backward()
    golden.check("out_loss", loss)
    golden.check("out_grad_logits", logits.grad)

    draws = MixingDraws(golden["in_seed"].item())
    share = draw_share(golden.params["alpha"], draws)
    partners = draw_partners(len(images), draws)
    golden.check("out_seed_lam", share)
    golden.check("out_seed_perm", partners)
    golden.check("out_seed_mixed", mixup(images, share, partners))
    golden.check("out_alpha0_mixed", mixup(images, draw_share(0, draws), partners))


@conforms("mva_wsss/fmix_fftfreqnd")
def test_fmix_fftfreqnd(golden):
    for index, size in enumerate(sizes(golden)):
        golden.check(f"out_freqs_{index}", frequencies(*size))


@conforms("mva_wsss/fmix_low_freq_image")
def test_fmix_low_freq_image(golden):
    for index, size in enumerate(sizes(golden)):
        noise, decay = golden.tensor(f"in_noise_{index}"), golden[f"in_decay_{index}"].item()
        golden.check(f"out_spectrum_{index}", noise * amplitudes(*size, decay)[..., None])
        golden.check(f"out_image_{index}", low_frequency_images(noise, size, decay))


@conforms("mva_wsss/fmix_binarise")
def test_fmix_binarise(golden):
    for index, image in enumerate(golden.series("in_image")):
        share, round_up, soft = (golden[f"in_{name}_{index}"].item() for name in ("lam", "round_up", "max_soft"))
        golden.check(f"out_mask_{index}", binarize(torch.from_numpy(image), [share], [bool(round_up)], soft))


@conforms("mva_wsss/fmix_sample_mask")
def test_fmix_sample_mask(golden):
    for index, size in enumerate(sizes(golden)):
        names = ("seed", "alpha", "decay", "max_soft", "reformulate")
        seed, alpha, decay, soft, reformulate = (golden[f"in_{name}_{index}"].item() for name in names)
        share, mask = authors_mask(MixingDraws(seed), alpha, decay, size, soft, bool(reformulate))
        golden.check(f"out_lam_{index}", share)
        golden.check(f"out_mask_{index}", mask)


@conforms("mva_wsss/fmix_batch")
def test_fmix_batch(golden):
    images, seed = golden.tensor("in_x"), golden["in_seed"].item()
    alpha, decay, soft, size = (golden.params[name] for name in ("alpha", "decay_power", "max_soft", "size"))
    draws = MixingDraws(seed)
    share, mask = authors_mask(draws, alpha, decay, tuple(size), soft)
    partners = draw_partners(len(images), draws)
    golden.check("out_lam", share)
    golden.check("out_mask", mask)
    golden.check("out_index", partners)
    golden.check("out_mixed", fmix(images, mask, partners))

    draws = MixingDraws(seed + 1)  # the other implementation permutes with numpy
    share, mask = authors_mask(draws, alpha, decay, tuple(size), soft)
    partners = torch.from_numpy(draws.numpy.permutation(len(images)))
    golden.check("out_np_lam", share)
    golden.check("out_np_index", partners)
    golden.check("out_np_mixed", fmix(images, mask, partners))


@conforms("mva_wsss/entropy_loss")
def test_entropy_loss(golden):
    logits, eps = golden.tensor("in_logits").requires_grad_(), golden.params["eps"]
    loss = entropy_loss(logits, eps)
    loss.backward()
    golden.check("out_loss", loss)
    golden.check("out_grad", logits.grad)
    golden.check("out_on_labels", entropy_loss(golden.tensor("in_labels"), eps))


@conforms("mva_wsss/concentration_loss")
def test_concentration_loss(golden):
    maps, labels, eps = golden.tensor("in_cam").requires_grad_(), golden.tensor("in_labels"), golden.params["eps"]
    shares = maps.softmax(1)
    golden.check("out_softmax", shares)
    loss = concentration_loss(shares, labels, eps)
    loss.backward()
    golden.check("out_loss", loss)
    golden.check("out_grad", maps.grad)
    centers, _ = spatial_moments(shares.flatten(0, 1), eps)
    golden.check("out_centers", centers.view(*labels.shape, 2))
    # the stored variances are those of the first classes, around these centers, of maps without eps
    plain_centers, variances = spatial_moments(shares.flatten(0, 1), eps=0.0)
    around = (variances + (plain_centers - centers).square()).view(*labels.shape, 2)
    num_first = len(golden["out_variance_pairs"]) // len(labels)
    golden.check("out_variance_pairs", around[:, :num_first].flatten(0, 1))

    height, width = maps.shape[2:]  # coordinates: the center of a map with a single pixel
    single = torch.eye(height * width).view(-1, height, width)
    centers, _ = spatial_moments(single, eps=0.0)
    golden.check("out_x_map", centers[:, 0].view(height, width))
    golden.check("out_y_map", centers[:, 1].view(height, width))


#: notebook of each way of mixing; plain CAM is Mixup-CAM whose images have a share of 1
STEPS = {
    "baseline": "13_mixup_cam",
    "mixup": "13_mixup_cam",
    "manifold": "14_manifold_mixup_cam",
    "fmix": "15_fmix_cam",
}


def notebook_step(golden, mixing, terms):
    """The notebook's step of a method with some of the terms; its random numbers and maps are the stored ones."""
    plain = mixing == "baseline"
    weights = {"entropy_weight": ("ent", "in_ent_weight"), "concentration_weight": ("concent", "in_concent_weight")}
    values = {name: golden[key].item() if term in terms else 0.0 for name, (term, key) in weights.items()}
    stand_ins = {
        "draw_share": Mock(return_value=1.0 if plain else golden["in_lam"].item()),
        "draw_partners": Mock(return_value=golden.tensor("in_perm")),
        "mixed_output": Mock(return_value=nullcontext()),
        "class_activation_maps": lambda features, _: features,
    }
    (step,) = steps_of(STEPS[mixing], values | {"entropy_form": "paper" if plain else "official"}, stand_ins)
    return step


@conforms("mva_wsss/training_losses")
def test_training_losses(golden):
    labels = golden.tensor("in_labels")
    num_images = len(labels)
    images = torch.zeros(num_images, 3, 8, 8)
    batch = Batch(images, labels, None, [""] * num_images, [images.shape[2:]] * num_images)
    methods = [key.removeprefix("out_loss_") for key in golden.arrays if key.startswith("out_loss_")]
    assert methods
    for method in methods:
        logits, maps = golden.tensor("in_logits").requires_grad_(), golden.tensor("in_cam").requires_grad_()
        mixing, *terms = method.split("_")
        network = Mock(return_value=ClassifierOutput(logits, maps))
        loss = sum(notebook_step(golden, mixing, terms)(network, batch).values())
        loss.backward()
        golden.check(f"out_loss_{method}", loss)
        golden.check(f"out_grad_logits_{method}", logits.grad)
        found = torch.zeros_like(maps) if maps.grad is None else maps.grad
        if golden[f"out_grad_cam_{method}"].any():
            # gradients of the small term are themselves near the absolute tolerance of the file
            golden.check(f"out_grad_cam_{method}", found, atol=1e-9)
        else:
            assert not found.any()


@conforms("mva_wsss/manifold_mixup_forward")
@torch.no_grad()
def test_manifold_mixup_forward(golden):
    shapes = dict(map(tuple, golden.meta["state_dict"]))
    network = resnet38_network(
        lambda backbone: Classifier(backbone, shapes["fc8.weight"][0], dropout=0.5),
        golden.meta["state_dict"],
        classifier_from_authors,
    )
    partners = golden.tensor("in_perm")
    mix = partial(mixup, share=golden["in_lam"].item(), partners=partners)
    golden.check("out_y_b", golden.tensor("in_y")[partners])
    for layer in golden.params["layers"]:
        with mixed_output(network.backbone, AUTHORS_LAYERS[layer], mix):
            output = network(golden.tensor("in_x"))
        golden.check(f"out_logits_{layer}", output.logits)
        golden.check(f"out_cam_{layer}", class_activation_maps(output.features, network.head_weight))
    names = list(AUTHORS_LAYERS.values())  # the authors draw the number of the layer
    drawn = [AUTHORS_LAYERS[number] for number in map(MixingDraws(0).randint, [2] * 20, [7] * 20)]
    draws = MixingDraws(0)
    assert [draws.choice(names) for _ in drawn] == drawn
