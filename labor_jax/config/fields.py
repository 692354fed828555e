"""The description of a config key: one typed field of a dataclass has all that is known about it.

    @dataclasses.dataclass(frozen=True)
    class Ppl:
        radius: int = setting(4, "distance between two points of a class, in pixels", low=0)

Everything about keys is derived from such fields: the defaults, the check of a value, which keys
may change when a run is resumed, which ones warm-up does not read, and docs/settings.md.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, get_type_hints

__all__ = ["ABOUT", "LARGEST_INT", "PHASES", "Setting", "section", "setting", "settings_of"]

PHASES = ("warmup", "selector", "query", "annotate", "adapt", "evaluate")
"""The phases of a run, in the order in which a key can first matter."""

LARGEST_INT = 2**31 - 1
"""The bound of whole numbers that have no other: the devices count in int32."""

Choices = tuple[Any, ...] | Callable[[], tuple[Any, ...]]

ABOUT = "about"
"""The key of a section's purpose in the metadata of its field."""
_SETTING, _SINCE = "setting", "since"


@dataclasses.dataclass(frozen=True)
class Setting:
    """All that is known about one key.

    Attributes:
      key: dotted, such as "model.width".
      type: the annotation: bool, int, float, str, a tuple of these, or dict[str, float] for a
        section whose keys a config file makes up.
      default: the value of a config that does not set the key.
      meaning: what the key is, in words.
      choices: the allowed values; () = any. It can be a function that gets them, when a value is
        checked, from the module that owns them. Its docstring then says in words what they are.
      low, high: bounds that a number, or each number of a tuple, may reach.
      above, below: bounds that it may not reach.
      since: the phase from which on the key matters.
      the_run: whether another value makes another run. Otherwise the key only says how the run is
        done, and may change when the run is resumed.
      path: "folder", "file" or "bucket" (a folder, also one of a bucket) where the key is a path,
        "" otherwise. What a path leads to makes the run, and not where it is: folders may move, and
        files too if they keep their name.
    """

    key: str
    type: Any
    default: Any
    meaning: str
    choices: Choices
    low: float | None
    high: float | None
    above: float | None
    below: float | None
    since: str
    the_run: bool
    path: str

    def what_it_is(self, value: Any) -> Any:
        """The part of a value that makes the run."""
        if not self.path or not isinstance(value, str):
            return value
        return pathlib.PurePath(value).name if self.path == "file" else bool(value)


def setting(
    default: Any,
    meaning: str,
    *,
    choices: Choices = (),
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    since: str = "",
    the_run: bool = True,
    path: str = "",
) -> Any:
    """A field of a section; the arguments are `Setting`'s. `since` "" is that of the section."""
    known = {
        "meaning": meaning,
        "choices": choices,
        "low": low,
        "high": high,
        "above": above,
        "below": below,
        "since": since,
        "the_run": the_run,
        "path": path,
    }
    return dataclasses.field(default_factory=lambda: default, metadata={_SETTING: known})


def section(cls: type, about: str = "", since: str = "", **defaults: Any) -> Any:
    """A field that is a section itself.

    Args:
      cls: the dataclass with its keys.
      about: what it is for; "" = the class's docstring.
      since: the phase from which on its keys matter if they name none; "" = from the start.
      defaults: defaults for some of its keys, in place of the class's.
    """
    known = {ABOUT: about or cls.__doc__, _SINCE: since or PHASES[0]}
    return dataclasses.field(default_factory=lambda: cls(**defaults), metadata=known)


def settings_of(section: Any, prefix: str = "", since: str = PHASES[0]) -> Iterator[Setting]:
    """Every key of a section, an instance of a dataclass, and of the sections within, in order."""
    types = get_type_hints(type(section))
    for field in dataclasses.fields(section):
        key, value = f"{prefix}{field.name}", getattr(section, field.name)
        if _SETTING in field.metadata:
            known = dict(field.metadata[_SETTING])
            known["since"] = known["since"] or since
            yield Setting(key=key, type=types[field.name], default=value, **known)
        else:
            yield from settings_of(value, f"{key}.", field.metadata[_SINCE])
