"""What a reader of many parts took, left out and changed, and how that is told.

A reader does not stop at a bad part: it counts the part in a `Tally` with the reason, and goes on.

    7 answers taken; left out: 2 shapes, 41 pixels
"""

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

from labor_jax.util.errors import UserError

K = TypeVar("K")

EXAMPLES = 3
"""How many examples are kept for each reason."""
LONGEST = 400
"""How many characters of an example: a path, what is wrong there, and the mend."""


UNREADABLE = "that cannot be read"
"""The reason where a part is damaged in a way that nothing foresaw."""


NAMELESS = re.compile(r" <[^<>]* object at 0x[0-9a-f]+>")
"""What Python calls a file that was in another file."""


class LeftOut(Exception):
    """Ends the reading of one part: `reason` says why it is left out, `detail` what is wrong."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail


class Counted(NamedTuple):
    """How many parts had one reason, and the first few of them, each once."""

    number: int
    examples: tuple[str, ...]


class Tally:
    """What was taken, left out and changed so far.

    A reason follows its noun: "shape" and "of an unknown class" are told as "3 shapes of an unknown
    class, such as …".

    Attributes:
      taken: how many parts were taken.
      left_out: by (noun, reason), what was left out.
      changed: by (verb, noun, reason), what was taken in another form, such as
        ("turned", "image", "as its EXIF data say") or ("renamed", "image", "by its upload").
    """

    def __init__(self, noun: str) -> None:
        """Begins a tally; `noun` is one of what is taken, such as "answer" or "image"."""
        self._noun = noun
        self.taken = 0
        self.left_out: dict[tuple[str, str], Counted] = {}
        self.changed: dict[tuple[str, str, str], Counted] = {}

    def take(self, count: int = 1) -> None:
        """Counts parts that were taken."""
        self.taken += count

    def leave_out(
        self, noun: str, reason: str, example: str | Callable[[], str], count: int = 1
    ) -> None:
        """Counts parts that were left out; `example` names one, or is called if it is kept."""
        _add(self.left_out, (noun, reason), example, count)

    def change(self, verb: str, noun: str, reason: str, example: str, count: int = 1) -> None:
        """Counts parts that were taken in another form; `example` names one of them."""
        _add(self.changed, (verb, noun, reason), example, count)

    def merge(self, other: "Tally") -> None:
        """Counts what another tally left out and changed; not what it took."""
        _merge(self.left_out, other.left_out)
        _merge(self.changed, other.changed)

    def told(self) -> list[str]:
        """The lines of `reasons`, then `total`; none where all was taken as it was."""
        return [*self.reasons(), self.total()] if self.left_out or self.changed else []

    @contextlib.contextmanager
    def spare(self, noun: str, example: str) -> Iterator[None]:
        """Leaves a part out if it cannot be read, whatever is wrong with it; others are not harmed.

        To be used around the reading of one part, and only of that: any `Exception` ends here.
        """
        try:
            yield
        except LeftOut as error:
            self.leave_out(
                noun, error.reason, f"{example}: {error.detail}" if error.detail else example
            )
        except UserError as error:
            self.leave_out(noun, UNREADABLE, NAMELESS.sub("", str(error)))
        except Exception as error:
            self.leave_out(noun, UNREADABLE, f"{example}: {_plainly(error)}")

    def reasons(self) -> Iterator[str]:
        """A line for each reason: what was changed, then what was left out."""
        for (verb, noun, reason), some in self.changed.items():
            yield _line(verb, noun, reason, some)
        for (noun, reason), some in self.left_out.items():
            yield _line("left out", noun, reason, some)

    def total(self) -> str:
        """One line, the last that is told: how much was taken and how much was left out."""
        sums: dict[str, int] = {}
        for (noun, _), some in self.left_out.items():
            sums[noun] = sums.get(noun, 0) + some.number
        rest = "left out: " + ", ".join(counted(n, noun) for noun, n in sums.items())
        return f"{counted(self.taken, self._noun)} taken; {rest if sums else 'nothing left out'}"


def counted(number: int, noun: str) -> str:
    """A count with its noun: "1 image", "2,000 images"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def one_line(text: object, length: int = 120) -> str:
    """A text from a file as it can stand in a message: in one line, printable, not too long."""
    clean = "".join(c if c.isprintable() else " " for c in str(text)[: 4 * length])
    clean = " ".join(clean.split())
    return clean if len(clean) <= length else f"{clean[: length - 1]}…"


def _plainly(error: Exception) -> str:
    """What is wrong, as a person can read it."""
    if isinstance(error, KeyError):
        return f"it has no {error}"
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, TypeError | AttributeError | IndexError):
        return "it is not laid out as its format is"
    return NAMELESS.sub("", f"{type(error).__name__}: {error}")


def _merge(mine: dict[K, Counted], theirs: dict[K, Counted]) -> None:
    for key, some in theirs.items():
        before = mine.get(key, Counted(0, ()))
        examples = tuple(dict.fromkeys((*before.examples, *some.examples)))[:EXAMPLES]
        mine[key] = Counted(before.number + some.number, examples)


def _add(found: dict[K, Counted], key: K, example: str | Callable[[], str], count: int) -> None:
    before = found.get(key, Counted(0, ()))
    some = before.examples
    if len(some) < EXAMPLES:
        text = one_line(example if isinstance(example, str) else example(), LONGEST)
        some = some if text in some else (*some, text)
    found[key] = Counted(before.number + count, some)


def _line(verb: str, noun: str, reason: str, some: Counted) -> str:
    return f"{verb}: {counted(some.number, noun)} {reason}, such as {'; '.join(some.examples)}"
