"""SVG: a sketch as a picture that a browser shows, light or dark as the reader has it; it stands by itself.

No name can break out of it: everything that came from a crew is escaped, and nothing acts. It does not know crews.
"""

from typing import Final
from xml.sax.saxutils import escape, quoteattr

from casework.actors.drawing.outlines import outline
from casework.actors.drawing.sketch import PAD_Y, Box, Frame, Item, Line, Note, Sketch, Words
from casework.actors.drawing.words import PILL

#: What may stand in a name, but in no XML; those below the space are none of it either.
_ILLEGAL: Final = "\x7f\ufffe\uffff"
#: Room round the whole picture.
BORDER: Final = 24.0

_FONT: Final = "ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
#: Colours by class, light and dark: what is filled, what is drawn.
_PALETTE: Final[dict[str, tuple[tuple[str, str], tuple[str, str]]]] = {
    "plain": (("#ffffff", "#6e7781"), ("#21262d", "#8b949e")),
    "blue": (("#e8f2ff", "#1f6feb"), ("#12263f", "#58a6ff")),
    "grey": (("#f3f4f6", "#57606a"), ("#262c36", "#9198a1")),
    "teal": (("#e2f6f5", "#0f7b76"), ("#0e2f2e", "#3fb8af")),
    "indigo": (("#ecebff", "#5b50d6"), ("#25224a", "#9d95ff")),
    "green": (("#e4f6e8", "#1a7f37"), ("#122d1b", "#4ac26b")),
    "violet": (("#f6eaff", "#8250df"), ("#311d4d", "#c297ff")),
    "orange": (("#fff0e3", "#bc4c00"), ("#3a2010", "#f0883e")),
    "amber": (("#fff7d6", "#9a6700"), ("#352a09", "#e3b341")),
}
#: Pills by tone: what is filled, what is written.
_TONES: Final[dict[str, tuple[tuple[str, str], tuple[str, str]]]] = {
    "undoable": (("#ffd8b0", "#7a3200"), ("#5c3310", "#ffc28a")),
    "final": (("#cf222e", "#ffffff"), ("#da3633", "#ffffff")),
    "human": (("#f5d565", "#4d3800"), ("#7a5d0a", "#fff0b8")),
}
#: The rest, by class: light and dark.
_REST: Final = (
    (".paper{fill:", ("#ffffff", "#0d1117"), "}"),
    (".card{stroke:", ("#d1d9e0", "#30363d"), "}"),
    (".frame0{fill:", ("#f6f8fa", "#161b22"), "}"),
    (".frame1{fill:", ("#eef1f4", "#1d232b"), "}"),
    (".frame0,.frame1{stroke:", ("#d1d9e0", "#3d444d"), "}"),
    (".heading,.name,.label{fill:", ("#1f2328", "#f0f6fc"), "}"),
    (".detail,.lead{fill:", ("#4a535d", "#b4bdc7"), "}"),
    (".type{fill:", ("#59636e", "#9198a1"), "}"),
    (".line,.start,.end{stroke:", ("#6e7781", "#9198a1"), "}"),
    (".tip,.start{fill:", ("#6e7781", "#9198a1"), "}"),
)
_FIXED: Final = (
    f"text{{font-family:{_FONT};text-rendering:geometricPrecision}}"
    ".heading{font-size:19px;font-weight:700}.name{font-size:13px;font-weight:650}.detail{font-size:11px}.lead{font-size:12px}"
    ".pill{font-size:10px;font-weight:700}.label{font-size:11px;font-weight:600}"
    ".type{font-size:11px;font-style:italic}"
    ".line,.end{fill:none;stroke-width:1.4}.dashed{stroke-dasharray:5 4}.card,.frame0,.frame1{stroke-width:1}"
    ".box{stroke-width:1.4;stroke-linejoin:round}"
)


