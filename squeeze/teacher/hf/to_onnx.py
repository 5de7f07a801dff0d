"""A folder's network as ONNX: batch and sequence stay free, names are those that everybody uses.

The mask is given to the network as what is added to the scores of attention ([n, 1, 1, t], 0 or the lowest float):
transformers' own way of making it is twenty nodes of index arithmetic more. Where a network does not take it so, or
would give something else (a causal one), it makes its mask itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import torch

from squeeze.errors import UnsupportedError
from squeeze.export import feed_to_ir
from squeeze.export.blame import first_line
from squeeze.export.quiet import quiet
from squeeze.teacher.exported import EXPORT_ERRORS
from squeeze.teacher.hf.ends import IDS, MASK, SEQUENCE, TYPES, ends_of_folder
from squeeze.teacher.hf.network import configuration, network
from squeeze.teacher.hf.pooling import Pooled
from squeeze.teacher.onnx.runtime import same
from squeeze.teacher.pt2.program import TORCH_ERRORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx
    from numpy.typing import NDArray

    from squeeze.end import End
    from squeeze.teacher.hf.folder import Folder

_TOKENS = 16  # of the samples that it is exported on
_LONG = 256  # of those that its mask is tried on
_SAMPLES = 3
# What configurations call the width that a token sees.
_WINDOWS = ("attention_window", "local_attention", "sliding_window")


class Named(torch.nn.Module):
    """Tensors by position -> one tensor. added_mask: whether the network is given what is added to its scores."""

    def __init__(
        self,
        module: torch.nn.Module,
        inputs: Sequence[str],
        output: str,
        pooled: Pooled | None,
        *,
        zero_types: bool,
        added_mask: bool,
    ) -> None:
        super().__init__()
        self.module, self.pooled = module, pooled
        self._inputs, self._output = tuple(inputs), output
        self._zero_types, self.added_mask = zero_types, added_mask

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        """tensors: one for each input."""
        given = dict(zip(self._inputs, tensors, strict=True))
        if self._zero_types:
            # One for all places: the row that is added to every token becomes a constant.
            given[TYPES] = torch.zeros((1, 1), dtype=torch.int64)
        mask = given.get(MASK)
        counted = None if mask is None else mask.to(torch.float32)
        if counted is not None and self.added_mask:
            given[MASK] = (1.0 - counted[:, None, None, :]) * torch.finfo(torch.float32).min
        if self.pooled is None:
            found: torch.Tensor = self.module(**given)[self._output]
            return found
        pooled: torch.Tensor = self.pooled(self.module(**given)["last_hidden_state"], counted)
        return pooled


def folder_to_onnx(folder: Folder) -> onnx.ModelProto:
    """The network of `folder`, compared with torch in batches and lengths other than it was exported with.

    Raises ConfigError or UnsupportedError for a folder that cannot be read or exported, PassError when the export
    computes something else.
    """
    inputs, (output,) = ends_of_folder(folder)
    config = configuration(folder)
    names = [end.name for end in inputs]
    module = Named(
        network(folder),
        names,
        output.name,
        None if folder.sentence is None else Pooled(folder.sentence),
        zero_types=TYPES not in names and getattr(config, "type_vocab_size", 0) > 0,
        added_mask=False,
    ).eval()
    feed = _samples(inputs, config, _TOKENS)
    try:
        module.added_mask = MASK in names and _takes_added_mask(module, inputs, config)
        model = feed_to_ir(
            module,
            feed,
            output_names=[output.name],
            free_axes={end.name: {1: SEQUENCE} for end in inputs if SEQUENCE in (end.sizes or ())},
        )
    except EXPORT_ERRORS as e:
        raise UnsupportedError(
            f"{folder.path}: cannot be exported to ONNX: {first_line(e)}; export it yourself and give the .onnx"
        ) from e
    return ir.serde.serialize_model(model)


def _samples(inputs: Sequence[End], config: object, most: int) -> dict[str, NDArray[np.generic]]:
    """Seeded ids of half as many tokens as the network takes, `most` at most; a mask that ends early in some, types of
    two halves, or normal pixels."""
    random = np.random.default_rng(0)
    takes = getattr(config, "max_position_embeddings", None) or most
    tokens = max(2, min(most, int(takes) // 2))
    found: dict[str, NDArray[np.generic]] = {}
    for end in inputs:
        shape = (_SAMPLES, *(d if isinstance(d, int) else tokens for d in (end.sizes or ())[1:]))
        if end.name == IDS:
            found[end.name] = random.integers(1, max(2, getattr(config, "vocab_size", 2)), shape)
        elif end.name == MASK:
            lengths = np.linspace(tokens, 1, _SAMPLES).astype(np.int64)
            found[end.name] = (np.arange(tokens) < lengths[:, None]).astype(np.int64)
        elif end.name == TYPES:
            found[end.name] = np.broadcast_to(np.arange(tokens) >= tokens // 2, shape).astype(
                np.int64
            )
        else:
            found[end.name] = random.standard_normal(shape).astype(np.float32)
    return found


def _takes_added_mask(module: Named, inputs: Sequence[End], config: object) -> bool:
    """Whether the network gives the same for it as for the mask itself, in long texts too: a network may have other
    masks of its own, such as windows."""
    if any(getattr(config, name, None) for name in _WINDOWS):
        return False
    given = [torch.from_numpy(x) for x in _samples(inputs, config, _LONG).values()]
    found = []
    for module.added_mask in (False, True):
        try:
            with torch.no_grad(), quiet():
                found.append(module(*given).double().numpy())
        except (*TORCH_ERRORS, KeyError):
            if not module.added_mask:
                raise
            return False
    return same(*found)
