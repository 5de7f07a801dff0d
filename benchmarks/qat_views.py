"""What students of the quantisation benchmark are trained on: shifted and mirrored views, and what the teacher says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from squeeze.students import Network

SHIFT = 4
CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
HALF = torch.bfloat16 if CUDA else torch.float32


class Images:
    """Training images with a border, the teacher's logits for shifted and mirrored views of them, test images."""

    def __init__(
        self,
        path: Path,
        teacher: Network,
        views: int,
        batch_size: int,
        count: int | None = None,
    ) -> None:
        with np.load(path) as z:
            mean, std = (
                torch.tensor(z[k], dtype=torch.float32).reshape(1, -1, 1, 1)
                for k in ("mean", "std")
            )
            x = torch.from_numpy(z["x_train"][:count])
            self.y = torch.from_numpy(z["y_train"][:count]).to(DEVICE)
            self.test_labels = z["y_test"]
            test = torch.from_numpy(z["x_test"])
        self.n, self.channels, self.side = len(x), x.shape[1], x.shape[2]
        self.test = (test.float() / 255 - mean) / std
        x = x.to(DEVICE)
        normal = ((x.float() / 255 - mean.to(DEVICE)) / std.to(DEVICE)).to(HALF)
        self.padded = nn.functional.pad(normal, (SHIFT,) * 4)
        g = torch.Generator().manual_seed(0)
        self.shift = torch.randint(0, 2 * SHIFT + 1, (views, self.n, 2), generator=g).to(DEVICE)
        self.flip = torch.randint(0, 2, (views, self.n), generator=g).bool().to(DEVICE)
        self.views = views
        self.at = torch.arange(self.side, device=DEVICE)
        self.plane = torch.arange(self.channels, device=DEVICE)
        with torch.no_grad(), torch.autocast(DEVICE.type, HALF, enabled=CUDA):
            first = torch.zeros(2, dtype=torch.long, device=DEVICE)
            classes = teacher(self.take(first, first)).shape[1]
            self.logits = torch.empty(views, self.n, classes, device=DEVICE)
            for v in range(views):
                for start in range(0, self.n, 2000):
                    index = torch.arange(start, min(start + 2000, self.n), device=DEVICE)
                    view = torch.full_like(index, v)
                    self.logits[v, index] = teacher(self.take(index, view)).float()
        self.length = 64 * self.n // batch_size * batch_size
        epochs = [torch.randperm(self.n, generator=g) for _ in range(64)]
        self.order = torch.cat(epochs)[: self.length].to(DEVICE)
        own = torch.randint(0, views, (self.n,), generator=g)
        seen = torch.cat([(own[p] + e) % views for e, p in enumerate(epochs)])
        self.view = seen[: self.length].to(DEVICE)

    def take(self, index: Tensor, view: Tensor) -> Tensor:
        """[n, c, h, w] views of the samples."""
        shift, flip = self.shift[view, index], self.flip[view, index]
        columns = torch.where(flip[:, None], self.side - 1 - self.at, self.at) + shift[:, 1:]
        rows = self.at + shift[:, :1]
        found = self.padded[
            index[:, None, None, None],
            self.plane[None, :, None, None],
            rows[:, None, :, None],
            columns[:, None, None, :],
        ]
        return found.contiguous(memory_format=torch.channels_last)

    def batches(self, count: int, size: int = 500) -> list[Tensor]:
        """A few batches for statistics."""
        index = torch.arange(size, device=DEVICE)
        return [
            self.take((index + i * size) % self.n, index * 0 + i % self.views) for i in range(count)
        ]
