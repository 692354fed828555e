"""A run's folder or a prepared data set in Google Cloud Storage, `gs://BUCKET/FOLDER`.

Objects can be neither appended to nor renamed, and several of them cannot be changed at once. So a
run is computed in a *working copy* on this machine's disk, and *published* whenever all of it is
saved: the files that changed since become objects of a new version, and `manifest.json`, one
object, then says which object each file is.

    gs://BUCKET/FOLDER/manifest.json             {"version", "writer", "files": {name: entry}}
    gs://BUCKET/FOLDER/000012.5f3a/summary.json  put there by the process 5f3a for version 12

An entry is {"at": "000012.5f3a", "sha256"}. Who reads `manifest.json` sees one version,
whole, whenever a writer died. A run that starts again makes its working copy equal to that version,
on this machine or on another one.

`download` and `upload` are for what is written once: objects by their plain names, the one that
tells that all is there as the last.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import secrets
import shutil
from collections.abc import Callable, Iterator
from typing import Any

from labor_jax.util import addresses, cache, files, lock
from labor_jax.util.errors import FULL, UserError

__all__ = [
    "data_folder",
    "download",
    "holds",
    "local_folder",
    "reading_folder",
    "upload",
    "working_copy",
    "working_folder",
]

MANIFEST = "manifest.json"
"""The object that names all others of a run's newest version."""
COPY = "copy"
"""The part of a working copy that is held while a process fills or publishes it."""
TRIES = 5
"""How often a reader begins again whose version was replaced while it was read."""

Manifest = dict[str, Any]


# ------------------------------------------------------------------------------------- a run


@contextlib.contextmanager
def working_copy(address: str) -> Iterator[tuple[pathlib.Path, Callable[[], None]]]:
    """The newest version of a run, as a folder of this machine that may be written to.

    Args:
      address: gs://BUCKET/FOLDER; a new run has nothing there yet.
    Yields:
      The folder, and a function that publishes it. That function raises UserError where another
      process has published to the address since, or the bucket cannot be reached.
    Raises:
      UserError: gcsfs is not installed, the bucket cannot be read or written, what is there is no
        run, or another process of this machine has the working copy.
    """
    folder, me = working_folder(address), secrets.token_hex(4)
    with lock.hold(folder, COPY, "labor-jax run"):
        with _told(address):
            seen = _read(address)
            _fetch(address, seen, folder)
            _sweep(address, seen)

        def publish() -> None:
            nonlocal seen
            with _told(address):
                seen = _publish(address, folder, seen, me)

        yield folder, publish


def local_folder(path: str | os.PathLike, name: str) -> str:
    """A run's folder on this machine: the path itself, or a copy of the newest version of a bucket.

    Args:
      path: of this machine, or gs://BUCKET/FOLDER.
      name: of the flag, for the message.
    Raises:
      UserError: it is neither, or no run can be read there.
    """
    if not addresses.in_bucket(path):
        return addresses.local(path, name)
    address = addresses.bucket_folder(path, name)
    folder = reading_folder(address)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with lock.one_at_a_time(folder.with_name(f".{folder.name}.lock")), _told(address):
        for tries_left in reversed(range(TRIES)):
            manifest = _read(address)
            try:
                _fetch(address, manifest, folder)
                break
            except FileNotFoundError:  # of a version that was replaced meanwhile
                if not tries_left or _read(address) == manifest:
                    raise
    return str(folder)


def working_folder(address: str) -> pathlib.Path:
    """Where the working copy of an address is on this machine."""
    return _place(address, "runs")


def reading_folder(address: str) -> pathlib.Path:
    """Where the copy of an address that `local_folder` makes is; the next one overwrites it."""
    return _place(address, "read")


def _place(address: str, kind: str) -> pathlib.Path:
    """The folder of this machine in which a copy of an address is kept."""
    digest = hashlib.sha256(address.encode()).hexdigest()[:16]
    return cache.folder("buckets") / kind / f"{address.rpartition('/')[2][:40]}.{digest}"


def _read(address: str) -> Manifest:
    """The manifest of a run; that of version 0 where nothing is there."""
    system = _system()
    try:
        found = json.loads(system.cat_file(f"{address}/{MANIFEST}"))
        return {
            "version": int(found["version"]),
            "writer": found["writer"],
            "files": dict(found["files"]),
        }
    except FileNotFoundError:
        if there := system.find(address):
            raise UserError(
                f"--workdir: {address} has {os.path.relpath(there[0], address[len('gs://') :])}, "
                f"but no run (no {MANIFEST}); give a new folder"
            ) from None
        return {"version": 0, "writer": "", "files": {}}
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"--workdir: {address}/{MANIFEST} is damaged; restore it from a copy, or give another "
            f"folder"
        ) from None


def _write(address: str, manifest: Manifest) -> None:
    _system().pipe_file(f"{address}/{MANIFEST}", (json.dumps(manifest, indent=1) + "\n").encode())


