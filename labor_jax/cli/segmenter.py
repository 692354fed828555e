"""The flags that say which trained segmenter a command uses, and how it predicts."""

from typing import TYPE_CHECKING

from absl import flags

from labor_jax.cli import program
from labor_jax.util.errors import UserError

if TYPE_CHECKING:
    from labor_jax.infer.restore import Restored


def define(values: flags.FlagValues) -> None:
    """Defines --workdir, --scales and --flip."""
    program.define_path(
        values,
        "workdir",
        None,
        "the run's folder, also in a bucket (gs://…), or a file of `labor-jax export`",
        required=True,
        bucket=True,
    )
    flags.DEFINE_list(
        "scales",
        None,
        "such as 0.75,1,1.25: probabilities are averaged over them",
        flag_values=values,
    )
    flags.DEFINE_bool("flip", None, "average over mirror images, too", flag_values=values)


def restore(values: flags.FlagValues) -> "Restored":
    """The segmenter that the flags name.

    Raises:
      UserError: the flags are wrong, or as `infer.restore.restore`.
    """
    from labor_jax.infer.restore import restore
    from labor_jax.util import cache

    cache.enable()
    try:
        scales = tuple(float(scale) for scale in values.scales or ())
    except ValueError:
        raise UserError(f"--scales: {','.join(values.scales)} are not numbers") from None
    changed = {"scales": scales} if scales else {}
    return restore(values.workdir, changed | ({} if values.flip is None else {"flip": values.flip}))
