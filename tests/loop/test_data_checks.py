"""Before a run begins: what does not fit the images is refused, what was left out is told."""

import numpy as np
import pytest
from PIL import Image

from labor_jax.data import folder, image_files
from labor_jax.data.domain import Domain, Headers
from labor_jax.data.labels import CAMVID
from labor_jax.loop import data_checks
from labor_jax.report.page import settings
from labor_jax.report.run_files import RunFiles
from labor_jax.util.errors import UserError


def domain(*sizes):
    return Domain(
        "street",
        tuple(f"image_{n}" for n in range(len(sizes))),
        lambda i: np.zeros((*sizes[i], 3), np.uint8),
        None,
        headers=lambda i: Headers(sizes[i]),
    )


def look(config, target):
    return data_checks.look(config, {"source": Domain.none(), "target": target})


@pytest.mark.parametrize(
    ("method", "key", "value", "sizes"),
    [
        ("ripu_regions", "ripu.region_radius", 4, [(60, 80), (8, 40)]),
        ("labor_spl", "spl.cell", 81, [(60, 80), (8, 40)]),
        ("superpixels_margin", "superpixels.cell", 500, [(60, 80)]),
        ("entropy", "points.radius", 81, [(60, 80)]),
        ("labor_spl", "budget.max_fraction", 1e-4, [(60, 80)]),
    ],
)
def test_what_does_not_fit_the_images_is_refused_with_its_key(
    make_config, method, key, value, sizes
):
    with pytest.raises(UserError, match=f"config.{key}: .* make it"):
        look(make_config(method, **{key: value}), domain(*sizes))
    assert look(make_config(method), domain((60, 80))) == {}


def test_batches_that_no_memory_holds_are_refused_before_any_is_read(make_config):
    domains = {"source": Domain.none(), "target": domain((60, 80))}
    with pytest.raises(UserError, match=r"config.batch_size: .* GB; make it"):
        data_checks.check_memory(make_config("uda", batch_size=10**10), domains)
    data_checks.check_memory(make_config("uda", batch_size=10**4), domains)


def test_a_method_that_asks_nothing_looks_at_no_size(make_config):
    assert look(make_config("uda", **{"spl.cell": 500}), domain((2, 2))) == {}


def test_a_data_set_without_headers_is_measured_by_its_first_image(make_config):
    target = domain((8, 8))
    alone = Domain(target.name, target.ids, target.read_image, None)
    with pytest.raises(UserError, match="region_radius"):
        look(make_config("ripu_regions", **{"ripu.region_radius": 4}), alone)


def test_what_was_left_out_and_turned_is_told_by_domain_and_in_the_report(make_config, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 40)).save(tmp_path / "a.jpg", exif=exif)
    (tmp_path / "b.heic").write_bytes(b"x")
    lines = look(make_config("uda"), folder.load(str(tmp_path), "", CAMVID))["target"]
    kinds = ", ".join(image_files.SUFFIXES)
    assert lines == [
        "turned: 1 image as its EXIF data say, such as a",
        f"left out: 1 .heic file ending in none of {kinds}, such as b.heic",
        "1 image taken; left out: 1 .heic file",
    ]
    told = RunFiles({"data": {"target": lines}}, {}, [], {}, {}, {}, {}, [], [], [], {}, [], {})
    [shown] = [text for title, text in settings(told) if title == "Images left out or changed"]
    assert shown.splitlines() == [f"target: {line}" for line in lines]


def test_files_that_are_no_images_are_told_before_a_run_begins(make_config, tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"no image")
    with pytest.raises(UserError, match=r"a\.png: unreadable image .* \(and 1 image more\)"):
        look(make_config("uda"), folder.load(str(tmp_path), "", CAMVID))
