"""Files with mistakes: real ones of which bytes, values or attributes were changed."""

import copy
import json
import re
from typing import Any

from hypothesis import strategies as st

MARKS = [b"", b"\0", b"[", b"]", b"{", b"}", b'"', b"<", b">", b"&#0;", b"\xff\xfe", b"\xff"]
TOKENS = [*MARKS, b"null", b"NaN", b"1e999", b"-1", b"0", b"9" * 40, b"\\ud800", b"[" * 2000]
VALUES = st.one_of(
    st.sampled_from(
        [None, True, "", [], {}, [[]], [{}], -1, 0, 2**63, 10**40, 1e308, float("nan"), "9" * 40]
    ),
    st.floats(),
    st.integers(-300, 300),
    st.text(max_size=8),
    st.lists(st.integers(-5, 300), max_size=8),
)


LETTERS = st.characters(exclude_characters='<>&"', exclude_categories=["C"])


@st.composite
def texts(draw: st.DrawFn, source: bytes) -> bytes:
    """Bytes of which a few pieces were cut out, doubled or written over."""
    data = source
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.sampled_from([0, 1, 1, 2, 8, 64, 10**6])))
        piece = draw(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=4)))
        piece += data[start:stop] * draw(st.integers(0, 2))
        data = data[:start] + piece + data[stop:]
    return data


@st.composite
def jsons(draw: st.DrawFn, source: bytes) -> bytes:
    """A JSON file of which a few values were replaced, dropped or doubled, at any depth."""
    value = json.loads(source)
    for _ in range(draw(st.integers(1, 4))):
        value = _changed(draw, value)
    return json.dumps(value).encode()


def _changed(draw: st.DrawFn, value: Any) -> Any:
    """A value, or one inside it, that was changed."""
    inside = value if isinstance(value, list | dict) and value else None
    if inside is None or draw(st.integers(0, 5)) == 0:
        return draw(VALUES)
    value = copy.copy(value)
    keys = range(len(value)) if isinstance(value, list) else list(value)
    key = draw(st.sampled_from(keys))
    action = draw(st.integers(0, 9))
    if action == 0:
        del value[key]
    elif action == 1 and isinstance(value, list):
        value.append(value[key])
    elif action == 1:
        value[draw(st.sampled_from(list(value)))] = value[key]
    else:
        value[key] = _changed(draw, value[key])
    return value


@st.composite
def attributes(draw: st.DrawFn, source: bytes) -> bytes:
    """An XML file of which a few attributes have other values."""
    text = source.decode("utf-16" if source.startswith(b"\xff\xfe") else "utf-8")
    for _ in range(draw(st.integers(1, 4))):
        found = list(re.finditer(r'"([^"]*)"', text))
        match = draw(st.sampled_from(found))
        old = match[1]
        numbers = re.findall(r"-?[\d.]+", old)
        new = draw(
            st.one_of(
                st.sampled_from(["", "nan", "1e400", "-1", "9" * 30, ";", ",", "0,0", old + old]),
                st.integers(-20, 400).map(str),
                st.floats().map(str),
                st.text(
                    st.characters(exclude_characters='<>&"', exclude_categories=["C"]), max_size=6
                ),
            )
        )
        if numbers and draw(st.booleans()):
            new = old.replace(draw(st.sampled_from(numbers)), new, 1)
        text = text[: match.start(1)] + new + text[match.end(1) :]
    return text.encode("utf-8")


def files(name: str, source: bytes) -> st.SearchStrategy[bytes]:
    """Contents like `source`, with mistakes; `name` says of which kind it is."""
    kinds = {".json": jsons, ".xml": attributes}
    kind = next((make for suffix, make in kinds.items() if name.endswith(suffix)), None)
    return st.one_of(*[make(source) for make in (texts, kind) if make])
