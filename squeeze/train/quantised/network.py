"""The float graph as a torch network with quantisers where the exported file has them, and with batch normalisation
behind its convolutions again.

Exported graphs have no BatchNormalization: it is folded into the weights. Training at few bits wants it back, since
every change of the quantised weights moves mean and scale of the channels. `unfold` puts it behind each convolution in
such a way that nothing changes; `folded` takes it out exactly: its factor goes into the scales of the channels.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from squeeze.students import Network
from squeeze.students.network import Inputs
from squeeze.train import norms
from squeeze.train.quantised.lsq import LsqActivation
from squeeze.train.quantised.plan import Plan

_NORM = (nn.BatchNorm1d, nn.BatchNorm2d)
_LEAST_GAMMA = 1e-6
_FINAL = ("Softmax", "Sigmoid")

Quantiser = Callable[[Tensor], nn.Module]


class QuantNetwork(Network):
    """`forward` gives the logits: a final Softmax or Sigmoid is left out.

    Only what the file takes over learns: weights, biases and grids of the plan, gain and shift of LayerNormalization
    and InstanceNormalization, and slopes of PRelu. Other layers and constants are fixed.
    weight_quantisers: layer -> quantiser; layers without one are float. norms: layer -> batch normalisation.
    activations: value -> quantiser.
    """

    def __init__(self, params: dict[str, Any], plan: Plan) -> None:  # Any: JSON
        super().__init__(params)
        self.plan = plan
        layers = {node["outputs"][0]: node["layer"] for node in self.nodes if node["layer"]}
        self.weighted = {layers[name]: name for name in plan.weighted if name in layers}
        self.weight_quantisers = nn.ModuleDict()
        self.activations = nn.ModuleDict()
        self.norms = nn.ModuleDict()
        for layer in self.weighted:
            module = self.layers[layer]
            if isinstance(module, (nn.Conv1d, nn.Conv2d)):
                norm = _NORM[len(module.kernel_size) - 1]
                self.norms[layer] = norm(module.out_channels, eps=1e-5)
                module.bias = None
        self._fixed = [self.layers[key] for key in self.layers if key not in self.weighted]
        for part in (*self._fixed, self.constants):
            part.requires_grad_(False)
        for p in self.learned_floats().values():
            p.requires_grad_(True)
        self._keys = {root: f"value_{i}" for i, root in enumerate(plan.roots)}
        last = self.nodes[-1]
        self.logits = last["inputs"][0] if last["op"] in _FINAL else self.output

    def quantise_weights(self, layer: str, quantiser: Quantiser) -> None:
        """Quantises the weights of `layer` from now on."""
        self.weight_quantisers[layer] = quantiser(self.weight(layer))

    def quantise_activations(
        self, grids: dict[str, tuple[float, int]], low: int, high: int
    ) -> None:
        """Puts all activations of the plan on grids: name of the root -> (scale, zero point), integers low..high."""
        for root, (scale, zero) in grids.items():
            device = next(self.parameters()).device
            made = LsqActivation(scale, zero, low, high, learn_zero=zero not in (low, high))
            self.activations[self._keys[root]] = made.to(device)

    def learned_floats(self) -> dict[tuple[str, int], nn.Parameter]:
        """(output of a node, index of its input) -> what learns there and is float in the file: gain and shift of
        normalisation, slopes of PRelu, and biases that are added behind a product with weights."""
        products = {output for layer, output in self.weighted.items() if layer not in self.norms}
        found: dict[tuple[str, int], nn.Parameter] = {}
        for node in self.nodes:
            output, inputs = node["outputs"][0], node["inputs"]
            if node["op"] == "LayerNormalization":
                norm = self.layers[node["layer"]]
                assert isinstance(norm, nn.LayerNorm)
                found |= {(output, 1): norm.weight, (output, 2): norm.bias}
            elif node["op"] == "Add" and products & {*inputs}:
                for index, name in enumerate(inputs):
                    if name.startswith("=") and self.constants[name[1:]].ndim == 1:
                        found[output, index] = self.constants[name[1:]]
            elif node["op"] in ("InstanceNormalization", "PRelu"):
                for index, name in enumerate(inputs[1:], start=1):
                    if name.startswith("="):
                        found[output, index] = self.constants[name[1:]]
        return found

    def activation_grids(self) -> dict[str, tuple[float, int]]:
        """Scale and zero point of each root; empty before `quantise_activations`."""
        found = {}
        for root, key in self._keys.items():
            if key in self.activations:
                quantiser = self.activations[key]
                assert isinstance(quantiser, LsqActivation)
                found[root] = quantiser.grid()
        return found

    def train(self, mode: bool = True) -> QuantNetwork:
        """As always, but normalisation that is fixed keeps its statistics."""
        super().train(mode)
        for part in self._fixed:
            part.eval()
        return self

    def forward(self, x: Inputs) -> Tensor:
        """[n, ...] -> logits [n, ...]."""
        return self.values(x, kept=())[self.logits]

    def values(self, x: Inputs, kept: Collection[str] | None = None) -> dict[str, Tensor]:
        """Values of the graph by their names: the logits, and those `kept`; all of them, as far as the logits, by
        default."""
        found = self.given(x)
        for node, done in zip(self.nodes, self.last_read(self.logits), strict=True):
            output = node["outputs"][0]
            inputs = [self._operand(found, output, name) for name in node["inputs"]]
            # What a grid saturates is not in the file, and a learned grid may reach further than a Clip.
            saturated = self._quantiser(self.plan.absorbed.get(output)) is not None
            result = inputs[0] if saturated else self.compute(node, inputs)
            results = result if isinstance(result, tuple) else (result,)
            for name, value in zip(node["outputs"], results, strict=False):
                found[name] = self._on_grid(self.plan.made.get(name), value)
            if kept is not None:
                for name in done:
                    if name not in kept:
                        found.pop(name, None)
            if output == self.logits:
                break
        return found

    def compute(self, node: dict[str, Any], x: list[Tensor]) -> Any:  # Any: as in Network
        """As Network, with quantised weights and normalisation in the layers of the plan."""
        layer = node["layer"]
        if layer not in self.weighted:
            return super().compute(node, x)
        module = self.layers[layer]
        weight = self.weight(layer)
        if layer in self.weight_quantisers:
            weight = self.weight_quantisers[layer](weight)
        if isinstance(module, nn.Linear):
            return functional.linear(x[0], weight, module.bias)
        assert isinstance(module, (nn.Conv1d, nn.Conv2d))
        return self.norms[layer](module._conv_forward(self.padded(node, x[0]), weight, None))

    @torch.no_grad()
    def unfold(self, biases: dict[str, Tensor], batches: Iterable[Inputs]) -> None:
        """Sets the normalisation so that the network computes what it did before, on the statistics of `batches`.

        biases: layer -> the bias of its convolution in the folded graph, [o]. The weights of each channel get the size
        that a fresh network has, which normalisation makes up for, so that one learning rate fits all.
        """
        sizes = {layer: _rescale(self.layers[layer]) for layer in self.norms}
        seen = _Moments(self, biases, sizes)
        for x in batches:
            seen.take(x)
        seen.set()

    @torch.no_grad()
    def clamp_gains(self) -> None:
        """Keeps the factors of normalisation positive, so that a channel's levels never change their signs."""
        for norm in self.norms.values():
            norm.weight.clamp_(min=_LEAST_GAMMA)  # type: ignore[operator]

    def estimate_norms(self, batches: Iterable[Inputs]) -> None:
        """Takes the statistics of normalisation anew, as plain averages over `batches`."""
        norms.estimate(self, self.norms.values(), batches)

    @torch.no_grad()
    def folded(self, layer: str) -> tuple[Tensor, Tensor]:
        """(factor [o] of the weights, bias [o]) of a weighted layer when normalisation is folded."""
        module = self.layers[layer]
        if layer not in self.norms:
            bias = module.bias
            count = len(module.weight)  # type: ignore[arg-type]
            zeros = torch.zeros(count, device=module.weight.device)  # type: ignore[arg-type]
            return torch.ones_like(zeros), zeros if bias is None else bias.detach()  # type: ignore[operator]
        norm: Any = self.norms[layer]
        factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        return factor, norm.bias - norm.running_mean * factor

    def weight(self, layer: str) -> Tensor:
        """The weights [o, ...] of `layer` before they are quantised."""
        weight = self.layers[layer].weight
        assert isinstance(weight, Tensor)
        return weight

    def _operand(self, values: dict[str, Tensor], output: str, name: str) -> Tensor:
        value = self.operand(values, name)
        return self._on_grid(self.plan.read.get((output, name)), value)

    def _on_grid(self, root: str | None, value: Tensor) -> Tensor:
        quantiser = self._quantiser(root)
        return value if quantiser is None else quantiser(value)

    def _quantiser(self, root: str | None) -> LsqActivation | None:
        """The one of `root`, if it is switched on."""
        key = self._keys.get(root) if root is not None else None
        if key is None or key not in self.activations:
            return None
        found = self.activations[key]
        assert isinstance(found, LsqActivation)
        return found if found.enabled else None


