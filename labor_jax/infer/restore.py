"""Loads a run's trained segmenter, ready to predict."""

import functools
import json
import os
import pathlib
import zipfile
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np

from labor_jax.config import checking, places
from labor_jax.config.files import from_dict
from labor_jax.data import domain, labels, loading
from labor_jax.infer import steps
from labor_jax.infer.batches import Infer, Size
from labor_jax.models import adapters, backbone
from labor_jax.train import parallel
from labor_jax.train.checkpoint import Checkpoints
from labor_jax.train.state import Trained, make_networks, state_shapes
from labor_jax.util import addresses, bucket, contents, files, plugins
from labor_jax.util.errors import UserError
from labor_jax.weights import tensor_files
from labor_jax.weights.pretrained import load_weights

__all__ = [
    "BESIDE",
    "Restored",
    "load_domain",
    "load_plugins",
    "make_inference",
    "make_restored",
    "newest_step",
    "read_config",
    "restore",
    "views",
]


BESIDE = "labor_jax"
"""The name under which an exported file has its step, config and classes."""

READ = ("parallel", "classes", "input.size", "model", "evaluation", "eval_batch_size")
"""The config keys that a trained segmenter needs. The keys of its strategy are not among them."""


class Restored(NamedTuple):
    """A trained segmenter, from the newest checkpoint of a run (finished or not) or from a file.

    Attributes:
      config: the run's. From a file come only the keys that prediction needs; the others have their
        defaults.
      table: the classes.
      step: the training steps done.
      segmenter: the variables.
      predict: gives [H, W] uint8 train ids.
      probabilities: gives [H, W, C] float32.
    """

    config: ml_collections.ConfigDict
    table: labels.ClassTable
    step: int
    segmenter: Trained
    predict: Infer
    probabilities: Infer

    def load_domain(self, which: str) -> domain.Domain:
        """The run's "source", "target" or "val" images."""
        return load_domain(self.config, which, self.table)


def read_config(workdir: str | os.PathLike) -> ml_collections.ConfigDict:
    """The config of the run in a DIR.

    Raises:
      UserError: there is no run, or its config is damaged.
    """
    workdir = addresses.local(workdir, "--workdir")
    path = pathlib.Path(workdir, "config.json")
    if not path.is_file():
        raise UserError(f"no run in {str(workdir)!r} (no config.json); give a run's DIR")
    try:
        values = files.read_json(path)
        if not isinstance(values, dict) or "method" not in values:
            raise UserError(f"{path}: is no config of a run; give a run's DIR, or a new folder")
        return places.localized(from_dict(values))
    except (OSError, UserError):
        raise
    except Exception:  # no JSON, or no config of ours: what it raises depends on what is in it
        raise UserError(f"{path}: damaged; delete it and start the run's command again") from None


def restore(path: str | os.PathLike, evaluation: dict[str, Any] | None = None) -> Restored:
    """The segmenter of a run's newest checkpoint, or of a file that `labor-jax export` wrote.

    Adapters are merged into the layers that they belong to, so it has none.

    Args:
      path: the run's DIR, its gs://BUCKET/FOLDER, or the .safetensors file.
      evaluation: values for keys of the config's `evaluation` section, in place of the run's.
    Raises:
      UserError: there is no run, no checkpoint or no such file, or it cannot be read.
    """
    path = bucket.local_folder(path, "--workdir")
    is_file = pathlib.Path(path).is_file()
    step, config = _read_exported(path) if is_file else (0, read_config(path))
    config.evaluation.update(evaluation or {})
    load_plugins(config)
    checking.check(config, READ)
    table = loading.table_from_config(config.classes)
    if is_file:
        return make_restored(config, table, step, _load_exported(path, config, len(table)))
    step, segmenter = _newest(path, config, table)
    if config.model.lora_rank:
        params = adapters.merged(segmenter.variables["params"], config.model)
        segmenter = segmenter.replace(params=params, fixed={})
        config.model.lora_rank = 0
    return make_restored(config, table, step, segmenter)


def newest_step(workdir: str | os.PathLike, table: labels.ClassTable) -> int:
    """The step of a run's newest checkpoint, 0 without one; the checkpoint itself is not read."""
    checkpoints = Checkpoints(workdir, table)
    try:
        return checkpoints.latest or 0
    finally:
        checkpoints.close()


def load_plugins(config: ml_collections.ConfigDict, domains: Sequence[str] = ()) -> None:
    """Imports a run's plugins, one by one, until its backbone, classes and domains are known.

    A plugin with a strategy or a loss is not needed any more: the run is trained.

    Args:
      config: the run's.
      domains: the sections whose images are read.
    Raises:
      UserError: the first error of `plugins.load`, if something is not known without that plugin.
    """

    def all_is_known() -> bool:
        return (
            config.model.backbone in backbone.names()
            and config.classes.table in ("", *loading.tables())
            and all(loading.is_known(config[name].domain) for name in domains)
        )

    failed: UserError | None = None
    for plugin in config.plugins:
        if all_is_known():
            return
        try:
            plugins.load([plugin])
        except UserError as error:
            failed = failed or error
    if failed and not all_is_known():
        raise failed


