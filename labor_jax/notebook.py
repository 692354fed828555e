"""A run inside a notebook: its pictures, curves and report, and the annotator.

The annotator's page is shown in a frame if the notebook's browser and its kernel are on one
machine. Its server answers only requests to its own address from a page that keeps its cookie.
Neither is possible behind a proxy such as Colab's, so a widget asks there instead. Page and widget
give their answers to the same desk.
"""

import atexit
import base64
import contextlib
import html
import os
import pathlib
import secrets
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from markupsafe import Markup, escape

from labor_jax.annotation import journal
from labor_jax.annotation import queries as q
from labor_jax.annotation.desk import Desk
from labor_jax.config import load
from labor_jax.data import images
from labor_jax.data.labels import IGNORE, ClassTable
from labor_jax.report import page, pictures
from labor_jax.report.run_files import read_run_files
from labor_jax.selection.segments import run_pixels
from labor_jax.util import addresses, lock
from labor_jax.util.errors import UserError

if TYPE_CHECKING:
    import ipywidgets
    import ml_collections

SIDE = 480
"""About the longest side, in pixels, to which a small image is enlarged."""
STYLE = """<style>
.labor-jax { display: grid; grid-auto-flow: column;
  grid-auto-columns: minmax(0, 400px); gap: 12px; }
.labor-jax figure { margin: 0; } .labor-jax figcaption { font-size: 13px; opacity: .75; }
.labor-jax img { width: 100%; border-radius: 4px; }
.labor-jax .chart { width: 420px; max-width: 100%; color: #1f6f78; overflow: visible; }
.labor-jax-legend span { display: inline-block; margin-right: 14px; font-size: 13px; }
.labor-jax-legend i { display: inline-block; width: 12px; height: 12px; margin-right: 5px;
  border-radius: 3px; vertical-align: -1px; }
.labor-jax text { fill: #80868f; font: 11.5px system-ui, sans-serif; }
.labor-jax .grid { stroke: #80868f55; fill: none; }
.labor-jax .line { stroke: currentColor; stroke-width: 2; fill: none; }
.labor-jax circle { fill: currentColor; } .labor-jax .label { font-weight: 600; }
.labor-jax .label { paint-order: stroke; stroke-width: 4px; stroke-linejoin: round;
  stroke: var(--jp-layout-color0, var(--colab-primary-surface-color, #fff)); }
</style>"""


def demo(weights: str, device: str) -> "ml_collections.ConfigDict":
    """The demo's config: on features of DINOv2, if its file is there and a CPU need not make them.

    Args:
      weights: the file of DINOv2's small size.
      device: "cpu", "gpu" or "tpu", as `jax.default_backend()` has it.
    """
    if device == "cpu" or not os.path.isfile(weights):
        return load("toytown:frozen")
    config = load("toytown:dinov2")
    config.model.weights = weights
    return config


class Shown:
    """HTML that a notebook shows if it is the last value of a cell."""

    def __init__(self, markup: Markup) -> None:
        self._markup = markup

    def _repr_html_(self) -> str:
        return str(self._markup)


# ------------------------------------------------------------------------------------ to look at


