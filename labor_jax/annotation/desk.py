"""The desk gives tasks to people and writes their answers to the journal.

A task is a query, or the same query once more for a second opinion. A person works on it in a
client, such as an open page of a browser. The client holds a lease on the task: no other client
may answer it. The lease ends a while after the client's last sign of life.

Now and then a task is a check, whose answer is known (see `checks`); it is one person's alone.

A run that waits has asked all its queries. A desk with a `Supply` has none of them at first: it
draws a query when somebody is free, writes it to the stage's file, and only then gives it.

With a `Review` people may look through whole images, too. The task "review/IMAGE" needs no lease
and has pieces of the whole image. What is answered there becomes a query of its own when it is
answered, so that the files have no more than what was fixed.
"""

import collections
import itertools
import math
import os
import pathlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any, NamedTuple

import numpy as np

from labor_jax.annotation import checks, guesses, journal, ledger
from labor_jax.annotation import queries as q
from labor_jax.annotation.journal import Answer
from labor_jax.data.labels import IGNORE, ClassTable
from labor_jax.selection.segments import pixel_runs, run_pixels, segment_runs
from labor_jax.util import files

LEASE = 30.0
"""Seconds that a lease lasts after the client's last request; the page sends one every five."""
LONGEST = 3600.0
"""Seconds; an answer that claims to have taken longer is refused."""


REVIEW = "review/"
"""What the id of a task begins with in which an image is reviewed."""
SHOWN = ("image", "stage", "kind", "size", "points", "segments", "whole")
"""What a client is told of a query."""

Supply = Callable[[Mapping[str, list[q.Query]], Set[str]], q.Query | None]
"""(the queries so far by image, in order; the images not to ask about now) -> the next query, whose
id is new; None: nothing more is asked."""


class Review(NamedTuple):
    """The images that people may look through and fix.

    Attributes:
      size: an image's id -> (H, W) of its label; None where there is no such image.
      pieces: an image's id -> [H, W] int32, pieces from 1 that hold all pixels; the first ones are
        proposed first.
    """

    size: Callable[[str], tuple[int, int] | None]
    pieces: Callable[[str], np.ndarray]


class Refused(Exception):
    """An answer that cannot be taken; the message says why."""


class Task:
    """A query, or a second opinion on it, and the answers that stand.

    Attributes:
      id: the query's id, followed by "/again" for a second opinion.
      query: the query.
      second: whether it is a second opinion.
      left: for each piece, how many of its pixels have no answer.
      open: how many pieces have a pixel without an answer.
      answers: those that stand, by `journal.place`.
      by: how many of these each annotator gave.
      skipped: who skipped which piece, (piece, annotator).
      version: how many lines were added; a client compares it to learn whether it is up to date.
      holder: who holds the lease: (client, annotator, when it ends); None: nobody.
    """

    def __init__(self, query: q.Query, second: bool) -> None:
        self.id = query["id"] + "/again" * second
        self.query, self.second = query, second
        pieces = q.pieces(query)
        self.left = [1 if query["kind"] == "points" else sum(piece[1::2]) for piece in pieces]
        self.open = sum(pixels > 0 for pixels in self.left)
        self.answers: dict[tuple, Answer] = {}
        self.by: collections.Counter[str] = collections.Counter()
        self.skipped: set[tuple[int, str]] = set()
        self.version = 0
        self.holder: tuple[str, str, float] | None = None

    def add(self, entry: Answer) -> None:
        """Adds a line of the journal."""
        self.version += 1
        at = journal.place(entry)
        if entry.get("undo"):
            if at in self.answers:
                self._answered(self.answers.pop(at), -1)
        elif entry["class"] is None:
            self.skipped.add((entry["piece"], entry["annotator"]))
        else:
            if at in self.answers:
                self._answered(self.answers[at], -1)
            self.answers[at] = entry
            self._answered(entry, 1)

    def _answered(self, entry: Answer, times: int) -> None:
        was_open = self.left[entry["piece"]] > 0
        self.left[entry["piece"]] -= times * sum(entry.get("runs", (0, 1))[1::2])
        self.open += (self.left[entry["piece"]] > 0) - was_open
        self.by[entry["annotator"]] += times

    def open_pieces(self) -> list[int]:
        """The numbers of the pieces that have a pixel without an answer."""
        return [piece for piece, pixels in enumerate(self.left) if pixels > 0]

    def open_pixels(self, piece: int) -> np.ndarray:
        """The flat numbers of a segment's pixels that have no answer: [N] int64, ascending."""
        parts = [e["runs"] for e in self.answers.values() if e["piece"] == piece]
        answered = run_pixels([value for runs in parts for value in runs])
        return np.setdiff1d(run_pixels(self.query["segments"][piece]), answered)


