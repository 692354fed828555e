"""Every key a run can be told, with its default; and what makes two runs the same run."""

import importlib.util
import json
import os
import pathlib
import re
import traceback
from typing import Any

import ml_collections

from labor_jax.util.errors import UserError

__all__ = [
    "NOT_THE_RUN",
    "OWN",
    "check",
    "check_variant",
    "default_config",
    "differences",
    "find",
    "flat",
    "from_dict",
    "load",
    "lookup",
]


def default_config() -> ml_collections.ConfigDict:
    """The defaults; a file in `configs/` changes what it needs."""
    c = ml_collections.ConfigDict()
    c.seed = 0
    c.method = "labor_ppl"  # source_only | uda | full | a name of selection/strategies.py
    c.strategies = ()  # modules that register strategies of your own
    c.beside = ""  # method=random: a finished run's DIR; ask as many clicks as it did
    c.warmup_from = ""  # a run's DIR with the same warm-up: start from its end
    c.parallel = "pmap"  # pmap | shard_map | jit
    c.ordered_sums = False  # add up in the devices' order: the same bits on other hosts; slower
    c.data_dir = "data"  # where prepared data sets live
    c.annotator = "oracle"  # oracle | noisy | replay | web, see annotation/annotators.py
    c.replay = ""  # replay: the DIR of the run whose journal answers

    c.noisy = ml_collections.ConfigDict()  # the oracle with mistakes
    c.noisy.error = 0.05  # share of the answers that are wrong
    c.noisy.border = 4.0  # times as likely next to another class

    c.classes = ml_collections.ConfigDict()
    c.classes.table = "camvid"  # camvid | cityscapes | "" to give the rest
    c.classes.names = ()
    c.classes.palette = ()  # one (red, green, blue) a class
    c.classes.label_values = ()  # raw label value of each class; () = its position
    c.classes.void_values = ()  # raw label values of no class; 255 always is

    def domain(split: str) -> ml_collections.ConfigDict:
        d = ml_collections.ConfigDict()
        # toytown/WxH | camvid | gta5 | synthia_rand_cityscapes | cityscapes | folder
        d.domain = "toytown/160x120"
        d.split = split
        d.manual_dir = ""  # what its site ships; not for toytown and folder
        d.images = ""  # folder: images
        d.labels = ""  # folder: label maps; "" = unlabelled
        return d

    c.source = domain("source_train")  # labelled
    c.target = domain("target_train")  # to be asked about
    c.val = domain("target_val")  # scored on; labels "" = no scores

    c.input = ml_collections.ConfigDict()
    c.input.size = (120, 160)  # height, width the networks see
    c.input.source_size = ()  # of source images, if another
    c.input.scale = (1.0, 1.6)  # random zoom
    c.input.flip = True
    c.input.jitter = 0.25  # brightness, contrast and saturation, each ± this share
    c.input.threads = 2

    c.model = ml_collections.ConfigDict()
    c.model.backbone = "resnet18"  # resnet18 | resnet50 | resnet101 | mobilenet_v2
    c.model.style = "pytorch"  # ResNet: pytorch | caffe; MobileNetV2: tensorflow | pytorch
    c.model.width = 1.0  # channels, times this
    c.model.output_stride = 8
    c.model.dilations = (6, 12, 18, 24)
    c.model.batch_norm = "sync"  # sync: over all devices | frozen | adaptsegnet, see batch_norm.py
    c.model.dtype = "float32"  # float32 | bfloat16, of the computation
    c.model.remat = False  # ResNets: compute blocks twice and keep less of them in memory
    c.model.weights = ""  # a file to start from: .pth, .safetensors or .npz

    c.batch_size = 8  # source images a step, and as many target images; over all devices
    c.accumulate = 1  # parts of a device's batch, one after the other: takes less memory
    c.warmup_steps = 200
    c.stages = 3
    c.adapt_steps = 100  # a stage

    c.optimizer = ml_collections.ConfigDict()  # of the segmenter
    c.optimizer.name = "sgd"  # sgd | adam
    c.optimizer.learning_rate = 2.5e-4
    c.optimizer.head_factor = 10.0  # of the learning rate
    c.optimizer.block_factor = 1.0  # ResNets: of their blocks
    c.optimizer.projection_factor = 1.0  # ResNets: of the projections beside their blocks
    c.optimizer.momentum = 0.9
    c.optimizer.weight_decay = 5e-4
    c.optimizer.power = 0.9  # of the polynomial decay
    c.optimizer.decay_steps = 0  # after which it reaches 0; 0 = all the segmenter's steps
    c.optimizer.warmup = 0  # steps of linear growth
    c.optimizer.clip = 0.0  # largest norm of a gradient; 0 = none

    c.loss = ml_collections.ConfigDict()
    c.loss.aux = 0.1  # lambda_seg: the auxiliary head's cross-entropy
    c.loss.target = 1.0  # the labelled target pixels' cross-entropy
    c.loss.negative = 0.0  # RIPU's negative learning on the target; it uses 1
    c.loss.negative_below = 0.05  # probabilities that it pushes to zero
    c.loss.self_training = 0.0  # cross-entropy with sure predictions, where nobody has answered
    c.loss.self_above = 0.9  # the probability from which a prediction is sure
    c.loss.consistency = 0.0  # RIPU's local consistency at the source's borders; it uses 0.1

    c.adversarial = ml_collections.ConfigDict()
    c.adversarial.kind = "vanilla"  # vanilla | ls
    c.adversarial.main = 0.001  # lambda_adv
    c.adversarial.aux = 0.0002
    c.adversarial.width = 64
    c.adversarial.learning_rate = 1e-4
    c.adversarial.betas = (0.9, 0.99)

    c.selector = ml_collections.ConfigDict()
    c.selector.steps = 80  # a stage
    c.selector.init = "perturbed"  # perturbed | segmenter | fresh, see state.start_selector
    c.selector.noise = 0.1  # perturbed: of the second head's weights, in their own deviations
    c.selector.optimizer = "sgd"  # sgd | adam
    c.selector.learning_rate = 2.5e-4
    c.selector.head_factor = 10.0
    c.selector.discrepancy = "outputs"  # outputs: MCD's | weights: cosine of the heads' weights
    c.selector.discrepancy_weight = 1.0
    c.selector.discrepancy_start = 0.0  # share of the steps before the heads are pushed apart
    c.selector.pseudo_alpha = (0.2, 0.25, 0.3)  # IAST's, by stage; the last one goes on
    c.selector.pseudo_beta = 0.9
    c.selector.pseudo_gamma = 8.0
    c.selector.entropy = 0.0  # IAST's regulariser of pixels without a pseudo label; it uses 3
    c.selector.uniformity = 0.0  # IAST's regulariser of pixels with one; it uses 0.1

    c.spl = ml_collections.ConfigDict()
    c.spl.cut = "grid"  # grid | superpixels: along the image's edges, made for people
    c.spl.cell = 16  # pixels of the label: between the grid's lines, or the superpixels
    c.spl.crumb = (
        12  # superpixels: smaller pieces, in pixels of the label, join a neighbour or drop out
    )

    c.ppl = ml_collections.ConfigDict()
    c.ppl.points_per_class = 1  # a stage
    c.ppl.distance = "cosine"  # cosine | l2
    c.ppl.radius = 4  # pixels of the label, between two points of a class

    c.points = ml_collections.ConfigDict()  # entropy, margin, least_confidence
    c.points.radius = 4  # pixels of the label, between two points

    c.ripu = ml_collections.ConfigDict()  # pixels of the label, RIPU's
    c.ripu.point_radius = 2  # of the window that is looked at, and between two points
    c.ripu.region_radius = 1  # of a region: 1 is 3x3 pixels

    c.superpixels = ml_collections.ConfigDict()  # the methods that ask superpixels
    c.superpixels.cell = 16  # pixels of the label between their centres

    c.budget = ml_collections.ConfigDict()
    # What is counted: points | pixels | clicks; "": points where points are asked, else pixels.
    # With clicks, a segment is asked whole: one click for the class that most of it has.
    c.budget.unit = ""
    # How much of it, over all stages, hard caps; the unit says which one counts.
    c.budget.points_per_image = 40
    c.budget.max_fraction = 0.022  # of an image's pixels
    c.budget.clicks_per_image = 40
    # image: each image has its own | pool: all have one together, the most urgent are asked first
    c.budget.scope = ""  # "": as the method has it
    c.budget.pool_limit = 3.0  # pool: no image gets more than this many times its share

    c.stop = ml_collections.ConfigDict()  # when to stop before the last stage
    c.stop.plateau = 0.0  # a stage that gains less, in mIoU on held answers; 0 = never
    c.stop.held = 0.1  # share of the images whose answers are held from training for it
    c.stop.disagreement = 0.0  # the heads disagree on a smaller share of the pixels; 0 = never

    c.evaluation = ml_collections.ConfigDict()
    c.evaluation.scales = (1.0,)  # of input.size; probabilities are averaged over them
    c.evaluation.flip = False  # and over mirror images

    c.eval_batch_size = 8
    c.checkpoint_every = 100  # steps; a phase's end is saved besides
    c.log_every = 10  # steps
    c.previews = 6  # target images shown at each stage of the report
    return c.lock()  # a key that is not here is a mistake