def _fetch(address: str, manifest: Manifest, folder: pathlib.Path) -> None:
    """Makes a folder equal to a version: gets what is missing or differs, deletes all else.

    Raises:
      UserError: an object has not the bytes that were published.
    """
    files.remove_partial(folder)
    for name in _names(folder) - manifest["files"].keys():
        (folder / name).unlink()
    for name, entry in manifest["files"].items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"--workdir: {address}/{MANIFEST} names {name!r}, which lies outside")
        if path.is_file() and _digest(path) == entry["sha256"]:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = files.partial_of(path)
        _system().get_file(_object(address, name, entry), str(partial))
        if _digest(partial) != entry["sha256"]:
            partial.unlink()
            raise UserError(
                f"--workdir: {_object(address, name, entry)} is not what was published; restore it "
                f"from a copy, or give another folder"
            )
        os.replace(partial, path)
    for inner, _, _ in os.walk(folder, topdown=False):
        if inner != str(folder):
            with contextlib.suppress(OSError):
                os.rmdir(inner)  # it is empty: a checkpoint of another version


def _publish(address: str, folder: pathlib.Path, seen: Manifest, me: str) -> Manifest:
    """Makes a folder the newest version, unless it is that already; returns its manifest.

    Args:
      seen: the manifest as this process has read or written it last.
      me: names this process in the manifest.
    """
    _check_unchanged(address, seen)
    if not seen["writer"]:  # a manifest tells that what is there from now on is a run's
        seen = seen | {"writer": me}
        _write(address, seen)
    now: dict[str, Any] = {}
    version = seen["version"] + 1
    for name in sorted(_names(folder)):
        digest, known = _digest(folder / name), seen["files"].get(name)
        now[name] = known
        if known is None or known["sha256"] != digest:
            now[name] = {"at": f"{version:06d}.{me}", "sha256": digest}
            _system().put_file(str(folder / name), _object(address, name, now[name]))
    if now == seen["files"]:
        return seen
    _check_unchanged(address, seen)  # again, since the upload may have taken minutes
    manifest = {"version": version, "writer": me, "files": now}
    _write(address, manifest)
    for name, entry in seen["files"].items():
        if now.get(name) != entry:
            _system().rm_file(_object(address, name, entry))
    return manifest


def _check_unchanged(address: str, seen: Manifest) -> None:
    """Raises UserError where another process has published since."""
    if _read(address) != seen:
        raise UserError(
            f"--workdir: another process has gone on with {address} since; this one ends, and what "
            f"it published before is part of that run"
        )


def _sweep(address: str, manifest: Manifest) -> None:
    """Deletes the objects of earlier versions that a process left which died while publishing.

    Those of the next version stay: another process may be writing them.
    """
    kept = {_object(address, n, e) for n, e in manifest["files"].items()}
    for path in _system().find(address):
        version = path.removeprefix(address.removeprefix("gs://") + "/").partition(".")[0]
        old = version.isdigit() and int(version) <= manifest["version"]
        if old and f"gs://{path}" not in kept:
            _system().rm_file(path)


def _object(address: str, name: str, entry: dict[str, Any]) -> str:
    return f"{address}/{entry['at']}/{name}"


def _names(folder: pathlib.Path) -> set[str]:
    """The files of a working copy by their paths in it; locks and partial files are hidden."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {p.as_posix() for p in found if not any(part.startswith(".") for part in p.parts)}


def _digest(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --------------------------------------------------------------------------- what stays the same


def data_folder(data_dir: str | os.PathLike) -> pathlib.Path:
    """Where prepared data sets are on this machine: the path itself, or the copy of a bucket's."""
    if not addresses.in_bucket(data_dir):
        return pathlib.Path(os.path.expanduser(data_dir))
    return _place(addresses.bucket_folder(data_dir, "config.data_dir"), "data")


def holds(address: str, name: str) -> bool:
    """Whether a folder of a bucket has an object by a name.

    Raises:
      UserError: the bucket cannot be read.
    """
    with _told(address):
        return _system().exists(f"{address}/{name}")


def download(address: str, folder: pathlib.Path) -> None:
    """Copies a folder of a bucket to this machine, whole or not at all.

    Args:
      address: gs://BUCKET/FOLDER.
      folder: where; it must not exist.
    Raises:
      UserError: the bucket cannot be read.
    """
    partial, root = files.partial_of(folder), address.removeprefix("gs://")
    with _told(address):
        shutil.rmtree(partial, ignore_errors=True)
        for path in _system().find(address):
            into = partial / os.path.relpath(path, root)
            into.parent.mkdir(parents=True, exist_ok=True)
            _system().get_file(path, str(into))
        os.replace(partial, folder)


def upload(folder: pathlib.Path, address: str, last: str) -> None:
    """Puts the files of a folder into a bucket, one named `last` after all others.

    Raises:
      UserError: the bucket cannot be written.
    """
    with _told(address):
        for name in sorted(_names(folder), key=lambda name: (name == last, name)):
            _system().put_file(str(folder / name), f"{address}/{name}")


# -------------------------------------------------------------------------------------- errors


def _system() -> Any:
    """The file system of fsspec for gs://, which keeps no listing.

    Raises:
      UserError: gcsfs is not installed.
    """
    try:
        import fsspec

        return fsspec.filesystem("gs", use_listings_cache=False)
    except ImportError:
        raise UserError("gs:// needs gcsfs: pip install 'labor_jax[gcs]'") from None


@contextlib.contextmanager
def _told(address: str) -> Iterator[None]:
    """Tells in one line what a bucket answered; full disks and our own errors stay as they are."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and (error.filename or error.errno in FULL):
            raise  # of this machine's disk
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"{address} cannot be used ({type(error).__name__}: {reason}); what was published is "
            f"whole: look at the bucket's name and your credentials (`gcloud auth "
            f"application-default login`), and run the same command again"
        ) from None
