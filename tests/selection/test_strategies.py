"""Every strategy keeps the contract, and each prefers what it says it prefers."""

import json
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from labor_jax.config import default_config
from labor_jax.infer import steps
from labor_jax.selection import strategies

B, H, W, C = 2, 12, 16, 4
NAMES = strategies.names()


def make_config(method, **values):
    c = default_config()
    c.method = method
    c.ppl.radius = c.points.radius = 1
    c.update_from_flattened_dict(values)
    return c


def maps(seed=0, sharpness=2.0):
    """What the networks could say of two images, none of whose pixels was asked."""
    draw = np.random.default_rng(seed)
    coarse = {n: sharpness * draw.normal(size=(B, 5, 6, C)) for n in ("main", "c1", "c2")}
    found = {name: x.astype(np.float32) for name, x in coarse.items()}
    found["features"] = draw.random((B, 5, 6, 3)).astype(np.float32)
    found["taken"] = np.zeros((B, H, W), bool)
    found["key"] = np.arange(2 * B, dtype=np.uint32).reshape(B, 2)
    return found


def select(method, given, number=9, **values):
    config = make_config(method, **values)
    return jax.device_get(steps.select(given, size=(H, W), number=number, config=config))


@pytest.mark.parametrize("name", NAMES)
def test_what_was_asked_is_not_asked_again(name):
    given = maps()
    given["taken"][:, :6] = True
    out = select(name, given)
    if "chosen" in out:
        assert out["chosen"].any() and not out["chosen"][:, :6].any()
    elif "score" in out:
        assert np.isneginf(out["score"][:, :6]).all() and np.isfinite(out["score"][:, 6:]).all()
    else:
        assert out["found"].any(1).all()
        assert (out["points"][out["found"]][:, 0] >= 6).all()


@pytest.mark.parametrize("name", [n for n in NAMES if strategies.find(n).asks != "segments"])
def test_scores_fall_and_points_are_distinct(name):
    out = select(name, maps())
    if "points" not in out:
        return
    for points, found, scores in zip(out["points"], out["found"], out["scores"], strict=True):
        kept = points[found].tolist()
        assert len({tuple(point) for point in kept}) == len(kept) > 0
        assert (np.diff(scores[found]) <= 0).all()
        assert (np.array(kept) >= 0).all() and (np.array(kept) < (H, W)).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_image_is_asked_the_same_on_a_canvas_as_at_its_own_size(name):
    natives, canvas, number = [(H, W), (9, 19)], (14, 20), 9
    given = maps()
    given["taken"], given["native"] = np.zeros((B, *canvas), bool), np.array(natives, np.int32)
    given["taken"][:, :2, :5] = True
    config = make_config(name)
    out = jax.device_get(steps.select(given, size=canvas, number=number, config=config))
    for row, (height, width) in enumerate(natives):
        alone = {n: x[row : row + 1] for n, x in given.items() if n != "native"}
        alone["taken"] = alone["taken"][:, :height, :width]
        of_it = steps.select(alone, size=(height, width), number=number, config=config)
        for key, wanted in jax.device_get(of_it).items():
            found = out[key][row]
            if key in ("points", "scores"):
                found, wanted = found[out["found"][row]], wanted[of_it["found"]]
            elif key != "found":
                found, wanted = found[:height, :width], wanted[0]
            else:
                found, wanted = found[: wanted.shape[1]], wanted[0]
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5, err_msg=key)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_is_asked_the_same_alone_as_in_a_batch(name):
    whole, second = maps(), {n: x[1:] for n, x in maps().items()}
    alone, together = select(name, second), select(name, whole)
    for key in alone.keys() & {"points", "found", "chosen"}:
        np.testing.assert_array_equal(alone[key][0], together[key][1])
    if "score" in alone:
        np.testing.assert_allclose(alone["score"][0], together["score"][1], rtol=1e-4, atol=1e-6)


UNSURE = ("entropy", "margin", "least_confidence", "ripu_points", "ripu_regions", "pixelpick")


