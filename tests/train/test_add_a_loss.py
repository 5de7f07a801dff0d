"""CONTRIBUTING says how a loss is added: one file, one line in the table. Here somebody does just that, on a copy."""

from __future__ import annotations

import json
from pathlib import Path

from tests.added import copied, ran

LOSS = '''
"""Distances between samples (Park et al., "Relational Knowledge Distillation", CVPR 2019)."""

from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from squeeze.losses.loss import Loss, Space
from squeeze.outputs import Outputs


class Relation(Loss):
    """Squared difference of the cosines between embeddings, and of softened probabilities."""

    needs: ClassVar[frozenset[str]] = frozenset({"embedding"})
    fewest_outputs: ClassVar[int] = 2
    space: ClassVar[Space] = "classes"

    def forward(
        self, student: Outputs[Tensor], teacher: Outputs[Tensor], labels: Tensor | None
    ) -> Tensor:
        ours, theirs = (
            functional.normalize(o.taps["embedding"].float(), dim=1) for o in (student, teacher)
        )
        probabilities = [
            functional.softmax(o.logits.float() / self.temperature, 1) for o in (student, teacher)
        ]
        relation = functional.mse_loss(ours @ ours.T, (theirs @ theirs.T).detach())
        return relation + functional.mse_loss(probabilities[0], probabilities[1].detach())
'''

USE = """
import json, sys
from pathlib import Path
from squeeze import guides, losses
from squeeze.progress import Progress
from squeeze.train.compute import Compute
from squeeze.train.student import train_student
from tests.train import samples

folder = Path(sys.argv[1])
data, part = samples.calib(), samples.part(steps=80, batch_size=32, loss="relation")
teacher = samples.linear_teacher(folder, (1, 8, 8))
guides.cache_answers(
    teacher, data, part, seed=0, threads=1, folder=folder / "answers", progress=Progress(),
    taps=losses.needs(part.loss),
)
found = train_student(
    samples.arch(), data, part, answers=folder / "answers", seed=0, threads=1,
    compute=Compute.choose("cpu"), folder=folder / "checkpoints", progress=Progress(),
)
print(json.dumps({"losses": losses.__file__, "history": found.history}))
"""


def test_a_loss_is_added_by_one_file_and_one_line(tmp_path: Path) -> None:
    copy = copied(tmp_path / "copy")
    folder = copy / "squeeze" / "losses"
    (folder / "relation.py").write_text(LOSS, encoding="utf-8")
    table = (folder / "__init__.py").read_text(encoding="utf-8")
    for before, after in (
        ("    pskd,\n", "    pskd,\n    relation,\n"),
        ('    "rkd": rkd.RKD,\n', '    "relation": relation.Relation,\n    "rkd": rkd.RKD,\n'),
    ):
        assert table.count(before) == 1
        table = table.replace(before, after)
    (folder / "__init__.py").write_text(table, encoding="utf-8")

    done = ran(copy, "-c", USE, str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert Path(found["losses"]).is_relative_to(copy)
    assert found["history"][-1]["loss"] < 0.7 * found["history"][0]["loss"]
    assert found["history"][-1]["agreement"] > 85
    assert (tmp_path / "answers" / "view_00_embedding.npy").is_file()
