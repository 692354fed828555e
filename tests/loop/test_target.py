"""The target of a run that goes on: the images that it asked about, with their labels."""

from PIL import Image

from labor_jax.annotation import asked_images
from labor_jax.annotation import queries as q
from labor_jax.config import default_config
from labor_jax.data.labels import CAMVID
from labor_jax.loop import opening


def test_labelled_images_that_came_or_went_leave_the_pairs_of_the_others(tmp_path):
    for kind, mode in (("images", "RGB"), ("labels", "L")):
        for name in "abc":
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.new(mode, (8, 6)).save(tmp_path / kind / f"{name}.png")
    config = default_config()
    config.source.domain = config.val.domain = ""
    config.target.domain = "folder"
    config.target.images, config.target.labels = str(tmp_path / "images"), str(tmp_path / "labels")
    asked = opening.open_domains(config, tmp_path, CAMVID)["target"]
    q.write_queries(tmp_path, 1, [q.point_query(name, 1, (6, 8), []) for name in asked.ids])
    asked_images.remember(tmp_path, 1, asked)
    (tmp_path / "images" / "a.png").unlink()
    Image.new("RGB", (8, 6)).save(tmp_path / "images" / "new.png")
    left = opening.open_domains(config, tmp_path, CAMVID)["target"]
    assert left.ids == ("b", "c") and left.read_label(1).shape == (6, 8)
