"""Networks whose published weights have licences that are a question of their own.

A config or a default must not lead into terms that nobody has looked at, so their files are refused
until someone says that a licence was accepted.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["NAMES", "of_backbone", "refusal"]


class _Terms(NamedTuple):
    """Keys that only one network's files have, and what its licence asks.

    Attributes:
      name: by which the licence is accepted, and with which names of backbones begin; "" where the
        network is not among them.
    """

    keys: str
    network: str
    licence: str
    name: str = ""


_TERMS = (
    _Terms(
        r"(.*\.)?(rope_embed\.|storage_tokens$|layer\.\d+\.attention\.[qko]_proj\.)",
        "DINOv3",
        "Meta's own agreement, which has to be accepted",
        "dinov3",
    ),
    _Terms(
        r"(.*\.)?(encoder\.block\.\d+\.\d+\.attention\.self\.|block[1-4]\.\d+\.attn\.(q|kv|sr)\.)",
        "SegFormer",
        "non-commercial use only",
    ),
)

NAMES = tuple(terms.name for terms in _TERMS if terms.name)
"""What `model.accept_licence` can name."""


def refusal(keys: Iterable[str], accepted: str = "") -> str:
    """Why a file with these keys is not read, in one line; "" where nothing is against it.

    accepted: the one of NAMES whose licence was accepted; "" = none.
    """
    found = list(keys)
    for terms in _TERMS:
        if any(re.match(terms.keys, key) for key in found):
            if terms.name and terms.name == accepted:
                return ""
            mend = "it is no backbone here"
            if terms.name:
                mend = (
                    f"if you have accepted it, say --config.model.accept_licence={terms.name}, or "
                    f"--accept_licence={terms.name} to convert-weights"
                )
            return (
                f"it looks like {terms.network}, whose weights have a licence of their own "
                f"({terms.licence}); {mend}; DINOv2's weights are under Apache-2.0"
            )
    return ""


def of_backbone(backbone: str) -> str:
    """What the licence of a backbone's published weights asks; "" where it is no question."""
    named = (terms for terms in _TERMS if terms.name)
    found = (t.licence for t in named if backbone.startswith(f"{t.name}_"))
    return next(found, "")
