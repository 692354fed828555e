"""How many images a step sees, on how many devices, and what else follows from that number.

One of two numbers is asked. `batch_size` alone is the batch of all devices together: a run is then
the same on any number of devices that divide it. With `images_a_device` the batch grows with the
devices, and `batch_size` is the batch that the config's steps and rates were written for.
"""

import jax
import ml_collections

from labor_jax.train import parallel
from labor_jax.util.errors import UserError

__all__ = ["carried_over", "on_devices"]


def on_devices(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """The config of a run on the devices that JAX has, see `carried_over`.

    Raises:
      UserError: several processes cannot train one model with `config.parallel`, or the batch
        cannot be split evenly.
    """
    if config.parallel == "jit" and jax.process_count() > 1:
        raise UserError(
            f"config.parallel: jit trains on one device, but {jax.process_count()} processes have "
            f"joined, and each would train a model of its own; give pmap or shard_map"
        )
    return carried_over(config, parallel.device_count(config.parallel))


def carried_over(config: ml_collections.ConfigDict, devices: int) -> ml_collections.ConfigDict:
    """The config for a number of devices; one that was carried over to as many stays as it is.

    Without `images_a_device` nothing changes. With it `batch_size` becomes that times the devices,
    k times what it was, and a run still sees as many images: it has 1/k of the steps, rounded up.
    The learning rate of SGD becomes k times as high [cited: Goyal et al., 2017, whose warm-up
    `optimizer.warmup` gives], that of Adam and AdamW sqrt(k) times [cited: Malladi et al., 2022,
    without their change of the betas]. The decay of a moving average over steps becomes its k-th
    power [cited: Busbridge et al., 2023]; so does IAST's beta [ours].

    Args:
      config: a run's.
      devices: of all processes, that a batch is split over.
    Raises:
      UserError: the batch cannot be split evenly over the devices and `accumulate`.
    """
    if not config.images_a_device:
        _check_split(config, devices)
        return config
    config = config.copy_and_resolve_references()
    before, now = config.batch_size, config.images_a_device * devices
    config.batch_size = now
    _check_split(config, devices)
    k = now / before

    def shorter(steps: int) -> int:
        return -(-steps * before // now)

    def faster(name: str, rate: float) -> float:
        return rate * (k if name == "sgd" else k**0.5)

    o, s = config.optimizer, config.selector
    config.warmup_steps = shorter(config.warmup_steps)
    config.adapt_steps = shorter(config.adapt_steps)
    s.steps, o.warmup = shorter(s.steps), shorter(o.warmup)
    if o.decay_steps:
        needed = config.warmup_steps + config.stages * config.adapt_steps
        o.decay_steps = max(needed, shorter(o.decay_steps))
    o.learning_rate = faster(o.name, o.learning_rate)
    s.learning_rate = faster(s.optimizer, s.learning_rate)
    config.adversarial.learning_rate = faster("adam", config.adversarial.learning_rate)
    o.average, s.pseudo_beta = o.average**k, s.pseudo_beta**k
    return config


def _check_split(config: ml_collections.ConfigDict, devices: int) -> None:
    if config.batch_size % (devices * config.accumulate) == 0:
        return
    if config.images_a_device:
        raise UserError(
            f"config.images_a_device: {config.images_a_device} images cannot be split evenly into "
            f"{config.accumulate} parts (config.accumulate); give a multiple"
        )
    raise UserError(
        f"config.batch_size: {config.batch_size} images cannot be split evenly over {devices} "
        f"devices x {config.accumulate} of config.accumulate; give a multiple of "
        f"{devices * config.accumulate}, or config.images_a_device"
    )
