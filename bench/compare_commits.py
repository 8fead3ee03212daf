#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Is HEAD slower than BASE? Builds two commits and times whole models by both, in turn.

Each library is loaded by a process of its own, which runs on request, so that both meet the same state of the
machine; the order is BASE HEAD, HEAD BASE, and so on. Exit status: 0; 1 where HEAD is slower than the limit and
the spreads do not overlap; 2 for anything else. Needs git, what the build needs, and numpy.
"""
import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
try:
    import preset_models
    from convmixer_ctypes import PRECISIONS, Error, Library, Network, find_library, one_line
    from measuring import cpu_name, spread, turn
except ImportError as error:
    print(f"compare_commits: {error}; numpy is needed", file=sys.stderr)
    sys.exit(2)


def parse_arguments():
    names = lambda text: text.split(",")
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("base", metavar="BASE", help="a commit")
    p.add_argument("head", metavar="HEAD", help="a commit; changes that are not committed are not seen")
    p.add_argument("--presets", type=names, metavar="A,B", default=["convmixer_256_8", "convmixer_768_32"],
                   help="default: convmixer_256_8,convmixer_768_32")
    p.add_argument("--batch", type=int, default=1)
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="default: the CPUs it may use")
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--seconds", type=float, default=0.5, help="of one turn, at least (0.5)")
    p.add_argument("--isa", help="default: the best that the CPU has")
    p.add_argument("--precision", choices=list(PRECISIONS), help="default: fp32; int8 is calibrated by each commit")
    p.add_argument("--limit", type=float, default=3, metavar="PERCENT", help="how much slower is a failure (3)")
    p.add_argument("--bench", metavar="FILTER", help="also bench_kernels of both, one after the other in each round")
    a = p.parse_args()
    if unknown := [name for name in a.presets if name not in preset_models.PRESETS]:
        p.error(f"unknown: {', '.join(unknown)}; valid: {', '.join(preset_models.PRESETS)}")
    if min(a.batch, a.threads, a.rounds) < 1:
        p.error("batch, threads and rounds are at least 1")
    return a


# ---- One library, in a process of its own ---------------------------------------------------------

def opened(library, path, config, threads, isa, precision):
    if precision != "int8":
        return Network(library, path, threads, isa, precision=precision)
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as scaled:
        fp32 = Network(library, path, threads)
        fp32.calibrate(scaled.name, preset_models.calibration_images(config))
        fp32.close()
        return Network(library, scaled.name, threads, isa, precision=precision)


def work(library, path, batch, threads, isa, precision, seconds):
    """A line "run" → a line "ok IMAGES_PER_SECOND"; what goes wrong is "error" and a sentence."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's, which ends this process
    try:
        _, config = preset_models.read_safetensors(path)
        network = opened(Library(library), path, config, int(threads), isa or None, precision or None)
        images = preset_models.random_images(int(batch), config)
        print("ok", network.info.isa.decode(), flush=True)
        for _ in sys.stdin:
            print("ok", turn(network.run, images, float(seconds)), flush=True)
    except Exception as error:
        print("error", one_line(error), flush=True)


