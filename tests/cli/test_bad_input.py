"""A mistake is one clear line and exit status 2, and nothing that was saved is lost."""

import hashlib
import os
import pathlib
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image
from support import commands

from labor_jax.data import loading
from labor_jax.data.labels import CAMVID
from labor_jax.infer import restore
from labor_jax.loop import schedule
from labor_jax.util import errors, files

ROOT = pathlib.Path(__file__).parents[2]
QUICK = f"--config={ROOT / 'configs' / 'toytown.py'}:quick"


def hashes(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def told(*arguments, name="run"):
    """The line of error of a command."""
    return commands.the_line(commands.call(name, *arguments))


@pytest.fixture
def line_of(capfd):
    """The line of error of what is done."""

    def line(do):
        status = errors.exit_status(do)
        return commands.the_line(commands.Ended(status, *capfd.readouterr()))

    return line


@pytest.fixture
def run(line_of):
    """The line of error of a config's run."""
    return lambda config, workdir: line_of(lambda: schedule.run(config, workdir))


# ---------------------------------------------------------------------------------------- flags


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            ["--config.optimizer.learnin_rate=1"],
            ["'learnin_rate'", "did you mean 'learning_rate'?"],
        ),
        (["--config.nothing.deep=1"], ["unknown key 'nothing' in --config.nothing.deep; docs/"]),
        (
            ["--config.ripu.radius=4"],
            ["in --config.ripu.radius; did you mean config.ripu."],
        ),
        (["--config.seed=abc"], ["--config.seed", "'abc'"]),
        (["--config.input.size=48"], ["config.input.size", "(48,)", "2 whole numbers"]),
        (["--config.method=labor"], ["config.method", "'labor'", "labor_spl"]),
        (["--config.batch_size=0"], ["config.batch_size", "at least 1"]),
        (["--confg=x"], ["--confg", "--config"]),
        (["left", "over"], ["unexpected 'left'"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) and value[0].startswith("-") else "",
)
def test_a_mistyped_flag_is_named(tmp_path, flags, words):
    line = told(QUICK, f"--workdir={tmp_path / 'run'}", *flags)
    assert all(word in line for word in words), line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        ([QUICK], "--workdir"),
        (["--workdir=x"], "--config"),
        (["--config=configs/none.py", "--workdir=x"], "'configs/none.py'"),
        ([QUICK.replace("quick", "quik"), "--workdir=x"], ":quick"),
    ],
    ids=["no workdir", "no config", "no such config", "no such variant"],
)
def test_a_flag_that_is_missing_or_leads_nowhere_is_named(flags, word):
    assert word in told(*flags)


