"""Which images excite a filter, and how much is much: gathered in one pass over the features of all images."""

import math

import torch
from torch import Tensor

WAITING = 30_000  # values of a filter that are gathered before the highest are picked


class TopImages:
    """The p images with the highest maximum of every filter; the earlier image wins a tie.

    Args:
        num_filters: U.
        count: images of each filter, p (25 in the paper).
    """

    def __init__(self, num_filters: int, count: int):
        if count < 1:
            raise ValueError(f"{count} images a filter; ask for at least one")
        self.count, self.seen = count, 0
        self._keys = torch.empty(num_filters, 0, dtype=torch.int64)

    def update(self, features: Tensor) -> None:
        """Take the next images, [B, U, h, w]."""
        maxima = features.amax((2, 3)).float().cpu().T.contiguous() + 0.0  # [U, B]; -0 becomes 0
        bits = maxima.view(torch.int32).long()
        ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)  # integers in the order of the numbers
        indices = self.seen + torch.arange(maxima.shape[1])
        keys = torch.cat([self._keys, (ordered << 32) | (0xFFFFFFFF - indices)], 1)
        self._keys = keys.topk(min(self.count, keys.shape[1]), dim=1).values
        self.seen += maxima.shape[1]

    @property
    def images(self) -> Tensor:
        """Indices of the images in the order they came, highest first, int64 [U, min(p, N)]."""
        return 0xFFFFFFFF - (self._keys & 0xFFFFFFFF)

    @property
    def maxima(self) -> Tensor:
        """Their maxima, [U, min(p, N)]."""
        ordered = (self._keys >> 32).to(torch.int32)
        return torch.where(ordered < 0, ordered ^ 0x7FFFFFFF, ordered).view(torch.float32)


class ActivationQuantile:
    """Quantile of the values of every filter over all places of all images, exact, from one pass.

    Only the values beyond the quantile are kept: half a percent of all for the 0.995 of the paper, or the lowest half
    percent for 0.005, which the reproduction of the paper used by mistake.

    Args:
        num_filters: U.
        num_values: values a filter has in all (images times places).
        quantile: in [0, 1]; linear between neighbours.
    """

    def __init__(self, num_filters: int, num_values: int, quantile: float = 0.995):
        if not 0 <= quantile <= 1 or num_values < 1:
            raise ValueError(f"quantile {quantile} of {num_values} values; it should be in [0, 1] of one or more")
        self.num_values, self.seen = num_values, 0
        self.sign = 1 if quantile >= 0.5 else -1
        self.place = (num_values - 1) * (quantile if self.sign == 1 else 1 - quantile)
        self._kept = torch.empty(num_filters, 0)
        self._size = num_values - math.floor(self.place)
        self._waiting: list[Tensor] = []

    def update(self, maps: Tensor) -> None:
        """Take the maps of the filters for the next images, [B, U, h, w]."""
        values = maps.transpose(0, 1).flatten(1).float().cpu()
        self.seen += values.shape[1]
        self._waiting.append(values if self.sign == 1 else -values)
        if sum(part.shape[1] for part in self._waiting) >= max(WAITING, 4 * self._size):
            self._keep_highest()

    def _keep_highest(self) -> None:
        """Merge what waits into what is kept; a merge costs as much for few new values as for many."""
        joined = torch.cat([self._kept, *self._waiting], 1)
        self._kept = joined.topk(min(self._size, joined.shape[1]), dim=1, sorted=False).values
        self._waiting = []

    def value(self) -> Tensor:
        """The quantile of every filter, [U].

        Raises:
            ValueError: another number of values came than was announced.
        """
        if self.seen != self.num_values:
            raise ValueError(f"{self.seen} values of each filter came, {self.num_values} were announced")
        self._keep_highest()
        lowest = self._kept.topk(min(2, self._size), dim=1, largest=False).values
        step = self.place - math.floor(self.place)
        return self.sign * torch.lerp(lowest[:, 0], lowest[:, -1], step)
