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
        self.ys = (min([peak / 8] + [y / 1.5 for _, _, _, y in points]),
                   max([peak] + [y for _, _, _, y in points]) * 1.4)

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


def _lead(x, y, box):
    """Where the line from a point to its label ends, and small boxes along it beyond the mark."""
    end_x, end_y = min(max(x, box[0] + 2), box[2] - 2), min(max(y, box[1] + 1), box[3] - 1)
    length = math.hypot(end_x - x, end_y - y)
    along = [(x + (end_x - x) * d / length, y + (end_y - y) * d / length) for d in range(12, int(length), 3)]
    return end_x, end_y, [(cx - 1, cy - 1, cx + 1, cy + 1) for cx, cy in along]


def _place(marks, taken):
    """For each (x, y, text) the box of a label: the nearest that touches, also with its lead, nothing in `taken`, nor
    another."""
    taken, boxes = list(taken), []
    for x, y, text in marks:
        width = LETTER * len(text) + 4
        places = [(left, top, left + width, top + LINE_HEIGHT + 2)
                  for left in range(int(x - width) - 60, int(x) + 60, 4) if LEFT < left < WIDTH - RIGHT - width
                  for top in range(int(y) - 80, int(y) + 80, 2) if TOP < top < HEIGHT - BOTTOM - LINE_HEIGHT - 2]

        def distance(box):  # and a little for what is off the middle
            end_x, end_y, _ = _lead(x, y, box)
            return math.hypot(end_x - x, end_y - y) + 0.1 * abs((box[0] + box[2]) / 2 - x)

        def is_free(box):
            return not any(_overlap(mine, other) for mine in [box] + _lead(x, y, box)[2] for other in taken)
        places.sort(key=distance)
        box = next(filter(is_free, places), places[0])
        boxes.append(box)
        taken += [box] + _lead(x, y, box)[2]
    return boxes


def _labels(points, at):
    """(x, y, text): one for a layer by several algorithms, which is a column of points, and for marks that coincide."""
    groups = []
    for (x, y), (operator, label, _, _) in zip(at, points):
        for group_x, group_y, group_operator, labels in groups:
            if label in labels and abs(x - group_x) < 1:
                break
            if operator == group_operator and math.hypot(x - group_x, y - group_y) < 6:
                labels.append(label)
                break
        else:
            groups.append((x, y, operator, [label]))
    return [(x, y, ", ".join(labels)) for x, y, _, labels in groups]


def _points(axes, points, operators, taken):
    # The labels of high points are placed first: there is more room below the roof.
    points = sorted(points, key=lambda point: -point[3])
    at = [(axes.x(x), axes.y(y)) for _, _, x, y in points]
    labelled = _labels(points, at)
    boxes = _place(labelled, taken + [(x - 8, y - 8, x + 8, y + 8) for x, y in at])
    leads, texts = [], []
    for (x, y, label), box in zip(labelled, boxes):
        end_x, end_y, visible = _lead(x, y, box)
        if visible:
            leads.append(f'<path class="lead" d="M{x:.1f} {y:.1f}L{end_x:.1f} {end_y:.1f}"/>')
        texts.append(_text((box[0] + box[2]) / 2, box[1] + LINE_HEIGHT - 1, label, "middle"))
    return leads + [_mark(operators.index(point[0]), x, y) for (x, y), point in zip(at, points)][::-1] + texts


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
