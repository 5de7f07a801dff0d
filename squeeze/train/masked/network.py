"""What sees the visible patches alone: a student with what it learns by, and its teacher up to a depth.

Masked patches are left out before anything is computed, so that neither their pixels nor their places cost a product.
Convolutions of a student's patches see one patch at a time here, with nothing around it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze.outputs import Outputs
from squeeze.students.encoder.network import Layer
from squeeze.students.positions import Positions
from squeeze.students.tokens import Encoding
from squeeze.train.masked.grid import patches_of, taken

if TYPE_CHECKING:
    from squeeze.students.encoder import Encoder
    from squeeze.students.token_student import TokenStudent
    from squeeze.students.vit import Params
    from squeeze.train.masked.grid import Grid, Sides

DECODER_LAYERS = 1
_DEVIATION = 0.02


class Masked(nn.Module):
    """A student of `params` that says what the teacher makes of visible units, and the pixels of those that it does not
    see.

    depth: so many of its layers are before what is compared; width: of the teacher's states.
    """

    places: Tensor

    def __init__(
        self, student: TokenStudent, params: Params, grid: Grid, depth: int, width: int, seed: int
    ) -> None:
        super().__init__()
        self.student, self.depth = student, depth
        self.patch: Sides = (params.patch, params.patch)
        self.register_buffer("places", grid.places(self.patch), persistent=False)
        kinds = [isinstance(part, Positions) for part in student.trunk]
        self.at = kinds.index(True)
        hidden, tokens = params.width, self.places.numel()
        pixels = params.channels * params.patch**2
        sizes = Encoding(tokens, hidden, params.heads, params.ratio * hidden)
        self.projection = nn.Linear(hidden, width)
        self.unseen = nn.Parameter(torch.empty(hidden))
        self.position = nn.Parameter(torch.empty(tokens, hidden))
        self.decoder = nn.Sequential(
            *(Layer(sizes, norm_first=True) for _ in range(DECODER_LAYERS)),
            nn.LayerNorm(hidden),
            nn.Linear(hidden, pixels),
        )
        self._reset(torch.Generator().manual_seed(seed))

    def forward(self, images: Tensor, order: Tensor, visible: int) -> Outputs[Tensor]:
        """images: [n, c, h, w]; order: [n, units], of which the first `visible` are seen. Gives pixels
        [n, masked patches, c * patch * patch], and the tap "visible" [n, units, width]."""
        seen = self.places[order[:, :visible]].flatten(1)  # [n, s]
        hidden = self.places[order[:, visible:]].flatten(1)
        states, last = self.encoded(taken(patches_of(images, self.patch), seen), seen)
        whole = self.unseen.to(last.dtype).expand(len(images), len(self.position), -1).clone()
        rows = torch.arange(len(images), device=images.device)[:, None]
        whole[rows, seen] = last
        pixels: Tensor = taken(self.decoder(whole + self.position), hidden)
        return Outputs(pixels, {"visible": self.projection(by_unit(states, visible))})

    def encoded(self, patches: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """patches: [n, s, c, h, w] and their places [n, s] -> states behind `depth` layers and behind all, normalised,
        [n, s, d], without class tokens."""
        *parts, norm = self.student.trunk
        x = patches.flatten(0, 1)
        for part in parts[: self.at]:
            x = part(x)
        positions = parts[self.at]
        assert isinstance(positions, Positions)
        classes, x = positions.class_tokens, x.reshape(*places.shape, -1)
        x = with_positions(x, positions.position, places, classes)
        first = self.at + 1
        for layer in parts[first : first + self.depth]:
            x = layer(x)
        states = x[:, classes:]
        for layer in parts[first + self.depth :]:
            x = layer(x)
        return states, norm(x)[:, classes:]

    def wanted(self, images: Tensor, order: Tensor, visible: int) -> Tensor:
        """The pixels [n, masked patches, c * patch * patch] as they are to be: those of each patch with a mean of 0 and
        a deviation of 1 (He et al., "Masked Autoencoders Are Scalable Vision Learners", 2022)."""
        hidden = self.places[order[:, visible:]].flatten(1)
        pixels = taken(patches_of(images, self.patch), hidden).flatten(2)
        return functional.layer_norm(pixels, pixels.shape[-1:], eps=1e-6)

    @torch.no_grad()
    def _reset(self, generator: torch.Generator) -> None:
        """Draws what the student is not."""
        for module in (self.projection, *self.decoder.modules()):
            if isinstance(module, nn.Linear):
                deviation = module.in_features**-0.5
                module.weight.normal_(0, deviation, generator=generator)
                module.bias.zero_()
        self.unseen.normal_(0, _DEVIATION, generator=generator)
        self.position.normal_(0, _DEVIATION, generator=generator)


class VisibleTeacher(nn.Module):
    """The first `depth` layers of a teacher, which see the visible patches alone. No gradient comes of it."""

    places: Tensor

    def __init__(self, encoder: Encoder, grid: Grid, depth: int) -> None:
        super().__init__()
        patches = encoder.params.patches
        assert patches is not None  # whoever makes one has looked
        self.sides, self.classes = patches.patch, patches.class_tokens
        self.register_buffer("places", grid.places(self.sides), persistent=False)
        self.patch, self.position = encoder.patch, encoder.position
        self.layers = nn.ModuleList(list(encoder.layers)[:depth])

    @torch.no_grad()
    def forward(self, images: Tensor, seen: Tensor) -> Tensor:
        """images: [n, c, h, w]; seen: [n, units], those that are visible -> [n, units, hidden]."""
        places = self.places[seen].flatten(1)
        cut = taken(patches_of(images, self.sides), places)
        made = self.patch(cut.flatten(0, 1)).reshape(*places.shape, -1)
        x = with_positions(made, self.position.weight, places, self.classes)
        for layer in self.layers:
            x = layer(x)
        return by_unit(x[:, self.classes :], seen.shape[1])


def with_positions(tokens: Tensor, rows: Tensor, places: Tensor, classes: int) -> Tensor:
    """tokens: [n, s, d] at `places` [n, s]; rows: [classes + places, d]. [n, classes + s, d], class tokens first."""
    first = rows[:classes].expand(len(tokens), -1, -1)
    return torch.cat([first.to(tokens.dtype), tokens + rows[classes + places]], 1)


def by_unit(states: Tensor, units: int) -> Tensor:
    """[n, units * patches of one, d] -> the means of units, [n, units, d]."""
    return states.reshape(len(states), units, -1, states.shape[-1]).mean(2)
