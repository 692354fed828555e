"""Writes a run's segmenter as one file for other programs.

    labor-jax export --workdir=runs/toytown --format=stablehlo
    labor-jax export --workdir=runs/camvid --format=stablehlo --size=360x480
    labor-jax export --workdir=runs/toytown --format=safetensors --out=town.safetensors

stablehlo: a zip with the whole computation, from uint8 images to label maps, for any number of
images on CPU, CUDA and TPU. It needs jax, and flatbuffers, with which jax reads such files; its
README.txt says how to run it.
Images are as large as the network sees them, or of --size=HEIGHTxWIDTH, and then made smaller
inside, as by labor_jax (to the bit where both ratios are whole numbers).

safetensors: the weights under the names that other programs give them, which `labor_jax.load`,
`labor-jax predict --workdir=FILE` and `config.model.weights` can take.

Both hold the classes, what the network expects, and what to know of licences.
"""

import pathlib
from collections.abc import Sequence

from absl import flags

from labor_jax.cli import program, segmenter
from labor_jax.util import errors, outputs

SUFFIXES = {"stablehlo": ".stablehlo.zip", "safetensors": ".safetensors"}


def main(argv: Sequence[str]) -> int:
    """Writes the file; returns the exit status."""
    return program.run(argv, __doc__, _define, _export)


def _define(values: flags.FlagValues) -> None:
    segmenter.define(values)
    flags.DEFINE_enum(
        "format", "stablehlo", list(SUFFIXES), "a whole program, or weights", flag_values=values
    )
    program.define_path(values, "out", None, "the file to write; segmenter.… here, if not given")
    flags.DEFINE_string("size", None, "stablehlo: HEIGHTxWIDTH of the images", flag_values=values)


def _export(values: flags.FlagValues) -> None:
    from labor_jax.infer import export

    suffix = SUFFIXES[values.format]
    path = pathlib.Path(values.out or f"segmenter{suffix}")
    outputs.check_file(path, "--out", [values.workdir])
    if path.suffix != (ends := pathlib.Path(f"segmenter{suffix}").suffix):
        raise errors.UserError(f"--out: give a name that ends in {ends}")
    size = program.size("size", values.size)
    if size and values.format == "safetensors":
        raise errors.UserError("--size: weights have none; leave it out")
    run = segmenter.restore(values)
    if values.format == "safetensors":
        data = export.safetensors(run)
    else:
        data = export.stablehlo(run, path.name, size)
    outputs.write_file(path, data, "--out", [values.workdir])
    print(f"{path}: {len(data) / 1e6:.1f} MB after {run.step} steps of training")
