#!/usr/bin/env python3
"""Benchmarks of living membership and of the console's cost, on real processes.

    python3 tests/bench/heal.py [--bin target/release/piazza] SCENARIO [OPTIONS]

Each run starts a cluster of its own on free loopback ports in a temporary directory, and leaves
neither processes nor files, however it ends. Figures go to standard output, what is being done to
standard error. Exit code: 0 done and all checks held, 1 a check did not hold or something failed,
2 wrong usage, 130 or 143 interrupted. Python 3.11 and nothing else; Linux only.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

# Before the imports of the package beside this file, so that they write nothing into the tree.
sys.dont_write_bytecode = True

from heal import console, flow, times, windows  # noqa: E402
from heal.cluster import Failed  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


def grammar():
    parser = argparse.ArgumentParser(
        prog="heal.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--bin", type=Path, default=ROOT / "target/release/piazza", metavar="FILE",
        help="the program (default: target/release/piazza of this tree)",
    )
    parser.add_argument(
        "--tmp", type=Path, metavar="DIR",
        help="where the cluster's directory is made, so on which disk (default: as TMPDIR says)",
    )
    scenarios = parser.add_subparsers(dest="scenario", required=True, metavar="SCENARIO")
    for module in (flow, times, windows, console):
        module.grammar(scenarios)
    return parser


def end_in_order(number, _frame):
    """A signal ends the program through all its `finally`; a second one does not disturb them."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)


def main():
    args = grammar().parse_args()
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, end_in_order)
    if not os.access(args.bin, os.X_OK) or args.bin.is_dir():
        print(
            f"heal.py: {args.bin} is no program: build it with `cargo build --release`, or name "
            "another with --bin",
            file=sys.stderr,
        )
        return 2
    args.bin = args.bin.resolve()
    try:
        return 0 if args.run(args) else 1
    except Failed as failure:
        print(f"heal.py: {failure}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