NOT_THE_RUN = (
    "data_dir",
    "parallel",
    "checkpoint_every",
    "log_every",
    "warmup_from",
    "strategies",  # where methods are looked for; `method` says which one asks
)
"""Keys that say how a run is done and not what it computes: they may change on resume."""


def check_variant(variant: str, *known: str) -> None:
    """Raises UserError unless a config file has the VARIANT of `--config=NAME.py:VARIANT`."""
    if variant and variant not in known:
        raise UserError(
            f"--config: no variant {variant!r}; there is {', '.join(f':{name}' for name in known)}"
        )


def load(path: str) -> ml_collections.ConfigDict:
    """The config that `find` finds.

    Raises:
      UserError: no such file or variant, or the file is wrong; tells the line.
    """
    file, _, variant = find(path).partition(":")
    spec = importlib.util.spec_from_file_location("labor_jax_config", file)
    if spec is None or spec.loader is None:
        raise UserError(f"--config: {file!r} is no Python file; give NAME.py[:VARIANT]")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        if not hasattr(module, "get_config"):
            raise UserError(f"{file}: there is no function get_config; name it so")
        config = module.get_config(*[variant] * bool(variant))
    except UserError:
        raise
    except Exception as error:  # whatever a user's Python may raise
        raise UserError(f"{file}{_line(error, file)}: {_said(error)}") from None
    if not isinstance(config, ml_collections.ConfigDict):
        raise UserError(f"{file}: get_config gives no config; end it with `return c`")
    return config


