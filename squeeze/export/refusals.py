"""Nodes that cannot be trained: the sentence that refuses them, and attributes that torch does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squeeze.errors import UnsupportedError

if TYPE_CHECKING:
    import onnx_ir as ir

Json = dict[str, Any]  # Any: JSON


def refused(node: ir.Node, why: str) -> UnsupportedError:
    """The error of a node that cannot be trained; why: what about it, behind its name."""
    return UnsupportedError(
        f"training: {node.op_type} '{node.name or node.outputs[0].name}' {why} cannot be trained in torch; "
        "only post-training quantisation is left for this model"
    )


def check_resize(node: ir.Node, attributes: Json) -> None:
    """Raises UnsupportedError for a Resize that torch has not, and gives one of nearest neighbours its `scales`.

    Nearest: whole multiples take the nearest one whatever the coordinates are; for others torch rounds in its own
    way. Linear: with the coordinates that torch has."""
    mode, scales = attributes.get("mode", "nearest"), attributes.get("scales")
    given = node.inputs[0].shape if node.inputs[0] is not None else None
    if mode not in ("linear", "nearest"):
        raise refused(node, f"of mode {mode}")
    if not scales and given is not None and len(given) == len(attributes.get("sizes", ())):
        # The batch and the channels stay, and their number may be open.
        pairs = zip(attributes["sizes"][2:], given[2:], strict=True)
        scales = [1, 1, *(new / old if isinstance(old, int) else 0.0 for new, old in pairs)]
    if "axes" in attributes or not scales:
        raise refused(node, "by other than multiples of all dimensions")
    if list(scales[:2]) != [1, 1]:
        raise refused(node, "of batch or channels")
    if mode == "linear":
        _check_linear(node, attributes)
    elif any(s < 1 or s != int(s) for s in scales):
        raise refused(node, "by other than whole multiples of all dimensions")
    else:
        attributes["scales"] = [float(s) for s in scales]


def _check_linear(node: ir.Node, attributes: Json) -> None:
    coordinates = attributes.get("coordinate_transformation_mode", "half_pixel")
    sizes = attributes.get("sizes") or []
    # Of corners torch takes the sizes, and pixels of a single one lie elsewhere in "pytorch_half_pixel" than in torch.
    wanted = {
        "align_corners": bool(sizes),
        "half_pixel": True,
        "pytorch_half_pixel": all(size > 1 for size in sizes[2:]) and bool(sizes),
    }
    if attributes.get("antialias", 0):
        raise refused(node, "with antialias")
    if not wanted.get(coordinates):
        raise refused(node, f"that interpolates with {coordinates} in a way that torch does not")
    if len(sizes or attributes["scales"]) not in (3, 4):
        raise refused(node, "that interpolates along more than two dimensions")


def check_pool(node: ir.Node, attributes: Json) -> None:
    """Raises UnsupportedError for a pool that torch has not."""
    dims = len(attributes["kernel_shape"])
    pads = attributes.get("pads") or [0] * 2 * dims
    if dims not in (1, 2):
        raise refused(node, f"of {dims} spatial dimensions; 1 and 2 are known")
    if attributes.get("auto_pad", "NOTSET") != "NOTSET":
        raise refused(node, f"with auto_pad {attributes['auto_pad']}")
    if node.op_type == "AveragePool" and any(d != 1 for d in attributes.get("dilations", ())):
        raise refused(node, "with dilations")
    if attributes.get("ceil_mode", 0) and pads[:dims] != pads[dims:]:
        raise refused(node, "with ceil_mode and different pads at the two ends")
