"""The looks of toytown, as data: what tells the source domain from the target domain.

The town by night is the source's. What is different is its light, and the camera.
"""

import dataclasses

Color = tuple[float, float, float]
Range = tuple[float, float]

SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(11)
VOID = 255


@dataclasses.dataclass(frozen=True)
class Look:
    """The statistics that tell one domain from the other. Lengths in metres, shares in 0..1."""

    eye: Range  # camera height
    focal: Range  # in image heights
    horizon: Range  # in image heights from the top
    mirror: int  # 1: traffic keeps right, -1: left
    lane: Range
    pavement_width: Range
    setback: Range  # from the pavement to the buildings
    building_width: Range
    floors: tuple[int, int]  # fewest, most
    gap: float  # share of plots left to trees
    parked: float  # share of parking places taken
    traffic: Range  # metres between moving cars
    street_trees: Range  # metres between trees
    lamps: Range  # metres between lamp posts
    fenced: float
    people: tuple[int, int]
    cyclists: tuple[int, int]
    walls: tuple[Color, ...]
    wall_kinds: tuple[str, ...]
    roofs: tuple[Color, ...]
    leaves: tuple[Color, ...]
    road: tuple[Color, ...]
    pavement: tuple[Color, ...]
    paint: tuple[Color, ...]  # cars
    cloth: tuple[Color, ...]
    fences: tuple[str, ...]
    signs: tuple[str, ...]
    pole: tuple[Color, ...]
    fence_colors: dict[str, tuple[Color, ...]]
    frames: tuple[Color, ...]  # of windows
    glass: tuple[Color, ...]
    marking: Color
    roof_kinds: tuple[str, ...]
    shutters: float
    shops: float
    lawns: float  # share of streets with grass beyond the pavement
    edge_lines: float
    grain: float  # of the road, in shares of its brightness
    stains: float
    tracks: float
    bicycle: tuple[Color, ...]
    trees: tuple[str, ...]
    avenues: float  # share of pavements with trees
    hedges: float  # share of fences with a hedge behind
    bollards: float
    parked_left: float  # share of streets with parking on that side
    parked_right: float
    bark: tuple[Color, ...]
    trousers: tuple[Color, ...]
    sign_fade: float


SOURCE = Look(
    eye=(1.35, 1.55),
    focal=(0.95, 1.05),
    horizon=(0.48, 0.54),
    mirror=1,
    lane=(3.3, 3.7),
    pavement_width=(2.6, 3.8),
    setback=(0.2, 3.0),
    building_width=(8.0, 15.0),
    floors=(2, 4),
    gap=0.18,
    parked=0.3,
    traffic=(16.0, 40.0),
    street_trees=(11.0, 24.0),
    lamps=(13.0, 20.0),
    fenced=0.7,
    people=(2, 5),
    cyclists=(1, 3),
    walls=(
        (238, 214, 170),
        (226, 160, 120),
        (246, 238, 220),
        (170, 196, 214),
        (232, 190, 196),
        (190, 212, 176),
        (214, 120, 92),
        (250, 222, 140),
    ),
    wall_kinds=("paint", "paint", "paint", "panel"),
    roofs=((176, 74, 52), (150, 62, 50), (104, 92, 110), (70, 86, 110)),
    leaves=((86, 168, 58), (64, 146, 52), (118, 184, 66), (48, 124, 60)),
    road=((104, 108, 118), (96, 100, 108), (114, 114, 120)),
    pavement=((196, 186, 172), (206, 200, 190), (188, 176, 164)),
    paint=(
        (206, 36, 38),
        (36, 88, 190),
        (240, 240, 242),
        (246, 190, 34),
        (40, 150, 96),
        (40, 42, 50),
        (232, 112, 30),
        (120, 190, 224),
    ),
    cloth=(
        (214, 52, 60),
        (42, 96, 196),
        (248, 204, 60),
        (54, 160, 98),
        (240, 240, 240),
        (142, 70, 168),
        (240, 128, 50),
        (40, 44, 66),
    ),
    fences=("picket", "picket", "board", "rail"),
    signs=("stop", "round", "triangle", "square", "direction"),
    pole=((120, 128, 136), (92, 100, 108), (150, 154, 158)),
    fence_colors={
        "picket": ((244, 240, 232), (236, 226, 206)),
        "board": ((176, 122, 72), (196, 146, 92)),
        "rail": ((60, 120, 90), (80, 90, 110)),
    },
    frames=((250, 250, 248), (250, 250, 248), (110, 76, 56)),
    glass=((112, 152, 190), (92, 132, 172), (142, 178, 206)),
    marking=(244, 244, 240),
    roof_kinds=("gable", "gable", "hip", "flat"),
    shutters=0.35,
    shops=0.25,
    lawns=0.5,
    edge_lines=0.7,
    grain=0.025,
    stains=0.015,
    tracks=0.0,
    bicycle=((210, 40, 48), (36, 110, 200), (50, 160, 90)),
    trees=("ball", "ball", "broad", "cone"),
    avenues=0.65,
    hedges=0.3,
    bollards=0.2,
    parked_left=0.5,
    parked_right=0.4,
    bark=((122, 84, 56), (104, 74, 52)),
    trousers=((40, 56, 104), (60, 60, 68), (120, 96, 70)),
    sign_fade=0.0,
)

