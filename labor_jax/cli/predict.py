"""Segments images or a video with a run's newest segmenter.

    labor-jax predict --workdir=runs/toytown --images=photos --out=segmented
    labor-jax predict --workdir=segmenter.safetensors --images=drive.mp4 --out=drive

--images is a folder, an image or a video. Writes NAME.png, a palette PNG of train ids as large as
the image, and NAME_overlay.jpg; of a video 000000.png and so on, and overlay.mp4. --nooverlay
writes label maps alone. --out is a new folder, or one of an earlier predict: what others put or
changed there is never replaced. With --tile the network sees images as large as they are, part
after part. Hidden files, those of tools and those of other kinds are passed over and counted at the
end. Images that cannot be read are named; the status is then 1, and 2 if all are such.

With --label_ids it writes grey PNGs of the numbers in label files alone: of your own classes those
of `config.classes.label_values`; of Cityscapes' its label ids, as its server takes them:

    labor-jax predict --workdir=runs/gta5 --label_ids \\
        --images=leftImg8bit/test --out=results && (cd results && zip -r ../results.zip .)
"""

import pathlib
import sys
from collections.abc import Sequence

from absl import flags

from labor_jax.cli import program, segmenter
from labor_jax.util import errors
from labor_jax.util.tally import EXAMPLES, counted


def main(argv: Sequence[str]) -> int:
    """Segments a folder of images, an image or a video; returns the exit status."""
    return program.run(argv, __doc__, _define, _predict)


def _define(values: flags.FlagValues) -> None:
    segmenter.define(values)
    program.define_path(
        values, "images", None, "a folder of images, an image or a video", required=True
    )
    program.define_path(values, "out", None, "the folder to write to", required=True)
    flags.DEFINE_bool(
        "label_ids", False, "write the numbers of label files, and no pictures", flag_values=values
    )
    flags.DEFINE_bool("overlay", True, "write the classes over the images, too", flag_values=values)
    flags.DEFINE_string(
        "tile", None, "HEIGHTxWIDTH: see images as large as they are, by parts", flag_values=values
    )
    flags.DEFINE_integer(
        "overlap", None, "pixels that neighbouring tiles share; 64", 0, flag_values=values
    )


def _predict(values: flags.FlagValues) -> int:
    from labor_jax.data import folder, image_files
    from labor_jax.infer import stream
    from labor_jax.util import outputs

    given = pathlib.Path(values.images)
    out, reads = pathlib.Path(values.out), (given, values.workdir)
    outputs.Folder(out, "--out", reads)  # told before anything is loaded
    options = stream.Options(values.label_ids, values.overlay, program.size("tile", values.tile))
    if values.overlap is not None:
        if not options.tile:
            raise errors.UserError("--overlap: is of tiles; give --tile, too")
        options = options._replace(overlap=values.overlap)
    run = segmenter.restore(values)
    if given.is_file() and not image_files.is_image(given):
        done, broken = stream.predict_video(run, given, out, options, reads)
        what, told = "frame", []
    else:
        domain = folder.one(given) if given.is_file() else folder.load(str(given), "", run.table)
        tally, broken = stream.predict_folder(run, domain, out, options, reads)
        done, what, told = tally.taken, "image", tally.told()
    print(f"{counted(done, what)} segmented after {run.step} steps of training: {out}")
    each = broken if len(broken) > EXAMPLES or not told else []
    for line in [*(f"left out: {line}" for line in each), *told]:
        print(line, file=sys.stderr)
    return 1 if broken else 0
