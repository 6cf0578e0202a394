"""A training small enough to run many times: shuffled images, convolution, batch norm, dropout, momentum."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from wsss_lib.data.batch import EpochSampler

NUM_IMAGES = 24


@dataclass
class Pairs:
    """A batch with the names of its images."""

    images: Tensor
    targets: Tensor
    ids: list[str]

    def to(self, device: torch.device) -> "Pairs":
        return Pairs(self.images.to(device), self.targets.to(device), self.ids)


class Images(Dataset):
    """Made images and targets, addressed by (epoch, index)."""

    def __init__(self):
        generator = torch.Generator().manual_seed(1)
        self.images = torch.randn(NUM_IMAGES, 3, 6, 6, generator=generator)
        self.targets = torch.randn(NUM_IMAGES, 2, generator=generator)

    def __len__(self) -> int:
        return NUM_IMAGES

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor, str]:
        _, index = key
        return self.images[index], self.targets[index], f"image{index}"


def collate(items: list[tuple[Tensor, Tensor, str]]) -> Pairs:
    images, targets, ids = zip(*items, strict=True)
    return Pairs(torch.stack(images), torch.stack(targets), list(ids))


def shuffled_loader(batch_size: int = 4, num_workers: int = 0) -> DataLoader:
    sampler = EpochSampler(range(NUM_IMAGES), seed=0, shuffle=True)
    return DataLoader(
        Images(),
        batch_size,
        sampler=sampler,
        collate_fn=collate,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
    )


def small_network(dropout: float = 0.3, norm: bool = True) -> nn.Module:
    torch.manual_seed(5)
    middle = [nn.BatchNorm2d(4)] if norm else []
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), *middle, nn.ReLU(), nn.Flatten(), nn.Dropout(dropout), nn.Linear(4 * 4 * 4, 2)
    )


def momentum_sgd(network: nn.Module, lr: float = 0.05) -> torch.optim.SGD:
    return torch.optim.SGD(network.parameters(), lr=lr, momentum=0.9, weight_decay=1e-3)


def two_terms(network: nn.Module, batch: Pairs) -> dict[str, Tensor]:
    outputs = network(batch.images)
    return {"square": F.mse_loss(outputs, batch.targets), "absolute": 0.1 * F.l1_loss(outputs, batch.targets)}


def noisy_terms(network: nn.Module, batch: Pairs) -> dict[str, Tensor]:
    """Terms that use the random numbers of numpy and torch, as mixing methods do."""
    share, order = np.random.beta(0.2, 0.2), torch.randperm(len(batch.images))
    images = share * batch.images + (1 - share) * batch.images[order]
    return two_terms(network, Pairs(images, batch.targets, batch.ids))


def scaled_fabric(scale: float) -> Fabric:
    """16-bit precision with its scaler, on the CPU."""
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=10**6)
    return Fabric(accelerator="cpu", devices=1, plugins=[MixedPrecision("16-mixed", "cpu", scaler)])


def weights_hash(network: nn.Module) -> str:
    """Hash of all parameters and buffers, bit by bit."""
    return _hash(network.state_dict().values())


def parameters_hash(network: nn.Module) -> str:
    """Hash of the parameters, without the running statistics of batch norm."""
    return _hash(network.parameters())


def _hash(tensors: Iterable[Tensor]) -> str:
    return hashlib.sha256(b"".join(tensor.detach().numpy().tobytes() for tensor in tensors)).hexdigest()
