"""What a stage holds in memory does not grow with the number of its images."""

import pathlib
import tracemalloc

import numpy as np
from support import tiny

from labor_jax.annotation import journal
from labor_jax.annotation import queries as q
from labor_jax.config import default_config
from labor_jax.data.domain import Domain
from labor_jax.data.labels import CAMVID
from labor_jax.loop import phases, plan, resume
from labor_jax.loop.compiled import Compiled
from labor_jax.report.monitor import Monitor
from labor_jax.report.run_files import read_run_files
from labor_jax.util import files

SIZE = (64, 80)
CONFIG = tiny.make_config(
    **{
        "method": "labor_spl",
        "budget.max_fraction": 3.0,  # all at the first of three stages
        "spl.cell": 80,
        "previews": 1,
        "eval_batch_size": 4,
    }
)


def infer(state: None, seen: np.ndarray, *_: object) -> dict[str, np.ndarray]:
    """Heads that disagree on a comb: one segment of as many runs as there can be."""
    mask = np.zeros((len(seen), *SIZE), bool)
    mask[:, 0], mask[:, :, ::2] = True, True
    classes = mask.astype(np.uint8)
    return {"mask": mask, "chosen": mask, "selected": classes, "predicted": classes}


def play(workdir: pathlib.Path, images: int) -> None:
    """A stage of asking, answering, deriving labels and reporting, without any training."""
    target = Domain(
        "drawn",
        tuple(f"{i:04d}" for i in range(images)),
        lambda _: np.zeros((*SIZE, 3), np.uint8),
        lambda _: np.zeros(SIZE, np.uint8),
    )
    phase = plan.Phase("query", 1, 10, 10)
    compiled = Compiled(None, None, None, infer)
    with Monitor(workdir) as monitor:
        this = plan.Run(
            CONFIG, workdir, CAMVID, None, target, None, monitor, checkpoints=None, summary=None
        )
        phases.query(this, phase, None, compiled)
        phases.annotate(this, phase)
        q.check_complete(workdir, 1, target.ids)
        assert not any(resume.still_open(this, 1, journal.on_disk(workdir, CAMVID)))
        assert phases.label_reader(this, 1)(images - 1) is not None
        assert phases.budget_until(this, 1)["images"] == images
    files.write_json(workdir / "config.json", default_config().to_dict())
    assert len(read_run_files(workdir).ledger) == images


def test_queries_and_answers_are_not_held_while_a_stage_goes_on(tmp_path):
    peaks = {}
    for images in (1, 6, 24):  # the first one imports and fills caches
        tracemalloc.start()
        play(tmp_path / f"{images}", images)
        peaks[images] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    written = q.queries_path(tmp_path / "24", 1).stat().st_size * 18 / 24
    assert peaks[24] - peaks[6] < 0.2 * written, (peaks, written)
