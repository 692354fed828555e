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

import functools
import io
import json
import pathlib
import zipfile
from typing import Any

import jax
import numpy as np
from absl import flags
from flax.traverse_util import flatten_dict

import labor_jax
from labor_jax.cli import program
from labor_jax.infer import restore, steps
from labor_jax.models.resize import shrink
from labor_jax.train import state
from labor_jax.util import errors, files
from labor_jax.weights import pretrained, tensor_files

__all__ = [
    "PLATFORMS",
    "README",
    "SUFFIXES",
    "TERMS",
    "metadata",
    "safetensors",
    "stablehlo",
]


PLATFORMS = ("cpu", "cuda", "tpu")
SUFFIXES = {"stablehlo": ".stablehlo.zip", "safetensors": ".safetensors"}

TERMS = {
    "toytown": "drawn by labor_jax, free to use",
    "camvid": "CC BY-NC 4.0, not for commercial use",
    "gta5": "for research and education only",
    "synthia_rand_cityscapes": "CC BY-NC-SA 3.0, not for commercial use",
    "cityscapes": "its own licence, not for commercial use",
    "folder": "your own, as those who gave them allow",
}
"""Under what terms each domain's images are had."""

README = """A segmenter made by labor_jax. model.stablehlo is a computation as jax.export writes it:
uint8 RGB images [batch, {height}, {width}, 3] to uint8 class numbers [batch, {height}, {width}],
for any batch. metadata.json says what the numbers mean, and how to get images of that size; an
export with --size=HEIGHTxWIDTH takes larger images as they are.

    pip install jax flatbuffers

    import json, zipfile
    import jax, numpy as np
    from jax import export

    with zipfile.ZipFile("{name}") as file:
        model = export.deserialize(bytearray(file.read("model.stablehlo")))
        about = json.loads(file.read("metadata.json"))
    images = np.zeros((1, *about["input"]["size"], 3), np.uint8)
    labels = np.asarray(jax.jit(model.call)(images))
    print([about["classes"][k]["name"] for k in np.unique(labels)])

{licence}
"""


def metadata(run: restore.Run, size: tuple[int, int]) -> dict[str, Any]:
    """What goes with an exported segmenter, for JSON.

    Args:
      size: (H, W) of the images that it takes.
    Returns:
      "classes" by number, "input", "output", "licence", "step", "versions", and of the config
      what it takes to predict; no path of this machine.
    """
    config, table = run.config, run.table
    domains = {name: config[name].domain for name in ("source", "target")}
    started = pathlib.Path(config.model.weights).name
    terms = "; ".join(
        f"{domain} ({TERMS[domain.partition('/')[0]]})"
        for domain in dict.fromkeys(domains.values())
    )
    kept = config.to_dict()
    model = kept["model"] | {"weights": started}
    return {
        "classes": [
            {"number": number, "name": name, "colour": list(colour), "label_value": value}
            for number, (name, colour, value) in enumerate(
                zip(table.names, table.palette, table.values, strict=True)
            )
        ],
        "input": {
            "images": "[batch, height, width, 3] uint8, RGB, 0 to 255; normalised inside",
            "size": list(size),
            "size_of_the_network": list(restore.views(config)[-1]),
            "resize": "of larger images: the mean of each pixel's area (OpenCV's INTER_AREA); of "
            "smaller ones: bilinear (INTER_LINEAR); proportions are not kept",
            "size_of_the_answer": "as large as the images; logits are upsampled bilinearly with "
            "aligned corners",
        },
        "output": "[batch, height, width] uint8, a class's number",
        "licence": "labor_jax is under Apache-2.0. These weights were trained on images of "
        + terms
        + (f", from the weights {started}" if started else "")
        + "; what that allows is for you to check.",
        "step": run.step,
        "versions": {"labor_jax": labor_jax.__version__, "jax": jax.__version__},
        "config": {
            "method": config.method,
            "classes": kept["classes"],
            "input": {"size": kept["input"]["size"]},
            "model": model,
            "evaluation": kept["evaluation"],
            "eval_batch_size": config.eval_batch_size,
            **{name: {"domain": domain} for name, domain in domains.items()},
        },
    }


def stablehlo(run: restore.Run, name: str, size: tuple[int, int] | None = None) -> bytes:
    """A zip of the computation, its metadata and how to run it.

    Args:
      name: of the file, for its README.
      size: (H, W) of images and label maps; None: as the network sees them.
    Raises:
      UserError: a size below the network's.
    """
    seen = restore.views(run.config)[-1]
    size = size or seen
    if size[0] < seen[0] or size[1] < seen[1]:
        raise errors.UserError(
            f"--size: {size[0]}x{size[1]} is smaller than the network's {seen[0]}x{seen[1]}; leave "
            f"it out and enlarge images to that"
        )
    networks = state.make_networks(run.config, len(run.table), axis_name=None)
    infer = functools.partial(
        steps.predict,
        networks=networks,
        size=size,
        views=restore.views(run.config),
        flip=run.config.evaluation.flip,
    )
    segmenter = jax.device_get(run.segmenter.replace(opt_state=()))
    program = jax.jit(
        lambda images: infer(segmenter, images if size == seen else shrink(images, seen))
    )
    (batch,) = jax.export.symbolic_shape("batch")
    images = jax.ShapeDtypeStruct((batch, *size, 3), np.uint8)
    exported = jax.export.export(jax.jit(program), platforms=PLATFORMS)(images)
    about = metadata(run, size)
    readme = README.format(height=size[0], width=size[1], name=name, licence=about["licence"])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for part, data in (
            ("README.txt", readme.encode()),
            ("metadata.json", json.dumps(about, indent=2).encode()),
            ("model.stablehlo", bytes(exported.serialize())),
        ):
            file.writestr(part, data)
    return buffer.getvalue()


def safetensors(run: restore.Run) -> bytes:
    """A file of the weights under their published names, with the metadata beside."""
    variables = flatten_dict(jax.device_get(run.segmenter.variables), sep="/")
    tensors, _ = pretrained.export(variables, tuple(run.config.model.dilations))
    about = metadata(run, restore.views(run.config)[-1])
    beside = {restore.BESIDE: json.dumps(about), "licence": about["licence"]}
    return tensor_files.encode(tensors, ".safetensors", beside)


def main() -> None:
    """Writes the file."""
    run, values = restore.from_flags(), flags.FLAGS
    suffix = SUFFIXES[values.format]
    path = pathlib.Path(values.out or f"segmenter{suffix}")
    if path.is_dir():
        raise errors.UserError(f"--out: {path} is a folder; give a file")
    if path.suffix != (ends := pathlib.Path(f"segmenter{suffix}").suffix):
        raise errors.UserError(f"--out: give a name that ends in {ends}")
    size = program.size("size", values.size)
    if values.format == "safetensors":
        if size:
            raise errors.UserError("--size: weights have none; leave it out")
        data = safetensors(run)
    else:
        data = stablehlo(run, path.name, size)
    files.write_atomic(path, data)
    print(f"{path}: {len(data) / 1e6:.1f} MB after {run.step} steps of training")


if __name__ == "__main__":
    restore.define_flags()
    flags.DEFINE_enum("format", "stablehlo", list(SUFFIXES), "a whole program, or weights")
    flags.DEFINE_string("out", None, "the file to write; segmenter.… here, if not given")
    flags.DEFINE_string("size", None, "stablehlo: HEIGHTxWIDTH of the images")
    program.run(main)
