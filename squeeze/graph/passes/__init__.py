"""The passes over a float graph, in the order in which they run. Each changes the model in place and returns whether
it did; it may assume that shapes are inferred, and must leave the outputs as they were.

Lowering to our own operators (`lower_*.py`) works on a quantised graph and is not one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze.graph.passes import (
    clean,
    drop_idle_masks,
    explicit_pads,
    fold_affine,
    fold_batch_norm,
    fold_constants,
    fold_pad,
    fuse_gemm,
    fuse_global_pool,
    raise_opset,
    read_sizes_early,
    remove_identities,
    scale_products,
    use_clip,
    use_conv,
    use_flatten,
    use_hard_sigmoid,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

PASSES: dict[str, Callable[[ir.Model], bool]] = {
    "clean": clean.clean,
    "raise_opset": raise_opset.raise_opset,
    "fold_constants": fold_constants.fold_constants,
    "remove_identities": remove_identities.remove_identities,
    "drop_idle_masks": drop_idle_masks.drop_idle_masks,
    "scale_products": scale_products.scale_products,
    "read_sizes_early": read_sizes_early.read_sizes_early,
    "explicit_pads": explicit_pads.explicit_pads,
    "fold_pad": fold_pad.fold_pad,
    "fuse_gemm": fuse_gemm.fuse_gemm,
    "fold_batch_norm": fold_batch_norm.fold_batch_norm,
    "use_clip": use_clip.use_clip,
    "use_hard_sigmoid": use_hard_sigmoid.use_hard_sigmoid,
    "fold_affine": fold_affine.fold_affine,
    "fuse_global_pool": fuse_global_pool.fuse_global_pool,
    "use_flatten": use_flatten.use_flatten,
    "use_conv": use_conv.use_conv,
}
