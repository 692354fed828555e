"""Checks that what pages link to is there: files, and the places in them. Looks at no other site.

python docs/check_links.py README.md CONTRIBUTING.md docs build/api
"""

import functools
import html.parser
import os
import pathlib
import re
import sys
import urllib.parse
from collections.abc import Iterable

FENCE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
MARKDOWN_LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


class Page(html.parser.HTMLParser):
    """A page's links and the places that others may link to."""

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        text = path.read_text()
        if path.suffix == ".md":
            self.places |= {slug(heading) for heading in HEADING.findall(FENCE.sub("", text))}
            text = FENCE.sub("", text)
            self.links += MARKDOWN_LINK.findall(text)
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if value and name in ("id", "name"):
                self.places.add(value)
            elif value and (name, tag) in (("href", "a"), ("href", "link"), ("src", "img")):
                self.links.append(value)


def slug(heading: str) -> str:
    """The place of a Markdown heading, as GitHub names it."""
    kept = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower())
    return kept.strip().replace(" ", "-")


def pages(paths: Iterable[pathlib.Path]) -> list[pathlib.Path]:
    """The Markdown and HTML files among some paths and below them."""
    found: list[pathlib.Path] = []
    for path in paths:
        below = path.rglob("*") if path.is_dir() else [path]
        found += [file for file in sorted(below) if file.suffix in (".md", ".html")]
    return found


def broken(paths: Iterable[pathlib.Path]) -> list[str]:
    """A line for each link of some pages that leads nowhere."""
    page = functools.cache(Page)
    lines = []
    for path in pages(paths):
        for link in page(path).links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = path.parent / urllib.parse.unquote(parts.path) if parts.path else path
            target = pathlib.Path(os.path.normpath(target))
            place = urllib.parse.unquote(parts.fragment)
            if not target.exists():
                lines.append(f"{path}: {link}: there is no {target}")
            elif place and target.suffix in (".md", ".html") and place not in page(target).places:
                lines.append(f"{path}: {link}: {target} has no {place!r}")
    return lines


if __name__ == "__main__":
    wrong = broken(map(pathlib.Path, sys.argv[1:]))
    sys.exit("\n".join(f"error: {line}" for line in wrong) if wrong else 0)
