"""Folders as transformers and sentence-transformers write them: small random networks, saved by transformers itself."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch

from squeeze.export.quiet import quiet

VOCABULARY = 60
SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
    "initializer_range": 0.4,  # with the usual 0.02 attention would be the same everywhere
}
IMAGES = {**SMALL, "image_size": 12, "patch_size": 4}
del IMAGES["vocab_size"], IMAGES["max_position_embeddings"]


def save(
    folder: Path,
    kind: str,
    head: str,
    settings: dict[str, Any],
    attention: str = "sdpa",
    **saving: Any,
) -> Any:
    """Writes a random `kind` ("Bert") with `head` ("ForSequenceClassification"), and gives it in eval mode."""
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import transformers

        torch.manual_seed(0)
        config = getattr(transformers, f"{kind}Config")(**settings)
        config._attn_implementation = attention  # not the one that is exported
        made = getattr(transformers, f"{kind}{head}")(config).eval()
        made.save_pretrained(folder, **saving)
    return made


def write(path: Path, value: Any) -> Path:
    """`value` as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def add_sentence(folder: Path, pooling: dict[str, Any], *others: str) -> None:
    """modules.json with Transformer, Pooling and `others`, each in its own folder."""
    kinds = ["Transformer", "Pooling", *others]
    places = ["", *(f"{i}_{kind}" for i, kind in enumerate(kinds[1:], 1))]
    write(
        folder / "modules.json",
        [
            {
                "idx": i,
                "name": str(i),
                "path": place,
                "type": f"sentence_transformers.models.{kind}",
            }
            for i, (kind, place) in enumerate(zip(kinds, places, strict=True))
        ],
    )
    write(folder / "1_Pooling" / "config.json", pooling)


def plain(folder: Path, **config: Any) -> Path:
    """A folder that no network can be made of: a config.json beside an empty list of weights."""
    write(
        folder / "config.json",
        {"model_type": "bert", "architectures": ["BertForSequenceClassification"], **config},
    )
    (folder / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    return folder
