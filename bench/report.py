#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes what was measured into docs/performance.md, between its two markers, and docs/roofline.svg.

Reads kernels.json, models.json and peers.json of build/bench (`make bench` writes them). Nothing is written unless
all are there. Machines are told by their CPU; host names and paths are left out. Standard library only.
"""
import argparse
import json
import os
import re
import shlex
import statistics
import sys
import time

import roofline
from measuring import cpu_name, shown_command, spread
from presets import PRESETS, ROOT

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
VARIANTS = ["amx", "avx512", "avx2", "portable", "onednn", "amx_bf16", "avx512_bf16", "onednn_bf16", "amx_int8",
            "avx512_vnni", "avxvnni", "avx2_int8", "onednn_int8"]
PRECISIONS = ["fp32", "bf16", "int8"]
DOCS = os.path.join(ROOT, "docs")
MADE_BY = {
    "kernels.json": "build/release/bin/bench_kernels --benchmark_out=build/bench/kernels.json "
                    "--benchmark_out_format=json --benchmark_repetitions=5",
    "models.json": "python3 bench/bench_model.py",
    "peers.json": "build/peers-venv/bin/python bench/peers/run.py",
}
LIBRARIES = {"convmixer": "convmixer", "convmixer_two": "convmixer, two levels", "onnxruntime": "ONNX Runtime",
             "openvino": "OpenVINO", "pytorch": "PyTorch", "pytorch_compile": "PyTorch, compiled"}
# In the plot, by these names. Cold weights and raw bytes would lie on top of the others; GELU is no layer.
DRAWN = {"pointwise": "pointwise", "strassen": "strassen", "strassen_two": "strassen_two", "depthwise": "depthwise",
         "patch_embed_f32": "patch_embed", "head": "head"}


class Problem(Exception):
    """What is missing or wrong, and what to do."""


def read(folder):
    """The three inputs, or a Problem that names all that are missing."""
    found, problems = [], []
    for name, command in MADE_BY.items():
        try:
            with open(os.path.join(folder, name)) as f:
                found.append(json.load(f))
        except FileNotFoundError:
            problems.append(f"{name} is missing; `make bench` writes it, or: {command}")
        except ValueError as error:
            problems.append(f"{name} is no JSON ({error}); write it anew: {command}")
    if problems:
        raise Problem("\n".join(problems))
    return found


def table(header, rows):
    """A Markdown table; what can be compared down a column is aligned to the right."""
    lines = [header, ["---" if i == 0 else "--:" for i in range(len(header))]] + rows
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def short(name):
    """convmixer_1536_20 → 1536/20"""
    return name.replace("convmixer_", "").replace("_", "/")


# ---- Kernels --------------------------------------------------------------------------------------

def kernel_medians(kernels):
    """(op, variant, preset or shape) → medians of the counters, in the order of the file."""
    presets = {str(sizes[0]): short(name) for name, sizes in PRESETS.items()}
    collected = {}
    for b in kernels["benchmarks"]:
        if b.get("error_occurred"):
            raise Problem(f"kernels.json: {b['name']} failed: {b.get('error_message')}")
        if b.get("aggregate_name", "median") != "median":
            continue
        op, variant, shape = b.get("run_name", b["name"]).split("/")[:3]
        dim = re.match(r"c(\d+)_", shape)
        key = op, variant, presets.get(dim[1], shape) if dim else shape
        # The median of the repetitions; the file has it, or them, or both.
        collected.setdefault(key, {}).setdefault("run_type" in b and b["run_type"] == "aggregate", []).append(b)
    medians = {}
    for key, by_kind in collected.items():
        rows = by_kind.get(True) or by_kind[False]
        medians[key] = {name: statistics.median(row[name] for row in rows)
                        for name in ("FLOP/s", "bytes/s", "peak%", "items_per_second") if name in rows[0]}
    return medians


def kernels_section(kernels, medians):
    context = kernels["context"]
    variants = [v for v in VARIANTS if any(key[1] == v for key in medians)]
    rows = []
    for op, preset in dict.fromkeys((op, preset) for op, _, preset in medians):
        cells = [medians.get((op, v, preset), {}).get("peak%") for v in variants]
        if any(cells):
            rows.append([f"{op} {preset}"] + [f"{cell:.0f}" if cell else "–" for cell in cells])
    peaks = ", ".join(f"{v} {context['fma_peak_' + v]}" for v in variants if "fma_peak_" + v in context)
    repetitions = max(b.get("repetitions", 1) for b in kernels["benchmarks"])
    return f"""### Layers

{context.get('cpu', 'unknown CPU')}, one thread, {context['date'][:10]}: `build/release/bin/bench_kernels`, medians of \
{repetitions} repetitions. Percent of the variant's own FMA peak at the clock that the layer leaves (oneDNN: of the \
precision's best). In 10 ms of multiply-adds alone that peak was {peaks}.

{table(['layer'] + variants, rows)}

![Roofline: the layers under the FMA peak and the memory bandwidth](roofline.svg)

