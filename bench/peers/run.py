#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Images a second of this library and of other runtimes, in one process, on the same weights.

Rounds are interleaved: each runs every contender once, in rotated order. Medians are compared. All must agree with
ours to 1e-3 of the largest |logit|; one that does not is left out, and the exit status is 1 (2: any other failure).
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
    from convmixer_ctypes import STRASSEN_TWO, Library, Network, find_library, one_line
    from measuring import commit_of, cpu_name, shown_command, spread, turn
except ImportError as error:
    print(f"run.py: {error}; {NEEDS}", file=sys.stderr)
    sys.exit(2)

BATCHES = {"convmixer_1536_20": [1, 8], "convmixer_1024_20": [1, 16], "convmixer_768_32": [1, 8],
           "convmixer_256_8": [1, 32]}
TOLERANCE = 1e-3  # of the largest |logit|
OURS = ("convmixer", "convmixer_two")  # as it comes; with --strassen two


def parse_arguments():
    numbers = lambda text: [int(n) for n in text.split(",")]
    names = lambda text: text.split(",")
    build = os.path.join(preset_models.ROOT, "build")
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--presets", type=names, default=list(BATCHES), metavar="A,B", help="default: all four")
    p.add_argument("--model", metavar="FILE", help="a safetensors file in timm's names instead of presets")
    p.add_argument("--batches", type=numbers, metavar="1,8", help="default: 1 and 8, 16 or 32, by preset")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="default: the CPUs it may use")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=0.5, help="of a contender's turn, at least (0.5)")
    p.add_argument("--peers", type=names, metavar="A,B",
                   help=f"of {', '.join(contenders.WAYS)}; default: those that are installed")
    p.add_argument("--isa", choices=list(contenders.ISA_ENVIRONMENT), help="limits ours, and the peers where possible")
    p.add_argument("--library", metavar="FILE", help="default: of build/release")
    p.add_argument("--output", metavar="JSON", default=os.path.join(build, "bench", "peers.json"))
    a = p.parse_args()
    unknown = [n for n in a.presets if n not in BATCHES] + [n for n in a.peers or [] if n not in contenders.WAYS]
    if unknown:
        p.error(f"unknown: {', '.join(unknown)}; presets: {', '.join(BATCHES)}; peers: {', '.join(contenders.WAYS)}")
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
    """(description, function) of the way that is fastest in two turns; the others are dropped."""
    ways = list(ways)
    best = [0.0] * len(ways)
    for _ in range(2 if len(ways) > 1 else 0):
        for i, (_, run) in enumerate(ways):
            best[i] = max(best[i], turn(run, images, 0.3))
    return ways[best.index(max(best))]


def agreement(run, images, want):
    """The largest difference, as a share of the largest |logit|. NaN counts as infinite."""
    error = float(np.abs(run(images) - want).max() / np.abs(want).max())
    return error if error == error else float("inf")


def way_of(opened):
    levels = opened.info.strassen_levels
    return opened.info.isa.decode() + (f", Strassen levels: {levels}" if levels else "")


def compare(name, network, batch, ours, two_levels, a):
    """The rows of one preset and batch, ours first, and whether all agree. `two_levels`: ours with a second level of
    Strassen products, or None."""
    images = preset_models.random_images(batch, network[1])
    want = ours.run(images)
    runs, about, agree = {"convmixer": ours.run}, {"convmixer": {"way": way_of(ours)}}, True

    def admit(contender, way, run):
        nonlocal agree
        error = agreement(run, images, want)
        print(f"  {name}, batch {batch}: {contender} ({way}) differs by {error:.1e} of the largest |logit|", flush=True)
        if error > TOLERANCE:
            print(f"ERROR: that is more than {TOLERANCE}; {contender} is left out", file=sys.stderr)
            agree = False
        else:
            runs[contender], about[contender] = run, {"way": way, "max_error": error}

    if two_levels:
        admit("convmixer_two", way_of(two_levels), two_levels.run)
    for peer in a.peers:
        admit(peer, *fastest(contenders.WAYS[peer](network, batch, a.threads), images))
    speeds, peak = {contender: [] for contender in runs}, ours.fma_peak()
    order = list(runs)
    for _ in range(a.rounds):
        for contender in order:
            speeds[contender].append(turn(runs[contender], images, a.seconds))
        order = order[1:] + order[:1]
        peak = max(peak, ours.fma_peak()) if peak else None  # other programs can only lower it

    median = {contender: statistics.median(values) for contender, values in speeds.items()}
    best_peer = max((c for c in median if c not in OURS), key=median.get, default=None)
    rows = []
    for contender, values in speeds.items():
        against = best_peer if contender in OURS else contender
        counted = contender if contender in OURS else "convmixer"
        rows.append({
            "preset": name, "batch": batch, "contender": contender, "images_per_second": median[contender],
            "min": min(values), "max": max(values),
            "percent_of_peak": 200 * ours.info.num_macs * median[contender] / peak if peak else None,
            # ours : the best peer, and ours : this one
            "ratio": median[counted] / median[against] if against else None, "ratio_to": against,
            **about[contender]})
    return rows, agree


