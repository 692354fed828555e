"""labor_jax.main, dying where the first argument says: `python dying.py WHERE --config=... ...`.

WHERE is PHASE:STEP, the progress at which to get a SIGKILL; with `half` behind it, after half a
line went to the journal; `save:STEP`, while that step is being saved; `int:PHASE:STEP`, a SIGINT.
"""

import os
import pathlib
import signal
import sys
import time

from labor_jax.annotation import annotators
from labor_jax.cli import program
from labor_jax.main import main
from labor_jax.train import checkpoint
from labor_jax.util import stopping
from labor_jax.util.progress import Progress

where, *sys.argv[1:] = sys.argv[1:]
workdir = next(a.partition("=")[2] for a in sys.argv if a.startswith("--workdir="))
advance, save = Progress.advance, checkpoint.Checkpoints.save


def die(number: int = signal.SIGKILL) -> None:
    os.kill(os.getpid(), number)


def dying_advance(self, step, metrics=None):
    advance(self, step, metrics)
    phase = f"{self.title.replace(' · ', ' ')}:{step}"
    if where == f"{phase}:half":
        with open(pathlib.Path(workdir, "annotations", "journal.jsonl"), "ab") as file:
            file.write(b'{"query": "1/target_train_0')
        die()
    elif where == phase:
        die()
    elif where == f"int:{phase}":
        die(signal.SIGINT)


def dying_save(self, step, state, wait=False):
    if where != f"save:{step}":
        return save(self, step, state, wait)
    save(self, step, state)
    for _ in range(2000):
        if any(pathlib.Path(workdir, "checkpoints").glob(f"{step}*tmp*")):
            break
        time.sleep(0.001)
    die()


stopping.GRACE = 1e6  # what is saved is looked at, however long a slow machine takes
annotators.TOGETHER = 3  # a death among twelve images finds answers in the journal
Progress.advance, checkpoint.Checkpoints.save = dying_advance, dying_save
sys.exit(program.process(main))