def row(**shown: np.ndarray) -> Shown:
    """Images side by side, each [H, W, 3] uint8 RGB, with its name beneath.

    Small images are enlarged by whole pixels, large ones are shrunk. An underscore in a name is
    shown as a space.
    """
    figures = [
        Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(
            _img(fit(image, SIDE * 2 // 3)), name.replace("_", " ")
        )
        for name, image in shown.items()
    ]
    return Shown(_box(figures))


def fit(image: np.ndarray, side: int) -> np.ndarray:
    """An image [H, W, 3] uint8, resized so that its longest side has at most `side` pixels.

    It is enlarged by a whole number, or shrunk.
    """
    factor = side // max(image.shape[:2])
    if factor >= 1:
        return image.repeat(factor, axis=0).repeat(factor, axis=1)
    scale = side / max(image.shape[:2])
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def draw_asked(image: np.ndarray, query: q.Query, side: int = SIDE) -> np.ndarray:
    """A query over its image [H, W, 3] uint8: rings around points, segments in one bright colour.

    Returns:
      [h, w, 3] uint8, as large as is shown.
    """
    shown = fit(image, side)
    for piece in range(len(q.pieces(query))):
        _mark(shown, query, piece, pictures.ASKED)
    return shown


def draw_mask(image: np.ndarray, mask: np.ndarray, side: int = SIDE) -> np.ndarray:
    """A mask [H, W], where it is not 0, in one bright colour over its image [H, W, 3] uint8.

    Returns:
      [h, w, 3] uint8, as large as is shown.
    """
    shown = fit(image, side)
    _tint(shown, mask, pictures.ASKED)
    return shown


def legend(table: ClassTable) -> Shown:
    """The colour of each class."""
    chips = (
        Markup('<span><i style="background:{}"></i>{}</span>').format(pictures.css(color), name)
        for name, color in zip(table.names, table.palette, strict=True)
    )
    return Shown(
        Markup('{}<p class="labor-jax-legend">{}</p>').format(Markup(STYLE), Markup("").join(chips))
    )


def draw_answers(
    image: np.ndarray, answers: Sequence[journal.Answer], table: ClassTable, side: int = SIDE
) -> np.ndarray:
    """Answers over their image [H, W, 3] uint8, in the colours of the classes, white = unsure.

    Returns:
      [h, w, 3] uint8, as large as is shown.
    """
    shown = fit(image, side)
    for entry in answers:
        color = table.palette[entry["class"]] if entry["class"] != IGNORE else (255, 255, 255)
        if entry["kind"] == "points":
            center = _center(entry["point"], shown.shape[1] / image.shape[1])
            cv2.circle(shown, center, 6, (255, 255, 255), -1, cv2.LINE_AA)
            cv2.circle(shown, center, 5, color, -1, cv2.LINE_AA)
        else:
            _tint(shown, _pixels(entry["runs"], image.shape[:2]), color)
    return shown


def curves(workdir: str | os.PathLike) -> Shown:
    """mIoU in percent against what was asked, as the run's report draws it; SVG."""
    drawn = page.result_curves(read_run_files(addresses.local(workdir, "workdir")))
    figure = Markup("<figure>{}<figcaption>{}</figcaption></figure>")
    return Shown(_box([figure.format(curve["svg"], curve["title"]) for curve in drawn]))


def report(workdir: str | os.PathLike, height: int = 640) -> Shown:
    """The run's `report.html` in a frame of so many pixels."""
    text = pathlib.Path(addresses.local(workdir, "workdir"), "report.html").read_text()
    return Shown(
        Markup('<iframe srcdoc="{}" width="100%" height="{}" style="border:0"></iframe>').format(
            text, height
        )
    )


def _box(figures: Sequence[Markup]) -> Markup:
    return Markup('{}<div class="labor-jax">{}</div>').format(
        Markup(STYLE), Markup("").join(figures)
    )


def _img(image: np.ndarray) -> Markup:
    data = base64.b64encode(images.encode_png(image)).decode()
    return Markup('<img src="data:image/png;base64,{}">').format(data)


def _center(point: Sequence[int], scale: float) -> tuple[int, int]:
    x, y = point
    return int((x + 0.5) * scale), int((y + 0.5) * scale)


def _ring(shown: np.ndarray, center: tuple[int, int], color: Sequence[int]) -> None:
    cv2.circle(shown, center, 9, (0, 0, 0), 4, cv2.LINE_AA)
    cv2.circle(shown, center, 9, color, 2, cv2.LINE_AA)


def _pixels(runs: list[int], size: Sequence[int]) -> np.ndarray:
    inside = np.zeros(size[0] * size[1], np.uint8)
    inside[run_pixels(runs)] = 1
    return inside.reshape(size)


def _tint(shown: np.ndarray, mask: np.ndarray, color: Sequence[int]) -> None:
    inside = cv2.resize(mask, shown.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0
    shown[inside] = (0.4 * shown[inside] + 0.6 * np.array(color)).astype(np.uint8)


def _mark(shown: np.ndarray, query: q.Query, piece: int, color: Sequence[int]) -> None:
    """Marks a piece of a query in an image of any size."""
    if query["kind"] == "points":
        _ring(shown, _center(query["points"][piece], shown.shape[1] / query["size"][1]), color)
    else:
        _tint(shown, _pixels(query["segments"][piece], query["size"]), color)


# -------------------------------------------------------------------------------------- to answer


def annotator(
    workdir: str | os.PathLike, name: str, frame: bool | None = None
) -> "Frame | ipywidgets.VBox":
    """Asks the queries that the run in DIR waits for.

    Make it the last value of a cell, and call its `close()` afterwards.

    Args:
      workdir: the run's DIR.
      name: the person's, stored with the answers.
      frame: True for the annotator's page in a frame, False for the widget; None for the frame,
        except in Colab.
    Raises:
      UserError: there is no run, its files are damaged, or it is being annotated already.
    """
    use_frame = "google.colab" not in sys.modules if frame is None else frame
    return Frame(workdir, name) if use_frame else widget(workdir, name)


class Frame:
    """The annotator's page in a cell: a server of its own, until `close()` or the kernel's end."""

    def __init__(self, workdir: str | os.PathLike, name: str) -> None:
        command = [sys.executable, "-m", "labor_jax", "annotate", f"--workdir={workdir}"]
        command += ["--port=0", "--in_frame", f"--annotator={name}"]
        # The server has a session of its own, so interrupting the kernel interrupts a cell and not
        # the annotator. It reads from a pipe, and ends when the kernel's end closes that.
        pipe = subprocess.PIPE
        self._server = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )
        assert self._server.stdout is not None
        told = self._server.stdout.readline()
        if not told.startswith("open "):
            told = self._server.communicate()[1].strip().removeprefix("error: ")
            raise UserError(f"{told}; close() the widget or frame there was before")
        self.address = told.split()[1]
        atexit.register(self.close)

    def _repr_html_(self) -> str:
        # Browsers send the cookie to the notebook's own site only, so the frame's address has the
        # notebook's host name.
        mark = f"labor-jax-{secrets.token_hex(4)}"
        rest = self.address.removeprefix("http://127.0.0.1")
        return (
            f'<p>Empty? Open <a href="{self.address}" target="_blank">the page</a> itself, or give '
            f'<code>frame=False</code>.</p><iframe id="{mark}" width="100%" height="720" '
            f'style="border:0"></iframe><script>document.getElementById("{mark}").src = '
            f'"http://" + location.hostname + "{html.escape(rest)}"</script>'
        )

    def close(self) -> None:
        """Ends the server; every answer shown as saved is in the journal."""
        self._server.terminate()
        self._server.wait()
        for pipe in (self._server.stdin, self._server.stdout, self._server.stderr):
            if pipe:
                pipe.close()


def widget(workdir: str | os.PathLike, name: str) -> "ipywidgets.VBox":
    """Asks piece by piece, with a button for each class.

    Args:
      workdir: the run's DIR.
      name: the person's, stored with the answers.
    Returns:
      The widget. Until its `close()` no other program takes answers to this run.
    Raises:
      UserError: there is no run, its files are damaged, or it is being annotated already.
    """
    import ipywidgets

    from labor_jax.annotation import serving

    workdir = pathlib.Path(addresses.local(workdir, "workdir"))
    run, alone = serving.open_run(workdir), contextlib.ExitStack()
    try:
        alone.enter_context(lock.hold(workdir, lock.ANSWERS, "a notebook's widget"))
    except UserError as error:
        raise UserError(f"{error}; close() the widget or frame there was before") from None
    atexit.register(alone.close)
    table, read_image = run.table, run.read_image
    try:
        asking = Asking(Desk(workdir, table, is_there=run.is_there), name)
    except UserError:
        alone.close()
        raise

    class Widget(ipywidgets.VBox):
        def close(self) -> None:
            super().close()
            alone.close()

    text, picture = ipywidgets.HTML(), ipywidgets.Image(format="png")

    def refresh() -> None:
        text.value = asking.describe()
        picture.layout.display = "" if asking.query else "none"
        if asking.query:
            shown = draw_piece(read_image(asking.query["image"]), asking.query, asking.piece)
            picture.value = images.encode_png(shown)

    def button(label: str, color: str | None, act: Any) -> ipywidgets.Button:
        def clicked(_: Any) -> None:
            act()
            refresh()

        made = ipywidgets.Button(description=label, layout={"width": "auto"})
        made.style.button_color = color
        if color:
            made.style.text_color = _readable(color)
        made.on_click(clicked)
        return made

    buttons = [
        button(label, pictures.css(color), lambda k=k: asking.answer(k))
        for k, (label, color) in enumerate(zip(table.names, table.palette, strict=True))
    ]
    buttons.append(button("unsure", None, lambda: asking.answer(IGNORE)))
    buttons.append(button("take back", None, asking.undo))
    wrap = ipywidgets.Layout(display="flex", flex_flow="row wrap")
    refresh()
    if run.said:
        print(run.said)
    return Widget([text, picture, ipywidgets.Box(buttons, layout=wrap)])


class Asking:
    """The piece that is asked now, and the answers given so far.

    Attributes:
      query: the query as the desk shows it; None when nothing is open.
      piece: the number of its piece.
    """

    def __init__(self, desk: Desk, name: str) -> None:
        self._desk, self._name = desk, name
        self._client = secrets.token_hex(8)
        self._said: list[tuple[str, str]] = []  # answer, task
        self._go_on(None)

    def _go_on(self, want: str | None) -> None:
        self._where = self._desk.take(self._client, self._name, want)
        task = self._where["task"]
        self.query = self._desk.view(task) if task else None
        if self.query:
            self.piece = journal.open_pieces(self.query, self.query["answers"])[0]
        self._since = time.monotonic()

    def answer(self, label: int) -> None:
        """Saves the class of the piece that is asked, 255 = unsure, and goes on to the next."""
        if self.query:
            task = self.query["task"]
            number = self._record(task, {"piece": self.piece, "class": label})
            self._said.append((number, task))
            view = self._desk.view(task)
            self._go_on(task if view and journal.open_pieces(view, view["answers"]) else None)

    def undo(self) -> None:
        """Takes the last answer back, and asks its piece again."""
        if self._said:
            number, task = self._said.pop()
            self._record(task, {"undo": number})
            self._go_on(task)

    def _record(self, task: str, what: dict[str, Any]) -> str:
        number = secrets.token_hex(8)
        seconds = min(time.monotonic() - self._since, 3600.0)
        said = {"id": number, "task": task, "seconds": seconds, **what}
        refused = self._desk.record(self._client, self._name, [said])["refused"]
        if refused:
            raise UserError(f"the answer was not taken: {refused[number]}")
        return number

    def describe(self) -> str:
        """HTML that says which piece is asked and how many images are open."""
        if not self.query:
            return "<b>All is answered.</b> Go on in the notebook."
        pieces, left = len(q.pieces(self.query)), self._where["open"]
        return (
            f"<b>What is in the {'ring' if self.query['kind'] == 'points' else 'bright area'}?</b> "
            f"{self.query['kind'].removesuffix('s')} {self.piece + 1} of {pieces} · image "
            f"{escape(self.query['image'])} · {left} image{'s' * (left != 1)} open"
        )


def draw_piece(image: np.ndarray, query: q.Query, piece: int) -> np.ndarray:
    """The image [H, W, 3] uint8 with one piece marked, and its surroundings enlarged beside it.

    Returns:
      [h, w, 3] uint8.
    """
    whole = fit(image, SIDE).copy()
    _mark(whole, query, piece, pictures.ASKED)
    side = whole.shape[0]
    pixels = q.piece_pixels(query, piece)
    rows, columns = np.divmod(pixels, query["size"][1])
    window = max(min(query["size"]) // 4, 16)  # pixels of the image, around the piece
    top, left = (
        int(np.clip(at.mean() - window / 2, 0, max(0, length - window)))
        for at, length in zip((rows, columns), query["size"], strict=True)
    )
    near = image.copy()
    if query["kind"] == "segments":
        _mark(near, query, piece, pictures.ASKED)
    near = near[top : top + window, left : left + window]
    near = cv2.resize(near, (side, side), interpolation=cv2.INTER_NEAREST)
    if query["kind"] == "points":
        x, y = query["points"][piece]
        _ring(near, _center((x - left, y - top), side / window), pictures.ASKED)
    return np.concatenate([whole, np.full((side, 8, 3), 255, np.uint8), near], axis=1)


def _readable(color: str) -> str:
    """Black or white, whichever can be read on a colour #rrggbb."""
    red, green, blue = (int(color[k : k + 2], 16) for k in (1, 3, 5))
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 140 else "black"
