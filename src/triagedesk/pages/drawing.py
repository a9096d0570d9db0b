"""Charts by matplotlib as inline SVG. Colours are CSS variables of the page, so that light and dark both work.

Figures are drawn with sentinel colours and rewritten: text stays text, style attributes become plain attributes (the
page's policy forbids inline style), ids are made unique to the chart.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Drawing

from triagedesk.pages.words import visible

INK, MUTED, ACCENT, WARN, BAND = "#0a0a01", "#0a0a02", "#0a0a03", "#0a0a04", "#0a0a05"
LEVELS = tuple(f"#0a0b0{place}" for place in range(1, 7))
"""Shades of an ordered dimension, the most severe first."""
KINDS = tuple(f"#0a0c0{place}" for place in range(1, 7))
"""Colours of things without an order; the last one is for the rest."""
VARIABLES = {
    INK: "--ink", MUTED: "--muted", ACCENT: "--accent", WARN: "--under", BAND: "--band",
    **{colour: f"--level{place}" for place, colour in enumerate(LEVELS, 1)},
    **{colour: f"--kind{place}" for place, colour in enumerate(KINDS, 1)},
}  # fmt: skip
WIDTH_IN, FONT = 5.2, 9.5
_SVG = "http://www.w3.org/2000/svg"
_RC: dict[Any, Any] = {
    "svg.fonttype": "none", "text.parse_math": False, "font.size": FONT, "axes.edgecolor": MUTED, "text.color": INK,
    "axes.labelcolor": MUTED, "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelcolor": INK,
    "ytick.labelcolor": INK, "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8,
    "legend.frameon": False, "legend.fontsize": FONT, "axes.grid": False,
}  # fmt: skip

Draw = Callable[[Axes], None]


def drawn(key: str, label: str, height_in: float, draw: Draw, *, width_in: float = WIDTH_IN, shown: str = "") -> Markup:
    """Draw a figure and return it as inline SVG that says what it shows, in inches at 72 px.

    `key` makes its ids unique; `shown` is one more class, by which the page may show or hide it.
    """
    buffer = io.StringIO()
    with mpl.rc_context({**_RC, "svg.hashsalt": key}), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # glyphs that DejaVu lacks: the reader's font has them
        drawing = Drawing(figsize=(width_in, height_in), layout="constrained")
        FigureCanvasSVG(drawing)
        draw(drawing.add_subplot())
        drawing.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return Markup(_rewritten(buffer.getvalue(), key, label, shown))  # noqa: S704 - drawn here; every text went through the XML writer


def _rewritten(svg: str, key: str, label: str, shown: str) -> str:
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ElementTree.fromstring(svg[svg.index("<svg") :])  # noqa: S314 - matplotlib wrote it a moment ago
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)
    for element in root.iter():
        _take_style(element)
        _own_ids(element, key)
    for size in ("width", "height", "version"):
        root.attrib.pop(size, None)
    root.set("role", "img")
    root.set("aria-label", visible(label))
    root.set("class", f"chart {shown}".rstrip())
    return ElementTree.tostring(root, encoding="unicode")


def _take_style(element: ElementTree.Element) -> None:
    """Turn a style attribute into presentation attributes, sentinel colours into variables."""
    for declaration in element.attrib.pop("style", "").split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name == "font":
            size = next((word for word in value.split() if word.endswith("px")), f"{FONT}px")
            element.set("font-size", size)
        elif name:
            element.set(name, value)
    for name, value in element.attrib.items():
        if value.lower() in VARIABLES:
            element.set(name, f"var({VARIABLES[value.lower()]})")


def _own_ids(element: ElementTree.Element, key: str) -> None:
    for name, value in list(element.attrib.items()):
        if name == "id":
            element.set(name, f"{key}-{value}")
        elif name.endswith("href") and value.startswith("#"):
            element.set(name, f"#{key}-{value[1:]}")
        elif "url(#" in value:
            element.set(name, value.replace("url(#", f"url(#{key}-"))
