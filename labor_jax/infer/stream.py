"""Segments a folder of images or a video; threads read ahead of the device and write after it."""

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

import cv2
import numpy as np

from labor_jax.data import image_files, images, labels
from labor_jax.data.domain import Domain, Headers
from labor_jax.data.transforms import resize_image
from labor_jax.infer import batches, restore
from labor_jax.infer.batches import THREADS, Size
from labor_jax.infer.segmenter import Predictor
from labor_jax.util import contents, errors, outputs
from labor_jax.util.ahead import ahead, tried
from labor_jax.util.progress import show_progress
from labor_jax.util.tally import UNREADABLE, Tally

__all__ = [
    "DEFAULT",
    "OVERLAY",
    "Loaded",
    "Options",
    "Predicted",
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

    @property
    def size(self) -> Size:
        """The native (height, width)."""
        return self.image.shape[0], self.image.shape[1]


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

    def canvases() -> Mapping[Size, Size]:
        if options.tile or domain.headers is None:
            return {}
        found = ahead(tried(domain.headers), range(number), THREADS, 4 * THREADS)
        return batches.canvases(one.size for one in found if isinstance(one, Headers))

    was_read: set[str] = set()
    with show_progress("predict", 0, number, "image") as progress:
        write = writer(run, options, folder)

        def written(one: tuple[Loaded, np.ndarray | Exception]) -> tuple[str, Exception | None]:
            image, label = one
            ended = label if isinstance(label, Exception) else tried(write)((image, label))
            return image.name, ended if isinstance(ended, Exception) else None

        predicted = segmented(run, options, whole(), canvases())
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


def segmented(
    run: restore.Restored,
    options: Options,
    found: Iterable[Loaded],
    canvases: Mapping[Size, Size] = MappingProxyType({}),
) -> Iterator[tuple[Loaded, np.ndarray | Exception]]:
    """Each image with its label map [H, W] uint8, or with the error that it leads to.

    Images of one canvas stay in order. A size without a canvas is its own.
    """
    predictor, batch_size = Predictor(run), run.config.eval_batch_size

    def canvas_of(one: Loaded) -> Size:
        return canvases.get(one.size, one.size)

    def infer(batch: tuple[list[Loaded], int]) -> list[tuple[Loaded, np.ndarray]]:
        some, rows = batch
        if options.tile:
            maps = [predictor.predict(s.image, options.tile, options.overlap) for s in some]
            return list(zip(some, maps, strict=True))
        views = np.stack([s.view for s in some + some[-1:] * (rows - len(some))])
        natives = batches.natives_of([s.size for s in some], rows, canvases)
        return list(zip(some, run.predict(views, canvas_of(some[0]), natives), strict=False))

    def each(batch: tuple[list[Loaded], int]) -> list[tuple[Loaded, np.ndarray | Exception]]:
        some, rows = batch
        found = tried(infer)(batch)
        if not isinstance(found, Exception):
            return list(found)
        if len(some) == 1 == rows:
            return [(some[0], found)]
        return [one for image in some for one in each(([image], 1))]  # of one, or too many

    # A thread of its own, so that the device does not wait until results are passed on.
    together = batches.together(found, canvas_of, batch_size)
    for of_batch in ahead(each, together, threads=1, limit=2):
        yield from of_batch


def whole_frames(
    found: Iterable[tuple[Loaded, np.ndarray | Exception]],
) -> Iterator[tuple[Loaded, np.ndarray]]:
    """The same without errors: the first one is raised, where nothing goes on without an image."""
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
