"""Writes docs/settings.md, the page of all keys, from their fields:

python docs/make_settings.py > docs/settings.md
"""

import dataclasses
import textwrap

from labor_jax.config.checking import allowed
from labor_jax.config.fields import ABOUT, Setting
from labor_jax.config.schema import Config, settings

HEAD = """# Settings

Every key that a run can be told. This page is made from the fields in
[labor_jax/config/schema.py](../labor_jax/config/schema.py) by `python docs/make_settings.py`.

`--config.KEY=VALUE` changes a key, such as `--config.optimizer.learning_rate=1e-3` or
`--config.input.size="(180, 240)"`. A config file in Python changes as many as it likes:
[configs/folder.py](../configs/folder.py) is one to copy. A value of another type or out of its
range ends the program with one line that names the key.

*From* is the first phase of a run in which a key matters: warm-up, or, in a stage, `selector`,
`query`, `annotate`, `adapt` or `evaluate`. A run that starts from the end of another's warm-up
(`warmup_from`) may differ from it in all keys that matter later. A key marked *how* says how a run
is done and not what it computes: it may change when a run is resumed; no other key may.
"""


def page() -> str:
    """The whole page, in Markdown: the run's own keys, then each section's."""
    root = Config()
    parts = [HEAD, "## The run\n", _table([s for s in settings().values() if "." not in s.key])]
    for field in dataclasses.fields(root):
        section = getattr(root, field.name)
        if dataclasses.is_dataclass(section):
            keys = [s for s in settings().values() if s.key.startswith(f"{field.name}.")]
            about = textwrap.fill(" ".join(field.metadata[ABOUT].split()), 100)
            parts += [f"## `{field.name}`\n", f"{about}\n", _table(keys)]
    return "\n".join(parts)


def _table(keys: list[Setting]) -> str:
    rows = ["| key | default | value | from | meaning |", "|---|---|---|---|---|"]
    for s in keys:
        since = s.since if s.the_run else f"{s.since}, *how*"
        rows.append(f"| `{s.key}` | `{s.default!r}` | {allowed(s)} | {since} | {s.meaning} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(page(), end="")
