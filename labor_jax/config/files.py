"""Finds and reads configs: Python files that users write, and a run's config.json."""

import importlib.util
import os
import pathlib
import re
import traceback
from typing import Any

import ml_collections

from labor_jax.config.protocol import Protocol
from labor_jax.config.schema import default_config, lock
from labor_jax.util import addresses
from labor_jax.util.errors import UserError

__all__ = ["OWN", "RENAMED", "check_variant", "find", "from_dict", "load", "protocol"]


def check_variant(variant: str, *known: str) -> None:
    """Raises UserError unless a config file has the VARIANT of `--config=NAME.py:VARIANT`."""
    if variant and variant not in known:
        raise UserError(
            f"--config: no variant {variant!r}; there is {', '.join(f':{name}' for name in known)}"
        )


def load(path: str) -> ml_collections.ConfigDict:
    """The config that `find` finds.

    Raises:
      UserError: there is no such file or variant, or the file has an error; its line is named.
    """
    file, _, variant = find(path).partition(":")
    config = _called(file, "get_config", variant)
    if not isinstance(config, ml_collections.ConfigDict):
        raise UserError(f"{file}: get_config gives no config; end it with `return c`")
    return config


def protocol(path: str) -> Protocol | None:
    """The protocol of the config that `find` finds; None where its file has no `get_protocol`.

    Raises:
      UserError: as `load`.
    """
    file, _, variant = find(path).partition(":")
    found = _called(file, "get_protocol", variant, needed=False)
    if found is not None and not isinstance(found, Protocol):
        raise UserError(f"{file}: get_protocol gives no Protocol; end it with `return Protocol(…)`")
    return found


def _called(file: str, name: str, variant: str, needed: bool = True) -> Any:
    """What a function of a config file returns; None where it is not there and not needed."""
    spec = importlib.util.spec_from_file_location("labor_jax_config", file)
    if spec is None or spec.loader is None:
        raise UserError(f"--config: {file!r} is no Python file; give NAME.py[:VARIANT]")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        if not hasattr(module, name):
            if not needed:
                return None
            raise UserError(f"{file}: there is no function {name}; name it so")
        return getattr(module, name)(*[variant] * bool(variant))
    except UserError:
        raise
    except Exception as error:  # whatever a user's Python may raise
        raise UserError(f"{file}{_line(error, file)}: {_said(error)}") from None


def _line(error: Exception, file: str) -> str:
    """The line of a file that an error came from."""
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == os.path.abspath(file)]
    return f", line {lines[-1]}" if lines else ""


def _said(error: Exception) -> str:
    """An error's message on one line; for an unknown key it names a similar one."""
    text = str(error)
    if key := re.search(r'Key "(\w+)" does not exist', text):
        near = re.search(r'Did you mean "(\w+)"', text)
        meant = f"did you mean {near[1]!r}?" if near else "docs/settings.md lists those there are"
        return f"unknown key {key[1]!r}; {meant}"
    text = error.msg if isinstance(error, SyntaxError) else text
    return f"{type(error).__name__}: {' '.join(text.split())}"


_HERE = pathlib.Path(__file__).parents
OWN = next(path for path in (_HERE[1] / "configs", _HERE[2] / "configs") if path.is_dir())
"""The configs that come with labor_jax: inside the package in a wheel, beside it in a checkout."""


def find(path: str) -> str:
    """The file that `--config=PATH.py[:VARIANT]` names.

    For a file in `OWN`, `NAME` and `configs/NAME.py` are enough, also where NAME is in a folder,
    such as `protocols/camvid`.

    Raises:
      UserError: there is no such file, or it is none of this machine.
    """
    path = addresses.local(path, "--config")
    file, colon, variant = path.partition(":")
    if pathlib.Path(file).is_file():
        return path
    name = pathlib.PurePath(file)
    within = name.relative_to("configs") if name.parts[:1] == ("configs",) else name
    own = OWN / within.with_suffix(".py")
    if own.is_file() and name.suffix in ("", ".py") and ".." not in name.parts:
        return f"{own}{colon}{variant}"
    there = (path.relative_to(OWN).with_suffix("") for path in OWN.rglob("*.py"))
    known = ", ".join(sorted(map(str, there)))
    raise UserError(f"--config: there is no file {file!r}; give one, or one of {known}")


RENAMED = {"strategies": "plugins", "classes.values": "label_values"}
"""Today's names, within their section, of keys that had another name in earlier versions."""


def from_dict(values: dict) -> ml_collections.ConfigDict:
    """The config in a `config.json`; JSON's lists become tuples again.

    Keys that an earlier version did not have get their defaults, which keep that version's
    behaviour. Keys of a later version are kept, so that `differences` reports them; so are those of
    a loss that is gone, where it was on.

    Raises:
      ValueError, TypeError, KeyError or AttributeError: the values are no config.
    """
    config = default_config()
    model = values.get("model", {})
    with config.unlocked():
        config.update(_restored(values))
        if not config.loss.get("self_training", 0.0):  # it was off, so its keys did nothing
            for gone in {"self_training", "self_above"} & set(config.loss):
                del config.loss[gone]
        if model.get("backbone") == "mobilenet_v2" and "head" not in model:
            config.model.batch_norm = (
                "folded"  # that version had no other, and did not read the key
            )
    return lock(config)


def _restored(value: Any, at: str = "") -> Any:
    """A value from JSON at a key of the config, with today's types and names of keys."""
    if isinstance(value, dict):
        return {
            RENAMED.get(f"{at}{key}", key): _restored(inner, f"{at}{key}.")
            for key, inner in value.items()
        }
    return tuple(_restored(item) for item in value) if isinstance(value, list) else value
