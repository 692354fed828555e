"""The keys in which two configs differ, and which of them make another run."""

import json
from typing import Any, NamedTuple

import ml_collections

from labor_jax.config.fields import PHASES
from labor_jax.config.schema import find_setting

__all__ = ["Change", "differences", "flat"]


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

    Keys that only say how the run is done are left out.
    """
    a, b = flat(old), flat(new)
    changes = (Change(key, a.get(key), b.get(key)) for key in sorted(a | b))
    return [change for change in changes if change.old != change.new and _is_the_run(change.key)]


def _is_the_run(key: str) -> bool:
    setting = find_setting(key)
    return setting is None or setting.the_run
