"""A live run as a process: it opens the images, locks the folder, serves the page and learns."""

import contextlib
import dataclasses
import os

import ml_collections

from labor_jax.annotation import (
    asked_images,
    checks,
    desk,
    journal,
    ledger,
    quality,
    server,
    serving,
)
from labor_jax.annotation import queries as q
from labor_jax.live import questions
from labor_jax.live.session import Session
from labor_jax.loop import data_checks, opening, resume
from labor_jax.report.summary import Summary
from labor_jax.util import errors, files, lock, stopping

__all__ = ["serve"]


def serve(
    config: ml_collections.ConfigDict,
    workdir: str | os.PathLike,
    host: str,
    port: int,
    annotator: str,
    in_frame: bool = False,
    verify: bool = False,
) -> None:
    """Begins a live run in a folder, or goes on with it, until it is interrupted.

    Args:
      config: of a frozen backbone without a source; people answer, whatever it says.
      workdir: the run's DIR.
      host, port, annotator, in_frame: see `annotation.serving.serve`.
      verify: whether the page shows the model's guesses, to be confirmed or corrected.
    Raises:
      UserError: config or images are wrong, DIR has another run or damaged files, or another
        program writes to it.
    """
    config.annotator = "web"
    questions.check(config)
    config, workdir, table = opening.checked(config, workdir)
    resume.check_kind(workdir, live=True)
    with contextlib.ExitStack() as held:
        for part in (lock.RUN, lock.ANSWERS):
            held.enter_context(lock.hold(workdir, part, "labor-jax live"))
        resume.check_folder(config, workdir)  # as it is now that nobody else writes to it
        listener = held.enter_context(serving.listening(host, port))
        domains = opening.open_domains(config, workdir, table)
        target = dataclasses.replace(domains["target"], read_label=None)  # nobody looks them up
        summary = Summary(workdir, config)
        summary.values["data"] = data_checks.look(config, domains)
        files.remove_partial(workdir)
        for path in (workdir / resume.LIVE, q.queries_path(workdir, questions.STAGE)):
            files.append_lines(path, b"")  # makes it, or cuts off what a killed process left
        resume.write_config(config, workdir)
        if not asked_images.path(workdir, questions.STAGE).exists():
            asked_images.remember(workdir, questions.STAGE, target)
        session = Session(config, workdir, table, domains | {"target": target}, verify)
        tasks = desk.Desk(
            workdir,
            table,
            is_there=session.knows,
            supply=session.next_query,
            check=session.checks(),
            review=session.review(),
        )
        app = server.make_app(
            tasks,
            table,
            session.read_image,
            serving.make_setup(workdir, table, annotator, in_frame),
            session.newest(),
        )
        session.start()
        try:
            # Held back, a signal gives the session the time to save what it has learnt.
            with stopping.stop_asked():
                try:
                    serving.answer_requests(app, workdir, host, listener, in_frame)
                finally:
                    session.close()
        except errors.Terminated:
            raise
        except KeyboardInterrupt:
            print()
        lines = journal.lines(workdir, table)
        made = {check["id"]: check for check in checks.read(workdir)}
        rows = quality.checked(lines, made, len(table))
        for line in [*ledger.describe(lines), *quality.describe(rows)]:
            print(line)
