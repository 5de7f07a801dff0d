"""Takes channels out of the layers of a module, or only silences them, which must compute the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from squeeze.prune.coupling import is_depthwise
from squeeze.prune.flexible import module_pads, module_splits
from squeeze.prune.tracing import channel_axis
from squeeze.students.network import Network

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from squeeze.prune.units import Removal

_NORM = (nn.BatchNorm1d, nn.BatchNorm2d)


def cut(module: nn.Module, removal: Removal) -> None:
    """Removes the channels from every layer, in place: weights, statistics, sizes and the splits of a Network."""
    layers = dict(module.named_modules())
    for name in dict.fromkeys(name for name, side in removal if side in ("in", "out")):
        out = removal.get((name, "out"), np.array([], np.int64))
        into = removal.get((name, "in"), np.array([], np.int64))
        layer = layers.get(name)
        if layer is None:
            _cut_parameter(module, name, out)
        elif isinstance(layer, (nn.Conv1d, nn.Conv2d)):
            _cut_convolution(layer, out, into)
        elif isinstance(layer, nn.Linear):
            layer.weight = _pick(_pick(layer.weight, 0, out), 1, into)
            _cut_bias(layer, out)
            layer.out_features, layer.in_features = layer.weight.shape
        else:
            _cut_channels(layer, out)
    if isinstance(module, Network):
        splits, pads = module_splits(module), module_pads(module)
        for (name, side), gone in removal.items():
            if side == "split":
                _cut_split(splits[int(name)], gone)
            elif side == "pad":
                _cut_pad(*pads[int(name)], gone)


def silence(module: nn.Module, removal: Removal) -> None:
    """Sets the weights that make and that take the channels to zero, in place; all shapes stay."""
    layers = dict(module.named_modules())
    with torch.no_grad():
        for (name, side), gone in removal.items():
            layer = layers.get(name)
            channels = torch.from_numpy(gone)
            if isinstance(layer, (nn.Conv1d, nn.Conv2d)) and side == "in":
                _silence_inputs(layer, gone)
            elif isinstance(layer, nn.Linear) and side == "in":
                layer.weight[:, channels] = 0
            elif isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Linear, *_NORM)):
                layer.weight[channels] = 0
                if layer.bias is not None:
                    layer.bias[channels] = 0


def _cut_convolution(
    layer: nn.Conv1d | nn.Conv2d, out: NDArray[np.int64], into: NDArray[np.int64]
) -> None:
    if is_depthwise(layer):
        layer.weight = _pick(layer.weight, 0, out)
        layer.groups = layer.in_channels = layer.out_channels = len(layer.weight)
    else:
        # Each group may lose other ones of its inputs: [o, i / groups, *kernel] -> [groups, o / groups, i / groups, ..]
        parts = layer.weight.detach().reshape(
            layer.groups, layer.out_channels // layer.groups, *layer.weight.shape[1:]
        )
        rows = _per_group(layer.out_channels, layer.groups, out)
        columns = _per_group(layer.in_channels, layer.groups, into)
        kept = [part[r][:, c] for part, r, c in zip(parts, rows, columns, strict=True)]
        layer.weight = nn.Parameter(torch.cat(kept), layer.weight.requires_grad)
        layer.out_channels = len(layer.weight)
        layer.in_channels = layer.weight.shape[1] * layer.groups
    _cut_bias(layer, out)


def _per_group(channels: int, groups: int, gone: NDArray[np.int64]) -> list[Tensor]:
    """For each group the positions inside it that stay; equally many in each."""
    width = channels // groups
    kept = np.setdiff1d(np.arange(channels), gone)
    found = [torch.from_numpy(kept[kept // width == g] % width) for g in range(groups)]
    if len({len(f) for f in found}) > 1:
        raise ValueError("a grouped convolution must lose equally many channels in each group")
    return found


def _silence_inputs(layer: nn.Conv1d | nn.Conv2d, gone: NDArray[np.int64]) -> None:
    width, rows = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    for channel in gone.tolist():
        group = channel // width
        layer.weight[group * rows : (group + 1) * rows, channel % width] = 0


def _cut_channels(layer: nn.Module, gone: NDArray[np.int64]) -> None:
    """Normalisation and PReLU: one number of each kind per channel."""
    if isinstance(layer, nn.PReLU):
        if layer.num_parameters > 1:
            layer.weight = _pick(layer.weight, 0, gone)
            layer.num_parameters = len(layer.weight)
        return
    assert isinstance(layer, _NORM)
    if layer.affine:
        layer.weight, layer.bias = _pick(layer.weight, 0, gone), _pick(layer.bias, 0, gone)
    if layer.running_mean is not None and layer.running_var is not None:
        kept = _kept(layer.num_features, gone)
        layer.running_mean = layer.running_mean[kept].clone()
        layer.running_var = layer.running_var[kept].clone()
    layer.num_features -= len(gone)


def _cut_parameter(module: nn.Module, name: str, gone: NDArray[np.int64]) -> None:
    """A weight outside of layers, such as a scale per channel."""
    *path, last = name.split(".")
    owner = module.get_submodule(".".join(path))
    old = getattr(owner, last) if not isinstance(owner, nn.ParameterDict) else owner[last]
    new = _pick(old, channel_axis(old), gone)
    if isinstance(owner, nn.ParameterDict):
        owner[last] = new
    else:
        setattr(owner, last, new)


def _cut_split(attributes: dict[str, Any], gone: NDArray[np.int64]) -> None:
    sizes: list[int] = attributes["split"]
    edges = np.cumsum([0, *sizes])
    lost, _ = np.histogram(gone, bins=edges - 0.5)
    attributes["split"] = [int(s - n) for s, n in zip(sizes, lost, strict=True)]


def _cut_pad(pads: list[int], before: int, after: int, gone: NDArray[np.int64]) -> None:
    """before, after: where in `pads` the channels of zeros are; `gone` counts these alone."""
    first = int((gone < pads[before]).sum())
    pads[before] -= first
    pads[after] -= len(gone) - first


def _kept(channels: int, gone: NDArray[np.int64]) -> Tensor:
    return torch.from_numpy(np.setdiff1d(np.arange(channels), gone))


def _pick(weight: Tensor, axis: int, gone: NDArray[np.int64]) -> nn.Parameter:
    picked = weight.detach().index_select(axis, _kept(weight.shape[axis], gone))
    return nn.Parameter(picked, weight.requires_grad)


def _cut_bias(layer: nn.Conv1d | nn.Conv2d | nn.Linear, gone: NDArray[np.int64]) -> None:
    if layer.bias is not None:
        layer.bias = _pick(layer.bias, 0, gone)
