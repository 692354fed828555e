"""The paths in a config: how a run is done, not what it is."""

import ml_collections

from labor_jax.config.schema import settings
from labor_jax.util import addresses

__all__ = ["DOMAINS", "folders_of", "localized"]


DOMAINS = ("source", "target", "val")
"""The sections of a config that say where images are."""


def localized(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """A copy of a config whose paths are of this machine, with the home folder in place of `~`.

    Where prepared data sets are may also be a folder of a bucket.

    Raises:
      UserError: a path is an address of something else; the error names the key.
    """
    own = config.copy_and_resolve_references()
    for key, setting in settings().items():
        section, _, name = key.rpartition(".")
        values = own[section] if section else own
        if setting.path and isinstance(values.get(name), str) and values[name]:
            in_bucket = setting.path == "bucket" and addresses.in_bucket(values[name])
            read = addresses.bucket_folder if in_bucket else addresses.local
            values[name] = read(values[name], f"config.{key}")
    return own


def folders_of(config: ml_collections.ConfigDict) -> tuple[str, ...]:
    """The folders that a config's images and labels are read from."""
    keys = ("images", "labels", "manual_dir")
    return tuple(config[name][key] for name in DOMAINS for key in keys if config[name].get(key))
