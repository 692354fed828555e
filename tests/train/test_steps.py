"""What a step moves, what it must leave alone, and which way it goes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support import tiny

from labor_jax.loop import plan
from labor_jax.train import losses, optimizers, parallel, state, steps
from labor_jax.util import rng

pytestmark = pytest.mark.usefixtures("shallow")


@functools.cache
def compiled(name, **values):
    config = tiny.make_config(**values)
    step = functools.partial(
        getattr(steps, name),
        networks=tiny.make_networks(config, None),
        optimizers=optimizers.make_optimizers(config),
        config=config,
    )
    mapped = parallel.map_step(step, "jit")

    def run(start, batch):
        return jax.device_get(mapped(parallel.replicate(start, "jit"), batch))

    return run


@pytest.fixture(scope="module")
def start():
    return tiny.make_state(tiny.make_config())


def same(one, other):
    return jax.tree.all(jax.tree.map(np.array_equal, one, other))


def ignore_all(batch):
    return {
        name: part | {"label": np.full_like(part["label"], 255)} for name, part in batch.items()
    }


# --------------------------------------------------------------------------------------- adapt


def test_adapting_moves_the_segmenter_and_the_discriminators_alone(start):
    after, _ = compiled("adapt_step")(start, tiny.make_batch())
    assert after.step == start.step + 1
    for name in ("segmenter", "discriminators"):
        assert not same(getattr(after, name).params, getattr(start, name).params)
    for name in ("selector", "thresholds", "stage"):
        assert same(getattr(after, name), getattr(start, name))


def test_adapting_learns_the_labels_of_both_domains(start):
    now, losses = start, []
    for _ in range(4):
        now, metrics = compiled("adapt_step")(now, tiny.make_batch())
        losses.append(metrics)
    for name in ("loss/source_main", "loss/source_aux", "loss/target_main", "loss/target_aux"):
        assert losses[-1][name] < losses[0][name]


def test_without_a_label_only_the_discriminators_teach_and_they_are_fooled_more(start):
    batch = ignore_all(tiny.make_batch())
    after, before_metrics = compiled("adapt_step")(start, batch)
    for name in ("source_main", "source_aux", "target_main", "target_aux"):
        assert before_metrics[f"loss/{name}"] == 0
    again = after.replace(discriminators=start.discriminators)
    _, metrics = compiled("adapt_step")(again, batch)
    assert metrics["loss/fool_main"] < before_metrics["loss/fool_main"]
    assert np.isfinite(list(metrics.values())).all()


def test_a_label_on_the_target_makes_a_difference(start):
    batch = tiny.make_batch()
    unlabelled = batch | {"target": ignore_all(batch)["target"]}
    with_it, _ = compiled("adapt_step")(start, batch)
    without, metrics = compiled("adapt_step")(start, unlabelled)
    assert metrics["loss/target_main"] == 0
    assert not same(with_it.segmenter.params, without.segmenter.params)


def close(one, other):
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), one, other)


def test_the_average_is_the_mean_of_all_weights_until_its_decay_is_reached(start):
    on = {"optimizer.average": 0.6}
    step, at_0 = compiled("adapt_step", **on), {"step": np.int32(0), "stage": np.int32(0)}
    states = [tiny.make_state(tiny.make_config(**on)).replace(**at_0)]
    for number in range(4):
        states.append(step(states[-1], tiny.make_batch(number))[0])
    raw = [now.segmenter.replace(opt_state=()) for now in states]
    for number in (1, 2):
        mean = jax.tree.map(lambda *x: np.mean(x, 0), *raw[1 : number + 1])
        close(states[number].average, mean)
    for number in (3, 4):
        mixed = jax.tree.map(
            lambda a, b: 0.6 * a + 0.4 * b, states[number - 1].average, raw[number]
        )
        close(states[number].average, mixed)
    without, _ = compiled("adapt_step")(start.replace(**at_0), tiny.make_batch(0))
    close(without.segmenter.replace(opt_state=()), raw[1])  # training goes on from the raw weights


def test_the_selectors_steps_are_none_of_the_averages():
    config = tiny.make_config(**{"optimizer.average": 0.99})
    start = tiny.make_state(config)
    late = start.replace(step=np.int32(10 + 2 * 10 + 10), stage=np.int32(2))  # at stage 2's adapt
    after = jax.device_get(state.averaged(jax.device_put(late), config))
    one, new, old = (
        x.params["main"]["branch_0"]["bias"] for x in (after, late.segmenter, late.average)
    )
    np.testing.assert_allclose(one, (1 - 1 / 21) * old + new / 21, rtol=1e-5)


def test_what_is_shipped_is_the_average_where_there_is_one(start):
    assert start.shipped is start.segmenter and start.shipped_part == "segmenter"
    config = tiny.make_config(**{"optimizer.average": 0.5})
    averaging = tiny.make_state(config)
    assert averaging.shipped is averaging.average and averaging.shipped_part == "average"
    begun = state.start_selector(jax.device_put(averaging), config, tiny.CLASSES, stage=1)
    assert same(begun.selector.params["backbone"], averaging.average.params["backbone"])
    assert same(begun.selector.params["c1"], averaging.average.params["main"])
    shapes = state.state_shapes(config, tiny.CLASSES)
    assert jax.tree.map(jnp.shape, shapes.average) == jax.tree.map(jnp.shape, averaging.average)


def test_the_selectors_pseudo_labels_are_the_averages(start):
    step = compiled("selector_step")
    other = tiny.make_state(tiny.make_config(**{"optimizer.average": 0.5}))
    one, _ = step(start.replace(segmenter=other.average.replace(opt_state=())), tiny.make_batch())
    two, _ = step(other, tiny.make_batch())
    assert same(one.selector, two.selector) and same(one.thresholds, two.thresholds)
    assert same(two.average, other.average)


def test_a_loss_of_ones_own_teaches_the_segmenter(start, monkeypatch):
    monkeypatch.setattr(losses, "_OPTIONAL", {})

    @losses.loss("first", domain="target")
    def first(logits, labels, config):
        """The mean logit of the first class: linear, so that no step is too long for it."""
        return logits[..., 0].sum(), jnp.float32(labels.size)

    config = tiny.make_config()
    with config.unlocked():
        config.loss.own.first = 10.0
    shared = {"networks": tiny.make_networks(config, None), "config": config}
    shared["optimizers"] = optimizers.make_optimizers(config)
    step = jax.jit(functools.partial(steps.adapt_step, **shared))
    now, means = jax.device_put(start), []
    for _ in range(3):
        now, metrics = step(now, tiny.make_batch())
        means.append(float(metrics["loss/first"]))
    assert means[0] > means[1] > means[2]


def test_source_only_learns_nothing_from_the_target(start):
    step = compiled("adapt_step", method="source_only")
    batch, other = tiny.make_batch(0), tiny.make_batch(1)
    one, metrics = step(start, batch)
    two, _ = step(start, batch | {"target": other["target"]})
    assert same(one, two)
    assert same(one.discriminators, start.discriminators)
    assert not same(one.segmenter.batch_stats, start.segmenter.batch_stats)
    assert "loss/fool_main" not in metrics and metrics["loss/source_main"] > 0
    three, _ = step(start, batch | {"source": other["source"]})
    assert not same(one.segmenter.params, three.segmenter.params)


def test_a_source_of_another_size_changes_nothing_of_the_target(start):
    step = compiled("adapt_step", **{"model.batch_norm": "frozen"})
    batch, wide = tiny.make_batch(), tiny.make_batch()["source"]
    wide = {name: np.repeat(x, 2, axis=2) for name, x in wide.items()}
    _, one = step(start, batch)
    after, two = step(start, batch | {"source": wide})
    assert not same(after.segmenter.params, start.segmenter.params)
    assert one["loss/source_main"] != two["loss/source_main"]
    for name in ("target_main", "target_aux", "fool_main", "fool_aux"):
        np.testing.assert_allclose(one[f"loss/{name}"], two[f"loss/{name}"], rtol=1e-5)


def test_adaptsegnets_batch_norm_sees_source_then_target_and_keeps_scale_and_bias(start):
    config = tiny.make_config(**{"model.batch_norm": "adaptsegnet"})
    batch = tiny.make_batch()
    after, _ = compiled("adapt_step", **{"model.batch_norm": "adaptsegnet"})(start, batch)

    network, variables = tiny.make_networks(config, None).segmenter, start.segmenter.variables
    for name in ("source", "target"):
        _, moved = network.apply(variables, batch[name]["image"], train=True, mutable="batch_stats")
        variables = variables | moved
    for one, other in zip(
        jax.tree.leaves(after.segmenter.batch_stats),
        jax.tree.leaves(variables["batch_stats"]),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)

    for path, moved in jax.tree_util.tree_leaves_with_path(
        jax.tree.map(
            lambda a, b: not np.array_equal(a, b), after.segmenter.params, start.segmenter.params
        )
    ):
        names = [entry.key for entry in path]
        norm = names[0] == "backbone" and names[-1] in ("scale", "bias")
        assert moved is not norm, names


def test_discriminators_learn_to_tell_source_from_target(start):
    config = tiny.make_config(**{"adversarial.learning_rate": 1e-2})
    optimizer = optimizers.make_optimizers(config).discriminator
    draw = np.random.default_rng(0)
    sure, unsure = (
        jax.nn.softmax(scale * draw.normal(size=(2, 32, 40, tiny.CLASSES))) for scale in (5, 0.5)
    )
    maps = {
        "main": {"source": sure, "target": unsure},
        "aux": {"source": unsure, "target": sure},
    }
    networks = tiny.make_networks(config, None)

    @jax.jit
    def step(now):
        gradients, metrics = steps.discriminator_gradients(
            now, maps, networks=networks, config=config, axis_name=None
        )
        updates, opt_state = optimizer.update(gradients, now.opt_state)
        return now.replace(
            params=optax.apply_updates(now.params, updates), opt_state=opt_state
        ), metrics

    params = start.discriminators.params
    now = state.Trained(params=params, batch_stats={}, opt_state=optimizer.init(params))
    losses = []
    for _ in range(15):
        now, metrics = step(now)
        losses.append(metrics)
    for name in ("loss/discriminator_main", "loss/discriminator_aux"):
        assert losses[-1][name] < 0.5 * losses[0][name]


# ------------------------------------------------------------------------------------- selector


def test_fitting_the_selector_leaves_segmenter_and_discriminators_alone(start):
    after, _ = compiled("selector_step")(start, tiny.make_batch())
    assert after.step == start.step + 1
    for name in ("segmenter", "discriminators", "stage"):
        assert same(getattr(after, name), getattr(start, name))
    assert not same(after.selector.params, start.selector.params)
    assert not same(after.thresholds, start.thresholds)


def test_fitting_the_selector_reads_neither_labels_nor_source(start):
    batch, other = tiny.make_batch(0), tiny.make_batch(1)
    one, _ = compiled("selector_step")(start, batch)
    two, _ = compiled("selector_step")(
        start, ignore_all({"source": other["source"], "target": batch["target"]})
    )
    assert same(one, two)


def test_heads_fit_the_pseudo_labels(start):
    now, losses = start.replace(thresholds=np.full(tiny.CLASSES, 0.1, np.float32)), []
    for _ in range(5):
        now, metrics = compiled("selector_step")(now, tiny.make_batch())
        losses.append(metrics)
    for head in ("c1", "c2"):
        assert losses[-1][f"loss/pseudo_{head}"] < losses[0][f"loss/pseudo_{head}"]


def test_pushing_the_heads_apart_moves_the_heads_and_not_the_backbone(start):
    # Half-way through the fit the discrepancy comes in: the step number alone switches it on.
    early, late = (
        compiled("selector_step")(start.replace(step=np.int32(step)), tiny.make_batch())[0]
        for step in (10, 18)
    )
    assert same(early.selector.params["backbone"], late.selector.params["backbone"])
    assert same(early.selector.batch_stats, late.selector.batch_stats)
    for head in ("c1", "c2"):
        assert not same(early.selector.params[head], late.selector.params[head])
        assert not same(early.selector.params[head], start.selector.params[head])


def test_pushing_the_heads_apart_makes_them_differ_more(start):
    apart = []
    for step in (10, 18):
        now = start.replace(step=np.int32(step))
        for _ in range(2):
            now, metrics = compiled("selector_step")(
                now.replace(step=np.int32(step)), tiny.make_batch()
            )
        apart.append(metrics["discrepancy"])
    assert apart[1] > apart[0]


@pytest.mark.parametrize(("key", "sign"), [("entropy", 1), ("uniformity", -1)])
def test_iasts_regularisers_make_heads_surer_or_less_sure(start, key, sign):
    # No pixel has a pseudo label for the first, each has one for the second.
    threshold = {"entropy": 1.0, "uniformity": 0.0}[key]
    start = start.replace(thresholds=np.full(tiny.CLASSES, threshold, np.float32))
    images = tiny.make_batch()["target"]["image"]
    sureness = []
    for weight in (0.0, 10.0):
        values = {f"selector.{key}": weight, "selector.pseudo_beta": 1.0}
        now, _ = compiled("selector_step", **values)(start, tiny.make_batch())
        network = tiny.make_networks(tiny.make_config(), None).selector
        out = network.apply(now.selector.variables, images, train=True, mutable="batch_stats")[0]
        sureness.append(float(jax.nn.softmax(out["c1"]).max(-1).mean()))
    assert sign * (sureness[1] - sureness[0]) > 0


def test_an_unsure_segmenter_gives_no_pseudo_label_and_the_fit_stays_finite(start):
    sure = start.replace(thresholds=np.full(tiny.CLASSES, 0.999, np.float32))
    after, metrics = compiled("selector_step")(sure, tiny.make_batch())
    assert metrics["pseudo/share"] < 0.01
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(after))


# --------------------------------------------------------------------------- state and optimisers


def test_the_first_step_of_a_stages_selector_is_where_the_plan_has_it():
    config = tiny.make_config(stages=3, warmup_steps=7, adapt_steps=5)
    config.selector.steps = 4
    for phase in plan.phases(config):
        if phase.name == "selector":
            assert state.first_selector_step(config, phase.stage) == phase.first
    assert optimizers.segmenter_steps(config) == 7 + 3 * 5


def test_adaptsegnets_factors_reach_stem_blocks_projections_and_heads():
    values = {
        "optimizer.block_factor": 3.0,
        "optimizer.projection_factor": 4.0,
        "model.batch_norm": "adaptsegnet",
    }
    config = tiny.make_config(**values)
    params = {
        "backbone": {
            "conv1": {"kernel": 0},
            "bn1": {"scale": 0},
            "layer1_0": {
                "conv1": {"kernel": 0},
                "bn1": {"bias": 0},
                "downsample_conv": {"kernel": 0},
            },
        },
        "main": {"branch_0": {"kernel": 0, "bias": 0}},
    }
    assert optimizers.rate_factors(params, config, 10.0) == {
        "backbone": {
            "conv1": {"kernel": 1.0},
            "bn1": {"scale": 0.0},
            "layer1_0": {
                "conv1": {"kernel": 3.0},
                "bn1": {"bias": 0.0},
                "downsample_conv": {"kernel": 4.0},
            },
        },
        "main": {"branch_0": {"kernel": 10.0, "bias": 10.0}},
    }


def test_each_block_of_a_transformer_learns_at_a_share_of_the_next_ones_rate():
    values = {"model.backbone": "dinov2_small_reg", "optimizer.layer_decay": 0.5}
    qkv = {"kernel": np.zeros((12, 4, 12)), "bias": np.zeros((12, 12))}
    tokens = {name: np.zeros((1, 1, 4)) for name in ("cls_token", "mask_token")}
    params = {
        "backbone": {**tokens, "blocks": {"qkv": qkv}, "norm": {"scale": np.zeros(4)}},
        "main": {"kernel": np.zeros((4, 3))},
    }
    factors = optimizers.rate_factors(params, tiny.make_config(**values), 10.0)
    of_blocks = factors["backbone"]["blocks"]["qkv"]
    np.testing.assert_allclose(of_blocks["kernel"][:, 0, 0], 0.5 ** np.arange(12, 0, -1))
    assert {name: x.shape for name, x in of_blocks.items()} == {
        "kernel": (12, 1, 1),
        "bias": (12, 1),
    }
    assert factors["backbone"]["cls_token"] == 0.5**13
    assert factors["backbone"]["mask_token"] == 0.0
    assert factors["backbone"]["norm"]["scale"] == 1.0 and factors["main"]["kernel"] == 10.0


def test_the_rate_decays_towards_the_step_that_is_asked_for():
    rates = []
    for decay_steps in (0, 60):
        values = {"optimizer.decay_steps": decay_steps, "optimizer.weight_decay": 0.0}
        optimizer = optimizers.make_optimizers(
            tiny.make_config(**values, **{"optimizer.momentum": 0.0, "optimizer.power": 1.0})
        ).segmenter
        params = {"main": jnp.ones(1)}
        opt_state = optimizer.init(params)
        for _ in range(16):
            updates, opt_state = optimizer.update(params, opt_state, params)
        rates.append(-float(updates["main"][0]))
    # After 15 of the run's 30 steps, or of 60.
    np.testing.assert_allclose(rates[1] / rates[0], (1 - 15 / 60) / (1 - 15 / 30), rtol=1e-5)


@pytest.mark.parametrize(
    ("values", "heads"),
    [
        ({}, {"main", "aux"}),
        ({"adversarial.aux": 0.0}, {"main"}),
        ({"adversarial.aux": 0.0, "adversarial.main": 0.0}, None),
        ({"method": "source_only"}, None),
        ({"adapt": "none"}, None),
        ({"adapt": "teacher", "optimizer.average": 0.9}, None),
        ({"adapt": "both", "optimizer.average": 0.9}, {"main", "aux"}),
    ],
)
def test_a_state_starts_with_the_discriminators_that_have_a_weight_and_no_selector(values, heads):
    made = state.state_shapes(tiny.make_config(**values), tiny.CLASSES)
    assert made.selector is None
    assert (made.discriminators and made.discriminators.params.keys()) == heads


@pytest.mark.parametrize("missing", ["aux", "both"])
def test_adapting_is_the_same_without_a_discriminator_of_no_weight(start, missing):
    values = {"adversarial.aux": 0.0} | ({"adversarial.main": 0.0} if missing == "both" else {})
    step, batch = compiled("adapt_step", **values), tiny.make_batch()
    fewer = None
    if missing == "aux":
        keep = lambda tree: {"main": tree["main"]}  # noqa: E731
        (adam, rate), params = start.discriminators.opt_state, start.discriminators.params
        adam = adam._replace(mu=keep(adam.mu), nu=keep(adam.nu))
        fewer = start.discriminators.replace(params=keep(params), opt_state=(adam, rate))
    one, metrics = step(start, batch)
    other, same_metrics = step(start.replace(discriminators=fewer, selector=None), batch)
    assert same(one.segmenter, other.segmenter) and metrics == same_metrics
    if missing == "aux":
        assert same(one.discriminators.params["main"], other.discriminators.params["main"])
        assert same(one.discriminators.params["aux"], start.discriminators.params["aux"])


def test_heads_learn_faster_by_their_factor_and_the_rate_decays():
    config = tiny.make_config(**{"optimizer.momentum": 0.0, "optimizer.weight_decay": 0.0})
    optimizer = optimizers.make_optimizers(config).segmenter
    params = {"backbone": jnp.ones(2), "main": jnp.ones(2), "aux": jnp.ones(2)}
    opt_state, rates = optimizer.init(params), []
    for _ in range(30):
        updates, opt_state = optimizer.update(params, opt_state, params)
        rates.append(updates)
    np.testing.assert_allclose(rates[0]["backbone"], -2e-3, rtol=1e-6)
    for head in ("main", "aux"):
        np.testing.assert_allclose(rates[0][head], -6e-3, rtol=1e-6)
    for step in (10, 29):
        np.testing.assert_allclose(rates[step]["main"], -6e-3 * (1 - step / 30) ** 0.9, rtol=1e-5)


def test_weight_decay_is_coupled_and_the_rate_may_grow_at_first():
    config = tiny.make_config(**{"optimizer.weight_decay": 0.5, "optimizer.warmup": 4})
    optimizer = optimizers.make_optimizers(config).segmenter
    params = {"backbone": jnp.full(1, 2.0)}
    updates, _ = optimizer.update({"backbone": jnp.ones(1)}, optimizer.init(params), params)
    np.testing.assert_allclose(updates["backbone"], -2e-3 / 4 * (1 + 0.5 * 2), rtol=1e-6)


def test_adamws_decay_is_decoupled_at_each_tensors_own_rate_and_spares_biases_and_scales():
    values = {"optimizer.name": "adamw", "optimizer.weight_decay": 0.5, "optimizer.power": 0.0}
    config = tiny.make_config(**values)
    optimizer = optimizers.make_optimizers(config).segmenter
    draw = np.random.default_rng(0)
    params = {
        "backbone": {"conv1": {"kernel": draw.normal(size=(1, 1, 2, 3)), "bias": np.ones(3)}},
        "main": {"bn": {"scale": np.ones(4)}, "conv": {"kernel": draw.normal(size=(2, 4))}},
    }
    now = {part: jax.tree.map(jnp.float32, tensors) for part, tensors in params.items()}
    expected, opt_states, opt_state = dict(now), {}, optimizer.init(now)
    kernels = (
        {"conv1": {"kernel": True, "bias": False}},
        {
            "bn": {"scale": False},
            "conv": {"kernel": True},
        },
    )
    published = {
        part: optax.adamw(2e-3 * factor, weight_decay=0.5, mask=mask)
        for part, factor, mask in zip(params, (1.0, 3.0), kernels, strict=True)
    }
    for _ in range(4):
        gradients = jax.tree.map(lambda x: jnp.float32(draw.normal(size=x.shape)), now)
        updates, opt_state = optimizer.update(gradients, opt_state, now)
        now = optax.apply_updates(now, updates)
        for part, adamw in published.items():
            known = opt_states.get(part) or adamw.init(expected[part])
            updates, opt_states[part] = adamw.update(gradients[part], known, expected[part])
            expected[part] = optax.apply_updates(expected[part], updates)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), now, expected)


def test_a_long_gradient_is_clipped():
    config = tiny.make_config(**{"optimizer.weight_decay": 0.0, "optimizer.clip": 1.0})
    optimizer = optimizers.make_optimizers(config).segmenter
    params = {"backbone": jnp.zeros(4)}
    updates, _ = optimizer.update({"backbone": jnp.full(4, 9.0)}, optimizer.init(params), params)
    np.testing.assert_allclose(jnp.linalg.norm(updates["backbone"]), 2e-3, rtol=1e-5)


@pytest.mark.parametrize("init", ["perturbed", "segmenter", "fresh"])
def test_the_selector_starts_from_the_segmenter_as_configured(start, init):
    config = tiny.make_config(**{"selector.init": init})
    begun = state.start_selector(jax.device_put(start), config, tiny.CLASSES, stage=2)
    again = state.start_selector(jax.device_put(start), config, tiny.CLASSES, stage=2)
    assert same(begun, again)
    assert begun.stage == 2
    np.testing.assert_allclose(begun.thresholds, 0.9, rtol=1e-6)
    assert same(begun.segmenter, start.segmenter)
    params, learnt = begun.selector.params, start.segmenter.params
    assert same(params["backbone"], learnt["backbone"])
    assert same(begun.selector.batch_stats, start.segmenter.batch_stats)
    assert same(params["c1"], learnt["main"]) == (init != "fresh")
    assert not same(params["c1"], params["c2"])
    old, new = (np.asarray(p["branch_0"]["kernel"]) for p in (learnt["main"], params["c2"]))
    moved = (new - old).std() / old.std()
    assert (0.08 < moved < 0.12) if init == "perturbed" else moved > 0.5
    assert not any(x.any() for x in jax.tree.leaves(begun.selector.opt_state))


def test_two_seeds_make_two_networks_and_one_seed_one():
    made = [state.init_state(tiny.make_config(seed=seed), tiny.CLASSES) for seed in (0, 0, 1)]
    assert same(made[0], made[1])
    assert not same(made[0].segmenter.params, made[2].segmenter.params)


def test_keys_and_generators_belong_to_seed_name_and_step():
    places = [(0, "a", 0), (1, "a", 0), (0, "b", 0), (0, "a", 1)]
    assert len({jax.random.key_data(rng.key(*p)).tobytes() for p in places}) == 4
    assert len({rng.generator(*p).integers(2**60) for p in places}) == 4
    assert rng.generator(0, "a", 0).random() == rng.generator(0, "a", 0).random()
    assert len({rng.integer(*p[:2]) for p in places}) == 3
