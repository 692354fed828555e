"""Batches are functions of (seed, step), and no label is read that nobody gave."""

import dataclasses
import itertools

import jax
import ml_collections
import numpy as np
import pytest

from labor_jax.data import pipeline
from labor_jax.data.domain import Domain
from labor_jax.util.errors import UserError

COUNT, SIZE = 6, (8, 10)


def config(**values) -> ml_collections.ConfigDict:
    size = {"size": SIZE, "source_size": (), "scale": (0.8, 1.6), "flip": True, "jitter": 0.2}
    size |= {
        "rare_classes": 0.0,
        "crop": (),
        "hue": 0.0,
        "jittered": 1.0,
        "grey": 0.0,
        "blur": 0.0,
        "threads": 2,
    }
    run = {"seed": 0, "batch_size": 4, "adapt": "adversarial", "input": size}
    return ml_collections.ConfigDict(run | values)


def plain(**values) -> ml_collections.ConfigDict:
    """Without augmentation: an image's number can be read off its pixels."""
    c = config(**values)
    c.input.update({"scale": (1.0, 1.0), "flip": False, "jitter": 0.0})
    return c


def refuse(index):
    raise AssertionError(f"the label of image {index} was read")


def make_domain(read_label=refuse, size=SIZE):
    def read_image(index):
        draw = np.random.default_rng(index)
        image = draw.integers(0, 255, (*size, 3)).astype(np.uint8)
        image[0, 0] = index
        return image

    return Domain("streets", tuple(map(str, range(COUNT))), read_image, read_label)


def label(index):
    return np.full(SIZE, index, np.uint8)


def batches(c, first, last, read_target_label=None, source=None):
    source = source or make_domain(label)
    with pipeline.batches(source, make_domain(), read_target_label, c, first, last) as stream:
        return list(stream)


def equal(one, other):
    return jax.tree.all(jax.tree.map(np.array_equal, one, other))


def numbers(batch):
    return batch["image"][:, 0, 0, 0].tolist()


def test_without_a_source_the_targets_images_are_those_beside_a_source():
    alone = batches(config(), 0, 3, source=Domain.none())
    beside = batches(config(), 0, 3)
    assert [list(batch) for batch in alone] == [["target"]] * 3
    assert equal([batch["target"] for batch in alone], [batch["target"] for batch in beside])


def test_a_batch_has_the_size_and_types_that_the_steps_want():
    (batch,) = batches(config(), 0, 1)
    for name in ("source", "target"):
        assert batch[name]["image"].shape == (4, *SIZE, 3)
        assert batch[name]["label"].shape == (4, *SIZE)
        assert batch[name]["image"].dtype == batch[name]["label"].dtype == np.uint8


@pytest.mark.parametrize("first", [1, 5])
def test_starting_at_a_step_gives_the_batches_of_running_through(first):
    through = batches(config(), 0, 9)
    assert len(through) == 9
    assert equal(batches(config(), first, 9), through[first:])


def test_the_number_of_threads_changes_nothing():
    c = config()
    c.input.threads = 1
    assert equal(batches(c, 0, 6), batches(config(), 0, 6))


def test_source_images_may_have_a_size_of_their_own():
    c = config()
    c.input.source_size = (12, 6)
    (batch,) = batches(c, 0, 1)
    assert batch["source"]["image"].shape == (4, 12, 6, 3)
    assert batch["source"]["label"].shape == (4, 12, 6)
    assert equal([{"target": batch["target"]}], [{"target": batches(config(), 0, 1)[0]["target"]}])


def test_crops_of_both_domains_have_one_size():
    c = config()
    c.input.source_size, c.input.crop = (12, 6), (5, 7)
    (batch,) = batches(c, 0, 1)
    for name in ("source", "target"):
        assert batch[name]["image"].shape == (4, 5, 7, 3)
        assert batch[name]["label"].shape == (4, 5, 7)


def test_with_a_teacher_the_source_has_other_colours_and_the_target_its_own():
    c = plain(adapt="teacher")
    c.input.grey = 1.0
    (batch,) = batches(c, 0, 1)
    assert np.ptp(batch["source"]["image"], axis=-1).max() == 0
    assert np.ptp(batch["target"]["image"], axis=-1).max() > 0
    assert batch["target"]["inside"].shape == (4, *SIZE) and "inside" not in batch["source"]
    assert batch["target"]["inside"].all()


