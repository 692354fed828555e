"""The teacher: what is pasted, what is taught and how much it is trusted."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support import tiny

from labor_jax.train import optimizers, parallel, pseudo_labels, state, steps, teacher

pytestmark = pytest.mark.usefixtures("shallow")

C, SHAPE = 4, (3, 5, 6)
LABELS = hnp.arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 1, 2, 3, 255]))


@given(LABELS, st.integers(0, 99))
def test_half_of_the_classes_of_a_label_map_are_chosen_rounded_up(label, seed):
    chosen = np.asarray(teacher.chosen_classes(jax.random.key(seed), label[0], C))
    there = np.setdiff1d(label[0], 255)
    assert chosen.shape == (C,) and chosen.sum() == (len(there) + 1) // 2
    assert set(np.flatnonzero(chosen)) <= set(there)


def test_every_class_is_chosen_about_as_often():
    label = np.arange(C, dtype=np.uint8).reshape(2, 2)
    keys = jax.random.split(jax.random.key(0), 300)
    chosen = jax.vmap(lambda key: teacher.chosen_classes(key, label, C))(keys)
    assert (abs(np.asarray(chosen).mean(0) - 0.5) < 0.1).all()


@given(LABELS, LABELS, LABELS, hnp.arrays(bool, (3, C)))
def test_chosen_classes_are_pasted_with_their_labels_and_never_over_an_answer(
    source, answers, guessed, chosen
):
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (2, *SHAPE, 3)).astype(np.uint8)
    trust = np.full(SHAPE, 0.25, np.float32)
    before = {"image": images[0], "label": answers, "taught": guessed, "trust": trust}
    mixed = teacher.mixed(before, {"image": images[1], "label": source}, jnp.asarray(chosen))
    after = jax.tree.map(np.asarray, teacher.answered(mixed))
    for p in np.ndindex(SHAPE):
        pasted = source[p] != 255 and chosen[p[0], source[p]] and answers[p] == 255
        assert (after["image"][p] == images[int(pasted)][p]).all()
        given = answers[p] if answers[p] != 255 else source[p] if pasted else guessed[p]
        assert after["taught"][p] == given
        assert after["trust"][p] == (1.0 if pasted or answers[p] != 255 else 0.25)
    np.testing.assert_array_equal(after["label"], answers)


def make(**values):
    """A config with a teacher, and a state."""
    config = tiny.make_config(**({"adapt": "teacher", "optimizer.average": 0.9} | values))
    return config, tiny.make_state(config)


@functools.cache
def taught(mode, above=0.3):
    """What one batch becomes and the metrics, over one device or four."""
    config, start = make(**{"teacher.above": above, "input.blur": 0.5, "input.grey": 0.2})
    networks = tiny.make_networks(config, None)

    def step(now, batch, *, axis_name):
        batch, number, told = teacher.teach(
            now, batch, networks=networks, config=config, axis_name=axis_name
        )
        whole = batch if axis_name is None else jax.lax.all_gather(batch, axis_name, tiled=True)
        return now, (whole, told | {"number": number})

    start = parallel.replicate(start, mode)
    return jax.device_get(parallel.map_step(step, mode)(start, tiny.make_batch())[1])


@pytest.mark.parametrize("mode", ["pmap", "shard_map"])
def test_devices_together_mix_the_images_of_one(mode):
    (one, metrics), (got, got_metrics) = taught("jit"), taught(mode)
    np.testing.assert_allclose(got_metrics["teacher/trust"], metrics["teacher/trust"], atol=1e-3)
    assert got_metrics["number"] == metrics["number"]
    for name in ("image", "label"):
        np.testing.assert_array_equal(got["target"][name], one["target"][name])
    assert (got["target"]["taught"] == one["target"]["taught"]).mean() > 0.999
    np.testing.assert_allclose(got["target"]["trust"], one["target"]["trust"], atol=1e-3)


def test_the_average_teaches_where_nobody_has_answered_and_nothing_outside_the_image():
    batch, (after, metrics) = tiny.make_batch(), taught("jit")
    config, start = make()
    target, learnt = batch["target"], after["target"]
    confidence, predicted = map(
        np.asarray,
        pseudo_labels.predictions(
            tiny.make_networks(config, None).segmenter,
            start.average.variables,
            target["image"],
            tiny.SIZE,
            parts=1,
        ),
    )
    assert after["source"].keys() == batch["source"].keys()
    assert (learnt["label"] == target["label"]).all()
    answered, trust = target["label"] != 255, learnt["trust"]
    assert (learnt["taught"][answered] == target["label"][answered]).all()
    assert (trust[answered] == 1).all()
    of_teacher = (trust < 1) & target["inside"]
    assert 0.1 < of_teacher.mean() < 0.9
    assert (learnt["taught"] == predicted)[of_teacher].mean() > 0.999
    assert (learnt["taught"][(trust < 1) & ~target["inside"]] == 255).all()
    pasted = (trust == 1) & ~answered
    assert (learnt["taught"] == batch["source"]["label"])[pasted].all() and pasted.any()
    share = (confidence > 0.3)[target["inside"]].mean()
    np.testing.assert_allclose(metrics["teacher/trust"], share, atol=1e-3)
    assert 0 < share < 1 and np.allclose(trust[of_teacher], share, atol=1e-3)
    assert metrics["number"] == (learnt["taught"] != 255).sum()


def test_what_is_mixed_is_a_function_of_seed_and_step():
    def images(step=3, **values):
        config, start = make(**values)
        networks = types.SimpleNamespace(segmenter=Sure())
        now = start.replace(step=np.int32(step))
        out, _, _ = teacher.teach(
            now, tiny.make_batch(), networks=networks, config=config, axis_name=None
        )
        return np.asarray(out["target"]["image"])

    assert (images() == images()).all()
    assert (images() != images(step=4)).any()
    assert (images() != images(seed=1)).any()


class Sure:
    """A network that is sure of the first class."""

    def apply(self, variables, images, train):
        logits = jnp.zeros((*images.shape[:3], tiny.CLASSES)).at[..., 0].set(20.0)
        return {"main": logits}


def test_without_a_source_nothing_is_pasted():
    config, start = make(**{"input.jitter": 0.0})
    target = {"target": tiny.make_batch()["target"]}
    networks = types.SimpleNamespace(segmenter=Sure())
    out, _, told = teacher.teach(start, target, networks=networks, config=config, axis_name=None)
    np.testing.assert_array_equal(out["target"]["image"], target["target"]["image"])
    assert told["teacher/trust"] == 1


@pytest.mark.parametrize(
    ("values", "teaches"),
    [
        ({}, True),
        ({"adapt": "both"}, True),
        ({"adapt": "none"}, False),
        ({"adapt": "adversarial"}, False),
        ({"method": "source_only"}, False),
        ({"method": "uda"}, True),
    ],
)
def test_there_is_a_teacher_where_the_config_says_so_and_the_target_is_seen(values, teaches):
    assert teacher.teaches(make(**values)[0]) == teaches


@functools.cache
def stepped(adapt, mode="jit", number=1):
    """The states and metrics of some steps on one batch, from one start."""
    config, now = make(adapt=adapt, method="uda", **{"teacher.above": 0.0})
    now = now.replace(step=np.int32(25))  # late enough for the average to be slow
    step = functools.partial(
        steps.adapt_step,
        networks=tiny.make_networks(config, None if mode == "jit" else parallel.AXIS),
        optimizers=optimizers.make_optimizers(config),
        config=config,
    )
    mapped, found = parallel.map_step(step, mode), []
    now = parallel.replicate(now, mode)
    for _ in range(number):
        now, metrics = mapped(now, tiny.make_batch())
        found.append(jax.device_get((now, metrics)))
    return found


def test_the_segmenter_learns_what_it_is_taught_and_the_discriminators_see_the_target_itself():
    found = stepped("both", number=4)
    losses = [metrics for _, metrics in found]
    for name in ("loss/teacher_main", "loss/teacher_aux", "loss/source_main", "loss/target_main"):
        assert losses[-1][name] < losses[0][name], name
    assert {"loss/fool_main", "loss/discriminator_main"} <= losses[0].keys()
    moved = jax.tree.map(
        lambda a, b: (a != b).any(),
        found[0][0].discriminators.params,
        found[1][0].discriminators.params,
    )
    assert all(jax.tree.leaves(moved))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["pmap", "shard_map"])
@pytest.mark.parametrize("adapt", ["both", "teacher"])
def test_devices_together_learn_from_the_teacher_as_one_does(adapt, mode):
    (one, metrics), (got, got_metrics) = stepped(adapt)[0], stepped(adapt, mode)[0]
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    jax.tree.map(close, metrics, got_metrics)
    jax.tree.map(close, one, got)


@pytest.mark.slow
def test_parts_of_a_batch_learn_from_the_teacher_as_the_whole_does():
    values = {"model.batch_norm": "frozen", "adapt": "teacher"}
    ends = []
    for parts in (1, 2):
        config, now = make(accumulate=parts, **values)
        step = functools.partial(
            steps.adapt_step,
            networks=tiny.make_networks(config, None),
            optimizers=optimizers.make_optimizers(config),
            config=config,
        )
        ends.append(jax.device_get(jax.jit(step)(now, tiny.make_batch())))
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    jax.tree.map(close, *ends)


def test_the_state_has_no_discriminator_to_keep_with_a_teacher_alone():
    config, _ = make()
    assert state.state_shapes(config, tiny.CLASSES).discriminators is None
