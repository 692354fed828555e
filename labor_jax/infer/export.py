"""A run's segmenter as one file for other programs.

`stablehlo` makes a zip with the whole computation, which needs nothing but jax. `safetensors` makes
a file of the weights under their published names. Both also hold the classes, a description of
input and output, and the licences.
"""

import functools
import io
import json
import pathlib
import zipfile
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict

import labor_jax
from labor_jax.data import loading
from labor_jax.infer import restore, steps
from labor_jax.models.resize import shrink
from labor_jax.train import state
from labor_jax.util import errors, outputs
from labor_jax.weights import licences, pretrained, tensor_files

__all__ = [
    "PLATFORMS",
    "README",
    "metadata",
    "safetensors",
    "stablehlo",
]


PLATFORMS = ("cpu", "cuda", "tpu")

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


def metadata(run: restore.Restored, size: tuple[int, int]) -> dict[str, Any]:
    """What goes with an exported segmenter, for JSON.

    Args:
      size: (H, W) of the images that it takes.
    Returns:
      "classes" by number, "input", "output", "licence", "step", "versions", and "config" with the
      keys that prediction needs. No path of this machine is in it.
    """
    config, table = run.config, run.table
    names = ("source", "target")
    domains = {name: domain for name in names if (domain := config[name].domain)}
    started = pathlib.Path(config.model.weights).name
    theirs = licences.of_backbone(config.model.backbone)
    terms = "; ".join(
        f"{domain} ({loading.licence(domain)})" for domain in dict.fromkeys(domains.values())
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
        + (f" ({theirs})" if started and theirs else "")
        + "; what that allows is for you to check.",
        "step": run.step,
        "versions": {"labor_jax": labor_jax.__version__, "jax": jax.__version__},
        "config": {
            "method": config.method,
            "plugins": list(config.plugins),
            "classes": kept["classes"],
            "input": {"size": kept["input"]["size"]},
            "model": model,
            "evaluation": kept["evaluation"],
            "eval_batch_size": config.eval_batch_size,
            **{name: {"domain": domain} for name, domain in domains.items()},
        },
    }


def stablehlo(run: restore.Restored, name: str, size: tuple[int, int] | None = None) -> bytes:
    """The bytes of a zip with the computation, its metadata and a README that says how to run it.

    Args:
      run: the segmenter.
      name: the file's name, for its README.
      size: (H, W) of images and label maps; None for the size at which the network sees images.
    Raises:
      UserError: the size is smaller than the network's.
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
    return outputs.sealed(buffer.getvalue(), ".zip")


def safetensors(run: restore.Restored) -> bytes:
    """The bytes of a `.safetensors` file: weights under their published names, and the metadata."""
    variables = flatten_dict(jax.device_get(run.segmenter.variables), sep="/")
    tensors, _ = pretrained.export(
        variables, run.config.model.backbone, tuple(run.config.model.dilations)
    )
    about = metadata(run, restore.views(run.config)[-1])
    beside = {restore.BESIDE: json.dumps(about), "licence": about["licence"]}
    return tensor_files.encode(tensors, ".safetensors", beside)
