"""A pruned network is built again in a fresh process from its ArchSpec and its safetensors file."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import save_file

from squeeze.prune import importance, prune_once
from squeeze.spec import ArchSpec
from tests.prune.zoo import imported, made

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """
import sys
from pathlib import Path
import numpy as np
import torch
from safetensors.torch import load_file
from squeeze import students
from squeeze.spec import ArchSpec

folder = Path(sys.argv[1])
arch = ArchSpec.model_validate_json((folder / "arch.json").read_text())
network = students.rebuild(arch).eval()
network.load_state_dict(load_file(folder / "weights.safetensors"))
with torch.no_grad():
    np.save(folder / "found.npy", network(torch.from_numpy(np.load(folder / "x.npy"))).numpy())
"""


def test_outputs_are_the_same_when_rebuilt_in_a_fresh_process(tmp_path: Path) -> None:
    module, x = made("split")
    network = imported(module, x)
    pruned = prune_once(network, x, ratio=0.4, score=importance("l2"), align=4).module
    (sizes,) = [node["attributes"]["split"] for node in pruned.nodes if node["op"] == "Split"]
    assert sum(sizes) < 40
    arch = ArchSpec(family="network", params=pruned.description())
    (tmp_path / "arch.json").write_text(arch.model_dump_json())
    save_file(pruned.state_dict(), tmp_path / "weights.safetensors")
    np.save(tmp_path / "x.npy", x.numpy())
    subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], check=True)
    with torch.no_grad():
        wanted = pruned(x).numpy()
    assert np.abs(np.load(tmp_path / "found.npy") - wanted).max() < 1e-6