TARGET = Look(
    eye=(1.8, 2.3),
    focal=(0.78, 0.92),
    horizon=(0.41, 0.5),
    mirror=-1,
    lane=(3.0, 3.3),
    pavement_width=(2.0, 3.4),
    setback=(0.0, 1.6),
    building_width=(5.0, 11.0),
    floors=(2, 6),
    gap=0.2,
    parked=0.45,
    traffic=(9.0, 22.0),
    street_trees=(7.0, 17.0),
    lamps=(12.0, 19.0),
    fenced=0.7,
    people=(3, 6),
    cyclists=(2, 4),
    walls=(
        (134, 84, 66), (150, 104, 78), (120, 112, 104), (164, 150, 128),
        (104, 76, 68), (148, 146, 142), (176, 164, 146), (98, 92, 90),
    ),
    wall_kinds=("brick", "brick", "brick", "concrete", "panel"),
    roofs=((74, 66, 66), (94, 72, 62), (62, 68, 76), (110, 104, 98)),
    leaves=((74, 84, 44), (92, 90, 42), (124, 96, 42), (60, 74, 50), (134, 84, 40)),
    road=((106, 100, 94), (84, 82, 82), (122, 116, 108), (94, 90, 92)),
    pavement=((124, 118, 116), (142, 128, 118), (112, 110, 114)),
    paint=(
        (40, 42, 46), (150, 152, 156), (196, 196, 194), (78, 80, 86),
        (52, 62, 92), (104, 40, 42), (62, 78, 66), (128, 120, 108),
    ),
    cloth=(
        (44, 46, 56), (72, 66, 66), (60, 74, 104), (104, 84, 66),
        (128, 126, 126), (150, 44, 46), (46, 84, 130), (196, 190, 172),
    ),
    fences=("rail", "rail", "wire", "board"),
    signs=("round", "disc", "diamond", "plate", "direction", "triangle"),
    pole=((70, 76, 74), (96, 98, 96), (54, 56, 58), (158, 158, 150)),
    fence_colors={
        "board": ((116, 98, 80), (96, 88, 80)),
        "rail": ((58, 60, 62), (128, 130, 130), (72, 84, 74)),
        "wire": ((122, 124, 122), (96, 104, 98)),
    },
    frames=((196, 192, 184), (214, 210, 204), (74, 66, 60)),
    glass=((58, 64, 70), (78, 84, 88), (98, 104, 108)),
    marking=(196, 192, 180),
    roof_kinds=("gable", "flat", "flat", "hip"),
    shutters=0.05,
    shops=0.4,
    lawns=0.2,
    edge_lines=0.3,
    grain=0.07,
    stains=0.06,
    tracks=0.05,
    bicycle=((54, 56, 60), (110, 44, 40), (70, 84, 110), (150, 150, 148)),
    trees=("broad", "broad", "thin", "bare"),
    avenues=0.8,
    hedges=0.2,
    bollards=0.4,
    parked_left=0.6,
    parked_right=0.6,
    bark=((64, 56, 50), (84, 76, 68)),
    trousers=((36, 38, 44), (48, 54, 72), (78, 72, 66)),
    sign_fade=0.25,
)  # fmt: skip

LOOKS = {"source": SOURCE, "target": TARGET, "night": SOURCE}
"""By name; the place of a look in here is part of its scenes' seeds."""