@pytest.mark.parametrize("name", UNSURE)
def test_uncertainty_is_met_where_the_segmenter_is_unsure(name):
    given = maps(sharpness=0.0)
    given["main"][..., 0] = 20.0
    given["main"][:, 1, 4, :3] = 20.0, 19.9, 19.8
    if name.startswith("ripu"):  # and its surroundings have several classes
        given["main"][:, 2, 4, :2] = 0.0, 20.0
    points = select(name, given, number=1)["points"].reshape(-1, 2)
    assert (np.abs(points / (H - 1, W - 1) - (1 / 4, 4 / 5)) <= 0.45).all()


def test_margins_are_the_two_largest_probabilities_apart():
    probs = np.array([[0.5, 0.3, 0.2], [0.4, 0.4, 0.2], [0.1, 0.1, 0.8]], np.float32)
    np.testing.assert_allclose(strategies.margin_of(jnp.asarray(probs)), [-0.2, 0, -0.7], atol=1e-6)


def test_random_points_differ_by_image_and_by_key():
    given = maps()
    points = select("random", given)["points"]
    assert (points[0] != points[1]).any()
    given["key"] += 1
    assert (select("random", given)["points"] != points).any()


def test_random_points_by_class_give_each_predicted_class_its_turn():
    out = select("random_by_class", maps(), number=8)
    for points, predicted in zip(out["points"], out["predicted"], strict=True):
        there = np.unique(predicted)
        met = predicted[tuple(points.T)]
        counts = np.bincount(met, minlength=C)[there]
        sizes = np.bincount(predicted.ravel(), minlength=C)[there]
        fair = 8 // len(there)
        assert (counts >= np.minimum(sizes, fair)).all()


