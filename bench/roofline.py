# SPDX-License-Identifier: Apache-2.0
"""A roofline plot as SVG: two logarithmic axes, the two limits, labelled points. Standard library only."""
import math
from html import escape

WIDTH, HEIGHT = 900, 560
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 70, 60
LINE_HEIGHT, LETTER = 14, 7.2  # of the labels' 12 px, roughly

# Plain colours, and others where the reader's are dark: CSS variables are not understood by every viewer of SVG.
LIGHT = {"page": "#ffffff", "ink": "#1f2328", "dim": "#59636e", "grid": "#e4e8ec",
         "marks": ["#0969da", "#bc4c00", "#1a7f37", "#8250df", "#bf3989", "#59636e"]}
DARK = {"page": "#0d1117", "ink": "#e6edf3", "dim": "#9198a1", "grid": "#262c36",
        "marks": ["#58a6ff", "#f0883e", "#3fb950", "#bc8cff", "#f778ba", "#9198a1"]}


def _style():
    def colours(c):
        marks = " ".join(f".c{i} {{ fill: {mark} }}" for i, mark in enumerate(c["marks"]))
        return (f"text {{ fill: {c['ink']} }} .dim {{ fill: {c['dim']} }} .page {{ fill: {c['page']} }} "
                f".grid {{ stroke: {c['grid']} }} .roof {{ stroke: {c['ink']} }} .lead {{ stroke: {c['dim']} }} "
                f".mark {{ stroke: {c['page']} }} {marks}")
    return (f"{colours(LIGHT)}\n@media (prefers-color-scheme: dark) {{ {colours(DARK)} }}\n"
            "text { font: 12px sans-serif } .title { font-size: 16px; font-weight: bold } "
            ".roof { stroke-width: 2; fill: none } .lead { stroke-width: 0.7 }")


MARKS = [  # of operators, each in about −1…1; as many as there are colours
    None,  # a circle
    [(-1, -1), (1, -1), (1, 1), (-1, 1)],
    [(0, -1.25), (1.15, 0.9), (-1.15, 0.9)],
    [(0, -1.35), (1.35, 0), (0, 1.35), (-1.35, 0)],
    [(0, 1.25), (1.15, -0.9), (-1.15, -0.9)],
    [(-0.45, -1.3), (0.45, -1.3), (0.45, -0.45), (1.3, -0.45), (1.3, 0.45), (0.45, 0.45),
     (0.45, 1.3), (-0.45, 1.3), (-0.45, 0.45), (-1.3, 0.45), (-1.3, -0.45), (-0.45, -0.45)],
]


def _mark(kind, x, y, size=5):
    style = f'class="mark c{kind}"'
    if MARKS[kind] is None:
        return f'<circle {style} cx="{x:.1f}" cy="{y:.1f}" r="{size}"/>'
    corners = " ".join(f"{x + size * dx:.1f},{y + size * dy:.1f}" for dx, dy in MARKS[kind])
    return f'<polygon {style} points="{corners}"/>'


def _text(x, y, text, anchor="start", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(text)}</text>'


class _Axes:
    """The two ranges, which hold the points and a good part of the roof, and where a value lies."""
    def __init__(self, peak, points):
        self.xs = min([0.5] + [x / 1.5 for _, _, x, _ in points]), max([300] + [x * 2 for _, _, x, _ in points])
        self.ys = (min([peak / 8] + [y / 2 for _, _, _, y in points]),
                   max([peak] + [y for _, _, _, y in points]) * 1.6)

    def x(self, value):
        low, high = self.xs
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(value / low) / math.log(high / low)

    def y(self, value):
        low, high = self.ys
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * math.log(value / low) / math.log(high / low)


