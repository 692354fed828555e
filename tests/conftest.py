"""Shared by all tests: four virtual devices, compiled programs kept on disk, a prepared toytown."""

import os
import pathlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=4")
# Kept between runs and shared with the programs that tests start.
home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(home, "labor_jax", "tests")))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and (
    threading.current_thread() is threading.main_thread()
):
    # nohup and shells' background jobs ignore Ctrl-C, and processes that tests start inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)

import hypothesis  # noqa: E402
import ml_collections  # noqa: E402
import pytest  # noqa: E402

hypothesis.settings.register_profile(
    "tests",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=50,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("tests")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option of the slow tests that try generated mistakes."""
    parser.addoption("--seconds", type=float, default=10.0, help="how long to try mistakes")


@pytest.fixture
def seconds(request: pytest.FixtureRequest) -> float:
    """How long mistakes are tried for each kind of file."""
    return request.config.getoption("--seconds")


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A data_dir in which toytown/tiny is prepared."""
    from labor_jax.data.builders import prepared

    path = str(tmp_path_factory.mktemp("tiny"))
    prepared.prepare("toytown/tiny", path)
    return path


@pytest.fixture(scope="session")
def make_config(tiny_dir: str) -> Callable[..., ml_collections.ConfigDict]:
    """A method's quick config with some values changed, that saves at the end of phases only."""
    from labor_jax.config import load

    def make(method: str, **values: Any) -> ml_collections.ConfigDict:
        c = load(str(ROOT / "configs" / "toytown.py") + ":quick")
        c.data_dir, c.method, c.checkpoint_every = tiny_dir, method, 100
        c.update_from_flattened_dict(values)
        return c

    return make


@pytest.fixture(scope="module")
def shallow() -> Iterator[None]:
    """ResNet-18 without every second block, for all tests of a module that uses this fixture."""
    from support import tiny

    with pytest.MonkeyPatch.context() as patch:
        tiny.shallow(patch)
        yield


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A Chromium for all tests of a module."""
    from support import annotating

    with annotating.browsing() as opened:
        yield opened


@pytest.fixture
def browser(chromium: Any) -> Iterator[Any]:
    """A Chromium without pages. They are closed after the test, or would ask on for a server."""
    yield chromium
    for context in chromium.contexts:
        context.close()


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory, make_config: Callable[..., ml_collections.ConfigDict]
) -> pathlib.Path:
    """The DIR of a finished run of labor_spl; not to be changed."""
    from labor_jax.loop import schedule

    workdir = tmp_path_factory.mktemp("finished")
    schedule.run(make_config("labor_spl"), workdir)
    return workdir
