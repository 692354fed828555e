"""Draws many scenes on all cores.

The workers are plain commands that write pixels to a pipe, not `multiprocessing`: they import
nothing but the renderer, whatever program, notebook or worker process asks for the scenes.
"""

import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import cv2
import numpy as np

from labor_jax.data import toytown

WORTH_PROCESSES = 40
"""From this many scenes on, starting processes saves time."""


def render_many(
    look: str, seed: int, count: int, height: int, width: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """`toytown.render` for the indices 0 … count - 1, in order.

    If no process can be started, or one dies, the caller's process draws the missing scenes.
    """
    cores = os.cpu_count() or 1
    workers = start(cores, look, seed, count, height, width) if count >= WORTH_PROCESSES else []
    try:
        for index in range(count):
            scene = receive(workers[index % cores], height, width) if workers else None
            yield scene or toytown.render(look, seed, index, height, width)
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def start(cores: int, *scenes: str | int) -> list[subprocess.Popen]:
    """One worker for each core, each with every `cores`-th scene; [] if none can be started."""
    root = pathlib.Path(toytown.__file__).parents[3]
    paths = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "labor_jax.data.toytown.workers", *map(str, scenes)]
    try:
        return [
            subprocess.Popen(
                [*command, str(first), str(cores)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": paths},
            )
            for first in range(cores)
        ]
    except OSError:
        return []


def receive(
    worker: subprocess.Popen, height: int, width: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """The worker's next scene; None if it died."""
    assert worker.stdout is not None  # a pipe
    data = worker.stdout.read(height * width * 4)
    if len(data) < height * width * 4:
        return None
    pixels = np.frombuffer(data, np.uint8)
    image, label = np.split(pixels, [height * width * 3])
    return image.reshape(height, width, 3), label.reshape(height, width)


def serve(look: str, seed: int, count: int, height: int, width: int, first: int, step: int) -> None:
    """A worker: writes image and label of every `step`-th scene to stdout."""
    cv2.setNumThreads(1)  # the other cores have a worker of their own
    for index in range(first, count, step):
        image, label = toytown.render(look, seed, index, height, width)
        sys.stdout.buffer.write(image.tobytes() + label.tobytes())
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    serve(sys.argv[1], *map(int, sys.argv[2:]))
