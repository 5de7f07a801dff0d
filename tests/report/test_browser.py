from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from squeeze.report import render, render_index, render_targets
from tests.report.story_of_a_compile import Json, flips, manifest
from tests.report.test_index_page import packages
from tests.report.test_targets_page import FOUND

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Says how far the widest thing sticks out of the window, and how many tables are scrolled and not squeezed into it.
# While one is scrolled to its end, its first column stays.
PROBE = """<script>
const page = document.documentElement;
const boxes = [...document.querySelectorAll('.scroll')].filter(box => box.scrollWidth > box.clientWidth);
const left = boxes.map(box => {
  box.scrollLeft = box.scrollWidth;
  const first = box.querySelector('tbody tr > :first-child').getBoundingClientRect();
  return Math.abs(first.left - box.getBoundingClientRect().left) < 1;
});
document.title = `overflow ${page.scrollWidth - page.clientWidth}, ${boxes.length} scroll: ${left.every(is => is)}`;
</script>"""


def three_outputs() -> Json:
    """The widest tables: a line an output with its interval, and why each candidate was not shipped."""
    found = manifest()
    found["outputs"] = [
        {
            "output": name,
            "metric": "spearman",
            "teacher": 100.0,
            "student": 99.12,
            "interval": [98.51, 99.43],
            "drop": 0.88,
            "judged": name == "centre_of_the_box",
        }
        for name in ("boxes", "scores", "centre_of_the_box")
    ]
    candidates = found["measurements"]["candidates"]
    found["why_not"] = dict.fromkeys(candidates, "1.61 points lost, and slower than student-int8")
    return found


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (apt-get install chromium)")
@pytest.mark.parametrize(
    ("made", "scrolled"),
    [
        (lambda: render(manifest()), 3),  # candidates, layers and what each layer minds
        (lambda: render(three_outputs()), 4),
        (lambda: render(manifest() | flips()), 4),
        (lambda: render_index(packages()), 1),
        (lambda: render_targets(FOUND), 1),
    ],
)
def test_page_fits_a_phone_in_a_browser(
    made: Callable[[], str], scrolled: int, tmp_path: Path
) -> None:
    assert CHROMIUM is not None
    page = tmp_path / "report.html"
    # The window of a headless browser is no narrower than 500 pixels, hence a frame.
    page.write_text(made().replace("</body>", PROBE + "</body>"), encoding="utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(
        '<iframe src="report.html" width="390" height="800" onload="'
        'document.title = this.contentDocument.title"></iframe>',
        encoding="utf-8",
    )
    done = subprocess.run(
        [
            CHROMIUM,
            *FLAGS,
            "--allow-file-access-from-files",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            frame.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert f"<title>overflow 0, {scrolled} scroll: true</title>" in done.stdout, done.stderr[-2000:]
