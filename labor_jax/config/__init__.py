"""The keys of a config, and how configs are found, read and compared.

A config file imports what it needs from here: `from labor_jax.config import default_config`.
"""

from labor_jax.config.files import check_variant, load
from labor_jax.config.protocol import Costs, Protocol
from labor_jax.config.schema import default_config

__all__ = ["Costs", "Protocol", "check_variant", "default_config", "load"]
