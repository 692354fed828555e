"""Every key a run can be told, with its default."""

import ml_collections

__all__ = ["default_config"]


def default_config() -> ml_collections.ConfigDict:
    """The defaults; a file in `configs/` changes what it needs."""
    c = ml_collections.ConfigDict()
    c.seed = 0
    c.method = "labor_ppl"  # source_only | uda | full | a name in selection/strategies/
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
