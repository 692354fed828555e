"""The phases of a run with their steps, and the data that all phases share."""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

import ml_collections

from labor_jax.annotation import annotators
from labor_jax.data import domain, labels
from labor_jax.loop import asking
from labor_jax.report.monitor import Monitor
from labor_jax.report.summary import Summary
from labor_jax.selection import strategies
from labor_jax.train.checkpoint import Checkpoints
from labor_jax.util.errors import UserError


class Phase(NamedTuple):
    """A phase. It begins when `first` training steps are done and ends when `last` are.

    If both are equal, the phase has no training steps and only writes files.
    """

    name: str
    stage: int
    first: int
    last: int


def phases(config: ml_collections.ConfigDict) -> list[Phase]:
    """The phases of a whole run, in order."""
    step = config.warmup_steps
    plan = [Phase("warmup", 0, 0, step)] if step else []
    plan.append(Phase("evaluate", 0, step, step))
    for stage in range(1, config.stages + 1):
        if strategies.needs_selector(config.method):
            plan.append(Phase("selector", stage, step, step + config.selector.steps))
            step += config.selector.steps
        if asking.asks(config.method, stage):
            plan += [Phase("query", stage, step, step), Phase("annotate", stage, step, step)]
        plan.append(Phase("adapt", stage, step, step + config.adapt_steps))
        step += config.adapt_steps
        plan.append(Phase("evaluate", stage, step, step))
    return plan


def has_selector(config: ml_collections.ConfigDict, step: int) -> bool:
    """Whether the state after a step holds a selector: while it is fitted, and until adaptation."""
    return any(p.name == "selector" and p.first < step <= p.last for p in phases(config))


class Run(NamedTuple):
    """What the phases of one run in progress share: its config, its data and its open files.

    `publish` brings DIR, which is all saved at that moment, to the bucket of which it is the
    working copy; None where DIR is what was given.
    """

    config: ml_collections.ConfigDict
    workdir: pathlib.Path
    table: labels.ClassTable
    source: domain.Domain
    target: domain.Domain
    val: domain.Domain
    monitor: Monitor
    checkpoints: Checkpoints
    summary: Summary
    publish: Callable[[], None] | None = None


def logs(config: ml_collections.ConfigDict, phase: Phase, step: int) -> bool:
    """Whether a step's losses are recorded: at every `log_every` steps, and at a phase's last.

    A fit of frozen features is one whole: its steps are not seen from outside.
    """
    if config.model.freeze and phase.name in ("warmup", "adapt"):
        return step == phase.last
    return step % config.log_every == 0 or step == phase.last


def check_labels(config: ml_collections.ConfigDict, domains: dict[str, domain.Domain]) -> None:
    """Raises UserError where labels are missing that training or a simulated annotator reads."""
    asks = config.annotator in annotators.FROM_TRUTH and any(
        asking.asks(config.method, stage) for stage in range(1, config.stages + 1)
    )
    people = ", or let people answer: config.annotator=web"
    for name, why, otherwise in (
        ("source", "to train on", ""),
        ("target", "for the oracle to answer from", people),
    ):
        needed = bool(domains[name].ids) if name == "source" else asks
        if needed and domains[name].read_label is None:
            raise UserError(
                f"config.{name}: {domains[name].name} has no labels {why}; "
                f"give config.{name}.labels{otherwise}"
            )