@pytest.mark.parametrize(
    ("name", "flags", "word"),
    [
        ("predict", ["--images=", "--out=o", "--workdir=w"], "--images: '' is no path"),
        ("predict", ["--images=i", "--out=", "--workdir=w"], "--out: '' is no path"),
        ("run", [QUICK, "--workdir="], "--workdir: '' is no path"),
        ("annotate", ["export", "--workdir=w", "--format=coco", "--out="], "--out: '' is no path"),
        ("convert-weights", ["a.pth", ""], "DST is missing"),
        ("predict", ["--images=i", "--out=o", "--workdir=w", "--tile=٣٢x32"], "--tile"),
        ("predict", ["--images=i", "--out=o", "--workdir=w", "--tile=999999x32"], "--tile"),
        ("export", ["--workdir=w", "--size=²x32"], "--size"),
        ("run", [QUICK, "--workdir=w", f"--config.input.blur=1{'0' * 400}"], "config.input.blur"),
        ("compare", ["--seconds_per_click=nan"], "--seconds_per_click: nan is not finite"),
        ("compare", ["--seconds_per_click=inf"], "--seconds_per_click: inf is not finite"),
        ("compare", ["--seeds=100000000"], "--seeds"),
        ("compare", [f"--budgets={'9' * 400}points"], "--budgets"),
        ("compare", ["--budgets=nan%"], "--budgets"),
        ("compare", ["--errors=nan"], "--errors"),
    ],
)
def test_a_flag_that_is_empty_endless_or_no_number_is_named(
    name, flags, word, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    if name == "compare":
        flags = [QUICK, "--workdir=w", "--methods=random", "--budgets=4points", *flags]
    assert word in told(*flags, name=name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("scales", ["nan", "inf", "-1", "0", "0.01", "17", "1,nan", "1e-320"])
def test_scales_that_leave_no_image_are_named(finished, tmp_path, scales):
    (tmp_path / "images").mkdir()
    flags = [f"--workdir={finished}", f"--images={tmp_path}/images", f"--out={tmp_path}/out"]
    assert "config.evaluation.scales" in told(*flags, f"--scales={scales}", name="predict")


@pytest.mark.parametrize("name", ["predict", "evaluate"])
def test_a_folder_without_a_run_is_told(tmp_path, name):
    more = ["--images=x", "--out=y"] if name == "predict" else []
    line = told(f"--workdir={tmp_path}", *more, name=name)
    assert "no run in" in line and str(tmp_path) in line
    assert not list(tmp_path.iterdir())


# ----------------------------------------------------------------------------------------- data


@pytest.fixture
def folders(tmp_path, make_config):
    """A config whose source is two folders, and these: four images with their labels."""
    config = make_config("uda")
    drawn = loading.load(config.source, config.data_dir, CAMVID)
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    for index in range(4):
        Image.fromarray(drawn.read_image(index)).save(tmp_path / "images" / f"{index}.png")
        Image.fromarray(drawn.read_label(index)).save(tmp_path / "labels" / f"{index}.png")
    config.source.domain = "folder"
    config.source.images = str(tmp_path / "images")
    config.source.labels = str(tmp_path / "labels")
    return config, tmp_path


def missing_folder(root):
    shutil.rmtree(root / "images")


def empty_folder(root):
    shutil.rmtree(root / "labels")
    (root / "labels").mkdir()


def image_without_label(root):
    (root / "labels" / "2.png").unlink()


def label_without_image(root):
    (root / "images" / "2.png").unlink()


def other_size(root):
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(root / "labels" / "2.png")


def truncated(root):
    data = (root / "images" / "2.png").read_bytes()
    (root / "images" / "2.png").write_bytes(data[: len(data) // 2])


def stray_value(root):
    label = np.asarray(Image.open(root / "labels" / "2.png")).copy()
    label[3, 4] = 77
    Image.fromarray(label).save(root / "labels" / "2.png")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (missing_folder, ["images: there is no such folder"]),
        (empty_folder, ["labels: no files that end in .png"]),
        (image_without_label, ["images: 1 image without label (2)", "labels"]),
        (label_without_image, ["labels: 1 label without image (2)", "images"]),
        (other_size, ["labels/2.png: the label is 30x20 and its image 64x48"]),
        (truncated, ["images/2.png: unreadable image", "replace or remove it"]),
        (stray_value, ["labels/2.png: label value 77", "config.classes.label_values"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_fault_in_the_data_is_named_with_its_mend(folders, run, damage, words):
    config, root = folders
    damage(root)
    line = run(config, root / "run")
    assert all(word in line for word in words), line


@pytest.mark.slow
def test_a_run_goes_on_when_the_fault_is_mended(folders, run):
    config, root = folders
    good = (root / "images" / "2.png").read_bytes()
    truncated(root)
    run(config, root / "run")
    (root / "images" / "2.png").write_bytes(good)
    assert schedule.run(config, root / "run")["status"] == "finished"


def test_a_broken_file_that_a_thread_reads_is_one_line_of_the_command(folders):
    config, root = folders
    truncated(root)
    source = config.source
    flags = [f"--config.source.{key}={source[key]}" for key in ("domain", "images", "labels")]
    flags += [f"--config.data_dir={config.data_dir}", f"--workdir={root / 'run'}"]
    assert "images/2.png: unreadable image" in told(QUICK, *flags)


@pytest.mark.parametrize("name", [b"a\nb\r.png", b"a\xfe\x1b.png"])
def test_a_name_with_line_breaks_or_without_letters_stays_in_one_line(tmp_path, name):
    (tmp_path / os.fsdecode(name)).write_bytes(b"x")
    line = told("--dataset=folder", f"--images={tmp_path}", name="prepare-data")
    assert ".png: unreadable image" in line and line.isprintable()


def test_a_class_table_that_does_not_fit_the_data_is_told(make_config, run, tmp_path):
    config = make_config("uda")
    config.classes.table = "cityscapes"
    line = run(config, tmp_path / "run")
    assert "camvid's 11 classes" in line and "config.classes.table=camvid" in line


# ------------------------------------------------------------------------------- what was saved


def test_a_changed_config_is_refused_by_the_program_and_nothing_is_touched(finished, tiny_dir):
    before = hashes(finished)
    flags = [f"--config.data_dir={tiny_dir}", "--config.seed=5", "--config.model.width=0.25"]
    line = told(QUICK, f"--workdir={finished}", *flags)
    assert "model.width (was 0.125, now 0.25)" in line and "seed (was 0, now 5)" in line
    assert hashes(finished) == before


def test_a_class_table_that_does_not_fit_the_checkpoint_is_told(finished, tmp_path, line_of):
    shutil.copytree(finished, tmp_path / "run")
    config = files.read_json(finished / "config.json")
    names, palette = list(CAMVID.names[::-1]), [list(color) for color in CAMVID.palette]
    config["classes"] |= {"table": "", "names": names, "palette": palette}
    files.write_json(tmp_path / "run" / "config.json", config)
    before = hashes(tmp_path / "run")
    line = line_of(lambda: restore.restore(tmp_path / "run"))
    assert "was trained with the 11 classes sky, building, pole" in line
    assert "config.classes has 11: bicyclist, pedestrian, car" in line
    assert hashes(tmp_path / "run") == before


def test_a_workdir_that_is_a_file_is_named(make_config, run, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert str(tmp_path / "file") in run(make_config("uda"), tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


# ------------------------------------------------------------------------------------ full disk


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 16 MB, where the right to mount one is given."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(disk, but):
    """Leaves only `but` bytes free."""
    free = shutil.disk_usage(disk).free
    with open(disk / "filler", "wb") as file:
        file.write(bytes(max(0, free - but)))


def test_a_full_disk_is_one_line_and_what_was_saved_stays(small_disk, tiny_dir):
    workdir = small_disk / "run"
    flags = [QUICK, f"--workdir={workdir}", f"--config.data_dir={tiny_dir}"]
    line = told(*flags)  # two checkpoints of 6 MB fit, and not a third
    assert "the disk is full: a checkpoint" in line and "free some space" in line
    saved = hashes(workdir)
    assert {name.split("/")[1] for name in saved if "checkpoints/" in name} == {"3", "6"}
    fill(small_disk, but=0)
    assert "the disk is full while writing" in told(*flags)
    assert hashes(workdir) == saved


@pytest.mark.slow
def test_a_run_goes_on_when_there_is_space_again(small_disk, tiny_dir, finished):
    workdir = small_disk / "run"
    flags = [QUICK, f"--workdir={workdir}", f"--config.data_dir={tiny_dir}"]
    told(*flags)
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert commands.call("run", *flags).status == 0
    ours, theirs = (files.read_json(d / "summary.json") for d in (workdir, finished))
    assert [row["mIoU"] for row in ours["stages"]] == [row["mIoU"] for row in theirs["stages"]]


@pytest.mark.parametrize("but", [8_192, 20_480, 100_000])
@pytest.mark.slow
def test_a_disk_that_is_nearly_full_is_one_line_wherever_it_gets_full(small_disk, tiny_dir, but):
    flags = [QUICK, f"--workdir={small_disk / 'run'}", f"--config.data_dir={tiny_dir}"]
    fill(small_disk, but)
    assert "the disk is full" in told(*flags)


def test_a_full_device_is_one_line(line_of):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")

    def write():
        with open("/dev/full", "wb") as file:
            file.write(b"x" * 100_000)

    assert "the disk is full" in line_of(write)