def test_pixelpick_draws_from_the_twentieth_of_the_smallest_margins():
    given = maps()
    out = select("pixelpick", given, number=5)
    again = select("margin", given, number=H * W // 20, **{"points.radius": 0})
    for drawn, smallest in zip(out["points"], again["points"], strict=True):
        assert {tuple(x) for x in drawn.tolist()} <= {tuple(x) for x in smallest.tolist()}
    assert (out["points"] != again["points"][:, :5]).any()


def test_ppl_serves_every_class_before_any_class_a_second_time():
    given = maps()
    out = select("labor_ppl", given, number=12, **{"ppl.points_per_class": 3})
    for points, found, mask, selected in zip(
        out["points"], out["found"], out["mask"], out["selected"], strict=True
    ):
        classes = selected[tuple(points[found].T)]
        assert mask[tuple(points[found].T)].all()
        served = np.zeros(C, int)
        available = np.bincount(classes, minlength=C)
        for k in classes:
            waiting = [c for c in range(C) if served[c] < available[c]]
            assert served[k] == min(served[c] for c in waiting)
            served[k] += 1


def test_spl_asks_the_whole_mask():
    out = select("labor_spl", maps())
    np.testing.assert_array_equal(out["chosen"], out["mask"])
    assert out["mask"].any()


def test_diverse_points_are_middles_of_different_cells():
    given = maps()
    given["taken"][:, 0, 0] = True
    points = select("diversity", given, number=30)
    cells = points["points"] * (5, 6) // (H, W)
    for own, found in zip(cells, points["found"], strict=True):
        kept = {tuple(cell) for cell in own[found].tolist()}
        assert len(kept) == found.sum() == 29 and (0, 0) not in kept


def blobs(groups=5, seed=0):
    """Maps whose cells are of a few kinds of feature, and the kind [5, 6] of each image's cells."""
    draw = np.random.default_rng(seed)
    kind = np.arange(30).reshape(5, 6) % groups
    given = maps()
    given["features"] = (np.eye(groups)[kind] + draw.normal(0, 0.02, (B, 5, 6, groups))).astype("f")
    return given, kind


def kinds_of(points, kind):
    """The kind of the cell that each of some points [N, 2] is in."""
    return kind[tuple((points * (5, 6) // (H, W)).T)]


def test_typical_points_are_one_of_each_kind_of_feature_and_the_nearest_to_its_mean():
    given, kind = blobs()
    out = select("typical", given, number=5)
    for row, points in enumerate(out["points"]):
        assert sorted(kinds_of(points, kind)) == [0, 1, 2, 3, 4]
        for cell in points * (5, 6) // (H, W):
            alike = given["features"][row][kind == kind[tuple(cell)]]
            alike /= np.linalg.norm(alike, axis=1, keepdims=True)
            own = given["features"][row][tuple(cell)]
            distances = np.linalg.norm(alike - alike.mean(0), axis=1)
            assert (
                np.linalg.norm(own / np.linalg.norm(own) - alike.mean(0)) <= distances.min() + 1e-3
            )


def test_kinds_that_were_asked_before_come_last_among_typical_points():
    given, kind = blobs()
    given["taken"][:, 0, 0] = True  # of kind 0
    out = select("typical", given, number=5)
    for points in out["points"]:
        met = kinds_of(points, kind)
        assert sorted(met) == [0, 1, 2, 3, 4] and met[-1] == 0
        assert (points[-1] * (5, 6) // (H, W)).any(), "another cell of it"


def test_cluster_margin_asks_the_least_sure_pixel_of_each_kind_of_feature():
    given, kind = blobs()
    out = select("cluster_margin", given, number=5, **{"points.radius": 0})
    margin = select("margin", given, number=H * W, **{"points.radius": 0})
    for points, scores, all_points, all_scores in zip(
        out["points"], out["scores"], margin["points"], margin["scores"], strict=True
    ):
        assert sorted(kinds_of(points, kind)) == [0, 1, 2, 3, 4]
        of = kinds_of(all_points, kind)
        best = [all_scores[of == k].max() for k in kinds_of(points, kind)]
        np.testing.assert_allclose(scores, best, rtol=1e-5)


@pytest.mark.parametrize(
    "name", ["typical", "diversity", pytest.param("typical_margin", marks=pytest.mark.slow)]
)
def test_before_there_is_a_label_features_are_asked_and_logits_are_not_read(name):
    given, _ = blobs()
    before = given | {"untaught": np.ones(B, bool)}
    other = before | {"main": -given["main"], "key": given["key"] + 1}
    asked = select(name, before, number=5)["points"]
    np.testing.assert_array_equal(asked, select(name, other, number=5)["points"])
    assert (asked != select("random", before, number=5)["points"]).any()


def test_typical_margin_is_margin_as_soon_as_there_are_labels():
    given, _ = blobs()
    later = select("typical_margin", given | {"untaught": np.zeros(B, bool)})
    np.testing.assert_array_equal(later["points"], select("margin", given)["points"])


# ------------------------------------------------------------------------------------ registering


def test_an_unknown_way_to_ask_and_a_name_that_is_taken_are_refused():
    with pytest.raises(ValueError, match="polygons"):
        strategies.strategy("mine", asks="polygons")
    with pytest.raises(ValueError, match="full"):
        strategies.strategy("full", asks="points")


def test_reports_call_a_method_by_its_title_or_else_by_its_name():
    assert strategies.title("labor_ppl") == "LabOR, points (PPL)"
    assert strategies.title("full") == "Every target pixel"
    assert strategies.title("least_confidence") == "Least confidence"
    assert strategies.title("of_a_module_that_is_gone") == "Of a module that is gone"


@pytest.mark.slow
def test_the_strategy_that_the_guide_shows_takes_part_in_a_comparison(tmp_path):
    root = pathlib.Path(__file__).parents[2]
    blocks = (root / "docs" / "ways_to_ask.md").read_text().split("```")
    (shown,) = [block for block in blocks if block.startswith("python\n# my_strategies.py")]
    (tmp_path / "my_strategies.py").write_text(shown.removeprefix("python\n"))
    assert len(shown.strip().splitlines()) <= 16
    flags = [f"--config={root}/configs/toytown.py:quick", "--workdir=compare", "--seeds=1"]
    flags += ["--config.plugins=('my_strategies',)", "--config.stages=1"]
    flags += ["--methods=middle_margin", "--budgets=4clicks"]
    done = subprocess.run(
        [sys.executable, "-m", "labor_jax", "compare", *flags],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    queries = tmp_path / "compare" / "middle_margin-4clicks-seed0" / "queries" / "stage_1.jsonl"
    lines = [json.loads(line) for line in queries.read_text().splitlines()]
    assert [len(query["points"]) for query in lines] == [4] * 12
    assert "middle_margin" in (tmp_path / "compare" / "compare.md").read_text()
