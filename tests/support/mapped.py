"""Five steps of each kind and two queries, in one mapping: `mapped.py DEVICES MODE NORM OUT`.

Writes the parameters after them and the queries as an .npz, to be compared over devices and modes.
"""

import functools
import os
import pathlib
import sys

devices, mode, norm, out = sys.argv[1:]
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
sys.path.append(str(pathlib.Path(__file__).parents[1]))

import jax  # noqa: E402
import numpy as np  # noqa: E402
from support import tiny  # noqa: E402

from labor_jax.infer import steps as infer_steps  # noqa: E402
from labor_jax.models import resnet  # noqa: E402
from labor_jax.train import optimizers, parallel, steps  # noqa: E402

assert jax.device_count() == int(devices)
resnet.LAYERS["resnet18"] = (1, 1, 1, 1)
values = {"model.batch_norm": norm, "method": "labor_ppl", "optimizer.average": 0.9}
config = tiny.make_config(**values)
shared = {
    "networks": tiny.make_networks(config, None if mode == "jit" else parallel.AXIS),
    "optimizers": optimizers.make_optimizers(config),
    "config": config,
}
# Late enough for the heads to be pushed apart.
now = parallel.replicate(tiny.make_state(config).replace(step=np.int32(18)), mode)
query = parallel.map_inference(
    functools.partial(
        infer_steps.query,
        networks=tiny.make_networks(config, None),
        size=(30, 37),
        number=8,
        config=config,
    ),
    mode,
)
images = tiny.make_batch(9)["target"]["image"]
asked = []
for step in (steps.adapt_step, steps.selector_step):
    mapped = parallel.map_step(functools.partial(step, **shared), mode)
    for number in range(5):
        now, _ = mapped(now, tiny.make_batch(number))
        if number == 1:  # later the heads hardly disagree any more
            taken = np.zeros((len(images), 30, 37), bool)
            keys = np.zeros((len(images), 2), np.uint32)
            asked.append(query(now, {"image": images, "taken": taken, "key": keys}))
found = {"networks": (now.segmenter, now.average, now.selector, now.discriminators), "query": asked}
leaves = jax.tree_util.tree_leaves_with_path(jax.device_get(found))
np.savez(out, **{jax.tree_util.keystr(path): leaf for path, leaf in leaves})
