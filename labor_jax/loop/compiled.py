"""A run's steps, mapped over devices and compiled when they are first called."""

import functools
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import ml_collections
import numpy as np

from labor_jax.config.files import from_dict
from labor_jax.infer import steps as infer_steps
from labor_jax.infer.restore import make_inference, views
from labor_jax.loop import asking
from labor_jax.train import optimizers, parallel, state, steps

NOT_PREDICTED = ("seed", "method", "budget", "annotator", "noisy", "warmup_from")
"""Keys in which the runs of a comparison differ, and which prediction does not read."""


class Compiled(NamedTuple):
    """The steps of `train.steps` and `infer.steps`, mapped over devices.

    Attributes:
      adapt, selector: (state, batch) -> (state, metrics).
      predict: of a segmenter and the arguments of `infer.batches.Infer`; gives train ids.
      query: (state, and the arguments of `infer` of `asking.ask`) -> the result of
        `infer.steps.select`. For `full`, which asks everything, it has the predictions alone.
    """

    adapt: Callable[[state.State, Any], tuple[state.State, Any]]
    selector: Callable[[state.State, Any], tuple[state.State, Any]]
    predict: Callable[..., Sequence[np.ndarray]]
    query: Callable[..., dict[str, Any]]


def compile_steps(config: ml_collections.ConfigDict, num_classes: int) -> Compiled:
    """The steps of a run of this config; nothing is compiled before the first call."""
    mode = config.parallel
    axis_name = None if mode == "jit" else parallel.AXIS
    bound = {
        "networks": state.make_networks(config, num_classes, axis_name),
        "optimizers": optimizers.make_optimizers(config),
        "config": config,
    }
    local = state.make_networks(config, num_classes, axis_name=None)
    read = {k: v for k, v in config.to_dict().items() if k not in NOT_PREDICTED}
    predict = _predict(json.dumps(read), num_classes)

    @functools.cache
    def mapped_query(size: tuple[int, int]) -> Callable:
        return parallel.map_inference(
            functools.partial(
                infer_steps.query,
                networks=local,
                size=size,
                number=asking.most(config, size),
                config=config,
            ),
            mode,
        )

    def query(
        now: state.State,
        images: np.ndarray,
        taken: np.ndarray,
        key: np.ndarray,
        size: tuple[int, int],
        natives: np.ndarray | None,
    ) -> dict[str, Any]:
        if config.method == "full":
            return {"predicted": predict(now.shipped, images, size, natives)}
        batch = {"image": images, "taken": taken, "key": key, "native": natives}
        return mapped_query(tuple(size))(now, batch)

    return Compiled(
        adapt=parallel.map_step(functools.partial(steps.adapt_step, **bound), mode),
        selector=parallel.map_step(functools.partial(steps.selector_step, **bound), mode),
        predict=predict,
        query=query,
    )


@functools.lru_cache(maxsize=4)
def _predict(config: str, num_classes: int) -> Callable[..., Sequence[np.ndarray]]:
    """`Compiled.predict` of a config as JSON; the runs of a comparison share one program."""
    own = from_dict(json.loads(config))
    return make_inference(infer_steps.predict, own, num_classes, views(own))
