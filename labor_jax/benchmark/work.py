"""What is measured: drawn images of a config's real sizes, and networks with random weights."""

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import cv2
import jax
import ml_collections
import numpy as np

from labor_jax.data import dataset, labels, loading, rare_classes, toytown, transforms
from labor_jax.data.dataset import decoded, png
from labor_jax.data.domain import Domain
from labor_jax.train import optimizers, parallel, state


class Work(NamedTuple):
    """The config, networks, state and images that the benchmarks share.

    The batch sizes in `config` are those of one device. `start` is the state of the first stage
    with the selector, which adaptation does not need.
    """

    config: ml_collections.ConfigDict
    classes: int
    networks: state.Networks
    start: state.State
    source: Domain
    target: Domain


def make(config: ml_collections.ConfigDict) -> Work:
    """The work of one of the devices on which a run of the config trains."""
    devices = parallel.device_count(config.parallel)
    config = config.copy_and_resolve_references()
    config.batch_size = config.images_a_device or max(1, config.batch_size // devices)
    config.eval_batch_size = max(1, config.eval_batch_size // devices)
    classes = len(loading.table_from_config(config.classes))
    start = state.init_state(config, classes)
    source = Domain.none()
    if config.source.domain:
        source = drawn("source", native_size(config.source, config.input.size), classes)
        source = dataclasses.replace(source, pixels=rare_classes.count(source, classes))
    return Work(
        config,
        classes,
        networks=state.make_networks(config, classes, axis_name=None),
        start=state.start_selector(start, config, classes, stage=1),
        source=source,
        target=drawn("target", native_size(config.target, config.input.size), classes),
    )


def native_size(spec: Any, otherwise: tuple[int, int]) -> tuple[int, int]:
    """(H, W) of a domain's images, which need not be prepared; `otherwise` where it does not tell.

    Raises:
      UserError: no such domain.
    """
    told = None if spec.domain == "folder" else dataset.native_size(spec.domain)
    return told or (otherwise[0], otherwise[1])


def drawn(look: str, size: tuple[int, int], classes: int, count: int = 32) -> Domain:
    """A domain of `count` images of toytown; at most eight differ, since drawing takes seconds.

    They are kept as PNGs and decoded at each reading, as files would be.
    """
    different = min(count, 8)
    scenes = [toytown.render(look, 0, index, *size) for index in range(different)]
    images = [png(image) for image, _ in scenes]
    truths = [png(np.where(label < classes, label, labels.IGNORE)) for _, label in scenes]

    def read_image(index: int) -> np.ndarray:
        bgr = decoded(images[index % different], cv2.IMREAD_COLOR)
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)

    def read_label(index: int) -> np.ndarray:
        return decoded(truths[index % different], cv2.IMREAD_UNCHANGED)

    digits = math.ceil(math.log10(max(count, 10)))
    return Domain(
        f"drawn {look}", tuple(f"{i:0{digits}d}" for i in range(count)), read_image, read_label
    )


def bind(function: Any, work: Work) -> Any:
    """A train step with its networks, optimisers and config bound, for one device."""
    return functools.partial(
        function,
        networks=work.networks,
        optimizers=optimizers.make_optimizers(work.config),
        config=work.config,
        axis_name=None,
    )


def batch(work: Work) -> dict[str, dict[str, np.ndarray]]:
    """A random batch for any train step; 2 % of the target's pixels have a label."""
    random = np.random.default_rng(0)
    config = work.config
    made = {}
    for name in ("source", "target"):
        shape = (config.batch_size, *transforms.view_size(config.input, name))
        label = random.integers(0, work.classes, shape).astype(np.uint8)
        if name == "target":
            label[random.random(shape) < 0.98] = labels.IGNORE
        if not config[name].domain:
            continue
        made[name] = {
            "image": random.integers(0, 256, (*shape, 3)).astype(np.uint8),
            "label": label,
        }
        if transforms.keeps_colours(config, name):
            made[name]["inside"] = np.ones(shape, bool)
    return made


def to_ask(work: Work, images: int) -> dict[str, np.ndarray]:
    """A batch for the query step, of so many images."""
    size = native_size(work.config.target, work.config.input.size)
    return {
        "image": np.stack(
            [
                cv2.resize(work.target.read_image(i), work.config.input.size[::-1])
                for i in range(images)
            ]
        ),
        "taken": np.zeros((images, *size), bool),
        "key": keys(images),
    }


def keys(images: int) -> np.ndarray:
    """Raw data of random keys, one an image, [images, 2] uint32; all are zero."""
    return np.zeros((images, 2), np.uint32)


def put(tree: Any) -> Any:
    """A pytree, copied to the first device."""
    return jax.device_put(tree, jax.devices()[0])
