"""Random breakages of the code, one at a time: which of them do the default tests notice?

    python tests/mutants.py --num 400 --seed 0 --out mutants.jsonl

A first run of the default tests, each file in a process of its own, records which test executes
which line (`coverage`). Then mutants are drawn uniformly from all places of `spectrax/` and
`models/` where one can be made, and for each the tests that execute its line run, the quickest
first, until one fails or their time exceeds `--budget`. Work is done on copies of the checkout.
Everything is kept in the file of results and in `<out>.baseline.json`; the same command goes on
where it stopped.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import queue
import random
import shutil
import subprocess
import sys
import tempfile

from mutant_places import Places

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGES = ("spectrax", "models")
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "__pycache__")


def all_mutants() -> list[dict]:
    """Every mutant that still is Python."""
    mutants = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            for start, end, new in Places(text).found:
                first = text.count("\n", 0, start) + 1
                mutants.append(
                    {"file": str(path.relative_to(ROOT)), "start": start, "end": end, "new": new}
                    | {"lines": [first, text.count("\n", 0, end) + 1], "old": text[start:end]}
                )
    return mutants


def _key(mutant: dict) -> tuple:
    return mutant["file"], mutant["start"], mutant["new"]


def environment(copy: pathlib.Path, cache: pathlib.Path) -> dict:
    """One thread each; the copy's own package; what is compiled alike is compiled once."""
    return os.environ | {
        "PYTHONPATH": str(copy),
        "OPENBLAS_NUM_THREADS": "1",
        "MPLBACKEND": "Agg",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def run_tests(copy, cache, tests: list[str], limit: float, *options: str):
    """Exit status of pytest and what it said last; a test that never ends has noticed, too."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider"]
    command += ["--tb=no", *options, *tests]
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment(copy, cache), timeout=limit, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 124, "too long"
    return done.returncode, done.stdout


PLUGIN = """
import json, os, time
import coverage, pytest

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    coverage.Coverage.current().switch_context(item.nodeid)
    start = time.perf_counter()
    yield
    took[item.nodeid] = time.perf_counter() - start

def pytest_runtest_logreport(report):
    if report.failed:
        bad.add(report.nodeid)

def pytest_sessionfinish():
    with open(os.environ["BASELINE_TIMES"], "w") as file:
        json.dump({name: time for name, time in took.items() if name not in bad}, file)

took, bad = {}, set()
"""


def record(file: pathlib.Path, copy: pathlib.Path, cache: pathlib.Path):
    """Seconds of each test of a file, and the tests of each line: of those that pass."""
    import coverage

    seconds, lines = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        data, times = f"{folder}/data", f"{folder}/times.json"
        command = [sys.executable, "-m", "coverage", "run", f"--data-file={data}"]
        command += [f"--source={','.join(PACKAGES)}", "-m", "pytest", "-q", "-n", "0"]
        command += ["--tb=no", "-p", "baseline_plugin", str(file)]
        env = environment(copy, cache) | {"BASELINE_TIMES": times}
        subprocess.run(command, cwd=copy, env=env, stdout=subprocess.DEVNULL)
        if os.path.exists(times):
            seconds = json.loads(pathlib.Path(times).read_text())
            found = coverage.CoverageData(data)
            found.read()
            for name in found.measured_files():
                own = lines.setdefault(os.path.relpath(name, copy), {})
                for line, tests in found.contexts_by_lineno(name).items():
                    own[str(line)] = [test for test in tests if test in seconds]
    print(f"{file}: {len(seconds)} tests", flush=True)
    return seconds, lines


def baseline(each, path: pathlib.Path) -> dict:
    """{"seconds": {test: s}, "lines": {file: {line: [tests]}}} of the unbroken code."""
    if path.exists():
        return json.loads(path.read_text())
    files = sorted(file.relative_to(ROOT) for file in (ROOT / "tests").rglob("test_*.py"))
    seconds, lines = {}, {}
    for found, own in each(record, files):
        seconds |= found
        for name, places in own.items():
            for line, tests in places.items():
                lines.setdefault(name, {}).setdefault(line, []).extend(tests)
    answer = {"seconds": seconds, "lines": lines}
    path.write_text(json.dumps(answer))
    return answer


def tests_of(mutant: dict, known: dict, budget: float) -> list[str]:
    """Tests that execute the lines, the quickest first; of the whole file if only imports do."""
    own = known["lines"].get(mutant["file"], {})
    first, last = mutant["lines"]
    executed = [own[str(line)] for line in range(first, last + 1) if str(line) in own]
    tests = {test for found in executed for test in found}
    if executed and not tests:
        tests = {test for found in own.values() for test in found}
    chosen, total = [], 0.0
    for test in sorted(tests, key=known["seconds"].get):
        total += known["seconds"][test]
        if chosen and total > budget:
            break
        chosen.append(test)
    return chosen


def judge(mutant: dict, copy, cache, known: dict, budget: float) -> dict:
    """What became of the mutant: `noticed`, `survived`, or `not executed`."""
    tests = tests_of(mutant, known, budget)
    if not tests:
        return mutant | {"fate": "not executed"}
    path = copy / mutant["file"]
    text = path.read_text(encoding="utf-8")
    changed = text[: mutant["start"]] + mutant["new"] + text[mutant["end"] :]
    try:
        compile(changed, str(path), "exec")
    except SyntaxError:
        return mutant | {"fate": "no Python"}
    limit = 60 + 4 * sum(known["seconds"][test] for test in tests)
    try:
        path.write_text(changed, encoding="utf-8")
        status, said = run_tests(copy, cache, tests, limit)
    finally:
        path.write_text(text, encoding="utf-8")
    by = next((line for line in said.splitlines() if line.startswith(("FAILED", "ERROR"))), "")
    return mutant | {"fate": "noticed" if status else "survived", "by": by[:200]}


def summary(results: list[dict]) -> str:
    """Figures by package, and what survived."""
    counts = collections.defaultdict(collections.Counter)
    for mutant in results:
        parts = pathlib.PurePath(mutant["file"]).parts
        for name in ("/".join(parts[:2]) if len(parts) > 2 else parts[0], "all"):
            counts[name][mutant["fate"]] += 1
    lines = ["| package | mutants | noticed | survived | not executed |", "|---|---|---|---|---|"]
    for name in sorted(counts, key=lambda name: (name == "all", name)):
        fates = counts[name]
        values = fates["noticed"], fates["survived"], fates["not executed"]
        lines.append(f"| {name} | {sum(values)} | " + " | ".join(map(str, values)) + " |")
    for mutant in sorted(results, key=lambda mutant: (mutant["file"], mutant["start"])):
        if mutant["fate"] in ("survived", "not executed"):
            place = f"{mutant['file']}:{mutant['lines'][0]}"
            lines.append(f"{place}: {mutant['old']!r} -> {mutant['new']!r} {mutant['fate']}")
    return "\n".join(lines)


def main() -> None:
    """Draw, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--budget", type=float, default=120.0, help="seconds of tests for each")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("mutants.jsonl"))
    args = parser.parse_args()
    drawn = random.Random(args.seed).sample(all_mutants(), args.num)
    results = []
    if args.out.exists():
        results = [json.loads(line) for line in args.out.read_text().splitlines()]
    done = {(found["file"], found["start"], found["new"]) for found in results}
    todo = [
        mutant for mutant in drawn if (mutant["file"], mutant["start"], mutant["new"]) not in done
    ]
    with tempfile.TemporaryDirectory() as folder:
        cache = pathlib.Path(folder) / "compiled"
        copies = queue.Queue()
        for job in range(args.jobs):
            copy = pathlib.Path(folder) / f"copy{job}"
            shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
            (copy / "baseline_plugin.py").write_text(PLUGIN)
            copies.put(copy)

        def each(function, arguments, *more):
            def one(argument):
                copy = copies.get()
                try:
                    return function(argument, copy, cache, *more)
                finally:
                    copies.put(copy)

            with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
                yield from pool.map(one, arguments)

        known = baseline(each, args.out.with_suffix(".baseline.json"))
        with args.out.open("a") as file:
            for result in each(judge, todo, known, args.budget):
                results.append(result)
                file.write(json.dumps(result) + "\n")
                file.flush()
                print(f"{len(results)}/{args.num} {result['file']}: {result['fate']}", flush=True)
    print(summary(results))


if __name__ == "__main__":
    main()
