"""Writes weights as another kind of file, and says what became of every tensor.

    labor-jax convert-weights resnet101-63fe2227.pth resnet101.safetensors
    labor-jax convert-weights runs/toytown segmenter.safetensors

SRC is a file that `model.weights` can take, or a run's folder, whose newest segmenter is taken.
DST is .safetensors, which PyTorch reads by `safetensors.torch.load_file`, or .npz. A ResNet is
written under the keys of torchvision, AdaptSegNet and ADVENT; a MobileNetV2, its batch norm folded
in, under those of its .npz; a DINOv2 under the hub's; a DINOv3 under Hugging Face's. What nothing
explains is an error, and then nothing is written.
"""

from collections.abc import Sequence

from absl import flags

from labor_jax.cli import program
from labor_jax.util import addresses


def main(argv: Sequence[str]) -> int:
    """Converts SRC to DST; returns the exit status."""

    def define(values: flags.FlagValues) -> None:
        from labor_jax.weights.licences import NAMES

        flags.DEFINE_bool("backbone_only", False, "leave the heads out", flag_values=values)
        flags.DEFINE_enum(
            "accept_licence",
            "",
            ["", *NAMES],
            "the network whose weights' licence you have read and accept",
            flag_values=values,
        )

    return program.run(argv, __doc__, define, _convert, positional=("SRC", "DST"))


def _convert(values: flags.FlagValues, source: str, destination: str) -> None:
    from labor_jax.infer.convert import convert

    source, destination = addresses.local(source, "SRC"), addresses.local(destination, "DST")
    for line in convert(source, destination, values.backbone_only, values.accept_licence):
        print(line)
