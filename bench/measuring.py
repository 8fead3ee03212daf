# SPDX-License-Identifier: Apache-2.0
"""What the Python benchmarks share: clocks, and what they say about themselves. No paths, no host names."""
import os
import subprocess
import time


def turn(run, images, seconds):
    """Images a second of one turn: as many runs as fill the time. The first wakes threads and caches up, and counts
    only if it fills the time alone."""
    begin = time.perf_counter()
    run(images)
    took = time.perf_counter() - begin
    if took >= seconds:
        return len(images) / took
    runs, begin = 0, time.perf_counter()
    while True:
        run(images)
        runs += 1
        took = time.perf_counter() - begin
        if took >= seconds:
            return runs * len(images) / took


def spread(row):
    """'53.0 (52.1–54.2; 41 %)' of a row with images_per_second, min, max and percent_of_peak."""
    percent = row.get("percent_of_peak")
    return (f"{row['images_per_second']:.2f} ({row['min']:.2f}–{row['max']:.2f}"
            + (f"; {percent:.0f} %)" if percent else ")"))


def cpu_name():
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return "unknown CPU"


def commit_of(folder):
    """The short name of the commit, with a + where files differ from it."""
    git = subprocess.run(["git", "-C", folder, "describe", "--always", "--exclude", "*", "--dirty=+"],
                         capture_output=True, text=True)
    return git.stdout.strip() or "unknown commit"


def shown_command(words):
    """A command as if typed at the top of the project: without the paths of this machine."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
    def shown(word):
        word = word.replace(root, "")
        return os.path.basename(word) if os.path.isabs(word.split("=")[-1]) else word
    return " ".join(map(shown, words))
