"""What a benchmark says: every figure is there and makes sense; how fast it was is not tested."""

import inspect
import json
import math
import pathlib

import jax
import numpy as np
import pytest
from support import commands, tiny

from labor_jax.benchmark import device, measure, profile, work
from labor_jax.benchmark.table import table
from labor_jax.infer import steps
from labor_jax.models import resize
from labor_jax.models.resize import upsample
from labor_jax.util.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]
PROGRAMS = {
    "step": ("adapt_step", "selector_step"),
    "selection": ("labor_spl", "labor_ppl"),
    "evaluate": ("predict",),
}
FIGURES = {
    *("images", "seconds", "images_per_second", "flops", "flops_share", "bytes", "bytes_share"),
    *("least_bytes", "least_bytes_share", "compile_seconds", "program_bytes"),
}


@pytest.fixture(scope="module", autouse=True)
def shallow():
    with pytest.MonkeyPatch.context() as patch:
        tiny.shallow(patch)
        patch.setattr(device, "_measured", lambda: (1e11, 1e10))
        yield


@pytest.fixture(scope="module")
def config():
    made = tiny.make_config(**{"eval_batch_size": 4, "parallel": "jit"})
    for domain in (made.source, made.target, made.val):
        domain.domain = "toytown/tiny"
    return made


@pytest.fixture(scope="module")
def everything(config):
    return measure.run("all", config, repeat=1)


@pytest.mark.parametrize(
    ("domain", "size"),
    [
        ("camvid", (360, 480)),
        ("camvid/480x360", (360, 480)),
        ("toytown", (120, 160)),
        ("toytown/tiny", (48, 64)),
        ("gta5", (1052, 1914)),
        ("folder", (30, 40)),
    ],
)
def test_drawn_images_are_as_large_as_the_data_sets(config, domain, size):
    spec = config.target.copy_and_resolve_references()
    spec.domain = domain
    assert work.native_size(spec, (30, 40)) == size


@pytest.mark.slow
def test_every_part_has_every_figure(everything):
    assert everything.keys() == {"device", "peak_bytes", *measure.ALL}
    for part, names in PROGRAMS.items():
        for name in names:
            found = everything[part][name]
            assert found.keys() == FIGURES
            assert all(math.isfinite(value) and value > 0 for value in found.values())
            assert math.isclose(
                found["flops_share"] * found["seconds"] * 1e11, found["flops"], rel_tol=1e-6
            )
            assert math.isclose(
                found["bytes_share"] * found["seconds"] * 1e10, found["bytes"], rel_tol=1e-6
            )
            assert found["program_bytes"] >= found["least_bytes"]
    assert all(everything["input"][key] > 0 for key in ("images_per_second", "step_seconds"))
    assert 0 <= everything["input"]["idle_share"] < 1
    assert 0 <= everything["input"]["starved_share"] <= 1
    assert everything["input"]["transfers"] == 4 and everything["input"]["transfer_seconds"] > 0
    assert everything["peak_bytes"] > 2**20
    json.dumps(everything)


@pytest.mark.slow
def test_the_table_names_every_program(everything):
    text = table(everything)
    for part, names in PROGRAMS.items():
        assert all(f"{part} {name} " in text for name in names)
    assert "idle" in text


@pytest.mark.slow
def test_a_batchs_query_costs_as_many_times_one_images(config, everything):
    made = work.make(config)
    one = measure.program(
        measure._query(made, "labor_ppl"),
        (made.start, work.to_ask(made, 1)),
        1,
        device.Device("", 1.0, 1.0, ""),
        repeat=1,
    )
    assert everything["selection"]["labor_ppl"]["flops"] == pytest.approx(4 * one["flops"])


@pytest.mark.slow
def test_growth_is_told_by_pixels_classes_and_images(config):
    made = work.make(config)
    found = measure.growth(made, device.Device("", 1.0, 1.0, ""), repeat=1, counts=(4, 8))
    assert [row["pixels"] for row in found["pixels"]] == [48 * 64 * n for n in (1, 2, 4, 8)]
    assert [row["classes"] for row in found["classes"]] == [made.classes * n for n in (1, 2, 4, 8)]
    assert [row["images"] for row in found["images"]] == [4, 8]
    few, many = (row["queries_bytes"] for row in found["images"])
    assert 0 < few < many