class _Moments:
    """Mean and variance of every convolution's output over the batches, layer by layer with those before it exact."""

    def __init__(
        self, network: QuantNetwork, biases: dict[str, Tensor], sizes: dict[str, Tensor]
    ) -> None:
        self.network = network
        self.count = 0
        self.sums = {layer: torch.zeros_like(b, dtype=torch.float64) for layer, b in biases.items()}
        self.squares = {layer: torch.zeros_like(v) for layer, v in self.sums.items()}
        # While the moments are taken, normalisation only undoes the new size and adds the bias.
        for layer in network.norms:
            norm: Any = network.norms[layer]
            norm.reset_running_stats()
            norm.running_var.fill_(1 - norm.eps)
            norm.weight.copy_(sizes[layer])
            norm.bias.copy_(biases[layer])

    def take(self, x: Inputs) -> None:
        """Adds a batch."""
        count = len(x) if isinstance(x, Tensor) else len(next(iter(x.values())))
        self.network.eval()
        kept = [self.network.weighted[layer] for layer in self.network.norms]
        values = self.network.values(x, kept)
        for layer in self.network.norms:
            name = self.network.weighted[layer]
            # The values behind normalisation; those before it are theirs without gain and bias.
            norm: Any = self.network.norms[layer]
            shape = [1, -1] + [1] * (values[name].ndim - 2)
            raw = (values[name] - norm.bias.reshape(shape)) / norm.weight.reshape(shape)
            axes = [a for a in range(raw.ndim) if a != 1]
            self.sums[layer] += raw.double().mean(axes) * count
            self.squares[layer] += raw.double().square().mean(axes) * count
        self.count += count

    def set(self) -> None:
        """Gives normalisation the moments, and the gain and bias that undo them."""
        for layer in self.network.norms:
            norm: Any = self.network.norms[layer]
            mean = self.sums[layer] / self.count
            variance = (self.squares[layer] / self.count - mean.square()).clamp_min(1e-8)
            deviation = torch.sqrt(variance + norm.eps)
            gain = norm.weight.double()
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)
            norm.bias.copy_(norm.bias.double() + gain * mean)
            norm.weight.copy_((gain * deviation).clamp_min(_LEAST_GAMMA))


def _rescale(module: Any) -> Tensor:  # Any: a convolution
    """Gives the weights of each channel the size of a fresh He-normal layer; returns what they were divided by, [o]."""
    rows = module.weight.reshape(len(module.weight), -1)
    fan_out = module.weight.numel() / module.in_channels * module.groups
    wanted = (2 / fan_out) ** 0.5 * rows.shape[1] ** 0.5
    size = rows.norm(dim=1) / wanted
    size = torch.where(size > 1e-8, size, torch.ones_like(size))
    module.weight.div_(size.reshape(-1, *[1] * (module.weight.ndim - 1)))
    return size