def print_table(rows, a):
    shown = [c for c in list(OURS) + a.peers if any(r["contender"] == c for r in rows)]
    table = [["preset", "batch"] + shown + ["ours : best peer", "two levels : best peer", "ours, % of peak"]]
    for preset, batch in dict.fromkeys((r["preset"], r["batch"]) for r in rows):
        of = {r["contender"]: r for r in rows if (r["preset"], r["batch"]) == (preset, batch)}
        ours = of["convmixer"]
        table.append([preset, str(batch)] + [spread(of[c]) if c in of else "-" for c in shown] + [
            f"{of[c]['ratio']:.2f} ({of[c]['ratio_to']})" if c in of and of[c]["ratio"] else "-" for c in OURS] + [
            f"{ours['percent_of_peak']:.0f}" if ours["percent_of_peak"] else "-"])
    widths = [max(map(len, column)) for column in zip(*table)]
    print("\nimages/s: median of the rounds (min–max; percent of the FMA peak)")
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def main():
    a = parse_arguments()
    contenders.prepare(a.isa)
    for peer in contenders.WAYS:
        if peer not in a.peers:
            print(f"not compared: {peer}")
    library = Library(a.library or find_library(os.path.join(preset_models.ROOT, "build", "release")))
    rows, agree = [], True
    for name in [a.model] if a.model else a.presets:
        path = a.model or preset_models.preset_file(name)
        ours = Network(library, path, a.threads, a.isa)  # first: it says best what is wrong with a file
        network = preset_models.read_safetensors(path)
        two_levels = Network(library, path, a.threads, a.isa, STRASSEN_TWO)
        if two_levels.info.strassen_levels < 2:  # where two do not win it runs the same as ours
            two_levels.close()
            two_levels = None
        name = os.path.splitext(os.path.basename(name))[0]
        for batch in a.batches or BATCHES.get(name, [1, 8]):
            more, all_agree = compare(name, network, batch, ours, two_levels, a)
            rows, agree = rows + more, agree and all_agree
        for opened in filter(None, (ours, two_levels)):
            opened.close()
    print_table(rows, a)
    notes = [f"{peer}: {contenders.ISA_NOTES[peer]}" for peer in a.peers] if a.isa in ("portable", "avx2") else []
    print("\n".join(notes))

    commit = "another build" if a.library else commit_of(preset_models.ROOT)
    versions = {"convmixer": f"{library.version()} ({commit})",
                "python": platform.python_version(), "numpy": np.__version__}
    versions.update({peer: contenders.version_of(peer) for peer in a.peers})
    os.makedirs(os.path.dirname(os.path.abspath(a.output)), exist_ok=True)
    with open(a.output, "w") as f:
        command = shown_command(["python3", os.path.abspath(sys.argv[0])] + sys.argv[1:])
        json.dump({"date": datetime.date.today().isoformat(), "command": command, "cpu": cpu_name(),
                   "threads": a.threads, "isa": a.isa, "versions": versions, "notes": notes, "rows": rows}, f, indent=1)
        f.write("\n")
    return 0 if agree else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Exception as error:  # 1 means that a contender disagrees, and nothing else
        print(f"run.py: {one_line(error)}" + f"; {NEEDS}" * isinstance(error, ImportError), file=sys.stderr)
        sys.exit(2)