def as_svg(sketch: Sketch, title: str) -> str:
    """Write a sketch as a file of SVG, in lines."""
    title = _legal(title)
    wide, high = sketch.width + 2 * BORDER, sketch.height + 2 * BORDER
    placed = sketch.moved(BORDER, BORDER)
    order = (Frame, Line, Box, Note)
    items = sorted(placed.items, key=lambda item: order.index(type(item)))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide:g}" height="{high:g}"',
        f'viewBox="0 0 {wide:g} {high:g}" role="img" aria-label={quoteattr(title)}>',
        f"<title>{escape(title)}</title>",
        f"<style>{_style()}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7.2" refY="4" markerWidth="7" markerHeight="7" orient="auto">',
        '<path class="tip" d="M0 0.6 L8 4 L0 7.4 Z"/></marker></defs>',
        f'<rect class="paper card" x="0.5" y="0.5" width="{wide - 1:g}" height="{high - 1:g}" rx="12"/>',
        *(_drawn(item) for item in items),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _style() -> str:
    light, dark = _colours(0), _colours(1)
    return f"{_FIXED}{light}@media (prefers-color-scheme:dark){{{dark}}}"


def _colours(scheme: int) -> str:
    boxes = "".join(f".{hue}{{fill:{pair[scheme][0]};stroke:{pair[scheme][1]}}}" for hue, pair in _PALETTE.items())
    pills = "".join(
        f".{tone}{{fill:{pair[scheme][0]}}}.on-{tone}{{fill:{pair[scheme][1]}}}" for tone, pair in _TONES.items()
    )
    rest = "".join(f"{before}{pair[scheme]}{after}" for before, pair, after in _REST)
    return boxes + pills + rest


def _drawn(item: Item) -> str:
    match item:
        case Frame():
            return (
                f'<rect class="frame{item.deep % 2}" x="{item.x:g}" y="{item.y:g}" width="{item.width:g}" '
                f'height="{item.height:g}" rx="12"/>'
            )
        case Line():
            way = " L".join(f"{x:g} {y:g}" for x, y in item.points)
            tip = ' marker-end="url(#tip)"' if item.arrow else ""
            return f'<path class="line{" dashed" if item.dashed else ""}" d="M{way}"{tip}/>'
        case Box():
            return _box(item)
        case Note():
            return _note(item)


def _box(box: Box) -> str:
    tip = f"<title>{escape(_legal(box.tip))}</title>" if box.tip else ""
    path = outline(box.shape, box.x, box.y, box.width, box.height)
    parts = [f'<g>{tip}<path class="box {box.hue}" d="{path}"/>']
    down = box.y + PAD_Y
    for words in box.words:
        parts.append(_centred(words, box.x + box.width / 2, down))
        down += words.height
    return "".join([*parts, "</g>"])


def _centred(words: Words, middle: float, top: float) -> str:
    base = top + words.style.size * 0.95 + 1
    if words.style is not PILL:
        return _text(words, middle, base, "middle")
    x, high = middle - words.width / 2, words.style.line + 3
    pill = (
        f'<rect class="{words.tone}" x="{x:g}" y="{top + 3:g}" width="{words.width:g}" height="{high:g}" '
        f'rx="{high / 2:g}"/>'
    )
    return pill + _text(words, middle, base + 4.2, "middle")


def _note(note: Note) -> str:
    if not note.upon:
        return _text(note.words, note.x, note.y + note.words.style.size, "start")
    behind = (
        f'<rect class="paper card" x="{note.x:g}" y="{note.y:g}" width="{note.width:g}" height="{note.height:g}" '
        f'rx="{note.height / 2:g}"/>'
    )
    return behind + _text(note.words, note.x + note.width / 2, note.y + note.words.style.size + 3, "middle")


def _text(words: Words, x: float, y: float, anchor: str) -> str:
    tone = f" on-{words.tone}" if words.tone else ""
    full = f"<title>{escape(_legal(words.full))}</title>" if words.full else ""
    return (
        f'<text class="{words.style.name}{tone}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">'
        f"{full}{escape(_legal(words.text))}</text>"
    )


def _legal(text: str) -> str:
    """Leave out what XML cannot hold."""
    return "".join(each for each in text if each >= " " and each not in _ILLEGAL and not "\ud800" <= each <= "\udfff")