def load_domain(
    config: ml_collections.ConfigDict, which: str, table: labels.ClassTable
) -> domain.Domain:
    """A run's "source", "target" or "val" images.

    Raises:
      UserError: they cannot be read, or are not where they were.
    """
    spec = config[which]
    load_plugins(config, [which])
    for key in ("images", "labels") if spec.domain == "folder" else ():
        if spec[key] and not os.path.isdir(spec[key]):
            raise UserError(
                f"config.{which}.{key}: there is no folder {spec[key]} any more; where it is now, "
                f"the run learns by its own command with --config.{which}.{key}=…"
            )
    return loading.load(spec, config.data_dir, table)


def _read_exported(path: str | os.PathLike) -> tuple[int, ml_collections.ConfigDict]:
    """The step after which a file was exported, and its config."""
    try:
        told = json.loads(tensor_files.texts(path)[BESIDE])
        step, config = int(told["step"]), from_dict(told["config"])
        config.model.freeze = False  # it asks for keys of training, which the file does not have
        return step, config
    except OSError:
        raise
    except Exception:  # what it raises depends on what is in the file
        if _is_stablehlo(path):
            raise UserError(
                f"{path}: a stablehlo file is run by jax alone, as its README.txt says; give a "
                f"run's DIR, or a file of `labor-jax export --format=safetensors`"
            ) from None
        with open(path, "rb") as file:
            if mistaken := contents.mistaken(file.read(contents.BEGIN)):
                raise UserError(f"{path} {mistaken}") from None
        raise UserError(
            f"{path}: is no file of `labor-jax export --format=safetensors`; give such a file or a "
            f"run's DIR"
        ) from None


def _is_stablehlo(path: str | os.PathLike) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return "model.stablehlo" in archive.namelist()
    except Exception:  # no zip archive, or one that is broken
        return False


def _load_exported(
    path: str | os.PathLike, config: ml_collections.ConfigDict, num_classes: int
) -> Trained:
    shapes = state_shapes(config, num_classes).segmenter.variables
    variables = load_weights(path, config.model, shapes)
    if lacking := [x for x in jax.tree.leaves(variables) if isinstance(x, jax.ShapeDtypeStruct)]:
        raise UserError(f"{path}: {len(lacking)} tensors of its heads are missing; export it again")
    return Trained(variables["params"], variables["batch_stats"], opt_state=())


def _newest(
    workdir: str | os.PathLike, config: ml_collections.ConfigDict, table: labels.ClassTable
) -> tuple[int, Trained]:
    """The newest checkpoint's step and shipped segmenter."""
    checkpoints = Checkpoints(workdir, table)
    try:
        if checkpoints.latest is None:
            raise UserError(f"{str(workdir)!r} has no checkpoint yet; let it train first")
        shapes = state_shapes(config, len(table))
        part, shipped = shapes.shipped_part, shapes.shipped
        wanted = {part: {"params": shipped.params, "batch_stats": shipped.batch_stats}}
        if shipped.fixed:
            wanted.setdefault("segmenter", {})["fixed"] = shipped.fixed
        found = checkpoints.load(checkpoints.latest, parallel.placed(wanted, config.parallel))
        fixed = found["segmenter"].pop("fixed") if shipped.fixed else {}
        return checkpoints.latest, Trained(**found[part], opt_state=(), fixed=fixed)
    finally:
        checkpoints.close()


def make_restored(
    config: ml_collections.ConfigDict, table: labels.ClassTable, step: int, segmenter: Trained
) -> Restored:
    """A trained segmenter with its compiled functions `predict` and `probabilities`."""
    predict, probabilities = (
        functools.partial(make_inference(infer, config, len(table), views(config)), segmenter)
        for infer in (steps.predict, steps.probabilities)
    )
    return Restored(config, table, step, segmenter, predict, probabilities)


def views(config: ml_collections.ConfigDict) -> list[tuple[int, int]]:
    """(h, w) at each of `evaluation.scales`; images are read at the last size, the largest."""
    height, width = config.input.size
    scales = sorted(config.evaluation.scales)
    return [(round(height * scale), round(width * scale)) for scale in scales]


def make_inference(
    infer: Callable[..., Any],
    config: ml_collections.ConfigDict,
    num_classes: int,
    views: Sequence[tuple[int, int]],
) -> Callable[..., Sequence[np.ndarray]]:
    """An inference step mapped over devices, and compiled once for each (H, W).

    Args:
      infer: `infer.steps.predict` or `steps.probabilities`.
      config: the run's.
      num_classes: C.
      views: the sizes at which the network sees images, see `infer.steps.predict`.
    Returns:
      (segmenter, and the arguments of `batches.Infer`) -> what `batches.Infer` gives.
    """
    infer = functools.partial(
        infer,
        networks=make_networks(config, num_classes, axis_name=None),
        views=views,
        flip=config.evaluation.flip,
    )

    @functools.cache
    def mapped(size: tuple[int, int]) -> Callable:
        def of_batch(segmenter: Trained, batch: dict[str, Any]) -> jax.Array:
            return infer(segmenter, batch["image"], size=size, natives=batch["native"])

        return parallel.map_inference(of_batch, config.parallel)

    def run(
        segmenter: Trained, images: Any, size: Size, natives: np.ndarray | None = None
    ) -> Sequence[np.ndarray]:
        found = mapped(tuple(size))(segmenter, {"image": images, "native": natives})
        if natives is None:
            return found
        return [each[:h, :w] for each, (h, w) in zip(found, natives.tolist(), strict=True)]

    return run
