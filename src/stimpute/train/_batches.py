"""Make batches of rows from tensors in memory, without a loader that densifies the reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler

Batch = dict[str, Tensor]
Transform = Callable[[Batch], Batch]
MAX_BATCH_OF_FEW = 1024  # rows per batch, drawn with replacement, where there are fewer rows


class _Rows(Dataset):
    """Rows of several tensors; a whole batch is read and transformed at once."""

    def __init__(self, tensors: Mapping[str, Tensor], transform: Transform | None) -> None:
        self.tensors = tensors
        self.transform = transform

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def __getitem__(self, rows: list[int]) -> Batch:
        batch = {name: tensor[rows] for name, tensor in self.tensors.items()}
        return self.transform(batch) if self.transform else batch


class RowBatches(pl.LightningDataModule):
    """Shuffled batches of rows, some of which are held out for validation.

    Parameters
    ----------
    tensors
        Tensors whose first dimension are the rows (cells, or genes for the reliability network).
    batch_size
        Rows per batch, at most all rows (or 1024 that are drawn with replacement). The last batch may hold a single
        row.
    transform
        Applied to a whole batch, for instance to look up values that would be too large for all rows at once.
    validation_size
        Share of the rows that is held out.
    steps_per_epoch
        Number of batches to draw with replacement in an epoch, so that its cost does not grow with the rows; all rows
        once if None.
    seed
        Seed of the split and the shuffle.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        batch_size: int,
        transform: Transform | None = None,
        validation_size: float = 0.0,
        steps_per_epoch: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.tensors = tensors
        n_rows = len(next(iter(tensors.values())))
        self.batch_size = min(batch_size, max(n_rows, MAX_BATCH_OF_FEW))
        self.transform = transform
        self.steps_per_epoch = steps_per_epoch
        self.generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(n_rows, generator=self.generator)
        n_held_out = min(int(validation_size * n_rows), n_rows - 1)
        self.held_out = order[:n_held_out].sort()[0]
        self.kept = order[n_held_out:].sort()[0]

    def _loader(self, rows: Tensor, shuffle: bool) -> DataLoader:
        data = _Rows({name: tensor[rows] for name, tensor in self.tensors.items()}, self.transform)
        sampler: RandomSampler | SequentialSampler = SequentialSampler(data)
        if shuffle and self.steps_per_epoch is not None:
            n_samples = self.batch_size * self.steps_per_epoch
            sampler = RandomSampler(data, replacement=True, num_samples=n_samples, generator=self.generator)
        elif shuffle:
            sampler = RandomSampler(data, generator=self.generator)
        return DataLoader(data, sampler=BatchSampler(sampler, self.batch_size, drop_last=False), batch_size=None)

    def train_dataloader(self) -> DataLoader:
        """Return batches to learn from, in a new order every epoch."""
        return self._loader(self.kept, shuffle=True)

    def val_dataloader(self) -> DataLoader | list:
        """Return the held-out batches, in a fixed order."""
        return self._loader(self.held_out, shuffle=False) if len(self.held_out) else []
