"""What CONTRIBUTING says of adding something, done to a copy of the package, and processes in which that copy is the
package.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def copied(folder: Path) -> Path:
    """The package with its data folders in `folder`, which may be changed; without our kernels' sources."""
    shutil.copytree(
        ROOT / "squeeze", folder / "squeeze", ignore=shutil.ignore_patterns("csrc", "__pycache__")
    )
    for data in ("calib", "recipes", "targets"):
        (folder / data).symlink_to(ROOT / data)
    return folder


def ran(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python with these arguments, where `squeeze` is the copy in `folder` and `tests` are these."""
    # -S: an editable install puts the original before all folders; packages are found by their folders alone.
    installed = [p for p in sys.path if p.endswith("-packages")]
    path = os.pathsep.join([str(folder), str(ROOT), *installed])
    return subprocess.run(
        [sys.executable, "-S", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        cwd=folder,
        check=False,
    )
