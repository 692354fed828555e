"""Segments a folder of images or a video; threads read ahead of the device and write after it."""

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np

from labor_jax.data import image_files, images, labels
from labor_jax.data.domain import Domain, Headers
from labor_jax.data.transforms import resize_image
from labor_jax.infer import restore
from labor_jax.infer.segmenter import Predictor
from labor_jax.util import contents, errors, outputs
from labor_jax.util.ahead import ahead, tried
from labor_jax.util.progress import show_progress
from labor_jax.util.tally import UNREADABLE, Tally

__all__ = [
    "DEFAULT",
    "OVERLAY",
    "THREADS",
    "Loaded",
    "Options",
    "Predicted",
    "by_size",
    "frames",
    "loaded",
    "opened_video",
    "predict_folder",
    "predict_video",
    "segmented",
    "video_writer",
    "whole_frames",
    "writer",
]


THREADS = max(2, min(16, (os.cpu_count() or 1) // 2))
"""How many threads read, and how many write. One more thread waits for the device."""

OVERLAY = "overlay.mp4"
FRAMES = "[0-9]" * 6 + ".png"
"""The label maps of a video's frames, as a pattern."""


class Options(NamedTuple):
    """How images are predicted and what is written.

    Attributes:
      label_ids: whether only label maps are written, with the numbers that label files have.
      overlay: whether pictures of the classes over the images are written, too.
      tile, overlap: as in `Predictor.predict`.
    """

    label_ids: bool = False
    overlay: bool = True
    tile: tuple[int, int] | None = None
    overlap: int = 64


DEFAULT = Options()


class Predicted(NamedTuple):
    """What became of a folder: its images, and the error of each image that was left out."""

    tally: Tally
    broken: list[str]


class Loaded(NamedTuple):
    """An image that was read, ready to be predicted.

    Attributes:
      name: its id.
      image: [H, W, 3] uint8 RGB, of its native size.
      view: [h, w, 3] uint8, of the size at which the network sees it; `image` itself for tiles.
    """

    name: str
    image: np.ndarray
    view: np.ndarray


def predict_folder(
    run: restore.Restored,
    domain: Domain,
    out: pathlib.Path,
    options: Options = DEFAULT,
    reads: Iterable[str | os.PathLike] = (),
) -> Predicted:
    """Writes the label map and the overlay of every image of a domain, or its label ids alone.

    An image that cannot be read, segmented or written is left out, whatever is wrong with it.

    Args:
      out: a folder that `outputs.Folder` allows.
      reads: what is read, which `out` must be apart from.
    Raises:
      UserError: all images are left out, or a file to be written is not ours.
      OSError: nothing can be written there, for example because the disk is full.
    """
    folder = outputs.Folder(out, "--out", reads)
    folder.check(name for image in domain.ids for name in _names(image, options))
    tally, broken = Tally("image"), list[str]()
    if domain.tally:
        tally.merge(domain.tally)
    number = len(domain.ids)

    def read(index: int) -> tuple[Loaded, Headers | None]:
        image = loaded(run, options, domain.ids[index], domain.read_image(index))
        return image, domain.headers(index) if domain.headers else None

    def leave_out(name: str, error: Exception) -> None:
        if errors.ends_all(error):
            raise error
        told = errors.told_of(name, error)
        broken.append(told)
        why = UNREADABLE if name not in was_read else "that cannot be segmented"
        tally.leave_out("image", why, told)
        progress.advance(tally.taken + len(broken))

    def whole() -> Iterator[Loaded]:
        found = ahead(tried(read), range(number), THREADS, 4 * THREADS)
        for name, one in zip(domain.ids, found, strict=True):
            if isinstance(one, Exception):
                leave_out(name, one)
                continue
            was_read.add(name)
            for change in one[1].changes if one[1] else ():
                tally.change(*change, name)
            yield one[0]

    was_read: set[str] = set()
    with show_progress("predict", 0, number, "image") as progress:
        write = writer(run, options, folder)

        def written(one: tuple[Loaded, np.ndarray | Exception]) -> tuple[str, Exception | None]:
            image, label = one
            ended = label if isinstance(label, Exception) else tried(write)((image, label))
            return image.name, ended if isinstance(ended, Exception) else None

        predicted = segmented(run, options, whole())
        for name, error in ahead(written, predicted, THREADS, 4 * THREADS):
            if error is not None:
                leave_out(name, error)
                continue
            tally.take()
            progress.advance(tally.taken + len(broken))
    if len(broken) == number:
        raise errors.UserError(f"none of {domain.name} can be segmented; the first: {broken[0]}")
    return Predicted(tally, broken)


def predict_video(
    run: restore.Restored,
    path: pathlib.Path,
    out: pathlib.Path,
    options: Options = DEFAULT,
    reads: Iterable[str | os.PathLike] = (),
) -> tuple[int, list[str]]:
    """Writes the label map of every frame of a video, and a video with the classes over it.

    The arguments are as of `predict_folder`, with a video in place of the domain.

    Returns:
      The number of frames; an error if frames are missing at the end of the file.
    Raises:
      UserError: the file is no video, or it has no frame, or a file to be written is not ours.
    """
    folder = outputs.Folder(out, "--out", [path, *reads])
    folder.check([OVERLAY, *(frame.name for frame in out.glob(FRAMES))])
    with opened_video(path) as video:
        count = max(0, int(video.get(cv2.CAP_PROP_FRAME_COUNT)))
        with (
            show_progress("predict", 0, count, "frame") as progress,
            video_writer(folder, video.get(cv2.CAP_PROP_FPS)) as add,
        ):
            found = ahead(
                lambda frame: loaded(run, options, *frame), frames(video), THREADS, 4 * THREADS
            )
            done, write = 0, writer(run, options, folder, apart=False)
            predicted = segmented(run, options, found)
            for shown in ahead(write, whole_frames(predicted), THREADS, 4 * THREADS):
                if shown is not None:
                    add(shown)
                done += 1
                progress.advance(min(done, count))
    if not done:
        raise errors.UserError(f"{path}: no frame can be read; replace it")
    lacking = [f"{path}: {count - done} of {count} frames cannot be read"] if done < count else []
    return done, lacking


def loaded(run: restore.Restored, options: Options, name: str, image: np.ndarray) -> Loaded:
    """An image as the network will see it."""
    if options.tile:
        return Loaded(name, image, image)
    return Loaded(name, image, resize_image(image, restore.views(run.config)[-1]))


def by_size(found: Iterable[Loaded], batch_size: int) -> Iterator[list[Loaded]]:
    """Batches of images of one native size; at most a few batches' images wait to be filled up."""
    waiting: dict[tuple[int, ...], list[Loaded]] = {}
    for one in found:
        size = one.image.shape
        waiting.setdefault(size, []).append(one)
        if len(waiting[size]) == batch_size:
            yield waiting.pop(size)
        elif sum(map(len, waiting.values())) >= 4 * batch_size:
            yield waiting.pop(max(waiting, key=lambda size: len(waiting[size])))
    yield from waiting.values()


def segmented(
    run: restore.Restored, options: Options, found: Iterable[Loaded]
) -> Iterator[tuple[Loaded, np.ndarray | Exception]]:
    """Each image with its label map [H, W] uint8, or with the error that it leads to.

    Images of one size stay in order.
    """
    predictor, batch_size = Predictor(run), run.config.eval_batch_size
    compiled: set[tuple[int, ...]] = set()

    def infer(batch: list[Loaded]) -> list[tuple[Loaded, np.ndarray]]:
        if options.tile:
            maps = [predictor.predict(s.image, options.tile, options.overlap) for s in batch]
            return list(zip(batch, maps, strict=True))
        size = batch[0].image.shape[:2]
        # Compiling for a smaller last batch takes longer than filling it up with copies.
        filled = batch + batch[-1:] * (batch_size - len(batch) if size in compiled else 0)
        found = run.predict(np.stack([s.view for s in filled]), size)
        if len(batch) == batch_size:
            compiled.add(size)
        return list(zip(batch, found, strict=False))

    def each(batch: list[Loaded]) -> list[tuple[Loaded, np.ndarray | Exception]]:
        together = tried(infer)(batch)
        if not isinstance(together, Exception):
            return list(together)
        if len(batch) == 1:
            return [(batch[0], together)]
        return [one for image in batch for one in each([image])]  # it may be of one, or too many

    # A thread of its own, so that the device does not wait until results are passed on.
    for batch in ahead(each, by_size(found, batch_size), threads=1, limit=2):
        yield from batch


def whole_frames(
    found: Iterable[tuple[Loaded, np.ndarray | Exception]],
) -> Iterator[tuple[Loaded, np.ndarray]]:
    """The same without errors: the first one is raised, as no video goes on without a frame."""
    for image, label in found:
        if isinstance(label, Exception):
            raise label
        yield image, label


def writer(
    run: restore.Restored, options: Options, out: outputs.Folder, apart: bool = True
) -> Callable[[tuple[Loaded, np.ndarray]], np.ndarray | None]:
    """A function that writes an image's files.

    It returns the overlay, unless that is a file of its own (`apart`).
    """

    def write(predicted: tuple[Loaded, np.ndarray]) -> np.ndarray | None:
        (name, image, _), label = predicted
        map_name, *overlay_name = _names(name, options)
        if options.label_ids:
            out.write(map_name, images.encode_png(labels.label_ids(label, run.table)))
            return None
        out.write(map_name, images.encode_label_png(label, run.table))
        if not options.overlay:
            return None
        shown = images.overlay(image, label, run.table)
        if not apart:
            return shown
        out.write(overlay_name[0], images.encode_jpeg(shown))
        return None

    return write


def _names(image: str, options: Options) -> list[str]:
    """The names of an image's label map and, if it has one, of its overlay."""
    overlay = [f"{image}_overlay.jpg"] * (options.overlay and not options.label_ids)
    return [f"{image}.png", *overlay]


@contextlib.contextmanager
def opened_video(path: pathlib.Path) -> Iterator[cv2.VideoCapture]:
    """Raises UserError unless OpenCV can read it."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # FFmpeg would print errors of its own
    video = cv2.VideoCapture(str(path))
    try:
        if not video.isOpened():
            with open(path, "rb") as file:
                if mistaken := contents.mistaken(file.read(contents.BEGIN)):
                    raise errors.UserError(f"--images: {path} {mistaken}")
            kinds = ", ".join(image_files.SUFFIXES)
            raise errors.UserError(
                f"--images: {path} is no video that OpenCV can read; give one, or a folder, or an "
                f"image ({kinds})"
            )
        yield video
    finally:
        video.release()


def frames(video: cv2.VideoCapture) -> Iterator[tuple[str, np.ndarray]]:
    """The name and the image [H, W, 3] uint8 RGB of each frame, in order."""
    number = 0
    while True:
        there, frame = video.read()
        if not there:
            return
        yield f"{number:06d}", cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        number += 1


@contextlib.contextmanager
def video_writer(out: outputs.Folder, rate: float) -> Iterator[Callable[[np.ndarray], None]]:
    """Yields a function that adds a frame [H, W, 3] uint8 RGB to `OVERLAY`.

    The file appears when it is whole.

    Raises:
      UserError: OpenCV cannot write videos here, or could not write the whole video.
    """
    path = out.path / OVERLAY
    partial = path.with_name(f".{os.getpid()}.partial.{path.name}")  # OpenCV needs the suffix
    file: cv2.VideoWriter | None = None
    added = 0

    def add(frame: np.ndarray) -> None:
        nonlocal file, added
        if file is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            code = cv2.VideoWriter.fourcc(*"mp4v")
            size = (frame.shape[1], frame.shape[0])
            file = cv2.VideoWriter(str(partial), code, rate if rate > 0 else 25.0, size)
            if not file.isOpened():
                raise errors.UserError(f"{path}: OpenCV cannot write it; add --nooverlay")
        file.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        added += 1

    try:
        yield add
        if file is not None:
            file.release()
            if not _has_frames(partial, added):  # OpenCV does not report a full disk
                raise errors.UserError(
                    f"{path}: could not be written whole; free some space, or add --nooverlay"
                )
            out.move_in(partial, OVERLAY)
    finally:
        partial.unlink(missing_ok=True)


def _has_frames(path: pathlib.Path, number: int) -> bool:
    video = cv2.VideoCapture(str(path))
    try:
        return video.isOpened() and int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == number
    finally:
        video.release()
