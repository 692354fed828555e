"""What the images' files say before a run begins: what was left out, and what does not fit them."""

import math
import operator
import os

import jax
import ml_collections

from labor_jax.data import checking, pipeline, transforms
from labor_jax.data.domain import Domain, Headers
from labor_jax.loop import asking, plan
from labor_jax.selection import strategies
from labor_jax.util.errors import UserError


def look(config: ml_collections.ConfigDict, domains: dict[str, Domain]) -> dict[str, list[str]]:
    """Reads the first bytes of all files, and checks that what will be asked fits the target.

    Args:
      config: the run's.
      domains: "source", "target" and "val".
    Returns:
      Lines about what was left out or is read in another form, by domain; none where all is as it
      is in the folders.
    Raises:
      UserError: a file is no image, the images are too small for the method's lengths or budget, or
        the batches are too large for this machine.
    """
    check_memory(config, domains)
    lines = {}
    for name, domain in domains.items():
        headers, tally = checking.headers(domain)
        if name == "target" and headers:
            check_sizes(config, domain, headers)
        if told := tally.told():
            lines[name] = told
    return lines


def check_memory(config: ml_collections.ConfigDict, domains: dict[str, Domain]) -> None:
    """Raises UserError where the batches of images that lie ready are more than the memory here.

    Only images and labels are counted, as bytes: what a step makes of them is not known yet.
    """
    if config.model.freeze:
        return  # the images are read once, a few at a time
    pixels = sum(
        math.prod(transforms.view_size(config.input, name))
        for name in ("source", "target")
        if domains[name].ids
    )
    share = config.batch_size // jax.process_count()
    steps = max(phase.last - phase.first for phase in plan.phases(config))
    ready = min(pipeline.read_ahead(config), steps)
    needed = 4 * pixels * share * ready
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise UserError(
            f"config.batch_size: {ready} batches of {share:,} images lie ready at once and take "
            f"{needed / 1e9:,.0f} GB, and this machine has {there / 1e9:,.0f} GB; make it or "
            f"config.input.size smaller"
        )


def check_sizes(
    config: ml_collections.ConfigDict, target: Domain, headers: dict[int, Headers]
) -> None:
    """Raises UserError where the method's lengths or its budget do not fit the target's images.

    Args:
      headers: of some or all images, by index.
    """
    if not any(asking.asks(config.method, stage) for stage in range(1, config.stages + 1)):
        return
    if config.method == "full":
        return
    strategy = strategies.find(config.method)
    sizes = {target.ids[index]: header.size for index, header in headers.items()}
    smallest = min(sizes, key=lambda image: min(sizes[image]))
    height, width = sizes[smallest]
    if strategy.asks == "regions":
        side = 2 * strategies.radius(strategy, config) + 1
        if side > min(height, width):
            raise UserError(
                f"config.{strategy.radius}: a region is {side}x{side} pixels, and {smallest} of "
                f"{target.name} is {width}x{height}; make it smaller, or remove that image"
            )
    longest = max(max(size) for size in sizes.values())
    cells = {"segments": "spl.cell", "superpixels": "superpixels.cell"}
    key = cells.get(strategy.asks, strategy.radius)
    if key and (length := operator.attrgetter(key)(config)) > longest:
        raise UserError(
            f"config.{key}: {length} pixels are more than the longest side of any image of "
            f"{target.name}, {longest}; make it smaller"
        )
    fraction = config.budget.max_fraction
    if asking.unit(config) == "pixels" and fraction > 0:
        largest = max(size[0] * size[1] for size in sizes.values())
        if int(fraction * largest) == 0:
            raise UserError(
                f"config.budget.max_fraction: {fraction:g} of the largest image of {target.name}, "
                f"{largest} pixels, is less than one pixel; make it larger"
            )
