"""The predictions and masks of some target images, which the report shows."""

from collections.abc import Sequence

import numpy as np

from labor_jax.data import images
from labor_jax.infer.batches import Batch, inferred
from labor_jax.infer.restore import views
from labor_jax.loop.compiled import Compiled
from labor_jax.loop.plan import Run
from labor_jax.train import state


def shown(this: Run) -> list[str]:
    """The images that the report shows, spread evenly over the target."""
    number = min(this.config.previews, len(this.target.ids))
    spread = np.linspace(0, len(this.target.ids) - 1, number).round().astype(int)
    return [this.target.ids[i] for i in spread]


def write_all(this: Run, folder: str, now: state.State, compiled: Compiled) -> None:
    """Predicts the images that are `shown` and writes them to DIR/previews/FOLDER."""
    some = this.target.take([this.target.ids.index(image) for image in shown(this)])

    def predict(batch: Batch) -> Sequence[np.ndarray]:
        return compiled.predict(now.shipped, batch.images, batch.canvas, batch.natives)

    size = views(this.config)[-1]
    for index, predicted in inferred(some, size, this.config.eval_batch_size, predict):
        write(this, folder, some.ids[index], predicted)


def write(this: Run, folder: str, image: str, predicted: np.ndarray) -> None:
    """Writes one prediction, [H, W] uint8 train ids, to DIR/previews/FOLDER/IMAGE.png."""
    images.write_label_png(
        this.workdir / "previews" / folder / f"{image}.png", predicted, this.table
    )
