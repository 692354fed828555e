"""Measures one device on made-up images: nothing has to be prepared.

    labor-jax benchmark all
    labor-jax benchmark step --config=configs/gta5_cityscapes_spl.py \\
        --config.model.weights= --config.model.dtype=bfloat16 --out=step.json
    labor-jax benchmark compile --topology=v5e:2x4 --config=configs/gta5_cityscapes_spl.py \\
        --config.model.weights= --config.model.dtype=bfloat16 --programs=adapt,selector

NAME is step (both train steps), selection (queries), input (the pipeline, and how long the device
waits for it), evaluate, all, predict (a folder of files, beside the network alone), profile (the
costliest lines of each program, as measured), or growth (selection by pixels and classes, memory by
images).
NAME compile compiles the config's programs for TPUs that need not be there, and says whether they
fit and what limits them. It needs `pip install 'labor_jax[tpu]'`.
FLOP and bytes are XLA's own count; their shares are of the device's best.
"""

import json
from collections.abc import Sequence

from absl import flags

from labor_jax.cli import program
from labor_jax.util import outputs


def main(argv: Sequence[str]) -> int:
    """Prints a table and writes JSON; returns the exit status."""

    def define(values: flags.FlagValues) -> None:
        program.define_config(values, argv, "toytown")
        repeat = "how often each is timed; the median counts"
        flags.DEFINE_integer("repeat", 5, repeat, flag_values=values)
        topology = "compile: TPUs such as v4:2x2x1, v5e:2x4, v5p:2x2x1 or v6e:2x2"
        flags.DEFINE_string("topology", "v5e:2x2", topology, flag_values=values)
        programs = "compile: which programs, such as adapt,evaluate; empty = all"
        flags.DEFINE_list("programs", [], programs, flag_values=values)
        program.define_path(values, "out", None, "a JSON file for the figures")

    return program.run(argv, __doc__, define, _benchmark, positional=("NAME",))


def _benchmark(values: flags.FlagValues, name: str) -> None:
    from labor_jax.benchmark import compile, measure, table

    if values.out:
        outputs.check_file(values.out, "--out", ())
    if name == "compile":
        found = compile.run(values.config, values.topology, values.programs)
        print(table.compiled(found))
    else:
        found = measure.run(name, values.config, values.repeat)
        print(table.table(found))
    if values.out:
        text = json.dumps(found | {"writer": outputs.MARK}, indent=2) + "\n"
        outputs.write_file(values.out, text.encode(), "--out", ())
