"""The keys in which two configs differ, and which of them make another run."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import ml_collections

from labor_jax.config.fields import PHASES
from labor_jax.config.schema import find_setting

__all__ = ["Change", "differences", "flat", "moves"]


class Change(NamedTuple):
    """A key of which two configs have different values, as JSON has them.

    Attributes:
      key: dotted.
      old, new: None where a config has no such key.
    """

    key: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.key} (was {self.old!r}, now {self.new!r})"

    @property
    def since(self) -> str:
        """The phase from which on the key matters; the first phase for an unknown key."""
        setting = find_setting(self.key)
        return setting.since if setting else PHASES[0]


def flat(config: dict | ml_collections.ConfigDict, prefix: str = "") -> dict[str, Any]:
    """Dotted keys to values, as JSON has them (tuples as lists)."""
    items: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict | ml_collections.ConfigDict):
            items |= flat(value, f"{prefix}{key}.")
        else:
            items[prefix + key] = json.loads(json.dumps(value))
    return items


def differences(
    old: dict | ml_collections.ConfigDict, new: dict | ml_collections.ConfigDict
) -> list[Change]:
    """The keys, sorted, by which `new` is another run than `old`.

    Keys that only say how the run is done are left out, and paths to what has moved.
    """
    return [change for change in _changes(old, new) if not _is_moved(change)]


def moves(
    old: dict | ml_collections.ConfigDict, new: dict | ml_collections.ConfigDict
) -> list[Change]:
    """The keys, sorted, whose paths differ although both configs are of one run."""
    return [change for change in _changes(old, new) if _is_moved(change)]


def _changes(
    old: dict | ml_collections.ConfigDict, new: dict | ml_collections.ConfigDict
) -> Iterator[Change]:
    """The keys, sorted, that differ and do not only say how a run is done."""
    a, b = flat(old), flat(new)
    for change in (Change(key, a.get(key), b.get(key)) for key in sorted(a | b)):
        setting = find_setting(change.key)
        if change.old != change.new and (setting is None or setting.the_run):
            yield change


def _is_moved(change: Change) -> bool:
    setting = find_setting(change.key)
    if setting is None:
        return False
    return setting.what_it_is(change.old) == setting.what_it_is(change.new)
