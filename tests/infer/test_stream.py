"""Predicting a folder with a run's segmenter."""

import dataclasses
import errno
import itertools

import cv2
import numpy as np
import pytest
from PIL import Image
from support.commands import call

from labor_jax.data import folder, image_files, images
from labor_jax.data.labels import CITYSCAPES, CITYSCAPES_IDS, encode
from labor_jax.infer import export, restore, stream
from labor_jax.infer.segmenter import Predictor
from labor_jax.infer.stream import Options, predict_folder, predict_video
from labor_jax.util.errors import UserError


@pytest.fixture(scope="module")
def run(finished):
    return restore.restore(finished)


def photographs(path, sizes):
    random = np.random.default_rng(0)
    for number, (height, width) in enumerate(sizes):
        file = path / f"town {number % 2}" / f"{number}.v1.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8)).save(file)
    return path


def test_every_image_gets_a_label_map_and_an_overlay_of_its_own_size(run, tmp_path):
    photos = photographs(tmp_path / "photos", [(48, 64), (60, 50), (48, 64)])
    domain = folder.load(str(photos), "", run.table)
    predict_folder(run, domain, tmp_path / "out")
    for index, name in enumerate(domain.ids):
        photo = domain.read_image(index)
        label = images.read_label_png(tmp_path / "out" / f"{name}.png")
        wanted = run.predict(_resized(photo, run), photo.shape[:2])[0]
        np.testing.assert_array_equal(label, wanted)
        with Image.open(tmp_path / "out" / f"{name}_overlay.jpg") as overlay:
            assert overlay.size == photo.shape[1::-1]
    assert len(list((tmp_path / "out").rglob("*.*"))) == 2 * len(domain.ids)


def _resized(photo, run):
    from labor_jax.data.transforms import resize_image

    return resize_image(photo, run.config.input.size)[None]


def test_label_ids_are_the_numbers_of_label_files_and_nothing_else_is_written(run, tmp_path):
    photos = photographs(tmp_path / "photos", [(48, 64), (60, 50)])
    domain = folder.load(str(photos), "", run.table)
    cityscapes = run._replace(table=CITYSCAPES)
    predict_folder(cityscapes, domain, tmp_path / "ids", Options(label_ids=True))
    predict_folder(cityscapes, domain, tmp_path / "out")
    assert len(list((tmp_path / "ids").rglob("*.*"))) == len(domain.ids)
    for name in domain.ids:
        with Image.open(tmp_path / "ids" / f"{name}.png") as file:
            assert file.mode == "L"
            ids = np.asarray(file)
        train_ids = images.read_label_png(tmp_path / "out" / f"{name}.png")
        np.testing.assert_array_equal(ids, np.take(CITYSCAPES_IDS, train_ids))
    values = tuple(300 - number for number in range(len(run.table)))
    mine = run._replace(table=dataclasses.replace(run.table, values=values, void_values=()))
    predict_folder(mine, domain, tmp_path / "mine", Options(label_ids=True))
    raw = image_files.read_raw_label(tmp_path / "mine" / f"{domain.ids[0]}.png", "mine")
    train_ids = images.read_label_png(tmp_path / "out" / f"{domain.ids[0]}.png")
    assert raw.dtype == np.uint16
    np.testing.assert_array_equal(encode(raw, mine.table, "mine"), train_ids)


def test_a_truncated_photograph_is_named_and_the_others_are_segmented(run, tmp_path):
    photos = photographs(tmp_path / "photos", [(48, 64), (48, 64), (48, 64)])
    broken = photos / "town 1" / "1.v1.png"
    broken.write_bytes(broken.read_bytes()[:500])
    done = predict_folder(run, folder.load(str(photos), "", run.table), tmp_path / "out")
    assert len(done.broken) == 1 and "1.v1.png: unreadable image" in done.broken[0]
    assert done.tally.total() == "2 images taken; left out: 1 image"
    written = sorted(path.name for path in (tmp_path / "out").rglob("*.png"))
    assert written == ["0.v1.png", "2.v1.png"]


