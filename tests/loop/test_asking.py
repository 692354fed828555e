"""Every method's queries over several stages: hard budgets, and no pixel twice."""

import cv2
import numpy as np
import pytest

from labor_jax.annotation import queries as q
from labor_jax.config import checking, default_config
from labor_jax.data.domain import Domain
from labor_jax.infer import metrics
from labor_jax.loop import asking
from labor_jax.selection.segments import run_pixels
from labor_jax.selection.superpixels import superpixels
from labor_jax.util.errors import UserError

SIZES = {"a": (12, 16), "b": (12, 16), "sub/c": (9, 11), "d": (12, 16), "e": (12, 16)}
IDS = tuple(SIZES)
CLASSES, STAGES = 3, 3


def make_domain(labelled=True):
    def image(index):
        return np.full((*SIZES[IDS[index]], 3), index, np.uint8)

    def label(index):
        draw = np.random.default_rng(index)
        return draw.choice(np.array([0, 1, 2, 255], np.uint8), SIZES[IDS[index]])

    return Domain("streets", IDS, image, label if labelled else None)


def says(index, stage, size, share=0.6):
    """What a selector could say of an image: a mask of patches, classes, points of the mask."""
    draw = np.random.default_rng([index, stage])
    patches = draw.random((-(-size[0] // 2), -(-size[1] // 2))) < share
    mask = np.kron(patches, np.ones((2, 2), bool))[: size[0], : size[1]].astype(bool)
    classes = draw.integers(0, CLASSES, patches.shape)
    selected = np.kron(classes, np.ones((2, 2), int))[: size[0], : size[1]].astype(np.uint8)
    return {"mask": mask, "selected": selected, "predicted": selected}


def infer_at(stage, seen=None, share=0.6, regions=False):
    """Points in the mask's order of reading, each with a score of its own; or middles of 3x3
    regions that touch nothing asked."""

    def infer(images, taken, key, size, natives):
        assert natives is None
        assert images.shape[1:] == (32, 32, 3) and taken.shape == (len(images), *size)
        assert key.shape == (len(images), 2)
        rows = []
        for image, asked in zip(images, taken, strict=True):
            index = int(image[0, 0, 0])
            row = says(index, stage, size, share)
            places = np.argwhere(row["mask"] & ~asked)
            if regions:
                near = cv2.dilate(asked.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
                places = np.argwhere(~near)
                places = places[(places % 3 == 1).all(1)]
            places = places[:60]
            row["points"], row["found"] = np.zeros((60, 2), np.int32), np.arange(60) < len(places)
            row["points"][: len(places)] = places
            row["scores"] = -np.arange(60) - 1000.0 * index
            row["chosen"] = row["mask"]
            row["score"] = np.random.default_rng([index, stage]).random(size)
            rows.append(row)
            if seen is not None:
                seen[IDS[index]] = asked
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

    return infer


def make_config(method, **values):
    c = default_config()
    c.method, c.stages = method, STAGES
    c.input.size, c.eval_batch_size = (32, 32), 2
    c.spl.cell = c.superpixels.cell = 4
    c.update_from_flattened_dict(values)
    return c


def ask_all(config, workdir, domain=None, share=0.6):
    """Every stage's `Asked`s, written down as a run does."""
    stages = []
    for stage in range(1, config.stages + 1):
        asked = list(
            asking.ask(
                stage,
                domain or make_domain(),
                infer_at(stage, share=share, regions=config.method == "ripu_regions"),
                config,
                workdir,
            )
        )
        q.write_queries(workdir, stage, [a.query for a in asked])
        stages.append(asked)
    return stages


def pixels_by_image(stages):
    """The flat pixels asked of each image, an array a stage."""
    queries = [[a.query for a in asked] for asked in stages]
    return {
        image: [q.asked_pixels(x) for stage in queries for x in stage if x["image"] == image]
        for image in IDS
    }


@pytest.mark.parametrize("total", [0, 1, 7, 12, 40, 200])
@pytest.mark.parametrize("method", ["labor_ppl", "random"])
def test_points_never_exceed_the_budget_nor_fall_on_a_pixel_twice(tmp_path, method, total):
    config = make_config(method, **{"budget.points_per_image": total})
    stages = ask_all(config, tmp_path)
    for parts in pixels_by_image(stages).values():
        pixels = np.concatenate(parts)
        assert len(pixels) <= total
        assert len(set(pixels.tolist())) == len(pixels)
        for stage in range(STAGES):
            assert sum(map(len, parts[: stage + 1])) <= total * (stage + 1) // STAGES
    if total in (7, 12):  # enough pixels are there to use it up
        assert all(sum(map(len, p)) == total for p in pixels_by_image(stages).values())


@pytest.mark.parametrize("fraction", [0.0, 0.022, 0.1, 0.4, 1.0])
def test_segments_never_exceed_the_budget_and_stay_in_the_mask(tmp_path, fraction):
    config = make_config("labor_spl", **{"budget.max_fraction": fraction})
    stages = ask_all(config, tmp_path)
    for index, (image, parts) in enumerate(pixels_by_image(stages).items()):
        height, width = SIZES[image]
        pixels = np.concatenate(parts)
        assert len(pixels) <= fraction * height * width
        assert len(set(pixels.tolist())) == len(pixels)
        for stage, part in enumerate(parts, start=1):
            assert says(index, stage, SIZES[image])["mask"].flat[part].all()


@pytest.mark.parametrize("fraction", [0.1, 0.4, 1.0])
def test_segments_cut_for_people_stay_in_the_budget_and_the_mask_too(tmp_path, fraction):
    cut = {"spl.cut": "superpixels", "spl.crumb": 3}
    config = make_config("labor_spl", **{"budget.max_fraction": fraction}, **cut)
    stages = ask_all(config, tmp_path)
    for index, (image, parts) in enumerate(pixels_by_image(stages).items()):
        pixels = np.concatenate(parts)
        assert len(set(pixels.tolist())) == len(pixels) <= fraction * np.prod(SIZES[image])
        for stage, part in enumerate(parts, start=1):
            assert says(index, stage, SIZES[image])["mask"].flat[part].all()
    first = [asked.query for asked in stages[0]]
    assert any(x["segments"] for x in first)
    for query in first:
        sizes = [len(run_pixels(runs)) for runs in query["segments"]]
        assert sizes == sorted(sizes, reverse=True) and min(sizes, default=3) >= 3


def test_within_the_budget_each_stage_asks_all_of_its_mask_that_is_new(tmp_path):
    config = make_config("labor_spl", **{"budget.max_fraction": 3.0})
    for index, parts in enumerate(pixels_by_image(ask_all(config, tmp_path)).values()):
        before = np.zeros(SIZES[IDS[index]], bool)
        for stage, part in enumerate(parts, start=1):
            mask = says(index, stage, SIZES[IDS[index]])["mask"]
            np.testing.assert_array_equal(np.sort(part), np.flatnonzero(mask & ~before))
            before |= mask


def test_the_kernel_is_told_which_pixels_were_asked_before(tmp_path):
    config = make_config("labor_ppl")
    ask_all(config, tmp_path)
    seen = {}
    list(asking.ask(3, make_domain(), infer_at(3, seen), config, tmp_path))
    for image, asked in seen.items():
        expected = np.zeros(SIZES[image], bool)
        for stage in (1, 2):
            query = next(x for x in q.read_queries(tmp_path, stage) if x["image"] == image)
            for x, y in query["points"]:
                expected[y, x] = True
        assert expected.any()
        np.testing.assert_array_equal(asked, expected)


def test_what_people_fixed_is_not_asked(tmp_path):
    region = np.zeros(SIZES[IDS[0]], np.int32)
    region[:3] = 1
    fixed, seen = {IDS[0]: [q.segment_query(IDS[0], 1, region.shape, region)]}, {}
    config = make_config("labor_spl", **{"budget.max_fraction": 3.0})
    asked = list(asking.ask(1, make_domain(), infer_at(1, seen), config, tmp_path, fixed))
    pixels = q.asked_pixels(asked[0].query)
    assert len(pixels) and not region.flat[pixels].any()
    np.testing.assert_array_equal(seen[IDS[0]], region == 1)
    assert not any(seen[image].any() for image in IDS[1:])


def test_a_class_without_pixels_and_an_empty_mask_still_give_a_query(tmp_path):
    for method in ("labor_ppl", "labor_spl"):
        asked = ask_all(make_config(method), tmp_path / method, share=0.0)
        assert [a.query["image"] for a in asked[0]] == list(IDS)
        assert all(q.asked_pixels(a.query).size == 0 for stage in asked for a in stage)


@pytest.mark.parametrize("method", ["labor_ppl", "labor_spl"])
def test_random_beside_another_run_asks_as_many_points_of_each_image(tmp_path, method):
    other = make_config(method, **{"budget.max_fraction": 0.3})
    beside = ask_all(other, tmp_path / "other")
    config = make_config("random", beside=str(tmp_path / "other"))
    config.budget.points_per_image = 0  # its own budget does not count then
    stages = ask_all(config, tmp_path / "random")
    for ours, theirs in zip(stages, beside, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            wanted = len(b.query.get("points", b.query.get("segments")))
            assert wanted > 0
            assert len(a.query["points"]) == wanted
    for parts in pixels_by_image(stages).values():
        assert len(set(np.concatenate(parts).tolist())) == sum(map(len, parts))


def test_random_beside_a_run_that_has_not_asked_everything_is_told_so(tmp_path):
    ask_all(make_config("labor_spl", stages=2), tmp_path / "two")
    for beside, stage in (("nothing", 1), ("two", 3)):
        config = make_config("random", beside=str(tmp_path / beside))
        with pytest.raises(UserError, match=rf"config\.beside: .*{beside}.* of stage {stage}"):
            asking.check_beside(config)
    asking.check_beside(make_config("random", beside=str(tmp_path / "two"), stages=2))


def test_random_beside_a_run_that_lost_queries_is_told_so(tmp_path):
    ask_all(make_config("labor_ppl"), tmp_path / "other")
    path = q.queries_path(tmp_path / "other", 1)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    config = make_config("random", beside=str(tmp_path / "other"))
    with pytest.raises(UserError, match=r"stage_1\.jsonl does not have a query for each"):
        ask_all(config, tmp_path / "random")


def test_full_asks_every_pixel_once_and_is_done(tmp_path):
    assert [asking.asks("full", stage) for stage in (1, 2, 3)] == [True, False, False]
    asked = list(asking.ask(1, make_domain(), infer_at(1), make_config("full"), tmp_path))
    for a in asked:
        height, width = SIZES[a.query["image"]]
        assert q.asked_pixels(a.query).tolist() == list(range(height * width))


@pytest.mark.parametrize("method", ["source_only", "uda"])
def test_methods_without_labels_ask_nothing(method):
    assert not any(asking.asks(method, stage) for stage in (1, 2, 3))


@pytest.mark.parametrize("method", ["labor_ppl", "labor_spl", "random"])
def test_queries_depend_on_the_seed_and_not_on_the_batch_size(tmp_path, method):
    def queries(name, **values):
        # 20 of 40 pixels of a patchy mask: a cap that leaves a choice.
        config = make_config(method, **{"budget.max_fraction": 0.1} | values)
        return [[a.query for a in stage] for stage in ask_all(config, tmp_path / name)]

    first = queries("first")
    assert queries("again", eval_batch_size=5) == first
    if method == "labor_spl":  # the kernel decides about points
        assert queries("other", seed=1) != first


def test_the_masks_counts_need_labels_and_queries_do_not(tmp_path):
    for index, a in enumerate(ask_all(make_config("labor_spl"), tmp_path / "labelled")[0]):
        said = says(index, 1, SIZES[IDS[index]])
        truth = make_domain().read_label(index)
        np.testing.assert_array_equal(
            a.counts, metrics.mask_counts(said["mask"], said["predicted"], truth)
        )
    unlabelled = ask_all(make_config("labor_spl"), tmp_path / "not", make_domain(labelled=False))
    for a in unlabelled[0]:
        shares = metrics.mask_score(a.counts)
        assert set(shares) == {"share"} and shares["share"] > 0
    assert q.read_queries(tmp_path / "not", 3) == q.read_queries(tmp_path / "labelled", 3)


# ------------------------------------------------------------------- units, the pool, superpixels

EVERY = (
    "random",
    "labor_ppl",
    "labor_spl",
    "ripu_regions",
    "superpixels_margin",
    "superpixel_cores",
)


@pytest.mark.parametrize("scope", ["image", "pool"])
@pytest.mark.parametrize("unit", ["points", "pixels", "clicks"])
@pytest.mark.parametrize("method", EVERY)
def test_every_way_to_ask_keeps_every_budget(tmp_path, method, unit, scope):
    values = {"budget.unit": unit, "budget.scope": scope}
    values |= {"budget.points_per_image": 7, "budget.clicks_per_image": 7}
    config = make_config(method, **values, **{"budget.max_fraction": 0.2})
    if unit == "points" and method not in ("random", "labor_ppl"):
        with pytest.raises(UserError, match=r"config\.budget\.unit: .* give pixels or clicks"):
            checking.check(config)
        return
    stages = ask_all(config, tmp_path)
    shares = {i: asking.total(config, SIZES[i]) for i in IDS}
    spent = {
        image: [
            q.cost(a.query, unit) for stage in stages for a in stage if a.query["image"] == image
        ]
        for image in IDS
    }
    limit = config.budget.pool_limit if scope == "pool" else 1
    for image, costs in spent.items():
        assert sum(costs) <= limit * shares[image]
        assert scope == "pool" or costs[0] <= shares[image] // STAGES
    total = sum(map(sum, spent.values()))
    assert 0.6 * sum(shares.values()) < total <= sum(shares.values())
    for parts in pixels_by_image(stages).values():
        pixels = np.concatenate(parts)
        assert len(set(pixels.tolist())) == len(pixels)


def test_the_pool_gives_most_to_the_images_of_the_highest_scores(tmp_path):
    config = make_config("random", **{"budget.scope": "pool", "budget.points_per_image": 6})
    counts = [len(a.query["points"]) for a in ask_all(config, tmp_path)[0]]
    assert counts == [6, 4, 0, 0, 0]  # thrice a share of two; the stub's scores fall by image


def test_with_clicks_segments_are_asked_whole_and_with_pixels_part_by_part(tmp_path):
    for unit, method, whole in (
        ("clicks", "labor_spl", True),
        ("pixels", "labor_spl", None),
        ("pixels", "superpixels_margin", True),
        ("clicks", "ripu_regions", True),
    ):
        config = make_config(method, **{"budget.unit": unit, "budget.max_fraction": 0.3})
        for a in ask_all(config, tmp_path / f"{unit}-{method}")[0]:
            assert a.query.get("whole") is whole


def test_regions_are_squares_that_do_not_overlap(tmp_path):
    config = make_config("ripu_regions", **{"budget.max_fraction": 1.0})
    for asked in asking.ask(1, make_domain(), infer_at(1, regions=True), config, tmp_path):
        _, width = SIZES[asked.query["image"]]
        for runs in asked.query["segments"]:
            rows, columns = np.divmod(run_pixels(runs), width)
            box = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
            assert len(rows) == box <= 9


@pytest.mark.parametrize("method, share", [("superpixels_margin", 1.0), ("superpixel_cores", 0.5)])
def test_superpixels_are_asked_whole_or_their_cores_and_none_twice(tmp_path, method, share):
    config = make_config(method, **{"budget.unit": "clicks"})
    config.budget.clicks_per_image = 6
    stages = ask_all(config, tmp_path)
    domain = make_domain()
    for index, image in enumerate(IDS):
        pieces = superpixels(domain.read_image(index), config.superpixels.cell)
        asked = []
        for stage in stages:
            query = next(a.query for a in stage if a.query["image"] == image)
            for runs in query["segments"]:
                inside = run_pixels(runs)
                number = pieces.flat[inside[0]]
                whole = np.flatnonzero(pieces == number).tolist()
                assert set(inside.tolist()) <= set(whole)
                assert len(set(inside.tolist())) == np.ceil(share * len(whole))
                asked.append(int(number))
        assert len(set(asked)) == len(asked) > 0