def _ticks(low, high):
    """(value, whether it is written) of 1, 2, … 9 in every decade."""
    decades = [10.0 ** e for e in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    return [(d * step, step in (1, 2, 5)) for d in decades for step in range(1, 10) if low <= d * step <= high]


def _grid(axes):
    out = []
    for value, written in _ticks(*axes.xs):
        x = axes.x(value)
        out.append(f'<path class="grid" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
        if written:
            out.append(_text(x, HEIGHT - BOTTOM + 18, f"{value:g}", "middle", ' class="dim"'))
    for value, written in _ticks(*axes.ys):
        y = axes.y(value)
        out.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        if written:
            out.append(_text(LEFT - 8, y + 4, f"{value:g}", "end", ' class="dim"'))
    out.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, "FLOP a byte of its operands", "middle"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    return out + [_text(18, middle, "GFLOP/s", "middle", f' transform="rotate(-90 18 {middle:.1f})"')]


def _roof(axes, peak, bandwidth):
    """Its elements, and boxes along it that labels keep out of."""
    x_low, y_low = axes.xs[0], axes.ys[0]
    ridge = max(peak / bandwidth, x_low) if bandwidth else x_low
    left, top = axes.x(ridge), axes.y(peak)
    path = f"M{left:.1f} {top:.1f}H{WIDTH - RIGHT}"
    # The name is at the ridge: the operators that reach the peak are far to the right of it.
    name = f"FMA peak {peak:.0f} GFLOP/s"
    out = [_text(left + 8, top - 8, name)]
    taken = [(left, top - 3, WIDTH - RIGHT, top + 3),
             (left + 8, top - 8 - LINE_HEIGHT, left + 8 + LETTER * len(name), top)]
    if bandwidth and ridge > x_low:
        first = max(x_low, y_low / bandwidth)
        begin_x, begin_y = axes.x(first), axes.y(first * bandwidth)
        path = f"M{begin_x:.1f} {begin_y:.1f}L" + path[1:]
        for i in range(101):
            x, y = begin_x + (left - begin_x) * i / 100, begin_y + (top - begin_y) * i / 100
            taken.append((x - 14, y - 18, x + 4, y + 4))  # with its name
        # Along the slope, above it
        angle = math.degrees(math.atan2(top - begin_y, left - begin_x))
        out.append(f'<g transform="translate({(begin_x + left) / 2:.1f} {(begin_y + top) / 2:.1f}) '
                   f'rotate({angle:.1f})">' + _text(0, -8, f"memory {bandwidth:.1f} GB/s", "middle") + "</g>")
    return out + [f'<path class="roof" d="{path}"/>'], taken


def _overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _place(marks, taken):
    """For each (x, y, text) the box of a label that touches nothing in `taken`, nor another label."""
    taken, boxes = list(taken), []
    for x, y, text in marks:
        width = LETTER * len(text)
        places = [(x + 8, y - 7)]
        for distance in range(16, 200, 8):  # then around it, ever farther away; below first, where there is room
            for angle in (90, 60, 120, 30, 150, 0, 180, 270, 300, 240):
                cx = x + 1.3 * distance * math.cos(math.radians(angle))
                cy = y + distance * math.sin(math.radians(angle))
                places.append((cx - width / 2, cy - LINE_HEIGHT / 2))
        for left, top in places:
            box = (left - 2, top - 1, left + width + 2, top + LINE_HEIGHT + 1)
            inside = LEFT < box[0] and box[2] < WIDTH - RIGHT and TOP < box[1] and box[3] < HEIGHT - BOTTOM
            if inside and not any(_overlap(box, other) for other in taken):
                break
        taken.append(box)
        boxes.append(box)
    return boxes


def _points(axes, points, operators, taken):
    # The labels of high points are placed first: there is more room below the roof.
    points = sorted(points, key=lambda point: -point[3])
    at = [(axes.x(x), axes.y(y)) for _, _, x, y in points]
    # One layer by several algorithms is one column of points; the label of its highest will do.
    columns = {}
    for (x, y), (_, label, _, _) in zip(at, points):
        columns.setdefault((label, round(x)), (x, y, label))
    labelled = columns.values()
    boxes = _place(labelled, taken + [(x - 8, y - 8, x + 8, y + 8) for x, y in at])
    leads, texts = [], []
    for (x, y, label), (left, top, right, bottom) in zip(labelled, boxes):
        near_x, near_y = min(max(x, left + 2), right - 2), min(max(y, top + 1), bottom - 1)
        if label and math.hypot(near_x - x, near_y - y) > 12:
            leads.append(f'<path class="lead" d="M{x:.1f} {y:.1f}L{near_x:.1f} {near_y:.1f}"/>')
        texts.append(_text(left + 2, top + LINE_HEIGHT - 2, label))
    return leads + [_mark(operators.index(point[0]), x, y) for (x, y), point in zip(at, points)] + texts


def _legend(operators):
    out, x = [], LEFT
    for i, operator in enumerate(operators):
        out += [_mark(i, x + 6, 48), _text(x + 17, 52, operator)]
        x += 17 + LETTER * len(operator) + 28
    return out


def draw(title, peak, bandwidth, points):
    """The SVG's text. peak: GFLOP/s; bandwidth: GB/s or None; points: (operator, label, FLOP a byte, GFLOP/s), of
    no more operators than there are marks."""
    axes = _Axes(peak, points)
    operators = list(dict.fromkeys(operator for operator, _, _, _ in points))
    roof, taken = _roof(axes, peak, bandwidth)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
           f"<title>{escape(title)}</title>", f"<style>{_style()}</style>",
           f'<rect class="page" width="{WIDTH}" height="{HEIGHT}"/>', _text(LEFT, 26, title, more=' class="title"')]
    out += _grid(axes) + roof + _points(axes, points, operators, taken) + _legend(operators)
    return "\n".join(out + ["</svg>"]) + "\n"