@pytest.mark.slow
def test_predicting_files_is_told_as_a_share_of_predicting_from_memory(config):
    made = work.make(config)
    found = measure.predict(made, device.Device("", 1.0, 1.0, ""), repeat=1, count=5, batches=1)
    alone, whole = (found[f"{name}_images_per_second"] for name in ("in_memory", "files"))
    assert found["images"] == 5 and found["share"] == whole / alone > 0
    said = table(
        {"device": device.Device("", 1.0, 1.0, "")._asdict(), "peak_bytes": 1} | {"predict": found}
    )
    assert "predict, 5 files read and written: " in said


@pytest.mark.slow
def test_the_costliest_lines_of_every_program_are_told(config):
    found = measure.run("profile", config, repeat=2)
    assert found["profile"].keys() == {"adapt_step", "selector_step", "labor_spl", "labor_ppl"}
    for values in found["profile"].values():
        assert any(row["line"].startswith("models/resnet.py:") for row in values["costliest"])
    assert any(row["backward"] for row in found["profile"]["adapt_step"]["costliest"])
    assert not any(row["backward"] for row in found["profile"]["labor_ppl"]["costliest"])
    assert table(found).count("the costliest lines") == 4
    json.dumps(found)


def test_a_programs_time_is_shared_out_among_the_lines_it_comes_from():
    def loss(x):
        return jax.nn.softmax(upsample(x, (96, 128))).max()

    arguments = (np.ones((2, 12, 16, 5), np.float32),)
    compiled = profile.compiled_with_lines(jax.grad(loss), arguments)
    rows = profile.costliest(compiled, arguments, repeat=3)
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    assert [row["seconds"] for row in rows] == sorted((r["seconds"] for r in rows), reverse=True)
    (code, first) = inspect.getsourcelines(upsample)
    lines = {f"models/resize.py:{first + i}" for i, x in enumerate(code) if "product(" in x}
    found = {(row["line"], row["backward"]) for row in rows if row["line"] != "?"}
    of_module = len(inspect.getsourcelines(resize)[0])
    assert {line for line, _ in found} <= {
        f"models/resize.py:{i}" for i in range(first, of_module + 1)
    }
    assert any(line in lines and backward for line, backward in found)
    assert any(line in lines and not backward for line, backward in found)


def test_a_loop_is_not_counted_beside_what_is_in_it_and_threads_are_waited_for():
    # A loop from 0 to 100 ns of two calls; a product that other threads work at until 150 ns.
    events = [(0, 100, "while"), (10, 50, "a"), (50, 100, "a"), (100, 101, "dot"), (150, 160, "b")]
    taken = profile.durations(events)
    assert taken == pytest.approx({"while": 10e-9, "a": 90e-9, "dot": 50e-9, "b": 10e-9})


def test_a_device_is_known_by_the_longest_name_that_fits(monkeypatch):
    class Chip:
        device_kind = "TPU v5 lite"

    monkeypatch.setattr(jax, "devices", lambda: [Chip])
    assert device.find().flops == 197e12


def test_large_maps_are_upsampled_an_image_at_a_time_with_the_same_answer(config, monkeypatch):
    made = work.make(config)
    query, batch = measure._query(made, "labor_ppl"), work.to_ask(made, 4)

    def answer():
        compiled = jax.jit(lambda *args: query(*args)).lower(made.start, batch).compile()
        return jax.device_get(compiled(made.start, batch)), compiled.memory_analysis()

    whole, memory = answer()
    monkeypatch.setattr(steps, "MAP_BYTES", 1)
    apart, less = answer()
    same = (whole.pop("points") == apart.pop("points")).all(-1)
    assert same.mean() > 0.97, "nearly equal similarities may change places in their last bits"
    jax.tree.map(np.testing.assert_array_equal, whole, apart)
    assert less.temp_size_in_bytes < memory.temp_size_in_bytes
    assert whole["mask"].any()


@pytest.mark.parametrize(("name", "repeat"), [("everything", 1), ("step", 0)])
def test_a_part_that_is_not_there_or_no_repeat_is_refused(config, name, repeat):
    with pytest.raises(UserError, match=r"NAME: 'everything' is not one of|--repeat: 0 is too few"):
        measure.run(name, config, repeat)


def test_without_a_name_the_command_says_so():
    assert commands.the_line(commands.call("benchmark")).startswith("NAME is missing")
