"""How much memory an operation takes at once, in numbers."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LargestTensor(TorchDispatchMode):
    """The most numbers that any tensor made inside the block holds; a sparse one holds those that it stores."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                stored = tensor.numel() if tensor.layout == torch.strided else tensor._nnz()
                self.numbers = max(self.numbers, stored)
        return made
