"""Segments a folder of images with a run's newest segmenter.

    python -m labor_jax.predict --workdir=runs/toytown --images=photos --out=segmented

Writes NAME.png, a palette PNG of train ids as large as the image, and NAME_overlay.jpg. With
--label_ids it writes grey PNGs of Cityscapes' label ids and nothing else, as its server takes them:

    python -m labor_jax.predict --workdir=runs/gta5 --label_ids \\
        --images=leftImg8bit/test --out=results && (cd results && zip -r ../results.zip .)
"""

import pathlib

from absl import flags

from labor_jax import cli, errors, files, images, restore
from labor_jax.data import folder, labels, pipeline
from labor_jax.data.domain import Domain
from labor_jax.monitor import show_progress


def predict_folder(
    run: restore.Run, domain: Domain, out: pathlib.Path, label_ids: bool = False
) -> None:
    """Writes the label map and the overlay of every image of a domain, or its label ids alone.

    Raises:
      UserError: an image cannot be read; those before it are written. Or there are no label ids
        of the run's classes.
    """
    if label_ids and run.table.names != labels.CITYSCAPES.names:
        raise errors.UserError("--label_ids: only Cityscapes' 19 classes have them; leave it out")
    config = run.config
    with show_progress("predict", 0, len(domain.ids)) as progress:
        for indices, size, batch in pipeline.inference_batches(
            domain, restore.views(config)[-1], config.eval_batch_size
        ):
            for index, label in zip(indices, run.predict(batch, size), strict=True):
                path = out / domain.ids[index]
                if label_ids:
                    ids = labels.cityscapes_ids(label)
                    files.write_atomic(path.with_name(path.name + ".png"), images.encode_png(ids))
                    continue
                images.write_label_png(path.with_name(path.name + ".png"), label, run.table)
                shown = images.overlay(domain.read_image(index), label, run.table)
                overlay = path.with_name(path.name + "_overlay.jpg")
                files.write_atomic(overlay, images.encode_jpeg(shown))
            progress.advance(indices[-1] + 1)


def main() -> None:
    """Predicts the images of a folder."""
    run = restore.from_flags()
    domain = folder.load(flags.FLAGS.images, "", run.table)
    out = pathlib.Path(flags.FLAGS.out)
    if out.resolve() == pathlib.Path(flags.FLAGS.images).resolve():
        raise errors.UserError("--out: is --images itself; give another folder")
    predict_folder(run, domain, out, flags.FLAGS.label_ids)
    print(f"{len(domain.ids)} images segmented after {run.step} steps of training: {out}")


if __name__ == "__main__":
    restore.define_flags()
    flags.DEFINE_string("images", None, "a folder of images", required=True)
    flags.DEFINE_string("out", None, "the folder to write to", required=True)
    flags.DEFINE_bool("label_ids", False, "write Cityscapes' label ids, for its server")
    cli.run(main)
