"""The smallest networks, states and batches that are still everything: to be compiled quickly."""

from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from support.filling import filled

from labor_jax.config import default_config
from labor_jax.data import loading
from labor_jax.infer import restore
from labor_jax.models import adapters, resnet
from labor_jax.train import state
from labor_jax.train.optimizers import make_optimizers

CLASSES, BATCH, SIZE = 4, 4, (32, 40)


def make_config(**values: Any) -> ml_collections.ConfigDict:
    """A run of few classes, whose SGD moves every parameter visibly in one step."""
    c = default_config()
    c.input.size, c.batch_size = SIZE, BATCH
    c.model.width, c.model.dilations = 0.125, (1,)
    c.adversarial.width = 4
    c.adversarial.main, c.adversarial.aux = 0.1, 0.02
    c.optimizer.learning_rate = c.selector.learning_rate = 2e-3
    c.optimizer.head_factor = c.selector.head_factor = 3.0
    c.stages, c.warmup_steps, c.adapt_steps, c.selector.steps = 2, 10, 10, 10
    c.selector.discrepancy_start = 0.5
    c.update_from_flattened_dict(values)
    return c


def make_networks(config: ml_collections.ConfigDict, axis_name: str | None) -> state.Networks:
    """ResNet-18 with one block a layer."""
    return state.make_networks(config, CLASSES, axis_name)


def shallow(patch: Any) -> None:
    """Takes every second block off ResNet-18, with pytest's MonkeyPatch."""
    patch.setitem(resnet.LAYERS, "resnet18", (1, 1, 1, 1))


def make_state(config: ml_collections.ConfigDict) -> state.State:
    """Filled networks at the start of stage 1's selector, on the host."""
    networks, optimizers = make_networks(config, None), make_optimizers(config)
    image = jnp.zeros((1, *SIZE, 3), jnp.uint8)
    maps = jnp.zeros((1, *SIZE, CLASSES))
    main, aux = (filled(networks.discriminator, maps, seed=s)["params"] for s in (1, 2))

    def trained(variables: dict, optimizer: Any) -> state.Trained:
        params, _ = adapters.split(variables["params"], config.model)
        return state.Trained(
            params=params,
            batch_stats=variables.get("batch_stats", {}),
            opt_state=jax.eval_shape(optimizer.init, params),
        )

    average = trained(filled(networks.segmenter, image, seed=6), optimizers.segmenter)
    variables = filled(networks.segmenter, image, seed=3)
    _, fixed = adapters.split(variables["params"], config.model)
    made = state.State(
        step=jnp.int32(10),
        stage=jnp.int32(1),
        segmenter=trained(variables, optimizers.segmenter).replace(fixed=fixed),
        discriminators=trained({"params": {"main": main, "aux": aux}}, optimizers.discriminator),
        selector=trained(filled(networks.selector, image, seed=4), optimizers.selector),
        thresholds=jnp.linspace(0.2, 0.4, CLASSES),  # low enough for some pixels of each image
        average=average.replace(opt_state=()) if config.optimizer.average else None,
    )
    # Every optimiser starts at zeros.
    return jax.tree.map(
        lambda x: (
            np.zeros(x.shape, x.dtype) if isinstance(x, jax.ShapeDtypeStruct) else np.asarray(x)
        ),
        made,
    )


def like(state: Any) -> Any:
    """Shapes, dtypes and placement of a state, for `Checkpoints.load`."""
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state
    )


def make_batch(seed: int = 0) -> dict[str, dict[str, np.ndarray]]:
    """Noisy blocks; nearly all pixels of the first two images of either domain are ignored."""
    draw = np.random.default_rng(seed)
    batch = {}
    for name in ("source", "target"):
        label = np.kron(draw.integers(0, CLASSES, (BATCH, 4, 5)), np.ones((1, 8, 8), int))
        image = 60 * label[..., None] + draw.integers(0, 60, (*label.shape, 3))
        label[:2][draw.random(label[:2].shape) < 0.99] = 255
        batch[name] = {"image": image.astype(np.uint8), "label": label.astype(np.uint8)}
    batch["target"]["label"][3] = 255
    batch["target"]["inside"] = np.ones(batch["target"]["label"].shape, bool)
    batch["target"]["inside"][:, -6:] = False
    return batch


def make_run(**values: Any) -> restore.Restored:
    """A segmenter of filled variables, on one device, as a run's newest checkpoint gives it."""
    config = make_config(parallel="jit", **values)
    colours = tuple((60 * k, 20, 0) for k in range(CLASSES))
    config.classes.table, config.classes.palette = "", colours
    config.classes.names = ("road", "tree", "sky", "car")
    segmenter = make_networks(config, None).segmenter
    variables = filled(segmenter, jnp.zeros((1, *config.input.size, 3), jnp.uint8), seed=3)
    trained = state.Trained(variables["params"], variables.get("batch_stats", {}), opt_state=())
    return restore.make_restored(config, loading.table_from_config(config.classes), 7, trained)