def test_another_seed_gives_other_batches():
    assert not equal(batches(config(), 0, 2), batches(config(seed=1), 0, 2))


def test_every_image_comes_once_an_epoch_in_an_order_of_its_own():
    seen = [n for batch in batches(plain(batch_size=3), 0, 8) for n in numbers(batch["source"])]
    epochs = [seen[start : start + COUNT] for start in range(0, len(seen), COUNT)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(COUNT))] * 4
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_images_of_a_rare_class_come_often_and_starting_at_a_step_changes_nothing():
    pixels = np.full((COUNT, 2), [50, 0])
    pixels[[1, 4], 1] = 1
    source = dataclasses.replace(make_domain(label), pixels=pixels)
    c = plain()
    c.input.rare_classes = 0.01
    through = batches(c, 0, 9, source=source)
    seen = [n for batch in through for n in numbers(batch["source"])]
    assert set(seen) == {1, 4} and len(seen) == 36
    assert equal(batches(c, 5, 9, source=source), through[5:])
    assert equal(batches(c, 0, 3, source=source), through[:3])
    even = batches(plain(), 0, 9, source=source)
    assert equal([b["target"] for b in even], [b["target"] for b in through])


def test_an_image_drawn_twice_looks_otherwise_each_time():
    pixels = np.zeros((COUNT, 1), int)
    pixels[2] = 1
    source = dataclasses.replace(make_domain(label), pixels=pixels)
    c = config()
    c.input.rare_classes = 0.01
    (batch,) = batches(c, 0, 1, source=source)
    views = batch["source"]["image"]
    assert all((one != other).any() for one, other in itertools.combinations(views, 2))


def test_source_and_target_are_shuffled_apart():
    batch = batches(plain(batch_size=6), 0, 3)
    assert [numbers(b["source"]) for b in batch] != [numbers(b["target"]) for b in batch]


def test_an_image_looks_otherwise_each_time_it_comes():
    first, second = (
        # The source's label is its number, and 255 where zooming out padded it.
        {int(one.min()): image for one, image in zip(b["label"], b["image"], strict=True)}
        for b in (batch["source"] for batch in batches(config(batch_size=COUNT), 0, 2))
    )
    assert first.keys() == second.keys() == set(range(COUNT))
    assert all((first[number] != second[number]).any() for number in first)


def test_labels_belong_to_their_images():
    for batch in batches(plain(), 0, 4, read_target_label=lambda i: label(i + 10)):
        assert batch["source"]["label"][:, 3, 3].tolist() == numbers(batch["source"])
        assert (batch["target"]["label"][:, 3, 3] - 10).tolist() == numbers(batch["target"])


def test_without_answers_no_target_label_is_read_and_all_are_255():
    # make_domain() refuses to read labels, and the target is made by it.
    for batch in batches(config(), 0, 3):
        assert (batch["target"]["label"] == 255).all()
        assert (batch["source"]["label"] != 255).any()


def test_an_image_without_an_answer_is_255_beside_others_that_have_one():
    read = lambda i: label(i) if i % 2 else None  # noqa: E731
    for batch in batches(plain(), 0, 3, read_target_label=read):
        for number, got in zip(numbers(batch["target"]), batch["target"]["label"], strict=True):
            assert (got == (number if number % 2 else 255)).all()


def test_processes_share_the_images_out(monkeypatch):
    whole = [numbers(batch["source"]) for batch in batches(plain(), 0, 3)]
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    parts = []
    for index in (0, 1):
        monkeypatch.setattr(jax, "process_index", lambda index=index: index)
        parts.append([numbers(batch["source"]) for batch in batches(plain(), 0, 3)])
    assert all(len(batch) == 2 for part in parts for batch in part)
    for step in range(3):
        assert [*parts[0][step], *parts[1][step]] == whole[step]


def test_a_broken_file_is_told_as_it_is_from_a_thread():
    def broken(index):
        raise UserError("streets/a.png: unreadable label; replace or remove it")

    with pytest.raises(UserError) as error:
        batches(config(), 0, 2, source=make_domain(broken))
    assert str(error.value) == "streets/a.png: unreadable label; replace or remove it"
