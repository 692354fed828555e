"""In what two configs differ, and what makes two runs the same run."""

import json
from typing import Any

import ml_collections

__all__ = ["NOT_THE_RUN", "differences", "flat"]


NOT_THE_RUN = (
    "data_dir",
    "parallel",
    "checkpoint_every",
    "log_every",
    "warmup_from",
    "strategies",  # where methods are looked for; `method` says which one asks
)
"""Keys that say how a run is done and not what it computes: they may change on resume."""


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
) -> list[str]:
    """The dotted keys, with both values, in which `new` is another run than `old`."""
    a, b = flat(old), flat(new)
    return [
        f"{key} (was {a.get(key)!r}, now {b.get(key)!r})"
        for key in sorted(a | b)
        if a.get(key) != b.get(key) and key.split(".")[0] not in NOT_THE_RUN
    ]
