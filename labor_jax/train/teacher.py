"""The teacher: the segmenter's moving average labels the target for it [cited: DACS].

The teacher sees a view with its own colours. The classes of half of a source label map are pasted
onto the view and onto the teacher's labels (ClassMix). The segmenter learns this mixed image, with
other colours.
"""

import jax
import jax.numpy as jnp
import ml_collections

from labor_jax.data import transforms
from labor_jax.data.labels import IGNORE
from labor_jax.train import colour, losses, pseudo_labels
from labor_jax.train.parts import keys_of_images
from labor_jax.train.state import Networks, State

__all__ = ["answered", "chosen_classes", "mixed", "teach", "teaches"]

Part = dict[str, jax.Array]


def teaches(config: ml_collections.ConfigDict) -> bool:
    """Whether a teacher labels the target; `source_only` never sees the target."""
    return transforms.keeps_colours(config, "target") and config.method != "source_only"


def teach(
    state: State,
    batch: dict[str, Part],
    *,
    networks: Networks,
    config: ml_collections.ConfigDict,
    axis_name: str | None,
) -> tuple[dict[str, Part], jax.Array, dict[str, jax.Array]]:
    """Adds the mixed images that the segmenter is to learn.

    Adversarial learning needs the target as it is, so with it they are a part "mixed" of their own.
    Without it they take the place of the target's images. Nothing is pasted without a source.

    Args:
      state: its average is the teacher, its step is part of the random key.
      batch: {"source", "target"} or "target" alone, of one size; the target also has "inside"
        [B, H, W] bool, False outside the image.
      axis_name: the mapped axis.
    Returns:
      The batch; its mixed images have "taught" [B, H, W] uint8 train ids, 255 = none, and
      "trust" [B, H, W] float32, each pixel's weight. The number of taught pixels on all devices,
      float32 []. The metrics, the same on every device.
    """
    target, rows = batch["target"], len(batch["target"]["image"])
    confidence, predicted = pseudo_labels.predictions(
        networks.segmenter,
        state.shipped.variables,
        target["image"],
        target["label"].shape[1:3],
        config.accumulate,
    )
    sure = (confidence > config.teacher.above) & target["inside"]
    trust = losses.share(losses.count(sure, axis_name), losses.count(target["inside"], axis_name))
    pairs = jax.vmap(jax.random.split)(
        keys_of_images(config.seed, "mix", state.step, rows, axis_name)
    )
    learnt = target | {
        "taught": jnp.where(target["inside"], predicted, IGNORE).astype(jnp.uint8),
        "trust": jnp.full(target["label"].shape, trust),
    }
    if source := batch.get("source"):
        classes = state.thresholds.shape[0]
        chosen = jax.vmap(chosen_classes, (0, 0, None))(pairs[:, 0], source["label"], classes)
        learnt = mixed(learnt, source, chosen)
    learnt = answered(learnt)
    vary = jax.vmap(colour.vary, (0, 0, None))
    learnt["image"] = vary(pairs[:, 1], learnt["image"], config.input)
    place = "mixed" if config.adapt == "both" else "target"
    taught = losses.count(learnt["taught"] != IGNORE, axis_name)
    return batch | {place: learnt}, taught, {"teacher/trust": trust}


def chosen_classes(key: jax.Array, label: jax.Array, classes: int) -> jax.Array:
    """Half of the classes in a label map, at random, rounded up: [C] bool [cited: ClassMix].

    Args:
      label: [H, W] uint8 train ids, 255 = none.
      classes: C.
    """
    there = (label[..., None] == jnp.arange(classes)).any((0, 1))
    order = jnp.where(there, jax.random.uniform(key, (classes,)), 2.0)
    rank = jnp.argsort(jnp.argsort(order))
    return there & (rank < (there.sum() + 1) // 2)


def mixed(target: Part, source: Part, chosen: jax.Array) -> Part:
    """The target with the source's pixels of the chosen classes; answered pixels stay.

    Args:
      target: "image" [B, H, W, 3] uint8, "label" and "taught" [B, H, W] uint8, "trust" [B, H, W]
        float32.
      source: "image" and "label".
      chosen: [B, C] bool.
    """
    of_class = source["label"][..., None] == jnp.arange(chosen.shape[-1])
    pasted = (of_class & chosen[:, None, None]).any(-1) & (target["label"] == IGNORE)
    return target | {
        "image": jnp.where(pasted[..., None], source["image"], target["image"]),
        "taught": jnp.where(pasted, source["label"], target["taught"]),
        "trust": jnp.where(pasted, 1.0, target["trust"]),
    }


def answered(target: Part) -> Part:
    """The target with what people answered in place of the teacher's labels, fully trusted."""
    given = target["label"] != IGNORE
    return target | {
        "taught": jnp.where(given, target["label"], target["taught"]),
        "trust": jnp.where(given, 1.0, target["trust"]),
    }
