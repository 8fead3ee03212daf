#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Images a second of this library and of other runtimes, in fp32, bf16 and int8, in one process, on the same weights.

Rounds are interleaved: each runs every contender once, in rotated order. Medians are compared, within a precision and
with our fp32. All must agree with our fp32, to 1e-3 of the largest |logit|, 2e-2 in bf16 and 0.12 in int8. One that
does not is left out and noted, and if it is ours the exit status is 1 (2: any other failure).
"""
import argparse
import datetime
import json
import os
import platform
import statistics
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
NEEDS = "install bench/peers/requirements.txt, which needs Python 3.11 or later (PyTorch: torch)"
try:
    import numpy as np

    import contenders
    import preset_models
    from convmixer_ctypes import PRECISIONS, STRASSEN_TWO, UNSUPPORTED, Error, Library, Network, find_library, one_line
    from measuring import commit_of, cpu_name, shown_command, spread, turn
    from presets import PRESETS
except ImportError as error:
    print(f"run.py: {error}; {NEEDS}", file=sys.stderr)
    sys.exit(2)

BATCHES = {"convmixer_1024_20": [1, 16], "convmixer_256_8": [1, 32]}  # of others: 1 and 8
# Of the largest |logit| of our fp32. Measured on the presets: in fp32 all differ by less than 1e-5, by the order of
# their sums; in bf16 ours and OpenVINO by 5e-3 to 1.2e-2; in int8 ours by 2e-2 to 5e-2, the others by 2e-2 to 9e-2.
# Wrong networks: another activation 1 and more; taps shifted by a pixel in every block 0.11 to 0.38, mirrored 0.08 to
# 0.19, in one block 2e-2 to 0.11. So bf16 shows a wrong convolution, and int8 only what is wrong in the large; the
# rest is for the tests of the kernels.
LIMITS = {"fp32": 1e-3, "bf16": 2e-2, "int8": 1.2e-1}
OURS = ("convmixer", "convmixer_two")  # as it comes; with --strassen two


def parse_arguments():
    numbers = lambda text: [int(n) for n in text.split(",")]
    names = lambda text: text.split(",")
    build = os.path.join(preset_models.ROOT, "build")
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--presets", type=names, default=list(PRESETS), metavar="A,B", help="default: all four")
    p.add_argument("--model", metavar="FILE", help="a safetensors file in timm's names instead of presets")
    p.add_argument("--batches", type=numbers, metavar="1,8", help="default: 1 and 8, 16 or 32, by preset")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="default: the CPUs it may use")
    p.add_argument("--precisions", type=names, metavar="A,B",
                   help=f"of {', '.join(PRECISIONS)}; default: those that this CPU has")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=0.5, help="of a contender's turn, at least (0.5)")
    p.add_argument("--peers", type=names, metavar="A,B",
                   help=f"of {', '.join(contenders.WAYS)}; default: those that are installed")
    p.add_argument("--isa", choices=list(contenders.ISA_ENVIRONMENT), help="limits ours, and the peers where possible")
    p.add_argument("--library", metavar="FILE", help="default: of build/release")
    p.add_argument("--output", metavar="JSON", default=os.path.join(build, "bench", "peers.json"))
    a = p.parse_args()
    unknown = [n for n in a.presets if n not in PRESETS] + [n for n in a.peers or [] if n not in contenders.WAYS]
    unknown += [n for n in a.precisions or [] if n not in PRECISIONS]
    if unknown:
        p.error(f"unknown: {', '.join(unknown)}; presets: {', '.join(PRESETS)}; peers: {', '.join(contenders.WAYS)}; "
                f"precisions: {', '.join(PRECISIONS)}")
    if min([a.threads, a.rounds] + (a.batches or [])) < 1:
        p.error("threads, rounds and batches are at least 1")
    installed = contenders.installed()
    if missing := [peer for peer in a.peers or [] if peer not in installed]:
        p.error(f"not installed: {', '.join(missing)}; {NEEDS}")
    if not installed:
        print(f"no other runtime is installed; {NEEDS}", file=sys.stderr)
    if a.peers is None:
        a.peers = installed
    return a


def fastest(ways, images):
    """(description, function) of the way that is fastest in two turns; the others are dropped, those that are far
    behind after one turn."""
    ways = list(ways)
    best = [0.0] * len(ways)
    for _ in range(2 if len(ways) > 1 else 0):
        hopeless = 0.9 * max(best)
        for i, (_, run) in enumerate(ways):
            if best[i] >= hopeless:
                best[i] = max(best[i], turn(run, images, 0.3))
    return ways[best.index(max(best))]


def agreement(run, images, want):
    """The largest difference, as a share of the largest |logit|. NaN counts as infinite."""
    error = float(np.abs(run(images) - want).max() / np.abs(want).max())
    return error if error == error else float("inf")


def way_of(opened):
    levels = opened.info.strassen_levels
    return opened.info.isa.decode() + (f", Strassen levels: {levels}" if levels else "")


def open_ours(library, path, name, config, a):
    """(contender, precision) → Network. In fp32 always, which the others are compared with; first, since it says best
    what is wrong with a file."""
    fp32 = Network(library, path, a.threads, a.isa)
    ours = {("convmixer", "fp32"): fp32}

    def open_two_levels(src, precision):
        network = Network(library, src, a.threads, a.isa, STRASSEN_TWO, precision)
        if network.info.strassen_levels == 2:
            ours["convmixer_two", precision] = network
        else:  # where two do not win it runs the same as ours
            network.close()

    open_two_levels(path, "fp32")
    for precision in [p for p in a.precisions or PRECISIONS if p != "fp32"]:
        src = path
        if precision == "int8":
            src = os.path.join(preset_models.ROOT, "build", "bench", "models", name + ".int8.safetensors")
            os.makedirs(os.path.dirname(src), exist_ok=True)
            fp32.calibrate(src, preset_models.calibration_images(config))
        try:
            ours["convmixer", precision] = Network(library, src, a.threads, a.isa, precision=precision)
            open_two_levels(src, precision)
        except Error as error:
            if a.precisions or error.status != UNSUPPORTED:
                raise
            print(f"not compared: {precision}: {error}")
    return ours


def admitted(weights, images, ours, a):
    """(contender, precision) → (way, run, error) of those that agree, ours first; and notes of the others."""
    entered, left_out = {}, {}
    want = ours["convmixer", "fp32"].run(images)

    def admit(contender, precision, way, run):
        error, limit = agreement(run, images, want), LIMITS[precision]
        print(f"  {weights.name}, batch {len(images)}, {precision}: {contender} ({way}) differs by {error:.1e} of the "
              "largest |logit|", flush=True)
        if error > limit:
            left_out[contender, precision] = (
                f"{contender} is left out of {weights.name}, batch {len(images)}, {precision}: "
                f"its logits differ by {error:.1e} of the largest, more than {limit}")
            print(f"ERROR: {left_out[contender, precision]}", file=sys.stderr)
        else:
            entered[contender, precision] = way, run, error

    precisions = [p for p in a.precisions or PRECISIONS if ("convmixer", p) in ours]
    for precision in precisions:
        for (contender, of), network in ours.items():
            if of == precision:
                admit(contender, precision, way_of(network), network.run)
    for precision in precisions:
        for peer in [peer for peer in a.peers if contenders.runs(peer, precision)]:
            ways = contenders.WAYS[peer](weights, precision, len(images), a.threads)
            admit(peer, precision, *fastest(ways, images))
    return entered, left_out


def compare(weights, batch, ours, a):
    """The rows of one preset and batch, ours first, and notes of who was left out."""
    images = preset_models.random_images(batch, weights.config)
    entered, left_out = admitted(weights, images, ours, a)
    speeds, order = {key: [] for key in entered}, list(entered)
    own = {precision: network for (contender, precision), network in ours.items() if contender == "convmixer"}
    peaks = {precision: network.fma_peak() for precision, network in own.items()}
    for _ in range(a.rounds):
        for key in order:
            speeds[key].append(turn(entered[key][1], images, a.seconds))
        order = order[1:] + order[:1]
        for precision, peak in peaks.items():  # other programs can only lower it
            peaks[precision] = max(peak, own[precision].fma_peak()) if peak else None

    median = {key: statistics.median(values) for key, values in speeds.items()}
    rows = []
    for (contender, precision), values in speeds.items():
        peers = [c for c, p in median if p == precision and c not in OURS]
        against = max(peers, key=lambda c: median[c, precision], default=None) if contender in OURS else contender
        counted = median.get((contender if contender in OURS else "convmixer", precision))
        fp32, peak, speed = median.get(("convmixer", "fp32")), peaks[precision], median[contender, precision]
        way, _, error = entered[contender, precision]
        rows.append({
            "preset": weights.name, "batch": batch, "precision": precision, "contender": contender,
            "images_per_second": speed, "min": min(values), "max": max(values),
            "percent_of_peak": 200 * own[precision].info.num_macs * speed / peak if peak else None,
            # ours : the best peer in this precision, and ours : this one
            "ratio": counted / median[against, precision] if counted and against else None, "ratio_to": against,
            "ratio_to_fp32": speed / fp32 if fp32 and contender in OURS and precision != "fp32" else None,
            "way": way, "max_error": error})
    return rows, left_out


def print_table(rows, a):
    shown = [c for c in list(OURS) + a.peers if any(r["contender"] == c for r in rows)]
    table = [["preset", "batch", "precision"] + shown
             + ["ours : best peer", "two levels : best peer", "ours : our fp32", "ours, % of peak"]]
    for key in dict.fromkeys((r["preset"], r["batch"], r["precision"]) for r in rows):
        of = {r["contender"]: r for r in rows if (r["preset"], r["batch"], r["precision"]) == key}
        ours = of.get("convmixer", {})
        table.append(list(map(str, key)) + [spread(of[c]) if c in of else "-" for c in shown] + [
            f"{of[c]['ratio']:.2f} ({of[c]['ratio_to']})" if c in of and of[c]["ratio"] else "-" for c in OURS] + [
            f"{ours['ratio_to_fp32']:.2f}" if ours.get("ratio_to_fp32") else "-",
            f"{ours['percent_of_peak']:.0f}" if ours.get("percent_of_peak") else "-"])
    widths = [max(map(len, column)) for column in zip(*table)]
    print("\nimages/s: median of the rounds (min–max; percent of the peak of the precision)")
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def main():
    a = parse_arguments()
    contenders.prepare(a.isa)
    for peer in contenders.WAYS:
        if peer not in a.peers:
            print(f"not compared: {peer}")
    library = Library(a.library or find_library(os.path.join(preset_models.ROOT, "build", "release")))
    rows, notes, agree = [], [], True
    for name in [a.model] if a.model else a.presets:
        path = a.model or preset_models.preset_file(name)
        name = os.path.splitext(os.path.basename(name))[0]
        weights = contenders.Weights(name, *preset_models.read_safetensors(path))
        ours = open_ours(library, path, name, weights.config, a)
        for batch in a.batches or BATCHES.get(name, [1, 8]):
            more, left_out = compare(weights, batch, ours, a)
            rows, notes = rows + more, notes + list(left_out.values())
            agree = agree and not any(contender in OURS for contender, _ in left_out)
        for opened in ours.values():
            opened.close()
    print_table(rows, a)
    if contenders.ISA_ENVIRONMENT.get(a.isa):
        notes += [f"{peer}: {contenders.ISA_NOTES[peer]}" for peer in a.peers]
    print("\n".join(notes))

    commit = "another build" if a.library else commit_of(preset_models.ROOT)
    versions = {"convmixer": f"{library.version()} ({commit})",
                "python": platform.python_version(), "numpy": np.__version__}
    versions.update({peer: contenders.version_of(peer) for peer in a.peers})
    os.makedirs(os.path.dirname(os.path.abspath(a.output)), exist_ok=True)
    with open(a.output, "w") as f:
        command = shown_command(["python3", os.path.abspath(sys.argv[0])] + sys.argv[1:])
        json.dump({"date": datetime.date.today().isoformat(), "command": command, "cpu": cpu_name(),
                   "threads": a.threads, "isa": a.isa, "versions": versions, "notes": notes, "limits": LIMITS,
                   "rows": rows}, f, indent=1)
        f.write("\n")
    return 0 if agree else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Exception as error:  # 1 means that ours disagree, and nothing else
        print(f"run.py: {one_line(error)}" + f"; {NEEDS}" * isinstance(error, ImportError), file=sys.stderr)
        sys.exit(2)
