#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whole models: published presets × precisions × variants of this CPU × batches × threads, by `convmixer bench`.

A process per configuration, so that peak memory and the time to open are its own. Prints a table as it goes and
writes all that was reported as JSON. Python's standard library only.
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

import presets
from measuring import commit_of, shown_command

ROOT, PRESETS = pathlib.Path(presets.ROOT), list(presets.PRESETS)
BATCHES = [1, 8, 16, 32]
# The variants of each precision, in the order in which the library chooses, and what --isa calls them.
VARIANTS = {
    "fp32": {"amx": "amx", "avx512": "avx512", "avx2": "avx2", "onednn": "onednn", "portable": "portable"},
    "bf16": {"amx_bf16": "amx", "avx512_bf16": "avx512", "onednn": "onednn", "portable_bf16": "portable"},
    "int8": {"amx_int8": "amx", "avx512_vnni": "avx512", "avxvnni": "avx2", "avx2_int8": "avx2", "onednn": "onednn",
             "portable_int8": "portable"},
}
COLUMNS = "{:<18}{:<14}{:>5}{:>8}{:>11}{:>11}{:>11}{:>6}{:>10}{:>7}{:>10}{:>9}"


def some_of(names):
    """For --presets A,B: a list of some of the names."""
    def parse(text):
        chosen = text.split(",")
        if unknown := [name for name in chosen if name not in names]:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; expected some of {', '.join(names)}")
        return chosen
    return parse


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="Without --full, variants other than the best of a precision are measured at batch 1 on all threads, "
               "and the portable ones of bf16 and int8, which are there for tests, not at all.")
    parser.add_argument("--command", default=ROOT / "build/release/bin/convmixer", metavar="FILE",
                        help="the convmixer command (default: that of the release build)")
    parser.add_argument("--presets", type=some_of(PRESETS), default=PRESETS, metavar="A,B",
                        help="of " + ", ".join(PRESETS))
    parser.add_argument("--precisions", type=some_of(VARIANTS), default=list(VARIANTS), metavar="A,B",
                        help="of " + ", ".join(VARIANTS) + " (default: those this CPU has instructions for)")
    parser.add_argument("--full", action="store_true", help="every batch and number of threads for every variant")
    parser.add_argument("--seconds", type=float, default=2, metavar="S",
                        help="at least, for each configuration (default: 2)")
    parser.add_argument("--runs", type=int, default=1, metavar="N",
                        help="at least, for each configuration (default: 1; a run of the largest takes a minute)")
    parser.add_argument("--output", default=ROOT / "build/bench/models.json", type=pathlib.Path, metavar="FILE",
                        help="the results as JSON (default: build/bench/models.json)")
    return parser.parse_args()


def call(command):
    """The command's output; ends the program with its error where it fails."""
    try:
        done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, check=False)
    except OSError as error:
        sys.exit(f"bench_model.py: {command[0]}: {error.strerror}; build it, or name it with --command")
    if done.returncode != 0:
        sys.exit(f"bench_model.py: {shlex.join(map(str, command))}: exit status {done.returncode}")
    return done.stdout


def read_system(command):
    """CPU, threads, and the variants of each precision that can run here, best first."""
    text = call([command, "info"])
    cpu = re.search(r"^cpu: (.*)$", text, re.M)
    threads = re.search(r"^threads: (\d+)$", text, re.M)
    available = re.findall(r"^variant (\w+): available$", text, re.M)
    if not (cpu and threads and available):
        sys.exit(f"bench_model.py: {command} info: expected lines cpu, threads and variant, found\n{text}")
    onednn = re.search(r"^variant onednn: version \S+ for (.*)$", text, re.M)
    # "fp32, bf16 (emulated), int8 (AMX)": emulated is too slow to measure.
    served = dict(re.findall(r"(\w+)(?: \((\w+)\))?", onednn[1])) if onednn else {}

    def can_run(precision, variant):
        return variant in available or variant == "onednn" and served.get(precision, "emulated") != "emulated"

    return cpu[1], int(threads[1]), {
        precision: [v for v in variants if can_run(precision, v)] for precision, variants in VARIANTS.items()}


def variants_of(precision, available, full):
    """Variants to measure, best first: of those that --isa calls alike, only the first can be asked for."""
    chosen = {}
    for variant in available[precision]:
        isa = VARIANTS[precision][variant]
        if full or precision == "fp32" or isa != "portable":
            chosen.setdefault(isa, variant)
    return list(chosen.values())


def configurations(arguments, threads, available):
    full = arguments.full
    for preset in arguments.presets:
        for precision in arguments.precisions:
            variants = variants_of(precision, available, full)
            for variant in variants:
                for batch in BATCHES if full or variant == variants[0] else [1]:
                    for n in sorted({1, threads}) if full or variant == variants[0] else [threads]:
                        yield preset, precision, variant, batch, n


def measure(arguments, preset, precision, variant, batch, threads):
    isa = VARIANTS[precision][variant]
    choice = ["--onednn", "on"] if isa == "onednn" else ["--isa", isa, "--onednn", "off"]
    if precision != "fp32":
        choice += ["--precision", precision]
    row = json.loads(call([
        arguments.command, "bench", "--json", "--model", preset, *choice, "--batch", batch, "--threads", threads,
        "--seconds", arguments.seconds, "--runs", arguments.runs]))
    if row["isa"] != variant:
        sys.exit(f"bench_model.py: expected {variant} to run, found {row['isa']}")
    return row


def table_line(row):
    latency = row["latency_ms"]
    return COLUMNS.format(
        row["model"], row["isa"], row["batch"], row["threads"], f"{row['images_per_second']:.2f}",
        f"{latency['median']:.2f}", f"{latency['p99']:.2f}", latency["runs"], f"{row['gflops']:.1f}",
        f"{row['percent_of_peak']:.1f}", f"{row['peak_memory_bytes'] / 1e6:.1f}", f"{row['open_seconds']:.3f}")


def save(path, cpu, threads, rows):
    """Whole or not at all: what was there before stays until the new file is complete."""
    result = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "command": shown_command(["python3", os.path.abspath(sys.argv[0])] + sys.argv[1:]),
        "commit": commit_of(ROOT),
        "cpu": cpu,
        "threads_available": threads,
        "rows": rows,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def main():
    arguments = parse_arguments()
    cpu, threads, available = read_system(arguments.command)
    print(f"{cpu}, {threads} threads, variants {', '.join(dict.fromkeys(sum(available.values(), [])))}")
    print(COLUMNS.format("model", "variant", "batch", "threads", "images/s", "median ms", "p99 ms", "runs", "GFLOP/s",
                         "peak%", "memory MB", "open s"), flush=True)
    rows = []
    for configuration in configurations(arguments, threads, available):
        rows.append(measure(arguments, *configuration))
        print(table_line(rows[-1]), flush=True)
        save(arguments.output, cpu, threads, rows)
    if not rows:
        sys.exit("bench_model.py: none of the precisions that were asked for can run here")
    print(f"written: {arguments.output}")


if __name__ == "__main__":
    main()