def _line(error: Exception, file: str) -> str:
    """Where in a file an error came from."""
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == os.path.abspath(file)]
    return f", line {lines[-1]}" if lines else ""


def _said(error: Exception) -> str:
    """What an error says, on one line: of an unknown key, which one was meant."""
    text = str(error)
    if key := re.search(r'Key "(\w+)" does not exist', text):
        near = re.search(r'Did you mean "(\w+)"', text)
        meant = (
            f"did you mean {near[1]!r}?" if near else "labor_jax/config.py lists those there are"
        )
        return f"unknown key {key[1]!r}; {meant}"
    text = error.msg if isinstance(error, SyntaxError) else text
    return f"{type(error).__name__}: {' '.join(text.split())}"


_HERE = pathlib.Path(__file__).parents
OWN = next(path for path in (_HERE[1] / "configs", _HERE[2] / "configs") if path.is_dir())
"""The configs that come with labor_jax: inside the package in a wheel, beside it in a checkout."""


def find(path: str) -> str:
    """The file of `--config=PATH.py[:VARIANT]`, which `NAME` and `configs/NAME.py` may stand for,
    if it is one of `OWN`.

    Raises:
      UserError: there is no such file.
    """
    file, colon, variant = path.partition(":")
    if pathlib.Path(file).is_file():
        return path
    name = pathlib.PurePath(file)
    own = OWN / f"{name.stem}.py"
    if name.parts[:-1] in ((), ("configs",)) and name.suffix in ("", ".py") and own.is_file():
        return f"{own}{colon}{variant}"
    known = ", ".join(sorted(path.stem for path in OWN.glob("*.py")))
    raise UserError(f"--config: there is no file {file!r}; give one, or one of {known}")


