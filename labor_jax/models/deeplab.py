"""DeepLab-V2: the segmenter, a dilated backbone with a main and an auxiliary head."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax

__all__ = [
    "CAFFE_MEAN_BGR",
    "IMAGENET_DEVIATION",
    "IMAGENET_MEAN",
    "DeepLabHead",
    "Segmenter",
    "normalise",
    "shifted",
]


CAFFE_MEAN_BGR = (104.00698793, 116.66876762, 122.67891434)  # [cited: AdaptSegNet]
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


def normalise(images: Array, style: str, dtype: Any = jnp.float32) -> Array:
    """Scales images to the values on which a backbone of this style was trained.

    Args:
      images: [B, H, W, 3] RGB in 0..255, uint8 or float.
      style: "caffe", "pytorch", "tensorflow" or "efficientnet".
      dtype: of the result.
    Returns:
      [B, H, W, 3] of `dtype`; in the style "caffe" the channels are BGR.
    """
    images = images.astype(jnp.promote_types(jnp.float32, dtype))
    if style == "caffe":
        images = images[..., ::-1] - jnp.array(CAFFE_MEAN_BGR, images.dtype)
    elif style == "pytorch":
        mean, deviation = (
            jnp.array(values, images.dtype) for values in (IMAGENET_MEAN, IMAGENET_DEVIATION)
        )
        images = (images / 255 - mean) / deviation
    elif style == "efficientnet":
        images = (images - 127) / 128
    else:
        images = images / 127.5 - 1
    return images.astype(dtype)


class DeepLabHead(nn.Module):
    """The sum of 3x3 convolutions with bias, one for each dilation [cited: DeepLab-V2].

    Each convolution is padded by its dilation. Each of its taps is a matrix product with [F, C].
    One product computes all taps of all branches, and its maps are then shifted and added. With few
    classes this is far cheaper than dilated convolutions. Taps that fall outside the map (dilation
    24 on a map of 15x20) cost nothing.
    """

    num_classes: int
    dilations: tuple[int, ...] = (6, 12, 18, 24)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, features: Array) -> Array:
        """features: [B, h, w, F]; returns logits [B, h, w, num_classes] float32."""
        _, height, width, channels = features.shape

        def fresh(key: Array) -> dict[str, Array]:
            kernel = 0.01 * jax.random.normal(key, (3, 3, channels, self.num_classes))
            return {"kernel": kernel, "bias": jnp.zeros(self.num_classes)}

        branches = [self.param(f"branch_{i}", fresh) for i in range(len(self.dilations))]
        taps = [
            (branch["kernel"][row + 1, column + 1], row * dilation, column * dilation)
            for branch, dilation in zip(branches, self.dilations, strict=True)
            for row in (-1, 0, 1)
            for column in (-1, 0, 1)
            if abs(row) * dilation < height and abs(column) * dilation < width
        ]
        exact = jnp.promote_types(jnp.float32, self.dtype)
        kernel = jnp.concatenate([tap.astype(self.dtype) for tap, _, _ in taps], axis=1)
        maps = jnp.matmul(features.astype(self.dtype), kernel, preferred_element_type=exact)
        by_tap = jnp.split(maps, len(taps), axis=-1)
        logits = sum(
            shifted(tap_map, down, right)
            for tap_map, (_, down, right) in zip(by_tap, taps, strict=True)
        )
        return logits + sum(branch["bias"] for branch in branches)


def shifted(x: Array, down: int, right: int) -> Array:
    """x: [B, H, W, C]; returns y with y[:, i, j] = x[:, i + down, j + right], 0 from outside."""
    zero = jnp.zeros((), x.dtype)
    return lax.pad(x, zero, [(0, 0, 0), (-down, down, 0), (-right, right, 0), (0, 0, 0)])


class Segmenter(nn.Module):
    """`backbone` maps normalised images to (earlier, last) features."""

    backbone: nn.Module
    num_classes: int
    dilations: tuple[int, ...] = (6, 12, 18, 24)
    style: str = "pytorch"
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """A head on each of the backbone's last two layers."""
        self.main = DeepLabHead(self.num_classes, self.dilations, self.dtype)
        self.aux = DeepLabHead(self.num_classes, self.dilations, self.dtype)

    def __call__(self, images: Array, train: bool = False) -> dict[str, Array]:
        """Logits at the backbone's resolution (see `resize.upsample`).

        images: [B, H, W, 3] RGB in 0..255, uint8 or float32. Returns `main` and `aux`
        [B, h, w, num_classes] float32 and `features` [B, h, w, F] of the compute dtype, the main
        head's input. `train` chooses batch statistics where batch norm is not frozen.
        """
        earlier, last = self.backbone(normalise(images, self.style, self.dtype), train)
        return {"main": self.main(last), "aux": self.aux(earlier), "features": last}