def test_an_image_that_cannot_be_segmented_or_written_is_named_and_the_others_are_done(
    run, tmp_path
):
    photos = photographs(tmp_path / "photos", [(48, 64), (60, 50), (48, 64), (48, 64)])
    long = photos / "town 0" / ("n" * 244 + ".png")  # its map can be written, and not its overlay
    (photos / "town 0" / "2.v1.png").rename(long)
    marked = folder.load(str(photos), "", run.table).read_image(0)[0]

    def predict(images, size, natives):
        assert natives is None
        if size == (60, 50):
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes.")
        if len(images) > 1 or (images[0, 0] == marked).all():
            raise AssertionError("one of these")
        return run.predict(images, size)

    domain = folder.load(str(photos), "", run.table)
    done = predict_folder(run._replace(predict=predict), domain, tmp_path / "out")
    first, *rest = sorted(done.broken, key=len)
    assert first == f"{domain.ids[0]}: AssertionError: one of these"
    assert "1.v1: out of memory on the device" in " ".join(rest) and "--tile" in " ".join(rest)
    assert "nnn: File name too long; give it a shorter name" in " ".join(rest)
    assert done.tally.total() == "1 image taken; left out: 3 images"
    assert (tmp_path / "out" / "town 1" / "3.v1_overlay.jpg").exists()


def test_a_disk_that_is_full_ends_a_prediction_at_once(run, tmp_path, monkeypatch):
    photos = photographs(tmp_path / "photos", [(48, 64)] * 3)

    def write(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(stream.outputs.Folder, "write", write)
    with pytest.raises(OSError, match="No space left"):
        predict_folder(run, folder.load(str(photos), "", run.table), tmp_path / "out")


def test_a_folder_of_which_nothing_can_be_read_is_an_error(run, tmp_path):
    photos = photographs(tmp_path / "photos", [(48, 64)])
    broken = photos / "town 0" / "0.v1.png"
    broken.write_bytes(broken.read_bytes()[:500])
    domain = folder.load(str(photos), "", run.table)
    with pytest.raises(UserError, match=r"none of folder .* can be segmented; .* .*0\.v1\.png"):
        predict_folder(run, domain, tmp_path / "out")


def test_many_sizes_in_turn_are_batched_and_give_what_each_gives_alone(run, tmp_path, monkeypatch):
    photos = photographs(tmp_path / "photos", [(48, 64), (60, 50)] * 6)
    domain = folder.load(str(photos), "", run.table)
    batches = []

    def predict(images, size, natives):
        assert natives is None
        batches.append(len(images))
        return run.predict(images, size)

    predict_folder(run._replace(predict=predict), domain, tmp_path / "out", Options(overlay=False))
    # Those that are left are filled up to the batch that is compiled already.
    assert run.config.eval_batch_size == 4 and batches == [4, 4, 4, 4]
    for index, name in enumerate(domain.ids):
        photo = domain.read_image(index)
        label = images.read_label_png(tmp_path / "out" / f"{name}.png")
        wanted = run.predict(_resized(photo, run), photo.shape[:2])[0]
        np.testing.assert_array_equal(label, wanted)
    assert not list((tmp_path / "out").rglob("*.jpg"))


def test_tiles_give_what_the_predictor_gives(run, tmp_path):
    photos = photographs(tmp_path / "photos", [(70, 90)])
    domain = folder.load(str(photos), "", run.table)
    options = Options(tile=(49, 49), overlap=16, overlay=False)
    predict_folder(run, domain, tmp_path / "out", options)
    label = images.read_label_png(tmp_path / "out" / f"{domain.ids[0]}.png")
    wanted = Predictor(run).predict(domain.read_image(0), tile=(49, 49), overlap=16)
    np.testing.assert_array_equal(label, wanted)


def film(path, frames):
    file = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 48))
    random = np.random.default_rng(0)
    for _ in range(frames):
        small = random.integers(0, 256, (6, 8, 3), np.uint8)
        file.write(cv2.resize(small, (64, 48)))
    file.release()
    return path


