"""Trainings that follow each other: their order, what falls away, what they are given, and an end that is the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from squeeze import steps
from squeeze.case import Case
from squeeze.errors import ConfigError, UnsupportedError
from squeeze.export import feed_to_ir
from squeeze.graph import save
from squeeze.progress import Progress
from squeeze.run import Run
from squeeze.seal import WEIGHTS
from squeeze.spec import STAGES, Recipe, Stage, load_recipe, parse
from squeeze.steps.inheriting_work import Kept
from squeeze.steps.sharing import inherited_from
from squeeze.steps.staged import refuse_unstaged
from squeeze.steps.staging import Alone, staged, trained_in_stages
from squeeze.steps.supernet import Stored, Supernet
from squeeze.students.encoder import Dense, Encoder, Params
from tests.steps.conftest import a_run, two_by_two
from tests.students.test_encoder import PARAMS, random_encoder

LENGTH = 10
CLASSES = 3
# Nothing is normalised behind the pooling: a classifier.
TEACHER = PARAMS.model_copy(
    update={"tail": (Dense(outputs=CLASSES),), "normalise": False, "normalise_pooled": False}
)


def recipe(*names: str, **keys: Any) -> Recipe:
    stages = [
        dict(zip(("data", "teacher", "loss"), STAGES[name], strict=True), steps=2) for name in names
    ]
    supernet = {"steps": 1, "batch_size": 8, **keys.pop("supernet", {})}
    return Recipe.model_validate(
        {"schema": 1, "name": "r", "stages": stages, "supernet": supernet, **keys}
    )


def texts(count: int, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    mask = np.arange(LENGTH) < random.integers(3, LENGTH + 1, (count, 1))
    ids = random.integers(1, PARAMS.vocabulary, mask.shape) * mask
    return {"ids": ids, "mask": mask.astype(np.int64)}


def written(network: Encoder, file: Path) -> str:
    feed = {name: x[:3] for name, x in texts(3, 0).items()}
    free = {name: {1: "tokens"} for name in feed}
    save(feed_to_ir(network, feed, output_names=["y"], free_axes=free), file)
    return str(file)


@dataclass(frozen=True)
class Files:
    """A classifier of texts, what it was made from, its texts with labels, and others without."""

    teacher: str
    pretrained: str
    task: str
    general: str


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("files")
    teacher, pretrained = random_encoder(TEACHER), random_encoder(TEACHER, seed=7)
    labels = np.random.default_rng(1).integers(0, CLASSES, 200)
    np.savez(folder / "task.npz", **texts(200, 1), y=labels)  # type: ignore[arg-type]
    np.savez(folder / "general.npz", **texts(60, 2))  # type: ignore[arg-type]
    return Files(
        written(teacher, folder / "teacher.onnx"),
        written(pretrained, folder / "pretrained.onnx"),
        str(folder / "task.npz"),
        str(folder / "general.npz"),
    )


def opened(files: Files, folder: Path, progress: Progress | None = None) -> tuple[Run, Case]:
    run = a_run(folder)
    run = run if progress is None else replace(run, progress=progress)
    return run, steps.load(run, files.teacher, None, files.task, None, extra=[files.general])


def through(
    files: Files,
    folder: Path,
    wanted: Recipe,
    *,
    pretrained: bool,
    progress: Progress | None = None,
) -> tuple[Run, Alone]:
    """A part of the teacher as it is, through the stages."""
    run, case = opened(files, folder, progress)
    refuse_unstaged(run, case, wanted, files.pretrained if pretrained else None)
    inherited = inherited_from(run, case)
    params = Params.model_validate(inherited.result["params"])
    child = params.model_copy(update={"layers": 1, "hidden": 16})
    return run, trained_in_stages(run, case, wanted, inherited, inherited, child)


def weights(step: Kept) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(step.path / WEIGHTS)
    return found


def names(run: Run) -> list[str]:
    return [entry["name"] for entry in run.log if entry["status"] != "skipped"]


@pytest.mark.parametrize(
    ("order", "said"),
    [
        (("gd", "tad"), "stage 2 is of task data, fine-tuned teacher, latent loss, behind 'gd'"),
        (("ged", "tsd"), "only 'tad'"),
        (("ged", "gd"), "only 'tad'"),
        (("tad", "tad"), "only 'tsd'"),
        (("tsd", "tad"), "it is the last"),
    ],
    ids=lambda one: "-".join(one) if isinstance(one, tuple) else "",
)
def test_schedule_that_changes_two_things_or_goes_back_is_refused(
    order: tuple[str, ...], said: str
) -> None:
    stages = [
        dict(zip(("data", "teacher", "loss"), STAGES[n], strict=True), steps=1) for n in order
    ]
    with pytest.raises(ConfigError, match=said):
        parse(Recipe, {"schema": 1, "name": "r", "stages": stages}, "r.toml")


def test_stage_that_there_is_none_of_is_refused() -> None:
    stage = {"data": "task", "teacher": "pretrained", "loss": "latent", "steps": 1}
    with pytest.raises(ConfigError, match=r"r\.toml: stages: none is of task data, pretrained"):
        parse(Recipe, {"schema": 1, "name": "r", "stages": [stage]}, "r.toml")


def test_shipped_recipe_changes_one_of_three_from_stage_to_stage() -> None:
    stages = load_recipe("four-stages").stages
    assert [stage.name for stage in stages] == ["gd", "ged", "tad", "tsd"]
    for one, after in pairwise(stages):
        pairs = [(one.data, after.data), (one.teacher, after.teacher), (one.loss, after.loss)]
        assert sum(a != b for a, b in pairs) == 1


def test_without_its_teacher_the_first_stage_falls_away() -> None:
    stages = load_recipe("four-stages").stages
    assert [stage.name for stage in staged(stages, pretrained=False)] == ["ged", "tad", "tsd"]
    assert staged(stages, pretrained=True) == list(stages)


@pytest.fixture(scope="module")
def whole(files: Files, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Alone]:
    wanted = recipe("gd", "ged", "tad", "tsd")
    return through(files, tmp_path_factory.mktemp("whole"), wanted, pretrained=True)


def test_four_stages_go_on_from_each_other(whole: tuple[Run, Alone]) -> None:
    run, alone = whole
    trained = [name for name in names(run) if name in STAGES]
    assert trained == ["gd", "ged", "tad", "tsd"]
    assert alone.steps == 8
    assert [entry["step"] for entry in alone.history] == list(range(1, 9))
    said = {entry["name"]: entry["summary"] for entry in run.log}
    assert said["gd"].startswith("60 general texts, pretrained teacher")
    assert said["ged"].startswith("60 general texts, fine-tuned teacher")
    assert said["tad"].startswith("140 task texts, fine-tuned teacher: ")
    assert said["tsd"].startswith("140 task texts, fine-tuned teacher, labels: ")


def test_what_a_latent_stage_learns_leaves_the_last_layer_alone(
    files: Files, whole: tuple[Run, Alone], tmp_path: Path
) -> None:
    _, alone = whole
    _, latent = through(files, tmp_path, recipe("ged", "tad"), pretrained=False)
    run, case = opened(files, tmp_path)
    teacher = weights(inherited_from(run, case))
    # Of what is said of a sample nothing is asked but in the last stage.
    name = "tail.0.bias"
    assert torch.equal(weights(latent.trained)[name], teacher[name])
    assert (weights(alone.trained)[name] - teacher[name]).abs().max() > 1e-5


def test_labels_are_read_in_the_last_stage(files: Files, tmp_path: Path) -> None:
    keys = []
    for weight in (0.1, 0.9):
        wanted = recipe("tad", "tsd", distill={"label_weight": weight})
        run, alone = through(files, tmp_path, wanted, pretrained=False)
        keys.append((weights(alone.trained)["tail.0.bias"], run))
    assert not torch.equal(keys[0][0], keys[1][0])
    status = {e["name"]: e["status"] for e in keys[1][1].log if e["name"] in STAGES}
    assert status == {"tad": "reused", "tsd": "done"}


class Stopped(Exception):
    """Stands for the end of a process."""


class StopsIn(Progress):
    """Ends the work in the middle of a step."""

    def __init__(self, step: str) -> None:
        self.step, self.now = step, ""

    def begin(self, name: str) -> None:
        self.now = name

    def update(self, done: int, total: int, note: str = "") -> None:
        if self.now == self.step and done == 1:
            raise Stopped


@pytest.mark.parametrize("stage", ["gd", "tsd"])
def test_schedule_that_was_stopped_ends_with_the_same_bytes(
    stage: str, files: Files, whole: tuple[Run, Alone], tmp_path: Path
) -> None:
    wanted = recipe("gd", "ged", "tad", "tsd")
    with pytest.raises(Stopped):
        through(files, tmp_path, wanted, pretrained=True, progress=StopsIn(stage))
    run, alone = through(files, tmp_path, wanted, pretrained=True)
    before = [e["name"] for e in run.log if e["name"] in STAGES and e["status"] == "reused"]
    assert before == [*STAGES][: [*STAGES].index(stage)]
    bytes_ = [(one.trained.path / WEIGHTS).read_bytes() for one in (whole[1], alone)]
    assert bytes_[0] == bytes_[1]


def test_general_stages_differ_in_their_teacher_alone(
    files: Files, whole: tuple[Run, Alone]
) -> None:
    """Where the two learn from one model, their texts, loss, steps and weights to begin with are the same."""
    gd, ged = (
        Stage.model_validate(
            dict(zip(("data", "teacher", "loss"), STAGES[n], strict=True), steps=5)
        )
        for n in ("gd", "ged")
    )
    assert {k for k, v in gd.key().items() if ged.key()[k] != v} == {"teacher"}
    run, _ = whole
    told = [entry["summary"] for entry in run.log if entry["name"] == "told"]
    # Of the network's part, of both teachers on general texts, of the task's.
    assert told[1] == told[2] != told[3]


def test_pretrained_model_has_the_hidden_dimensions_of_the_sorted_teacher(
    files: Files, tmp_path: Path
) -> None:
    run, case = opened(files, tmp_path)
    same = replace(files, pretrained=files.teacher)
    refuse_unstaged(run, case, recipe("gd"), same.pretrained)
    assert run.pretrained is not None
    sorted_, pretrained = weights(inherited_from(run, case)), weights(run.pretrained)
    for name in ("word.weight", "position.weight", "norm.weight"):
        assert torch.equal(sorted_[name], pretrained[name])
    # Heads and channels stay where they are: nothing is compared with them one by one.
    given = random_encoder(TEACHER).state_dict()["layers.0.up.bias"]
    torch.testing.assert_close(pretrained["layers.0.up.bias"], given)


def test_of_a_network_that_was_given_the_teacher_is_not_sorted_again(
    files: Files, tmp_path: Path
) -> None:
    run, case = opened(files, tmp_path)
    kept = inherited_from(run, case)
    network = Supernet(tmp_path, "", "", Stored(kept.path, kept.result, kept.key()), {})
    given = replace(run, supernet=network, log=[])
    refuse_unstaged(given, case, recipe("gd"), files.pretrained)
    assert [entry["name"] for entry in given.log] == ["pretrained"]


@pytest.mark.parametrize(
    ("wanted", "pretrained", "extra", "said"),
    [
        (recipe("ged"), True, True, "has no stage with the pretrained teacher"),
        (recipe("gd"), False, True, "all learn from the pretrained teacher; give it"),
        (recipe("ged", "tad"), False, False, "general data have none; give texts with --extra"),
        (recipe("tad", search={"evaluations": 0}), False, True, "no student is made"),
    ],
    ids=["unasked", "no-teacher", "no-texts", "no-student"],
)
def test_stages_that_lack_something_are_refused(
    wanted: Recipe, pretrained: bool, extra: bool, said: str, files: Files, tmp_path: Path
) -> None:
    run = a_run(tmp_path)
    more = [files.general] if extra else []
    case = steps.load(run, files.teacher, None, files.task, None, extra=more)
    with pytest.raises(ConfigError, match=said):
        refuse_unstaged(run, case, wanted, files.pretrained if pretrained else None)


def test_pretrained_model_of_other_words_is_refused(files: Files, tmp_path: Path) -> None:
    other = TEACHER.model_copy(update={"vocabulary": TEACHER.vocabulary + 5})
    file = written(random_encoder(other), tmp_path / "other.onnx")
    run, case = opened(files, tmp_path / "run")
    with pytest.raises(ConfigError, match="give the model that it was fine-tuned from"):
        refuse_unstaged(run, case, recipe("gd"), file)


def test_teacher_that_is_no_encoder_of_texts_is_refused(tmp_path: Path) -> None:
    problem = two_by_two(tmp_path)
    run = a_run(tmp_path / "run")
    case = steps.load(run, str(problem.model), None, str(problem.data), None)
    with pytest.raises(UnsupportedError, match="stages: are for encoders of texts"):
        refuse_unstaged(run, case, recipe("tad"), None)
