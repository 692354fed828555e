"""What inference makes of the networks' outputs, against the same done by hand."""

import functools

import jax
import numpy as np
import pytest
from support import tiny

from labor_jax.infer import steps
from labor_jax.models.resize import upsample

pytestmark = pytest.mark.usefixtures("shallow")


@pytest.fixture(scope="module")
def start():
    return tiny.make_state(tiny.make_config())


def test_a_query_is_made_of_the_selectors_two_heads_and_the_segmenters_average():
    values = {"ppl.points_per_class": 2, "ppl.radius": 1, "optimizer.average": 0.9}
    config = tiny.make_config(**values)
    start = tiny.make_state(config)
    networks, size = tiny.make_networks(config, None), (24, 30)
    images = tiny.make_batch()["target"]["image"][:2]
    taken = np.zeros((2, *size), bool)
    taken[:, :12] = True
    ask = functools.partial(steps.query, networks=networks, size=size, number=6, config=config)
    batch = {"image": images, "taken": taken, "key": np.zeros((2, 2), np.uint32)}
    out = jax.device_get(jax.jit(ask)(start, batch))
    assert out["mask"].shape == out["selected"].shape == out["predicted"].shape == (2, *size)
    assert out["selected"].dtype == out["predicted"].dtype == np.uint8
    assert out["points"].shape == (2, 6, 2) and out["found"].any()
    for points, found, mask, selected in zip(
        out["points"], out["found"], out["mask"], out["selected"], strict=True
    ):
        rows, columns = points[found].T
        assert mask[rows, columns].all() and (rows >= 13).all()  # 1 from what was asked
        classes = selected[rows, columns].tolist()
        first = list(dict.fromkeys(classes))
        assert classes[: len(first)] == sorted(first), "every class's best before any's second"
    alone = steps.predict(start.average, images, networks=networks, size=size)
    assert np.mean(np.asarray(alone) == out["predicted"]) > 0.99


def test_views_and_mirror_images_are_averaged_as_probabilities(start):
    network = tiny.make_networks(tiny.make_config(), None)
    images, size = tiny.make_batch()["target"]["image"], (24, 30)
    views = [(16, 20), tiny.SIZE]
    predict = functools.partial(steps.predict, start.segmenter, images, networks=network, size=size)
    total = 0
    for height, width in views:
        seen = np.asarray(
            jax.image.resize(images.astype(np.float32), (4, height, width, 3), "linear")
        )
        for step in (1, -1):
            out = network.segmenter.apply(start.segmenter.variables, seen[:, :, ::step])
            total += jax.nn.softmax(upsample(out["main"], size))[:, :, ::step]
    found = np.asarray(predict(views=views, flip=True))
    assert (found == np.argmax(total, -1)).mean() > 0.999
    assert (found != np.asarray(predict())).any()
    np.testing.assert_array_equal(predict(views=[tiny.SIZE]), predict())
