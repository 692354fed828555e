"""What comes before a run's first phase: checks of its config, its images, and what it says."""

import os
import pathlib
import sys
from typing import Any

import jax
import ml_collections
from clu import parameter_overview

from labor_jax.annotation import annotators, asked_images
from labor_jax.config import checking, places
from labor_jax.data import domain, folder, labels, loading
from labor_jax.loop import asking, plan, resume
from labor_jax.loop.plan import Run
from labor_jax.train import batch, losses, parallel, state
from labor_jax.train.optimizers import segmenter_steps
from labor_jax.util import addresses, files, hosts, plugins
from labor_jax.util.errors import UserError

__all__ = ["check_bucket", "checked", "introduce", "open_domains"]


def checked(
    config: ml_collections.ConfigDict, workdir: str | os.PathLike
) -> tuple[ml_collections.ConfigDict, pathlib.Path, labels.ClassTable]:
    """The config with paths of this machine and for its devices, the run's DIR and its classes.

    Raises:
      UserError: something is wrong that can be known before any data is read.
    """
    plugins.load(config.plugins)
    config = places.localized(config)
    checking.check(config)
    losses.check_names(config)
    config = batch.on_devices(config)
    table = loading.table_from_config(config.classes)
    workdir = pathlib.Path(addresses.local(workdir, "--workdir"))
    hosts.check_shared(workdir)
    resume.check_folder(config, workdir)
    asking.check_beside(config)
    annotators.check(config)
    return config, workdir, table


def check_bucket(config: ml_collections.ConfigDict, workdir: str | os.PathLike) -> str:
    """The address of a run in a bucket.

    Raises:
      UserError: it is no folder of a bucket, or such a run cannot be done there.
    """
    address = addresses.bucket_folder(workdir, "--workdir")
    if annotators.are_people(config):
        raise UserError(
            f"--workdir: {address}: people answer in a folder of the machine that asks them; give "
            f"one, or another config.annotator than {config.annotator}"
        )
    if jax.process_count() > 1:
        raise UserError(
            f"--workdir: {address}: {jax.process_count()} processes write one run by a folder that "
            f"all of them see; give one on a shared file system, or mount the bucket"
        )
    return address


def open_domains(
    config: ml_collections.ConfigDict, workdir: pathlib.Path, table: labels.ClassTable
) -> dict[str, domain.Domain]:
    """The run's "source", "target" and "val" images.

    Raises:
      UserError: they cannot be read, or labels are missing.
    """
    domains = {n: loading.load(config[n], config.data_dir, table) for n in ("source", "val")}
    domains["target"] = _as_asked(config, workdir, table)
    plan.check_labels(config, domains)
    return domains


def _as_asked(
    config: ml_collections.ConfigDict, workdir: pathlib.Path, table: labels.ClassTable
) -> domain.Domain:
    """The target's images that are as they were when the run first asked about them."""
    spec = config.target
    labelled = spec.domain == "folder" and spec.labels and asked_images.prints(workdir)
    # Of images that came or went only one of the pair may be there.
    target = (
        folder.load(spec.images, "", table)
        if labelled
        else loading.load(spec, config.data_dir, table)
    )
    changes = asked_images.changes(workdir, target)
    line = asked_images.describe(changes, target)
    if line and hosts.first():
        print(line, file=sys.stderr)
    left = asked_images.remaining(target, changes)
    return folder.load(spec.images, spec.labels, table, only=set(left.ids)) if labelled else left


def introduce(this: Run, now: state.State) -> None:
    """Prints what is about to run, and lists the segmenter's tensors in parameters.txt."""
    params = now.segmenter.variables["params"]
    overview = parameter_overview.get_parameter_overview(params, include_stats=False)
    if hosts.first():
        files.write_atomic(this.workdir / "parameters.txt", f"{overview}\n".encode())
    for name, lines in this.summary.values["data"].items():
        for line in lines:
            this.monitor.say(f"{name}: {line}")
    domains = " → ".join(domain.name for domain in (this.source, this.target) if domain.ids)
    size = f"{_millions(params)} parameters"
    if now.segmenter.fixed:
        size += f", {_millions(now.segmenter.params)} of them trained"
    this.monitor.say(
        f"{this.config.method} · {domains} · segmenter of {size} · "
        f"{parallel.device_count(this.config.parallel)} x {jax.devices()[0].device_kind}"
    )
    if this.config.images_a_device:
        this.monitor.say(
            f"{this.config.images_a_device} images a device are batches of "
            f"{this.config.batch_size}: {segmenter_steps(this.config):,} steps of the segmenter, "
            f"learning rate {this.config.optimizer.learning_rate:.3g}"
        )


def _millions(params: Any) -> str:
    return f"{parameter_overview.count_parameters(params) / 1e6:.2f} M"