class Desk:
    """The tasks of a run; its methods may be called from several threads.

    Raises, where it is made or reads files again:
      UserError: the run's queries or its journal are damaged.
    """

    def __init__(
        self,
        workdir: str | os.PathLike,
        table: ClassTable,
        again: int = 0,
        lease: float = LEASE,
        clock: Callable[[], float] = time.monotonic,
        is_there: Callable[[str], bool] = lambda _: True,
        supply: Supply | None = None,
        check: checks.Checks | None = None,
        verify: bool = False,
        review: Review | None = None,
    ) -> None:
        """Reads all queries and the journal.

        Args:
          workdir: the run's DIR.
          table: the classes.
          again: how many second opinions are asked at each stage.
          lease: seconds.
          clock: the time in seconds; it never goes back.
          is_there: the id of an image -> whether it can be shown as it was when it was asked about.
            Tasks about others are not given.
          supply: where queries come from while people answer; it is called by one thread at a time.
            None: they are all in the run's files.
          check: how people are checked; None: they are not.
          verify: whether guesses that were made once the run waited are shown.
          review: the images that may be reviewed; None: none may.
        """
        self._workdir, self._table, self._again = pathlib.Path(workdir), table, again
        self._lease, self._clock, self._is_there = lease, clock, is_there
        self._supply, self._check, self._verify = supply, check, verify
        self._review = review
        self._away: set[str] = set()  # the images that were last seen not to be there
        self._lock = threading.Lock()
        self._tasks: dict[str, Task] = {}
        self._asked: dict[str, list[q.Query]] = {}  # by image
        self._by_id: dict[str, Answer] = {}
        self._stages: set[int] = set()  # whose questions are known; fixes may be of a later one
        self._spent: dict[str, list[float]] = {}
        self._last: dict[str, str] = {}  # by annotator, the task of their last answer
        self._refresh()

    def take(
        self, client: str, annotator: str, want: str | None = None, opened: bool = False
    ) -> dict[str, Any]:
        """Leases a task to a client and tells how far the work is.

        Args:
          client: the client's id; leases on other tasks that it holds end.
          annotator: the name of the person who works in it.
          want: the id of the task that the client asks for. Where it may not have that one, or asks
            for none, it gets the first task by `_rank` of those that it may have.
          opened: whether the client was just started. The leases of the annotator's other clients
            then end: a browser may have crashed.
        Returns:
          "task": the leased task's id, None if there is none; "version": that task's;
          "then": the id of the task that is likely to be next, or None;
          "at": the task's number in its stage, from 1;
          "done", "total": how many tasks of the stage are answered, and how many it has;
          "open": how many tasks are left for this annotator;
          "clicks", "seconds": what the annotator has done so far;
          "last": the id of the task of the annotator's last answer, or None;
          "finished": whether the run has ended, so that nothing more will be asked.
        """
        with self._lock:
            now = self._clock()
            self._away = {image for image in self._away if not self._is_there(image)}
            if not any(task.open for task in self._shown()):
                self._refresh()
            for held in self._tasks.values():
                if opened and held.holder and held.holder[1] == annotator:
                    held.holder = None
            wanted = self._tasks.get(want or "")
            if wanted is None or not self._may(wanted, client, annotator, now):
                wanted = None
            free = sorted(
                (t for t in self._shown() if t.open and self._may(t, client, annotator, now)),
                key=lambda task: self._rank(task, client, annotator),
            )
            fresh = [t for t in free if self._is_fresh(t, annotator)]
            if not wanted and not any(t.by[annotator] or self._held(t, client) for t in fresh):
                checked = self._checked(client, annotator, now, bool(fresh))
                if checked:
                    free = [checked, *(t for t in free if t is not checked)]
                elif not fresh:
                    free = self._supplied() + free
            next_ones = itertools.islice(self._there(wanted, free), 2)
            task, then = next(next_ones, None), next(next_ones, None)
            tasks = self._shown()
            for other in tasks:
                if other.holder and other.holder[0] == client:
                    other.holder = None
            if task:
                task.holder = (client, annotator, now + self._lease)
            stage = task.query["stage"] if task else max(self._stages, default=0)
            peers = [t for t in tasks if t.query["stage"] == stage and t.left]
            clicks, seconds = self._spent.get(annotator, (0, 0.0))
            return {
                "task": task and task.id,
                "version": task and task.version,
                "then": then and then.id,
                "at": 1 + next((i for i, t in enumerate(peers) if t is task), 0),
                "done": sum(not t.open for t in peers),
                "total": len(peers),
                "open": sum(t.open > 0 and not self._is_closed_to(annotator, t) for t in tasks),
                "clicks": clicks,
                "seconds": seconds,
                "last": self._last.get(annotator),
                "finished": task is None and self._is_finished(),
            }

    def _shown(self) -> list[Task]:
        """The tasks for people about images that are not known to be away."""
        return [
            t
            for t in self._tasks.values()
            if t.query["image"] not in self._away and t.query.get("origin") != q.VOLUNTEERED
        ]

    def _supplied(self) -> list[Task]:
        """A task about a new query, if there is one; it is in the stage's file by then."""
        query = self._drawn()
        if query is None:
            return []
        self._write(query)
        self._stages.add(query["stage"])
        return [self._ask(query)]

    def _drawn(self) -> q.Query | None:
        """The next query of the supply about an image that is there."""
        busy = set(self._away)
        while self._supply is not None:
            busy |= {t.query["image"] for t in self._shown() if t.open}
            query = self._supply(self._asked, busy)
            if query is None or self._is_there(query["image"]):
                return query
            self._away.add(query["image"])
            busy.add(query["image"])
        return None

    def _checked(self, client: str, annotator: str, now: float, is_work: bool) -> Task | None:
        """The check that a person gets before a new task; None: that task is next.

        Args:
          is_work: whether there is such a task already. Nobody is checked who has no work.
        """
        if self._check is None:
            return None
        begun = sum(task.by[annotator] > 0 for task in self._tasks.values())
        if not self._check.is_next(annotator, begun):
            return None
        own = self._checks_of(annotator)
        for task in own:
            if task.open and task.query.get("origin") != q.VOLUNTEERED:
                may = self._is_fresh(task, annotator) and self._may(task, client, annotator, now)
                return task if may else None
        if not is_work and self._drawn() is None:
            return None
        answered = (
            (t.query, list(t.answers.values()))
            for t in self._tasks.values()
            if not t.second and not checks.is_check(t.query)
        )
        before = [t.query for t in own]
        query = self._check.make(self._check_id(), annotator, before, answered)
        if query is None:
            return None
        self._write(query)
        return self._ask(query)

    def _checks_of(self, annotator: str) -> list[Task]:
        return [task for task in self._tasks.values() if task.query.get("for") == annotator]

    def _check_id(self) -> str:
        number = sum(checks.is_check(task.query) for task in self._tasks.values())
        return f"check/{number + 1}"

    def _write(self, query: q.Query) -> None:
        """Adds a query to its file."""
        if checks.is_check(query):
            checks.append(self._workdir, query)
        elif self._supply is None:
            q.append_fix(self._workdir, query)  # the stages' files have what the run asked
        else:
            q.append_query(self._workdir, query)

    def _ask(self, query: q.Query) -> Task:
        """A new task about a query."""
        task = Task(query, False)
        self._tasks[task.id] = task
        if not checks.is_check(query):
            self._asked.setdefault(query["image"], []).append(query)
        return task

    def _there(self, wanted: Task | None, free: list[Task]) -> Iterator[Task]:
        """The wanted task and then the free ones, of those whose images are there."""
        for task in ([wanted] if wanted else []) + [t for t in free if t is not wanted]:
            if self._is_there(task.query["image"]):
                yield task
            else:
                self._away.add(task.query["image"])

    def _is_finished(self) -> bool:
        try:
            return files.read_json(self._workdir / "summary.json")["status"] == "finished"
        except (OSError, ValueError, KeyError):  # there is none yet
            return False

    def view(self, task_id: str) -> dict[str, Any] | None:
        """A task for a client: the query, the answers that stand, what was skipped by whom.

        "image" is the image's name, "" where people are checked. "guesses" has, of each piece, the
        class that a model guesses; None where it is not shown.
        None if there is no such task.
        """
        reviewed = self._reviewed(task_id)
        if reviewed is not None:
            return self._view_of_image(task_id, *reviewed)
        with self._lock:
            task = self._tasks.get(task_id)
            if task is None:
                return None
            return {
                # No more than this: that an answer is held, or known, is not to be told.
                **{k: v for k, v in task.query.items() if k in SHOWN},
                # Names may tell checks from others: "val/street_7".
                "image": "" if self._check else task.query["image"],
                "guesses": guesses.shown(task.query),
                "task": task.id,
                "second": task.second,
                "version": task.version,
                "answers": [_told(entry) for entry in task.answers.values()],
                "skipped": sorted(task.skipped),
            }

    def _view_of_image(self, task_id: str, image: str, size: tuple[int, int]) -> dict[str, Any]:
        """`view` of an image that is reviewed: all its pieces, and what was fixed."""
        assert self._review is not None
        pieces = self._review.pieces(image)
        segments = segment_runs(pieces)
        with self._lock:
            fixed = [entry for task in self._fixes(image) for entry in task.answers.values()]
            return {
                "image": image,
                "kind": "segments",
                "size": list(size),
                "segments": segments,
                "guesses": [None] * len(segments),
                "task": task_id,
                "second": False,
                "version": 0,
                "answers": [
                    _told(e) | {"piece": int(pieces.flat[e["runs"][0]]) - 1} for e in fixed
                ],
                "skipped": [],
            }

    def fixed(self) -> collections.Counter[str]:
        """How many answers stand that were given in reviews, by image."""
        with self._lock:
            every = [x for image in self._asked for x in self._fixes(image)]
            return collections.Counter(task.query["image"] for task in every if task.answers)

    def _fixes(self, image: str) -> list[Task]:
        """The tasks about regions of an image that people chose in reviews."""
        own = (self._tasks[query["id"]] for query in self._asked.get(image, ()))
        return [t for t in own if t.query.get("origin") == q.VOLUNTEERED and "segments" in t.query]

    def _reviewed(self, task_id: str) -> tuple[str, tuple[int, int]] | None:
        """The image that is reviewed in a task, and its size; None where none is."""
        if self._review is None or not task_id.startswith(REVIEW):
            return None
        image = task_id.removeprefix(REVIEW)
        size = self._review.size(image)
        return None if size is None else (image, size)

    def without_guesses(self) -> list[q.Query]:
        """The queries that nobody has begun to answer and that have no guesses, in order."""
        with self._lock:
            return [t.query for t in self._tasks.values() if self._is_untouched(t)]

    def add_guesses(self, query: q.Query) -> None:
        """Shows guesses at a query, unless somebody has begun to answer it by now.

        Args:
          query: with the keys that `guesses.add` gives.
        Raises:
          OSError: they cannot be written.
        """
        with self._lock:
            task = self._tasks.get(query["id"])
            if task and self._is_untouched(task):
                guesses.append(self._workdir, query)
                task.query = query
                task.version += 1  # a page that has fetched it fetches it again

    def _is_untouched(self, task: Task) -> bool:
        held = task.holder and task.holder[2] > self._clock()
        return not (held or task.version or task.second or "guesses" in task.query)

    def image(self, task_id: str) -> str | None:
        """The id of a task's image; None if there is no such task."""
        reviewed = self._reviewed(task_id)
        if reviewed is not None:
            return reviewed[0]
        task = self._tasks.get(task_id)
        return None if task is None else task.query["image"]

    def spent(self) -> dict[str, Any]:
        """What all annotators have done so far: "clicks", and "seconds" that they took."""
        with self._lock:
            clicks, seconds = np.sum([(0, 0.0), *self._spent.values()], axis=0).tolist()
            return {"clicks": int(clicks), "seconds": seconds}

    def release(self, client: str) -> None:
        """Ends a client's leases; it was closed."""
        with self._lock:
            for task in self._tasks.values():
                if task.holder and task.holder[0] == client:
                    task.holder = None

    def record(self, client: str, annotator: str, said: list[dict[str, Any]]) -> dict[str, Any]:
        """Writes a client's answers to the journal, in order.

        An answer whose id is in the journal already is not written again: clients repeat what they
        do not know to be saved.

        Args:
          client: the client's id.
          annotator: the name of the person who works in it.
          said: each {"id", "task", "seconds"} and either "undo", the id of an answer to take back,
            or "piece" and "class" (None skips the piece) and, for a part of a segment, "runs".
            "guess" is the guess that was in sight and "together" how many were confirmed at once;
            "shown" is the prediction over the image.
        Returns:
          "saved": the ids that are in the journal now; "refused": the reason for each other id.
        Raises:
          OSError: the journal cannot be written; nothing was saved.
        """
        with self._lock:
            saved, refused, lines, asked = [], {}, [], []
            for one in said:
                number = one.get("id") if isinstance(one, dict) else None
                try:
                    if not isinstance(number, str) or not 8 <= len(number) <= 64:
                        raise Refused("an answer has an id of 8 to 64 characters")
                    if number not in self._by_id:
                        task, line = self._line(one, client, annotator)
                        if task.id not in self._tasks:
                            asked.append(self._ask(task.query).query)
                            task = self._tasks[task.id]
                        task.add(line)
                        self._by_id[number] = line
                        lines.append((task, line))
                    saved.append(number)
                except Refused as reason:
                    refused[str(number)[:64]] = str(reason)
            try:
                for query in asked:
                    self._write(query)
                if lines:
                    journal.append(self._workdir, [line for _, line in lines], self._table)
            except OSError:
                self._reload()
                raise
            for task, line in lines:
                task.holder = (client, annotator, self._clock() + self._lease)
                self._last[annotator] = task.id
                self._count(line)
            return {"saved": saved, "refused": refused}

    def _line(self, one: dict[str, Any], client: str, annotator: str) -> tuple[Task, Answer]:
        """A client's answer as a line of the journal, with its task; raises Refused."""
        name = one["task"] if isinstance(one.get("task"), str) else ""
        before = self._by_id.get(one["undo"]) if isinstance(one.get("undo"), str) else None
        task, reviewed = self._volunteered(before) or self._tasks.get(name), self._reviewed(name)
        if task is None and reviewed is not None and type(one.get("class")) is int:
            task, one = self._region(*reviewed, one.get("runs")), one | {"piece": 0}
        if task is None:
            raise Refused("there is no such task")
        if not self._may(task, client, annotator, self._clock()):
            raise Refused("somebody else is at work on this image")
        seconds = one.get("seconds")
        if (
            isinstance(seconds, bool)
            or not isinstance(seconds, int | float)
            or not 0 <= seconds <= LONGEST
        ):
            raise Refused(f"seconds are a number from 0 to {LONGEST:.0f}")
        more = {"id": one["id"], "seconds": round(float(seconds), 3)}
        if "undo" in one:
            if before is None or task.answers.get(journal.place(before)) is not before:
                raise Refused("that answer does not stand")
            if before["annotator"] != annotator:
                raise Refused("that answer is somebody else's")
            return task, before | more | {"undo": True}
        if "pixel" in one:
            task, one = self._chosen(task, one["pixel"]), one | {"piece": 0}
        piece, label = one.get("piece"), one.get("class")
        if type(piece) is not int or not 0 <= piece < len(task.left):
            raise Refused("there is no such piece")
        known = type(label) is int and (0 <= label < len(self._table) or label == IGNORE)
        if not known and label is not None:
            raise Refused("there is no such class")
        if task.left[piece] <= 0:
            raise Refused("this is answered already")
        more |= {"second": True} if task.second else {}
        more |= {"check": True} if checks.is_check(task.query) else {}
        more |= self._shown_with(one.get("shown")) | guesses.told(
            task.query, piece, one.get("guess")
        )
        if one.get("shown"):
            more["shown"] = True  # a blind question, but the prediction was over the image
        more |= _together(one.get("together"), len(task.left))
        if task.query["kind"] == "points":
            more["point"] = task.query["points"][piece]
        else:
            more["runs"] = self._part(task, piece, one.get("runs"))
        return task, journal.answer(task.query, piece, label, annotator, **more)

    def _chosen(self, task: Task, pixel: Any) -> Task:
        """A new task about a point of a task's image that a person chose; raises Refused."""
        query = task.query
        height, width = query["size"]
        if not (isinstance(pixel, list) and [type(value) for value in pixel] == [int, int]):
            raise Refused("a pixel is [x, y]")
        if self._supply is None:
            raise Refused("only what is asked can be answered")
        x, y = pixel
        if not (0 <= x < width and 0 <= y < height):
            raise Refused("there is no such pixel")
        is_check = checks.is_check(query)
        own = [t.query for t in self._checks_of(query["for"])] if is_check else []
        before = own or self._asked[query["image"]]
        before = [x for x in before if x["image"] == query["image"]]
        if any(pixel in asked.get("points", ()) for asked in before):
            raise Refused("this pixel is asked about already")
        chosen = q.point_query(query["image"], query["stage"], (height, width), [(y, x)])
        chosen |= {"id": q.next_id(chosen, before), "origin": q.VOLUNTEERED}
        if is_check:
            who = {"for": query["for"], "known": [None], "by": None}
            chosen |= {"id": self._check_id(), **who}
        return Task(chosen, False)

    def _region(self, image: str, size: tuple[int, int], runs: Any) -> Task:
        """A new task about a region of an image that a person chose; raises Refused."""
        pixels = _pixels(runs, math.prod(size))
        if pixels is None or pixels[-1] >= math.prod(size):
            raise Refused("runs are [start, length, ...] of some of the image's pixels")
        region = np.zeros(size, np.int32)
        region.flat[pixels] = 1
        chosen = q.segment_query(image, self._stage_of_fixes(), size, region)
        chosen |= {"id": q.next_id(chosen, self._asked.get(image, ())), "origin": q.VOLUNTEERED}
        return Task(chosen, False)

    def _stage_of_fixes(self) -> int:
        """The stage at which what is fixed now is first learnt.

        A run of stages learns the newest stage's answers once it has all of them. What is fixed
        later waits for the next stage, so that a run that is stopped while it learns goes on with
        the same labels.
        """
        newest = max(self._stages, default=0)
        of_newest = (task for task in self._shown() if task.query["stage"] == newest)
        waits = any(task.open and not task.second for task in of_newest)
        return newest if newest and (self._supply or waits) else newest + 1

    def _volunteered(self, before: Answer | None) -> Task | None:
        """The task of an answer to what a person chose; None for others."""
        task = self._tasks.get(before["query"]) if before else None
        return task if task and task.query.get("origin") == q.VOLUNTEERED else None

    def _shown_with(self, shown: Any) -> dict[str, Any]:
        """What a line says of the prediction that was in sight; raises Refused."""
        if shown is None:
            return {}
        kinds = {"model": int, "guess": int}
        if not isinstance(shown, dict) or {k: type(shown[k]) for k in shown} != kinds:
            raise Refused("what is shown has a model and a guess")
        if shown["model"] < 0 or not 0 <= shown["guess"] < len(self._table):
            raise Refused("there is no such model or class")
        return {"shown": True, **shown}

    def _part(self, task: Task, piece: int, runs: Any) -> list[int]:
        """The runs of an answer to a segment: the given ones, or all pixels without an answer.

        Raises Refused where the given ones are no runs of such pixels.
        """
        pixels = task.open_pixels(piece)
        if runs is not None:
            part = _pixels(runs, len(pixels))
            if part is None:
                raise Refused("runs are [start, length, ...] of some pixels that are asked")
            if len(np.unique(part)) < len(part) or not np.isin(part, pixels).all():
                raise Refused("these pixels are not asked, or answered already")
            pixels = part
        return pixel_runs(pixels, task.query["size"][1])

    def _may(self, task: Task, client: str, annotator: str, now: float) -> bool:
        """Whether a client may work on a task."""
        if task.holder and task.holder[0] != client and task.holder[2] > now:
            return False
        return not self._is_closed_to(annotator, task)

    def _is_closed_to(self, annotator: str, task: Task) -> bool:
        """Whether a task is another person's check, or an opinion that the annotator may not give.

        A second opinion is asked once the query is answered, of a person who answered none of it,
        and nobody else has begun to give it.
        """
        if not task.second:
            return task.query.get("for", annotator) != annotator
        first = self._tasks[task.query["id"]]
        others = sum(task.by.values()) - task.by[annotator]
        return bool(first.open or first.by[annotator] or others)

    def _rank(self, task: Task, client: str, annotator: str) -> tuple:
        """The sort key of the tasks that a client may have; the smallest is leased.

        Tasks that the annotator skipped wholly come last. Before them: the client's own task, then
        those that the annotator has begun, then first opinions, then second ones.
        """
        held, fresh = self._held(task, client), self._is_fresh(task, annotator)
        return (not fresh, not held, not task.by[annotator], task.second)

    def _held(self, task: Task, client: str) -> bool:
        return bool(task.holder and task.holder[0] == client)

    def _is_fresh(self, task: Task, annotator: str) -> bool:
        """Whether the annotator has not skipped all that is open of a task."""
        skipped = (piece for piece, name in task.skipped if name == annotator)
        return not task.skipped or not set(task.open_pieces()) <= set(skipped)

    def _count(self, line: Answer) -> None:
        spent = self._spent.setdefault(line["annotator"], [0, 0.0])
        spent[0] += ledger.is_click(line)
        spent[1] += min(line["seconds"] or 0.0, ledger.IDLE)

    def _refresh(self) -> None:
        """Reads the queries of stages that were asked since the last time."""
        found = set(q.stages(self._workdir)) - self._stages
        if not found:
            return
        self._stages |= found
        self._reload()

    def _reload(self) -> None:
        """Makes all tasks from the files anew; leases are kept."""
        holders = {task.id: task.holder for task in self._tasks.values()}
        self._tasks, self._by_id, self._spent, self._last = {}, {}, {}, {}
        self._asked = {}
        for stage in sorted(self._stages):
            queries = [x for x in q.read_queries(self._workdir, stage) if q.pieces(x)]
            # Spread evenly over the stage's images.
            step = max(1, math.ceil(len(queries) / self._again)) if self._again else 0
            seconds = queries[::step][: self._again] if step else []
            made = guesses.read(self._workdir, stage) if self._verify else {}
            firsts = [Task(x | made.get(x["id"], {}), False) for x in queries]
            for task in firsts + [Task(x, True) for x in seconds]:
                self._tasks[task.id] = task
                task.holder = holders.get(task.id)
            for query in queries:
                self._asked.setdefault(query["image"], []).append(query)
        for image, fixes in q.fixes(self._workdir).items():
            self._tasks |= {query["id"]: Task(query, False) for query in fixes}
            self._asked.setdefault(image, []).extend(fixes)
        for query in checks.read(self._workdir):
            self._tasks[query["id"]] = task = Task(query, False)
            task.holder = holders.get(task.id)
        for line in journal.lines(self._workdir, self._table):
            asked = self._tasks.get(line["query"] + "/again" * bool(line.get("second")))
            if asked:
                journal.fitting(asked.query, [line])
                asked.add(line)
                self._last[line["annotator"]] = asked.id
            if "id" in line:
                self._by_id[line["id"]] = line
            self._count(line)


def _told(entry: Answer) -> dict[str, Any]:
    """What a client is told of an answer."""
    keys = ("id", "piece", "class", "runs", "annotator")
    return {key: entry[key] for key in keys if key in entry}


def _pixels(runs: Any, number: int) -> np.ndarray | None:
    """The pixels of runs that a client sent, ascending; None where these are no runs.

    Args:
      number: the most pixels that they may have.
    """
    if not (
        isinstance(runs, list)
        and len(runs) % 2 == 0
        and 0 < len(runs) <= 2 * number
        and all(type(value) is int and 0 <= value < 2**31 for value in runs)
        and 0 < sum(runs[1::2]) <= number
    ):
        return None
    return np.sort(run_pixels(runs))


def _together(number: Any, pieces: int) -> dict[str, Any]:
    """What a line says of how many pieces were confirmed at once; raises Refused."""
    if number is None:
        return {}
    if type(number) is not int or not 2 <= number <= pieces:
        raise Refused("so many pieces cannot be confirmed at once")
    return {"together": number}
