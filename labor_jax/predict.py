"""Segments a folder of images with a run's newest segmenter.

    python -m labor_jax.predict --workdir=runs/toytown --images=photos --out=segmented

Writes NAME.png, a palette PNG of train ids as large as the image, and NAME_overlay.jpg.
"""

import pathlib

from absl import flags

from labor_jax import cli, errors, files, images, restore
from labor_jax.data import folder, pipeline
from labor_jax.data.domain import Domain
from labor_jax.monitor import show_progress


def predict_folder(run: restore.Run, domain: Domain, out: pathlib.Path) -> None:
    """Writes the label map and the overlay of every image of a domain.

    Raises:
      UserError: an image cannot be read; those before it are written.
    """
    config = run.config
    with show_progress("predict", 0, len(domain.ids)) as progress:
        for indices, size, batch in pipeline.inference_batches(
            domain, config.input.size, config.eval_batch_size
        ):
            for index, label in zip(indices, run.predict(batch, size), strict=True):
                path = out / domain.ids[index]
                images.write_label_png(path.with_name(path.name + ".png"), label, run.table)
                shown = images.overlay(domain.read_image(index), label, run.table)
                overlay = path.with_name(path.name + "_overlay.jpg")
                files.write_atomic(overlay, images.encode_jpeg(shown))
            progress.advance(indices[-1] + 1)


def main() -> None:
    """Predicts the images of a folder."""
    run = restore.restore(flags.FLAGS.workdir)
    domain = folder.load(flags.FLAGS.images, "", run.table)
    out = pathlib.Path(flags.FLAGS.out)
    if out.resolve() == pathlib.Path(flags.FLAGS.images).resolve():
        raise errors.UserError("--out: is --images itself; give another folder")
    predict_folder(run, domain, out)
    print(f"{len(domain.ids)} images segmented after {run.step} steps of training: {out}")


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "the run's folder", required=True)
    flags.DEFINE_string("images", None, "a folder of images", required=True)
    flags.DEFINE_string("out", None, "the folder to write to", required=True)
    cli.run(main)