def test_an_image_is_told_from_a_video_by_its_content(finished, tmp_path):
    photos = photographs(tmp_path / "photos", [(48, 64)])
    (photos / "town 0" / "0.v1.png").rename(tmp_path / "photo")
    ended = call(
        "predict", f"--workdir={finished}", f"--images={tmp_path}/photo", f"--out={tmp_path}/out"
    )
    assert ended.status == 0 and "1 image segmented" in ended.stdout
    assert images.read_label_png(tmp_path / "out" / "photo.png").shape == (48, 64)


def test_a_video_becomes_label_maps_and_a_video(run, tmp_path):
    path = film(tmp_path / "drive.mp4", 6)
    assert predict_video(run, path, tmp_path / "out") == (6, [])
    video = cv2.VideoCapture(str(path))
    for number in range(6):
        frame = cv2.cvtColor(video.read()[1], cv2.COLOR_BGR2RGB)
        label = images.read_label_png(tmp_path / "out" / f"{number:06d}.png")
        wanted = run.predict(_resized(frame, run), frame.shape[:2])[0]
        np.testing.assert_array_equal(label, wanted)
    made = cv2.VideoCapture(str(tmp_path / "out" / "overlay.mp4"))
    assert int(made.get(cv2.CAP_PROP_FRAME_COUNT)) == 6 and made.get(cv2.CAP_PROP_FPS) == 10
    assert made.read()[1].shape == (48, 64, 3)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {f"{n:06d}.png" for n in range(6)} | {"overlay.mp4"}, "nothing half-written"


def test_a_video_that_does_not_fit_on_the_disk_is_told_and_not_left(run, tmp_path, monkeypatch):
    path = film(tmp_path / "drive.mp4", 6)
    monkeypatch.setattr(stream, "_has_frames", lambda path, number: False)
    with pytest.raises(
        UserError, match=r"overlay\.mp4: could not be written whole; free some space"
    ):
        predict_video(run, path, tmp_path / "out")
    assert not [p for p in (tmp_path / "out").iterdir() if p.suffix == ".mp4"]


def test_a_video_is_whole_when_it_has_as_many_frames_as_were_written(tmp_path):
    path = film(tmp_path / "drive.mp4", 6)
    assert stream._has_frames(path, 6) and not stream._has_frames(path, 7)
    path.write_bytes(path.read_bytes()[:300])
    assert not stream._has_frames(path, 6)


def test_what_is_no_video_is_refused_with_what_could_be_given(run, tmp_path):
    (tmp_path / "notes.txt").write_text("no video")
    with pytest.raises(UserError, match=r"notes\.txt is no video that OpenCV can read"):
        predict_video(run, tmp_path / "notes.txt", tmp_path / "out")


def test_frames_that_are_missing_at_the_end_are_counted(run, tmp_path, monkeypatch):
    path = film(tmp_path / "drive.mp4", 6)
    short = stream.frames

    def first_four(video):
        return itertools.islice(short(video), 4)

    monkeypatch.setattr(stream, "frames", first_four)
    done, told = predict_video(run, path, tmp_path / "out", Options(overlay=False))
    assert (done, told) == (4, [f"{path}: 2 of 6 frames cannot be read"])
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_the_command_names_and_counts_what_it_skips_and_takes_an_exported_file(
    run, tmp_path, monkeypatch
):
    (tmp_path / "town.safetensors").write_bytes(export.safetensors(run))
    photos = photographs(tmp_path / "photos", [(48, 64), (48, 64)])
    broken = photos / "town 1" / "1.v1.png"
    broken.write_bytes(broken.read_bytes()[:500])
    monkeypatch.chdir(tmp_path)
    ended = call("predict", "--workdir=town.safetensors", "--images=photos", "--out=out")
    assert ended.status == 1, ended.stderr
    assert "1 image segmented after" in ended.stdout
    *_, reason, total = ended.stderr.splitlines()
    assert "left out: 1 image that cannot be read, such as photos/town 1/1.v1.png: unread" in reason
    assert total == "1 image taken; left out: 1 image"
    assert sorted(path.name for path in (tmp_path / "out" / "town 0").iterdir()) == [
        "0.v1.png",
        "0.v1_overlay.jpg",
    ]


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="no run in"):
        restore.restore(tmp_path)
