"""Batches of cached pixels for the parts of a split."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from pneumoscope.data.prepared import PreparedData

Batch = tuple[Tensor, Tensor]
"""Pixels uint8 [batch, 1, height, width], and labels int64 [batch], or targets float32 [batch,
classes] from teachers; for findings float32 [batch, findings] with NaN for missing labels."""


class CachedImages(Dataset[Batch]):
    """The images of one part of a split; indexing with a list of positions returns a batch.

    Args:
        data: The images.
        part: The part.
        targets: Targets of its rows that replace the labels in the batches, [n, classes].
    """

    def __init__(
        self, data: PreparedData, part: str, *, targets: NDArray[np.float32] | None = None
    ) -> None:
        chosen = data.catalog.select(data.split.rows(part))
        self._cache = data.cache
        self._rows = data.cache.rows(chosen.entries)
        self.labels: NDArray[Any] = chosen.class_numbers
        if chosen.findings:
            known = chosen.finding_labels
            self.labels = np.where(known < 0, np.nan, known).astype(np.float32)
        self.label_space = chosen.label_space
        self._targets = self.labels if targets is None else targets

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of each class, in order; for findings, the share of positive labels."""
        if self.labels.ndim == 2:
            return tuple(np.nanmean(self.labels, axis=0).tolist())
        if len(self.label_space) == 2:
            positive = float(self.labels.mean())
            return 1 - positive, positive
        counts = np.bincount(self.labels, minlength=len(self.label_space))
        return tuple((counts / len(self.labels)).tolist())

    def __getitem__(self, positions: list[int]) -> Batch:
        pixels = self._cache.take(self._rows[positions])
        return torch.from_numpy(pixels).unsqueeze(1), torch.from_numpy(self._targets[positions])


class EpochBatches(Sampler[list[int]]):
    """Batches of positions; the order depends only on the seed and the epoch.

    A run resumed at an epoch therefore continues as if it had not been interrupted. With several
    processes, each takes an equal share of every epoch.

    Args:
        count: Number of images.
        batch_size: Images per batch; the last one may be smaller.
        seed: Seed of the order; None keeps the order of the data.
        weights: Relative frequency of each image; an epoch is then drawn with replacement. With
            None, each image occurs once.
        rank: Rank of this process.
        world_size: Number of processes.
    """

    def __init__(
        self,
        count: int,
        *,
        batch_size: int,
        seed: int | None,
        weights: NDArray[np.float64] | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self._count = count
        self._weights = weights
        self._batch_size = batch_size
        self._seed = seed
        self._rank = rank
        self._world_size = world_size
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the next epoch; called by Lightning between epochs."""
        self._epoch = epoch

    def __len__(self) -> int:
        return math.ceil(self._share() / self._batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        # Runs at the first ``next``: Lightning creates the iterator before it sets the epoch.
        order = np.arange(self._count)
        if self._seed is not None:
            generator = np.random.default_rng((self._seed, self._epoch))
            if self._weights is None:
                generator.shuffle(order)
            else:
                share = self._weights / self._weights.sum()
                order = generator.choice(self._count, self._count, p=share)
            order = np.resize(order, self._share() * self._world_size)
        mine = order[self._rank :: self._world_size].tolist()
        for start in range(0, len(mine), self._batch_size):
            yield mine[start : start + self._batch_size]

    def _share(self) -> int:
        if self._seed is None:
            return len(range(self._rank, self._count, self._world_size))
        return math.ceil(self._count / self._world_size)


class SplitData(L.LightningDataModule):
    """The training and validation batches of a run.

    Args:
        data: The images.
        batch_size: Images per batch.
        seed: Seed of the order.
        balanced: Whether all classes are drawn equally often in training.
        targets: Targets of the training rows that replace their labels, [n, classes].
    """

    def __init__(
        self,
        data: PreparedData,
        *,
        batch_size: int,
        seed: int,
        balanced: bool = False,
        targets: NDArray[np.float32] | None = None,
    ) -> None:
        super().__init__()
        self.training = CachedImages(data, "train", targets=targets)
        self.validation = CachedImages(data, "val")
        self._batch_size = batch_size
        self._seed = seed
        self._balanced = balanced

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the training batches, shuffled in each epoch."""
        return self._loader(self.training, seed=self._seed)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return the validation batches, in the order of the data."""
        return self._loader(self.validation, seed=None)

    def _loader(self, images: CachedImages, *, seed: int | None) -> DataLoader[Batch]:
        trainer = self.trainer
        weights = None
        if self._balanced and seed is not None:
            weights = (1 / np.array(images.shares))[images.labels]
        batches = EpochBatches(
            len(images),
            batch_size=self._batch_size,
            seed=seed,
            weights=weights,
            rank=trainer.global_rank if trainer else 0,
            world_size=trainer.world_size if trainer else 1,
        )
        # A batch is a single read of the memory map, so worker processes would only add copies.
        return DataLoader(
            images,
            sampler=batches,
            batch_size=None,
            num_workers=0,
            pin_memory=torch.cuda.is_available(),
        )
