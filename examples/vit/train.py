"""Trains the small vision transformer of this folder on the bundled Fashion-MNIST images and saves it as a Hugging Face
folder, weights in half precision.

    python examples/vit/train.py    # some minutes on two cores; needs pip install transformers

The images that judge are not seen: what is bundled as test images only scores the result.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from transformers import ViTConfig, ViTForImageClassification

HERE = Path(__file__).resolve().parent
DATA = HERE.parent.parent / "calib" / "fashion.npz"
NAMES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "boot",
)
MEAN, STD = 0.2860, 0.3530
SEED, EPOCHS, BATCH, LR, WEIGHT_DECAY, SMOOTHING, MOST_SHIFT = 0, 18, 64, 2e-3, 0.05, 0.05, 1


def main() -> None:
    """Trains, scores and writes."""
    torch.manual_seed(SEED)
    found = np.load(DATA)
    x, y = found["x_train"], found["y_train"]
    names = dict(enumerate(NAMES))
    config = ViTConfig(
        image_size=28,
        patch_size=4,
        num_channels=1,
        hidden_size=96,
        num_hidden_layers=5,
        num_attention_heads=4,
        intermediate_size=192,
        id2label=names,
        label2id={name: i for i, name in names.items()},
    )
    net = ViTForImageClassification(config)
    images = _prepared(x)
    labels = torch.from_numpy(y.astype(np.int64))
    steps = EPOCHS * (len(images) // BATCH)
    optimizer = torch.optim.AdamW(net.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps, pct_start=0.1)
    for epoch in range(EPOCHS):
        net.train()
        order = torch.randperm(len(images))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            logits = net(_augmented(images[chosen])).logits
            loss = functional.cross_entropy(logits, labels[chosen], label_smoothing=SMOOTHING)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}/{EPOCHS}: loss {loss.item():.3f}", flush=True)
    net.eval().half().save_pretrained(HERE / "teacher")
    processor = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": 28, "width": 28},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [MEAN],
        "image_std": [STD],
    }
    text = json.dumps(processor, indent=2) + "\n"
    (HERE / "teacher" / "preprocessor_config.json").write_text(text)
    net = net.float()
    with torch.no_grad():
        right = net(_prepared(found["x_test"])).logits.argmax(dim=1).numpy() == found["y_test"]
    print(f"top-1 on {len(right)} test images: {100 * right.mean():.2f} %")


def _prepared(x: np.ndarray) -> torch.Tensor:
    """Images of bytes as the network takes them, [n, 1, 28, 28]."""
    return (torch.from_numpy(x).float().reshape(-1, 1, 28, 28) / 255 - MEAN) / STD


def _augmented(images: torch.Tensor) -> torch.Tensor:
    """Mirrored or not, and moved by up to a pixel; one move for all of a batch."""
    flipped = torch.where(torch.rand(len(images), 1, 1, 1) < 0.5, images.flip(3), images)
    dx, dy = torch.randint(-MOST_SHIFT, MOST_SHIFT + 1, (2,)).tolist()
    padded = functional.pad(flipped, [MOST_SHIFT] * 4, value=-MEAN / STD)
    return padded[
        :, :, MOST_SHIFT + dy : MOST_SHIFT + dy + 28, MOST_SHIFT + dx : MOST_SHIFT + dx + 28
    ]


if __name__ == "__main__":
    main()
