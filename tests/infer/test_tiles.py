"""Tiles give what the whole image would, as far as the network reaches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import tiny

from labor_jax.infer import tiles
from labor_jax.infer.segmenter import Predictor
from labor_jax.util.errors import UserError

NETWORKS = (
    ("resnet18", "pytorch", 8),
    ("resnet18", "caffe", 16),
    ("mobilenet_v2", "tensorflow", 16),
)


@pytest.fixture(scope="module", params=NETWORKS, ids=lambda p: "-".join(map(str, p)))
def segmenter(request):
    backbone, style, stride = request.param
    with pytest.MonkeyPatch.context() as patch:
        tiny.shallow(patch)
        model = {"backbone": backbone, "style": style, "output_stride": stride}
        yield Predictor(tiny.make_run(**{f"model.{key}": value for key, value in model.items()}))


def picture(height, width):
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


@given(st.integers(1, 300), st.integers(20, 200), st.integers(0, 200), st.sampled_from([8, 16]))
def test_tiles_cover_an_axis_and_count_only_far_enough_from_their_edges(
    length, tile, overlap, stride
):
    if not (tile >= 2 * stride and overlap <= tile - stride):
        return
    length = tiles.padded(length, stride)
    size, spans = tiles.spans(length, tile, overlap, stride)
    assert size % stride == 1 and size <= length
    assert [span.first for span in spans] == [0, *(span.last for span in spans[:-1])]
    assert spans[-1].last == length
    for span in spans:
        assert span.start % stride == 0 and 0 <= span.start <= length - size
        assert span.first == 0 or span.first - span.start >= overlap // 2
        assert span.last == length or span.start + size - span.last >= overlap // 2


def test_the_reach_is_as_far_as_a_pixel_matters_and_at_most_three_strides_more(segmenter):
    reach, stride = segmenter.reach(), segmenter.run.config.model.output_stride
    length = tiles.padded(4 * reach, stride)
    image = picture(length, stride + 1)
    changed = image.copy()
    middle = length // 2 + 3
    changed[middle] = 255 - changed[middle]
    whole = image.shape[:2]
    before, after = (segmenter.probabilities(x, tile=whole, overlap=0) for x in (image, changed))
    rows = (before != after).any((1, 2)).nonzero()[0]
    farthest = max(middle - rows.min(), rows.max() - middle)
    assert reach - 3 * stride <= farthest < reach


def test_tiles_that_overlap_by_twice_the_reach_give_what_one_piece_gives(segmenter):
    reach = segmenter.reach()
    image = picture(2 * reach + 200, 90)
    tile = (2 * reach + 64, 64 + image.shape[1])
    parts = segmenter.probabilities(image, tile=tile, overlap=2 * reach)
    whole = segmenter.probabilities(image, tile=image.shape[:2], overlap=0)
    assert parts.shape == (*image.shape[:2], tiny.CLASSES)
    np.testing.assert_allclose(parts, whole, atol=1e-5)  # sums of other shapes, other last bits
    labels = segmenter.predict(image, tile=tile, overlap=2 * reach)
    np.testing.assert_array_equal(labels, segmenter.predict(image, tile=image.shape[:2], overlap=0))
    assert len(np.unique(labels)) > 1


def test_tiles_that_overlap_less_differ_only_near_where_they_meet(segmenter):
    reach, stride = segmenter.reach(), segmenter.run.config.model.output_stride
    image = picture(tiles.padded(3 * reach, stride), 40)
    whole = segmenter.probabilities(image, tile=image.shape[:2], overlap=0)
    tile = 2 * reach
    parts = segmenter.probabilities(image, tile=(tile, 40), overlap=0)
    _, spans = tiles.spans(image.shape[0], tile, 0, stride)
    far = np.ones(len(image), bool)
    for span in spans[1:]:
        far[max(0, span.first - reach) : span.first + reach] = False
    # A tile begins before it counts, too.
    inside = np.zeros(len(image), bool)
    for span in spans:
        first = 0 if span.start == 0 else span.start + reach
        last = len(image) if span.last == len(image) else span.start + tile - reach
        inside[max(first, span.first) : min(last, span.last)] = True
    different = (np.abs(parts - whole) > 1e-5).any((1, 2))
    assert different.any() and not different[far & inside].any()


def test_a_picture_smaller_than_a_tile_is_one_piece(segmenter):
    image = picture(33, 45)
    once = segmenter.predict(image, tile=(33, 45), overlap=0)
    np.testing.assert_array_equal(segmenter.predict(image, tile=(400, 500), overlap=32), once)


@pytest.mark.parametrize(("tile", "overlap"), [((8, 64), 0), ((64, 64), 64), ((64, 64), -1)])
def test_tiles_that_do_not_get_on_are_refused(segmenter, tile, overlap):
    with pytest.raises(UserError, match=rf"tile {tile[0]}x{tile[1]}, overlap {overlap}: give"):
        segmenter.predict(picture(70, 70), tile=tile, overlap=overlap)


def test_tiles_and_several_scales_exclude_each_other():
    run = tiny.make_run(**{"evaluation.scales": (0.75, 1.0)})
    with pytest.raises(UserError, match=r"config\.evaluation\.scales: tiles have one scale"):
        Predictor(run).predict(picture(70, 70), tile=(64, 64), overlap=0)
