"""Networks whose weights are known, but are not read: their licences are a question of their own.

A config or a default must not lead into terms that nobody has looked at.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["refusal"]


class _Terms(NamedTuple):
    """Keys that only one network's files have, and what its licence asks."""

    keys: str
    network: str
    licence: str


_TERMS = (
    _Terms(
        r"(.*\.)?(rope_embed\.|storage_tokens$|layer\.\d+\.attention\.[qko]_proj\.)",
        "DINOv3",
        "Meta's own agreement, which has to be accepted",
    ),
    _Terms(
        r"(.*\.)?(encoder\.block\.\d+\.\d+\.attention\.self\.|block[1-4]\.\d+\.attn\.(q|kv|sr)\.)",
        "SegFormer",
        "non-commercial use only",
    ),
)


def refusal(keys: Iterable[str]) -> str:
    """Why a file with these keys is not read, in one line; "" where nothing is against it."""
    found = list(keys)
    for terms in _TERMS:
        if any(re.match(terms.keys, key) for key in found):
            return (
                f"it looks like {terms.network}, whose weights have a licence of their own "
                f"({terms.licence}), so they are not read; give DINOv2's, which are Apache-2.0"
            )
    return ""
