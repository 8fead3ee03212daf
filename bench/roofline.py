# SPDX-License-Identifier: Apache-2.0
"""A roofline plot as SVG: two logarithmic axes, the two limits, labelled points. Standard library only."""
import math
from html import escape

WIDTH, HEIGHT = 900, 560
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 70, 60
LINE_HEIGHT, LETTER = 14, 7.2  # of the labels' 12 px, roughly

# Plain colours, and others where the reader's are dark: CSS variables are not understood by every viewer of SVG.
LIGHT = {"page": "#ffffff", "ink": "#1f2328", "dim": "#59636e", "grid": "#e4e8ec",
         "marks": ["#0969da", "#bc4c00", "#1a7f37", "#8250df", "#bf3989"]}
DARK = {"page": "#0d1117", "ink": "#e6edf3", "dim": "#9198a1", "grid": "#262c36",
        "marks": ["#58a6ff", "#f0883e", "#3fb950", "#bc8cff", "#f778ba"]}


def _style():
    def colours(c):
        marks = " ".join(f".c{i} {{ fill: {mark} }}" for i, mark in enumerate(c["marks"]))
        return (f"text {{ fill: {c['ink']} }} .dim {{ fill: {c['dim']} }} .page {{ fill: {c['page']} }} "
                f".grid {{ stroke: {c['grid']} }} .roof {{ stroke: {c['ink']} }} .lead {{ stroke: {c['dim']} }} "
                f".mark {{ stroke: {c['page']} }} {marks}")
    return (f"{colours(LIGHT)}\n@media (prefers-color-scheme: dark) {{ {colours(DARK)} }}\n"
            "text { font: 12px sans-serif } .title { font-size: 16px; font-weight: bold } "
            ".roof { stroke-width: 2; fill: none } .lead { stroke-width: 0.7 }")


MARKS = [  # of operators, each in −1…1
    None,  # a circle
    [(-1, -1), (1, -1), (1, 1), (-1, 1)],
    [(0, -1.25), (1.15, 0.9), (-1.15, 0.9)],
    [(0, -1.35), (1.35, 0), (0, 1.35), (-1.35, 0)],
    [(0, 1.25), (1.15, -0.9), (-1.15, -0.9)],
]


def _mark(kind, x, y, size=5):
    style = f'class="mark c{kind}"'
    if MARKS[kind] is None:
        return f'<circle {style} cx="{x:.1f}" cy="{y:.1f}" r="{size}"/>'
    corners = " ".join(f"{x + size * dx:.1f},{y + size * dy:.1f}" for dx, dy in MARKS[kind])
    return f'<polygon {style} points="{corners}"/>'


def _text(x, y, text, anchor="start", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(text)}</text>'


def _decades(low, high):
    return [10.0 ** e for e in range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)]


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


def draw(title, peak, bandwidth, points):
    """The SVG's text. peak: GFLOP/s; bandwidth: GB/s or None; points: (operator, label, FLOP a byte, GFLOP/s)."""
    x_low = min([0.5] + [x / 1.5 for _, _, x, _ in points])
    x_high = max([300] + [x * 2 for _, _, x, _ in points])
    y_low = min([peak / 30] + [y / 2 for _, _, _, y in points])
    y_high = max([peak] + [y for _, _, _, y in points]) * 2.2

    def px(x):
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(x / x_low) / math.log(x_high / x_low)

    def py(y):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * math.log(y / y_low) / math.log(y_high / y_low)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
           f"<title>{escape(title)}</title>", f"<style>{_style()}</style>",
           f'<rect class="page" width="{WIDTH}" height="{HEIGHT}"/>', _text(LEFT, 26, title, more=' class="title"')]
    for decade in _decades(x_low / 10, x_high):
        for step in range(1, 10):
            if x_low <= decade * step <= x_high:
                x = px(decade * step)
                out.append(f'<path class="grid" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
                if step in (1, 2, 5):
                    out.append(_text(x, HEIGHT - BOTTOM + 18, f"{decade * step:g}", "middle", ' class="dim"'))
    for decade in _decades(y_low / 10, y_high):
        for step in range(1, 10):
            if y_low <= decade * step <= y_high:
                y = py(decade * step)
                out.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
                if step in (1, 2, 5):
                    out.append(_text(LEFT - 8, y + 4, f"{decade * step:g}", "end", ' class="dim"'))
    out.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, "FLOP a byte of its operands", "middle"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    out.append(_text(18, middle, "GFLOP/s", "middle", f' transform="rotate(-90 18 {middle:.1f})"'))

    # The roof, and boxes along it that labels keep out of.
    ridge = max(peak / bandwidth, x_low) if bandwidth else x_low
    path = f"M{px(ridge):.1f} {py(peak):.1f}H{WIDTH - RIGHT}"
    taken = [(px(ridge), py(peak) - 3, WIDTH - RIGHT, py(peak) + 3)]
    name = f"FMA peak {peak:.0f} GFLOP/s"
    out.append(_text(WIDTH - RIGHT - 6, py(peak) - 8, name, "end"))
    taken.append((WIDTH - RIGHT - 6 - LETTER * len(name), py(peak) - 8 - LINE_HEIGHT, WIDTH - RIGHT, py(peak)))
    if bandwidth and ridge > x_low:
        first = max(x_low, y_low / bandwidth)
        path = f"M{px(first):.1f} {py(first * bandwidth):.1f}L" + path[1:]
        for i in range(101):
            x = first * (ridge / first) ** (i / 100)
            taken.append((px(x) - 14, py(x * bandwidth) - 18, px(x) + 4, py(x * bandwidth) + 4))  # with its name
        # Along the slope, above it
        x = math.sqrt(first * ridge)
        angle = math.degrees(math.atan2(py(ridge * bandwidth) - py(first * bandwidth), px(ridge) - px(first)))
        out.append(f'<g transform="translate({px(x):.1f} {py(x * bandwidth):.1f}) rotate({angle:.1f})">'
                   + _text(0, -8, f"memory {bandwidth:.1f} GB/s", "middle") + "</g>")
    out.append(f'<path class="roof" d="{path}"/>')

    # Labels of close neighbours are placed from left to right.
    operators = list(dict.fromkeys(operator for operator, _, _, _ in points))
    points = sorted(points, key=lambda point: (point[2], point[3]))
    at = [(px(x), py(y)) for _, _, x, y in points]
    taken += [(x - 8, y - 8, x + 8, y + 8) for x, y in at]
    boxes = _place([(x, y, label) for (x, y), (_, label, _, _) in zip(at, points)], taken)
    for (x, y), (left, top, right, bottom) in zip(at, boxes):
        near_x, near_y = min(max(x, left + 2), right - 2), min(max(y, top + 1), bottom - 1)
        if right - left > 4 and math.hypot(near_x - x, near_y - y) > 12:
            out.append(f'<path class="lead" d="M{x:.1f} {y:.1f}L{near_x:.1f} {near_y:.1f}"/>')
    for (x, y), (operator, label, _, _), (left, top, _, _) in zip(at, points, boxes):
        out.append(_mark(operators.index(operator) % len(MARKS), x, y))
        out.append(_text(left + 2, top + LINE_HEIGHT - 2, label))
    x = LEFT
    for i, operator in enumerate(operators):
        out += [_mark(i % len(MARKS), x + 6, 48), _text(x + 17, 52, operator)]
        x += 17 + LETTER * len(operator) + 28
    return "\n".join(out + ["</svg>"]) + "\n"