class Worker:
    def __init__(self, commit, library, path, a):
        self.commit = commit
        self.process = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), "--worker", library, path, str(a.batch), str(a.threads),
             a.isa or "", a.precision or "", str(a.seconds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            self.isa = self.answer()
        except BaseException:  # also Ctrl-C: nobody else knows the process yet
            self.end()
            raise

    def answer(self):
        kind, _, text = self.process.stdout.readline().strip().partition(" ")
        if kind != "ok":
            raise Error(f"{self.commit}: {text or 'its process ended'}")
        return text

    def run(self):
        try:
            self.process.stdin.write("run\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # answer() tells
        return float(self.answer())

    def end(self):
        self.process.kill()
        self.process.wait()


# ---- Two builds -----------------------------------------------------------------------------------

def run_quietly(command, folder, log):
    with open(log, "a") as f:
        if subprocess.run(command, cwd=folder, stdout=f, stderr=subprocess.STDOUT).returncode == 0:
            return
    with open(log) as f:
        sys.stderr.write("".join(f.readlines()[-30:]))
    raise Error(f"failed: {' '.join(command)}")


def commit_name(commit):
    result = subprocess.run(["git", "rev-parse", "--verify", "--quiet", "--short", commit + "^{commit}"],
                            cwd=preset_models.ROOT, capture_output=True, text=True)
    if result.returncode:
        raise Error(f"{commit} is not a commit")
    return result.stdout.strip()


def build(commit, folder, with_bench):
    """The build folder of the commit, checked out below `folder`."""
    tree, log = os.path.join(folder, "tree"), os.path.join(folder, "log")
    os.mkdir(folder)
    run_quietly(["git", "worktree", "add", "--detach", tree, commit], preset_models.ROOT, log)
    bench = "ON" if with_bench else "OFF"
    run_quietly(["cmake", "--preset", "release", "-DCONVMIXER_TESTS=OFF", "-DCONVMIXER_CLI=OFF",
                 f"-DCONVMIXER_BENCH={bench}"], tree, log)
    targets = ["convmixer"] + ["bench_kernels"] * with_bench
    run_quietly(["cmake", "--build", "build/release", "--target", *targets], tree, log)
    return os.path.join(tree, "build", "release")


def remove(folder):
    """Whatever is there of the two builds."""
    for side in ("base", "head"):
        subprocess.run(["git", "worktree", "remove", "--force", "--force", os.path.join(folder, side, "tree")],
                       cwd=preset_models.ROOT, stderr=subprocess.DEVNULL)
    shutil.rmtree(folder, ignore_errors=True)
    # Git forgets a worktree whose folder is gone, also where it failed to remove it itself.
    subprocess.run(["git", "worktree", "prune"], cwd=preset_models.ROOT, stderr=subprocess.DEVNULL)


# ---- Comparison -----------------------------------------------------------------------------------

def compared(name, speeds, limit):
    """Prints a line; whether HEAD is slower."""
    base, head = ({"images_per_second": statistics.median(v), "min": min(v), "max": max(v)} for v in speeds)
    ratio = head["images_per_second"] / base["images_per_second"]
    slower = ratio < 1 - limit / 100 and head["max"] < base["min"]
    print(f"{name:<42} {spread(base):<24} {spread(head):<24} {ratio:.3f}{'  SLOWER' * slower}", flush=True)
    return slower


def compare_preset(name, commits, builds, a):
    path, workers, speeds = preset_models.preset_file(name), [], ([], [])
    try:
        for commit, folder in zip(commits, builds):
            workers.append(Worker(commit, find_library(folder), path, a))
        for i in range(a.rounds):
            for side in (0, 1) if i % 2 == 0 else (1, 0):
                speeds[side].append(workers[side].run())
    finally:
        for worker in workers:
            worker.end()
    return compared(f"{name} ({', '.join(dict.fromkeys(w.isa for w in workers))})", speeds, a.limit)


def run_kernels(folder, pattern):
    """Name → FLOP/s or items a second of one repetition."""
    command = [os.path.join(folder, "bin", "bench_kernels"), f"--benchmark_filter={pattern}", "--benchmark_format=json"]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        measured = json.loads(result.stdout)["benchmarks"]
    except (ValueError, KeyError):
        raise Error(f"bench_kernels: {result.stderr.strip() or 'no benchmark has such a name'}") from None
    for b in measured:
        if b.get("error_occurred"):
            raise Error(f"{b['name']}: {b['error_message']}")
    return {b["name"]: b.get("FLOP/s") or b.get("items_per_second") for b in measured}


def compare_kernels(builds, a):
    """The same for the kernels that both commits have."""
    speeds = ({}, {})
    for i in range(a.rounds):
        for side in (0, 1) if i % 2 == 0 else (1, 0):
            for name, value in run_kernels(builds[side], a.bench).items():
                speeds[side].setdefault(name, []).append(value / 1e9)
    names = [name for name in speeds[0] if name in speeds[1]]
    if not names:
        raise Error("the two commits have no kernel of such a name in common")
    print("kernels, GFLOP/s (gelu: values/ns)")
    return any([compared(name, (speeds[0][name], speeds[1][name]), a.limit) for name in names])


def compare(a, folder):
    """Whether HEAD is slower."""
    commits, builds = [commit_name(a.base), commit_name(a.head)], []
    for side, commit in zip(("base", "head"), commits):
        print(f"building {commit}", flush=True)
        builds.append(build(commit, os.path.join(folder, side), a.bench is not None))
    print(f"{cpu_name()}, {a.threads} threads, batch {a.batch}; images/s: median of {a.rounds} (min–max)")
    print(f"{'':<42} {'BASE ' + commits[0]:<24} {'HEAD ' + commits[1]:<24} HEAD : BASE")
    slower = [compare_preset(name, commits, builds, a) for name in a.presets]
    if a.bench is not None:
        slower.append(compare_kernels(builds, a))
    return any(slower)


def main():
    if sys.argv[1:2] == ["--worker"]:
        work(*sys.argv[2:])
        return 0
    a = parse_arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C, which removes the builds
    try:
        folder = tempfile.mkdtemp(prefix="convmixer-compare-")
        try:
            return int(compare(a, folder))
        finally:
            remove(folder)
    except Exception as error:  # 1 means that HEAD is slower, and nothing else
        print(f"compare_commits: {one_line(error)}", file=sys.stderr)
    except KeyboardInterrupt:
        print("compare_commits: interrupted", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
