"""A made-up run's DIR: small streets, and what LabOR would have left of them."""

import json
import pathlib

import cv2
import numpy as np

from labor_jax.annotation import ledger
from labor_jax.data.domain import Domain
from labor_jax.data.images import encode_png, write_label_png
from labor_jax.data.labels import CAMVID, IGNORE, colorize
from labor_jax.util import files

TABLE = CAMVID
SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(11)


def street(index: int, height: int, width: int) -> np.ndarray:
    """A label map [height, width] uint8 of a street."""
    draw = np.random.default_rng(index)
    label = np.full((height, width), SKY, np.uint8)
    horizon = int(height * draw.uniform(0.4, 0.5))
    for x in range(0, width, max(1, width // 6)):
        top = int(horizon * draw.uniform(0.1, 0.8))
        label[top:horizon, x : x + width // 6 + 1] = BUILDING if draw.random() < 0.7 else TREE
    label[horizon:] = PAVEMENT
    centre = int(width * draw.uniform(0.4, 0.6))
    road = [(centre - 2, horizon), (centre + 2, horizon), (width, height), (0, height)]
    cv2.fillPoly(label, [np.array(road)], ROAD)
    for kind, w, h in ((CAR, 0.16, 0.13), (PEDESTRIAN, 0.03, 0.2), (BICYCLIST, 0.06, 0.17)):
        x, y = int(width * draw.uniform(0.1, 0.8)), int(height * draw.uniform(0.45, 0.7))
        label[y : y + max(1, int(height * h)), x : x + max(1, int(width * w))] = kind
    x = int(width * draw.uniform(0.1, 0.9))
    label[height // 5 : int(height * 0.7), x : x + max(1, width // 80)] = POLE
    label[height // 5 : height // 4 + 1, x : x + max(1, width // 30)] = SIGN
    return label


def domain(height: int, width: int, count: int = 8) -> Domain:
    """Streets with soft light and noise, whose truth nobody gives."""

    def read_image(index: int) -> np.ndarray:
        colors = colorize(street(index, height, width), TABLE).astype(np.float32)
        noise = np.random.default_rng(index).normal(0, 12, (height, width, 1))
        light = np.linspace(1.2, 0.8, height)[:, None, None]
        return np.clip((0.7 * colors + 60) * light + noise, 0, 255).astype(np.uint8)

    ids = tuple(f"rainy/street_{n:03}" for n in range(count))
    return Domain("streets", ids, read_image, None)


def guess(label: np.ndarray, stage: int, seed: int) -> np.ndarray:
    """A prediction that gets better with the stages."""
    draw = np.random.default_rng((seed, stage))
    height, width = label.shape
    wrong = cv2.resize(draw.random((8, 8)), (width, height)) > 0.55 + 0.12 * stage
    return np.where(wrong, np.roll(label, width // 9, axis=1), label)


def write_run(
    workdir: pathlib.Path,
    method: str,
    size: tuple[int, int] = (24, 32),
    stages: int = 3,
    asked_stages: int | None = None,
    summary: bool = True,
) -> Domain:
    """Writes DIR as a run of `method` leaves it, or a part of it; returns the target."""
    target = domain(*size)
    asks = {"labor_ppl": "points", "labor_spl": "segments"}.get(method)
    config = {"method": method, "stages": stages}
    config |= {"source": {"domain": "toytown/160x120"}, "target": {"domain": "streets"}}
    files.write_json(workdir / "config.json", config)
    pool = dict.fromkeys(target.ids, size[0] * size[1])
    journal, queries, rows = [], [], []
    for stage in range(1, (stages if asked_stages is None else asked_stages) + 1):
        lines = []
        for n, image in enumerate(target.ids):
            truth = street(n, *size)
            predicted = guess(truth, stage, n)
            if n < 6:
                write_label_png(workdir / f"previews/stage_{stage}/{image}.png", predicted, TABLE)
            if n < 6 and asks:
                mask = encode_png(np.where(predicted == truth, 0, 255).astype(np.uint8))
                files.write_atomic(workdir / f"previews/mask_{stage}/{image}.png", mask)
            if asks:
                query, answers = ask(asks, image, stage, truth, predicted, n)
                lines.append(query)
                queries.append(query)
                journal += answers
        if asks:
            text = "".join(json.dumps(line) + "\n" for line in lines)
            files.write_atomic(workdir / f"queries/stage_{stage}.jsonl", text.encode())
    text = "".join(json.dumps(line) + "\n" for line in journal)
    if asks:
        files.write_atomic(workdir / "annotations/journal.jsonl", text.encode())
    for stage in range(stages + 1):
        done_queries = [query for query in queries if query["stage"] <= stage]
        budget = ledger.budget(ledger.rows(done_queries, journal), pool)
        iou = {name: 22.0 + 9 * stage**0.7 + 5 * c for c, name in enumerate(TABLE.names)}
        iou["bicyclist"] = None
        mask = (
            {"share": 0.05 / stage, "precision": 0.41 - 0.05 * stage, "recall": 0.55}
            if stage
            else None
        )
        mask = mask and {**mask, "error_rate": 0.2}
        rows.append({"stage": stage, "mIoU": 41.2 + 6 * stage**0.7, "per_class_iou": iou})
        rows[-1]["subsets"] = {"mIoU16": 33.3}
        rows[-1] |= {"budget": budget, "mask": mask if asks else None}
    write_metrics(workdir, stages)
    if summary:
        for image, n in zip(target.ids[:6], range(6), strict=True):
            predicted = guess(street(n, *size), stages + 1, n)
            write_label_png(workdir / f"previews/final/{image}.png", predicted, TABLE)
        result = {"config": config, "status": "finished", "stages": rows, "budget": budget}
        result |= {k: rows[-1][k] for k in ("mIoU", "per_class_iou", "subsets")}
        result |= {"wall_seconds": 431.5, "versions": {"jax": "0.10.2"}, "device": "cpu x 1"}
        files.write_json(workdir / "summary.json", result)
    return target


def ask(kind, image, stage, truth, predicted, seed):
    """A query about what is wrong, and its answers from the truth: every ninth is unsure."""
    draw = np.random.default_rng((seed, stage, 7))
    key = f"{stage}/{image}"
    query = {"id": key, "image": image, "stage": stage, "kind": kind, "size": list(truth.shape)}
    wrong = np.flatnonzero(truth != predicted)
    if kind == "points":
        at = draw.choice(wrong, min(9, len(wrong)), replace=False) if len(wrong) else []
        asked = [[int(i % truth.shape[1]), int(i // truth.shape[1])] for i in at]
        places = [("point", point, truth[point[1], point[0]]) for point in asked]
    else:
        edge = cv2.morphologyEx(predicted, cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8)) > 0
        kept = (edge & (truth != predicted)).astype(np.uint8)
        count, components = cv2.connectedComponents(kept)
        asked = [runs_of(components == n) for n in range(1, count)]
        places = [("runs", runs, truth.ravel()[runs[0]]) for runs in asked]
    query[kind] = asked
    answers = []
    for n, (field, where, value) in enumerate(places):
        answer = {"query": key, "piece": n, "image": image, "stage": stage, "kind": kind}
        answer |= {"class": IGNORE if n % 9 == 4 else int(value), field: where, "seconds": 1.5}
        answers.append(answer | {"annotator": "oracle", "version": "0.1", "classes": "x"})
    return query, answers


def runs_of(mask: np.ndarray) -> list[int]:
    """[start, length, …] of a mask's pixels, row-major."""
    steps = np.diff(np.concatenate([[0], mask.ravel().astype(np.int8), [0]]))
    starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    return np.stack([starts, ends - starts], axis=1).ravel().tolist()


def write_metrics(workdir: pathlib.Path, stages: int) -> None:
    """Losses of a warm-up of 200 steps and `stages` stages of 100."""
    draw = np.random.default_rng(0)
    lines = []
    for step in range(2, 200 + 100 * stages, 2):
        stage = max(0, (step - 200) // 100 + 1)
        record = {"step": step, "phase": "adapt" if stage else "warm-up", "stage": stage}
        record |= {"loss_source": 2.2 * np.exp(-step / 90) + 0.2 + draw.normal(0, 0.03)}
        record |= {"loss_adversarial": 0.7 + draw.normal(0, 0.05), "steps_per_second": 5.0}
        if stage:
            record["loss_target"] = 0.8 * np.exp(-step / 200) + draw.normal(0, 0.02)
        lines.append(record)
    lines.append({"step": 200 + 100 * stages, "phase": "evaluate", "stage": stages, "mIoU": 50.0})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    files.write_atomic(workdir / "metrics.jsonl", text.encode())
