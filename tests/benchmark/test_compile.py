"""What is told of a program that was compiled for TPUs: counted by hand on small programs."""

import importlib.util
import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
from support import commands, tiny

from labor_jax.benchmark import compile, table
from labor_jax.benchmark.traffic import Traffic, operations, traffic
from labor_jax.util.errors import UserError

TEXT = """HloModule jit_f, entry_computation_layout={(f32[4,19]{1,0:T(8,128)})->f32[4,19]{1,0}}

%fused (param_0.1: f32[22,8,128], param_1.2: s32[]) -> f32[8,128] {
  %param_0.1 = f32[22,8,128]{2,1,0:T(8,128)} parameter(0)
  %param_1.2 = s32[]{:T(128)} parameter(1)
  ROOT %dynamic-slice.1 = f32[1,8,128]{2,1,0:T(8,128)} dynamic-slice(%param_0.1, %param_1.2), x=1
}

%b (arg: (s32[], f32[22,8,128])) -> (s32[], f32[22,8,128]) {
  %arg = (s32[]{:T(128)}, f32[22,8,128]{2,1,0:T(8,128)}) parameter(0)
  %gte.1 = s32[]{:T(128)S(2)} get-tuple-element(%arg), index=0
  %gte.2 = f32[22,8,128]{2,1,0:T(8,128)} get-tuple-element(%arg), index=1
  %fusion.1 = f32[8,128]{1,0:T(8,128)} fusion(%gte.2, %gte.1), calls=%fused
  %all-reduce.1 = f32[8,128]{1,0:T(8,128)S(1)} all-reduce(%fusion.1), to_apply=%add
  ROOT %tuple.1 = (s32[], f32[22,8,128]) tuple(%gte.1, %gte.2)
}

ENTRY %main (x: f32[4,19]) -> f32[4,19] {
  %x = f32[4,19]{1,0:T(8,128)} parameter(0)
  %while.1 = (s32[], f32[22,8,128]) while(%x), condition=%c, body=%b, {"known_trip_count":{"n":"3"}}
  %add.1 = bf16[4,19]{0,1:T(8,128)(2,1)S(1)} add(%x, %x)
  ROOT %negate.1 = f32[4,19]{1,0:T(8,128)} negate(%add.1)
}
"""


def test_traffic_is_of_main_memory_padded_by_slices_and_for_each_turn_of_a_loop():
    tile = 8 * 128 * 4
    turn = 2 * tile + 128 * 0 + tile  # a slice read, its result written and exchanged
    assert traffic(TEXT) == Traffic(memory=3 * turn + 3 * tile, collective=3 * tile)


def test_operations_are_of_products_and_convolutions_also_in_loops():
    x, w = jnp.zeros((2, 9, 9, 3)), jnp.zeros((3, 3, 3, 5))

    def convolved(x, w):
        def again(y, _):
            return y @ jnp.zeros((5, 5)), None

        y = jax.lax.conv_general_dilated(
            x, w, (2, 2), [(1, 1), (1, 1)], dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return jax.lax.scan(again, y, None, length=7)[0]

    one, product = 2 * (2 * 5 * 5 * 5) * 27, 2 * (2 * 5 * 5) * 5 * 5
    assert operations(jax.make_jaxpr(convolved)(x, w).jaxpr) == one + 7 * product
    back = jax.make_jaxpr(jax.grad(lambda x: convolved(x, w).sum()))(x)
    # The gradient reads each of the output's 2 x 5 x 5 pixels once for each tap.
    assert operations(back.jaxpr) == 2 * one + 2 * 7 * product


def test_all_programs_of_a_config_are_those_that_its_method_runs():
    def names(**values):
        return [*compile._programs(tiny.make_config(**values), 4)]

    queries = ["query_labor_spl", "query_labor_ppl"]
    both = ["evaluate", "predict"]
    assert names(method="labor_ppl") == ["adapt", "selector", *queries, *both]
    assert names(method="margin") == ["adapt", "query", *both]
    assert names(method="full") == ["adapt", *both]
    frozen = {"model.freeze": True, "model.head": "linear"}
    assert names(method="labor_ppl", **frozen) == ["features", "selector", *queries, *both]


@pytest.mark.parametrize("name", ["adapt", "query_labor_ppl", "predict"])
def test_a_program_compiled_for_devices_that_are_there_has_every_figure(name, shallow):
    mesh = jax.sharding.Mesh(jax.devices(), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    config = tiny.make_config(**{"method": "labor_ppl", "target.domain": "toytown/tiny"})
    target = compile.device.named("TPU v5 lite")
    found = compile.compile_for(mesh, compile._programs(config, 4)[name](), target, 2**34)
    assert found["fits"] and found["flops"] > 1e5 and found["bytes"] > 1e5
    assert (found["collective_bytes"] > 0) == (name == "adapt")
    told = table.compiled(
        {"topology": "v5e:2x2", "devices": 4, "device": target._asdict(), "programs": {name: found}}
    )
    assert f"{found['flops'] / 1e9:.1f}" in told.splitlines()[-1]


def test_a_program_that_there_is_none_of_is_refused():
    with pytest.raises(UserError, match=r"--programs: 'train' is not one of adapt, selector"):
        compile.run(tiny.make_config(), "v5e:2x2", ["train"])


LIBTPU = importlib.util.find_spec("libtpu")


@pytest.mark.skipif(bool(LIBTPU), reason="libtpu is installed")
def test_a_missing_libtpu_is_told_with_what_to_install():
    with pytest.raises(UserError, match=r"--topology: 'v5e:2x2': libtpu is missing; pip install"):
        compile.run(tiny.make_config(), "v5e:2x2", [])


@pytest.mark.slow
@pytest.mark.skipif(not LIBTPU, reason="needs pip install 'labor_jax[tpu]'")
def test_small_programs_are_compiled_for_tpus_that_are_not_there(tmp_path):
    flags = ["--config=toytown:quick", "--topology=v5e:2x2", "--programs=adapt,evaluate"]
    out = tmp_path / "found.json"
    command = [sys.executable, "-m", "labor_jax", "benchmark", "compile", *flags, f"--out={out}"]
    ended = subprocess.run(
        command, cwd=commands.ROOT, env=os.environ, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(out.read_text())
    assert found["devices"] == 4 and found["device"]["kind"] == "TPU v5 lite"
    assert all(p["fits"] and 0 < p["held"] < 2**30 for p in found["programs"].values())
    wrong = [*command[:-3], "--topology=h100:1x1", "--programs=evaluate"]
    ended = subprocess.run(wrong, cwd=commands.ROOT, capture_output=True, text=True)
    assert ended.returncode == 2 and "--topology: 'h100:1x1'" in ended.stderr.splitlines()[-1]
