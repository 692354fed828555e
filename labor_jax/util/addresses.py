"""The paths that people give, in flags, config keys and calls: `~` is home, an address is none.

Only a run's folder and the prepared data sets may be in a bucket, `gs://BUCKET/FOLDER`.
"""

import os
import re

from labor_jax.util.errors import UserError

__all__ = ["bucket_folder", "in_bucket", "local"]

_ELSEWHERE = re.compile(r"(?P<scheme>[^/\\]+):[/\\]|\\\\")
"""`gs://bucket/x`, `http://host/x`, `user@host:/x`, and what pathlib makes of such: `gs:/bucket/x`;
and two backslashes, with which Windows begins the name of another machine.

A folder of this machine whose name ends in a colon can be given as `./name:/x`.
"""


def local(given: str | os.PathLike, name: str) -> str:
    """A path of this machine, with the home folder in place of `~`.

    Args:
      given: what a person gave.
      name: of the flag or key, for the message.
    Raises:
      UserError: it is empty, an address of something else than this machine's files, or the home
        of an unknown user.
    """
    text = os.fspath(given)
    if not text or "\0" in text:
        raise UserError(f"{name}: {text!r} is no path; give one")
    if found := _ELSEWHERE.match(text):
        mend = (
            "leave out file://"
            if found["scheme"] == "file"
            else "copy or mount what is there, and give its path"
        )
        raise UserError(f"{name}: {text!r} is an address, and no path of this machine; {mend}")
    path = os.path.expanduser(text)
    if path.startswith("~") and not os.path.lexists(path):
        raise UserError(
            f"{name}: {text!r}: there is no user {text[1:].partition('/')[0]!r}; "
            f"write ./{text} for a name that begins with ~"
        )
    return path


def in_bucket(given: str | os.PathLike) -> bool:
    """Whether what a person gave is an address in Google Cloud Storage."""
    return os.fspath(given).startswith("gs://")


def bucket_folder(given: str | os.PathLike, name: str) -> str:
    """An address gs://BUCKET/FOLDER as it is compared with others: without a slash at its end.

    Args:
      given: what a person gave, for which `in_bucket` is true.
      name: of the flag or key, for the message.
    Raises:
      UserError: it names no folder in a bucket.
    """
    parts = os.fspath(given).removeprefix("gs://").rstrip("/").split("/")
    if len(parts) < 2 or not all(parts) or {".", ".."} & set(parts):
        raise UserError(f"{name}: {os.fspath(given)!r} is no folder; give gs://BUCKET/FOLDER")
    return "gs://" + "/".join(parts)