The roof is the peak of multiply-adds alone, the slope what one thread copies in memory; layers above that find their \
operands in the caches. Points above the roof are Strassen products, of which the FLOP of the plain product are \
counted, more than they execute, or amx's of floats, by units that have 16 times the FMA's peak and take six products \
for one."""


def memory_bandwidth():
    """GB/s of one thread that copies arrays larger than any cache, read and written: the best of some copies."""
    src, dst = memoryview(b"\1" * 2 ** 28), memoryview(bytearray(2 ** 28))
    best = 0.0
    for _ in range(7):
        begin = time.perf_counter()
        dst[:] = src
        best = max(best, 2 * src.nbytes / (time.perf_counter() - begin) / 1e9)
    return best


def roofline_svg(kernels, medians):
    context = kernels["context"]
    best = next(v for v in VARIANTS if "fma_peak_" + v in context)
    peak = float(context["fma_peak_" + best].split()[0])
    points = [(DRAWN[op], preset, m["FLOP/s"] / m["bytes/s"], m["FLOP/s"] / 1e9)
              for (op, variant, preset), m in medians.items() if variant == best and op in DRAWN]
    cpu = context.get("cpu", "unknown CPU")
    bandwidth = memory_bandwidth() if cpu == cpu_name() else None
    return roofline.draw(f"Layers of the published models: {best}, one thread, {cpu}", peak, bandwidth, points)


# ---- Whole models ---------------------------------------------------------------------------------

def about(measured):
    command = shown_command(shlex.split(measured["command"]))
    return f"{measured['cpu']}, {measured['date'][:10]}: `{command}`"


def models_section(models):
    rows = []
    for r in models["rows"]:
        latency = r["latency_ms"]
        rows.append([short(r["model"]), r.get("precision", "fp32"), r["isa"], r["batch"], r["threads"],
                     f"{r['images_per_second']:.2f}", f"{latency['median']:.1f}", f"{latency['p99']:.1f}",
                     f"{r['gflops']:.0f}", f"{r['percent_of_peak']:.0f}", f"{r['peak_memory_bytes'] / 1e6:.0f}",
                     f"{r['open_seconds']:.2f}", f"{r['file_bytes'] / 1e6:.0f}", f"{r['weight_bytes'] / 1e6:.0f}"])
    header = ["model", "precision", "variant", "batch", "threads", "images/s", "ms", "p99 ms", "GFLOP/s", "% of peak",
              "memory MB", "open s", "file MB", "weights MB"]
    return f"""### Models

{about(models)}. ms: of a run of the whole batch, the median; memory: the largest, of the process.

{table(header, rows)}"""


def peers_table(rows, precision):
    """Of one precision; below fp32 with the ratio to our fp32. Two levels where there are any."""
    rows = [r for r in rows if r.get("precision", "fp32") == precision]
    shown = list(dict.fromkeys(r["contender"] for r in rows))
    ratios = {"ours : the best other": ("convmixer", "ratio")}
    if "convmixer_two" in shown:
        ratios["two levels : the best other"] = "convmixer_two", "ratio"
    if precision != "fp32":
        ratios["ours : our fp32"] = "convmixer", "ratio_to_fp32"
    header = ["model", "batch"] + [LIBRARIES.get(c, c) for c in shown] + list(ratios)
    lines = []
    for preset, batch in dict.fromkeys((r["preset"], r["batch"]) for r in rows):
        of = {r["contender"]: r for r in rows if (r["preset"], r["batch"]) == (preset, batch)}
        values = [of.get(contender, {}).get(name) for contender, name in ratios.values()]
        lines.append([short(preset), batch] + [spread(of[c]) if c in of else "–" for c in shown]
                     + [f"{value:.2f}" if value else "–" for value in values])
    errors = {c: max(r.get("max_error", 0) for r in rows if r["contender"] == c) for c in shown}
    agreement = ", ".join(f"{LIBRARIES.get(c, c)} {error:.0e}" for c, error in errors.items() if error)
    return f"""#### {precision}

Largest difference from our fp32 logits, as a share of the largest |logit|: {agreement or "none"}.

{table(header, lines)}"""


def peers_section(peers):
    versions = ", ".join(f"{LIBRARIES.get(name, name)} {version}" for name, version in peers["versions"].items())
    notes = "".join(f" {note}." for note in peers.get("notes", []))
    measured = [p for p in PRECISIONS if any(r.get("precision", "fp32") == p for r in peers["rows"])]
    tables = "\n\n".join(peers_table(peers["rows"], precision) for precision in measured)
    return f"""### Other runtimes

{about(peers)}; {peers['threads']} threads; {versions}.{notes} Images a second: median of the rounds \
(smallest–largest; percent of the peak of the precision). The rounds of all precisions were interleaved.

{tables}"""


def replace_measured(text, measured):
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise Problem(f"docs/performance.md: expected the lines {BEGIN} and {END}, in this order")
    return f"{before}{BEGIN}\n{measured}\n{END}{after}"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--input", default=os.path.join(ROOT, "build", "bench"), metavar="FOLDER",
                   help="default: build/bench")
    p.add_argument("--output", default=DOCS, metavar="FOLDER", help="with performance.md; default: docs")
    a = p.parse_args()
    page = os.path.join(a.output, "performance.md")
    try:
        kernels, models, peers = read(a.input)
        medians = kernel_medians(kernels)
        measured = "\n\n".join([kernels_section(kernels, medians), models_section(models), peers_section(peers)])
        with open(page, encoding="utf-8") as f:
            text = replace_measured(f.read(), measured)
        svg = roofline_svg(kernels, medians)
        for path, content in ((page, text), (os.path.join(a.output, "roofline.svg"), svg)):
            with open(path, "w", encoding="utf-8") as f:
                f.write(content)
    except (Problem, OSError) as problem:
        print(f"report.py: {problem}", file=sys.stderr)
        return 1
    print("written: performance.md, roofline.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