def check(config: ml_collections.ConfigDict) -> None:
    """Raises UserError, naming the key, where a value makes no run."""
    from labor_jax.selection import strategies  # JAX is imported when a config is checked

    strategies.load(config.strategies)
    choices = {
        "method": strategies.methods(),
        "parallel": ("pmap", "shard_map", "jit"),
        "annotator": ("oracle", "noisy", "replay", "web"),
        "model.backbone": ("resnet18", "resnet50", "resnet101", "mobilenet_v2"),
        "model.output_stride": (8, 16),
        "model.batch_norm": ("sync", "frozen", "adaptsegnet"),
        "model.dtype": ("float32", "bfloat16"),
        "optimizer.name": ("sgd", "adam"),
        "selector.optimizer": ("sgd", "adam"),
        "selector.init": ("perturbed", "segmenter", "fresh"),
        "selector.discrepancy": ("outputs", "weights"),
        "adversarial.kind": ("vanilla", "ls"),
        "spl.cut": ("grid", "superpixels"),
        "ppl.distance": ("cosine", "l2"),
        "budget.unit": ("", "points", "pixels", "clicks"),
        "budget.scope": ("", "image", "pool"),
    }
    for key, allowed in choices.items():
        if (value := lookup(config, key)) not in allowed:
            raise UserError(f"config.{key}: {value!r} is not one of {', '.join(map(str, allowed))}")
    backbone, style = config.model.backbone, config.model.style
    styles = ("tensorflow" if backbone == "mobilenet_v2" else "caffe", "pytorch")
    if style not in styles:
        raise UserError(f"config.model.style: {style!r}, but {backbone} has {' or '.join(styles)}")
    tuples: tuple[tuple[str, int | None, type], ...]
    tuples = (("input.size", 2, int), ("input.scale", 2, float), ("adversarial.betas", 2, float))
    if config.input.source_size:
        tuples += (("input.source_size", 2, int),)
    tuples += (("model.dilations", None, int), ("selector.pseudo_alpha", None, float))
    tuples += (("evaluation.scales", None, float),)
    for key, length, kind in tuples:
        value = lookup(config, key)
        right = len(value) == length if length else len(value) > 0
        if not (right and all(type(v) in (int, kind) for v in value)):
            numbers = f"{length or 'one or more'} {'whole ' if kind is int else ''}numbers"
            raise UserError(f"config.{key}: {value!r} is not {numbers}")
    at_least_one: tuple[str, ...]
    at_least_one = ("batch_size", "accumulate", "eval_batch_size", "input.threads")
    at_least_one += ("warmup_steps", "adapt_steps", "selector.steps", "checkpoint_every")
    at_least_one += ("log_every", "ppl.points_per_class", "spl.cell", "spl.crumb")
    at_least_one += ("superpixels.cell", "budget.pool_limit")
    for key in at_least_one:
        if lookup(config, key) < 1:
            raise UserError(f"config.{key}: {lookup(config, key)} is too few; give 1 or more")
    for key in (
        "stages",
        "budget.points_per_image",
        "budget.max_fraction",
        "budget.clicks_per_image",
        "stop.plateau",
        "stop.disagreement",
        "loss.negative",
        "loss.consistency",
        "loss.self_training",
        "previews",
        "ppl.radius",
        "points.radius",
        "ripu.point_radius",
        "ripu.region_radius",
    ):
        if lookup(config, key) < 0:
            raise UserError(f"config.{key}: {lookup(config, key)} is negative; give 0 or more")
    if config.budget.unit == "points" and strategies.chooses(config.method):
        asks = strategies.find(config.method).asks
        if asks != "points":
            raise UserError(
                f"config.budget.unit: {config.method} asks {asks}; give pixels or clicks"
            )
    if not 0 < config.stop.held < 1:
        raise UserError(f"config.stop.held: {config.stop.held} is no share; give one in (0, 1)")
    if not 0 <= config.loss.self_above < 1:
        raise UserError(
            f"config.loss.self_above: {config.loss.self_above} is not in [0, 1); give a probability"
        )
    if not 0 <= config.noisy.error <= 1:
        raise UserError(f"config.noisy.error: {config.noisy.error} is no share; give 0 to 1")
    if config.noisy.border < 1:
        raise UserError(f"config.noisy.border: {config.noisy.border} is too low; give 1 or more")
    if not 0 < config.input.scale[0] <= config.input.scale[1]:
        raise UserError("config.input.scale: give (smallest, largest), both positive")
    sizes = {"size": config.input.size, "source_size": config.input.source_size}
    for key, size in sizes.items():
        if min(size, default=32) < 32:
            raise UserError(f"config.input.{key}: give (height, width) of 32 pixels or more")
    if min(config.evaluation.scales) <= 0:
        raise UserError(f"config.evaluation.scales: {config.evaluation.scales} must be positive")
    steps = config.warmup_steps + config.stages * config.adapt_steps
    if 0 < config.optimizer.decay_steps < steps:
        raise UserError(
            f"config.optimizer.decay_steps: {config.optimizer.decay_steps} are fewer than the "
            f"segmenter's {steps} steps, whose last ones would learn nothing; give 0 or more steps"
        )


def lookup(config: ml_collections.ConfigDict, key: str) -> Any:
    """The value at a dotted key."""
    for part in key.split("."):
        config = config[part]
    return config


def flat(config: dict | ml_collections.ConfigDict, prefix: str = "") -> dict[str, Any]:
    """Dotted keys to values, as JSON has them (tuples as lists)."""
    items: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict | ml_collections.ConfigDict):
            items |= flat(value, f"{prefix}{key}.")
        else:
            items[prefix + key] = json.loads(json.dumps(value))
    return items


def differences(
    old: dict | ml_collections.ConfigDict, new: dict | ml_collections.ConfigDict
) -> list[str]:
    """The dotted keys, with both values, in which `new` is another run than `old`."""
    a, b = flat(old), flat(new)
    return [
        f"{key} (was {a.get(key)!r}, now {b.get(key)!r})"
        for key in sorted(a | b)
        if a.get(key) != b.get(key) and key.split(".")[0] not in NOT_THE_RUN
    ]


def from_dict(values: dict) -> ml_collections.ConfigDict:
    """The config that `config.json` holds; JSON's lists become tuples again.

    Keys that an earlier version did not have take their defaults, which are what it did.
    """

    def restore(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: restore(v) for k, v in value.items()}
        return tuple(restore(v) for v in value) if isinstance(value, list) else value

    config = default_config()
    with config.unlocked():  # a later version's keys
        config.update(restore(values))
    return config
