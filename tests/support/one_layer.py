"""A plugin: a backbone of one convolution, which compiles in a second and is told in few sums."""

import flax.linen as nn

from labor_jax.models.backbone import Backbone, register


class OneLayer(nn.Module):
    """A convolution of every eighth pixel's neighbourhood."""

    width: float

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.relu(nn.Conv(round(self.width * 64), (8, 8), strides=8)(x))
        return x, x


register(
    Backbone(
        name="one_layer",
        build=lambda model, axis_name, ordered, dtype: OneLayer(model.width),
        styles=("pytorch",),
        output_strides=(8,),
    )
)
