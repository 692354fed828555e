"""Wrong settings on the real command line: each one clear line, exit status 2, nothing written."""

import pytest
from support import commands


@pytest.mark.parametrize(
    ("flag", "line"),
    [
        ("seed=-1", "seed: -1 is negative; give a whole number from 0 to 4294967295"),
        ("seed=4294967296", "seed: 4294967296 is too large; give a whole number from 0 to"),
        ("model.width=0", "model.width: 0.0 is too small; give a number above 0"),
        ("model.dilations=(0,6)", "model.dilations: (0, 6) is not one or more whole numbers from"),
        ("optimizer.learning_rate=-0.1", "optimizer.learning_rate: -0.1 is negative; give"),
        ("optimizer.learning_rate=nan", "optimizer.learning_rate: nan is not finite; give"),
        ("optimizer.momentum=1", "optimizer.momentum: 1.0 is too large; give"),
        ("optimizer.decay_steps=-5", "optimizer.decay_steps: -5 is negative; give"),
        ("loss.target=inf", "loss.target: inf is not finite; give"),
        ("input.jitter=2", "input.jitter: 2.0 is too large; give a number from 0 to 1"),
        ("input.size=(60,True)", "input.size: (60, True) is not 2 whole numbers from 32"),
        ("selector.noise=-1", "selector.noise: -1.0 is negative; give"),
        ("selector.pseudo_alpha=(0.2,1.5)", "selector.pseudo_alpha: (0.2, 1.5) is not one or"),
        ("adversarial.betas=(0.9,1.0)", "adversarial.betas: (0.9, 1.0) is not 2 numbers of"),
        ("adversarial.width=0", "adversarial.width: 0 is too small; give a whole number from 1"),
        ("warmup_steps=9999999999", "warmup_steps: 9999999999 is too large; give"),
        ("classes.palette=((1,2),)", "classes.palette: ((1, 2),) is not zero or more tuples"),
        ("evaluation.scales=(-1.0,)", "evaluation.scales: (-1.0,) is not one or more numbers"),
    ],
)
def test_a_setting_that_makes_no_run_is_one_line_that_says_what_is_right(tmp_path, flag, line):
    workdir = tmp_path / "run"
    ended = commands.call(
        "run", "--config=toytown:quick", f"--workdir={workdir}", f"--config.{flag}"
    )
    assert commands.the_line(ended).startswith(f"config.{line}")
    assert not workdir.exists()


def test_a_loss_of_ones_own_has_a_weight_on_the_command_line_once_a_file_names_it(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from labor_jax.config import load\n\n\n"
        "def get_config():\n    c = load('toytown:quick')\n"
        "    c.loss.own.focal = 0.5\n    return c\n"
    )
    ended = commands.call(
        "run",
        f"--config={tmp_path / 'mine.py'}",
        f"--workdir={tmp_path / 'run'}",
        "--config.loss.own.focal=-2",
    )
    assert commands.the_line(ended).startswith(
        "config.loss.own.focal: -2.0 is negative; give a number of at least 0"
    )


def test_the_last_of_several_configs_is_taken_wherever_it_stands(tmp_path):
    ended = commands.call(
        "run",
        "--config.stages=-1",
        "--config=configs/no_such_file.py",
        f"--workdir={tmp_path / 'run'}",
        "--config",
        "toytown:quick",
    )
    assert commands.the_line(ended).startswith("config.stages: -1 is negative; give")
