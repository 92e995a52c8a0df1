"""`console`: processor time of all servers per operation, with and without a console, in turn.

The console runs on a terminal of its own, of 36 rows and 120 columns, which is read. Servers are
the coordinator, the nodes and the supervisor; operations are those that `status` counts. Slices
with and without alternate within one run, and each pair changes its order.
"""

import fcntl
import os
import pty
import signal
import statistics
import struct
import termios
import threading
import time

from .cluster import Cluster, Failed, cpu_ns, die_with_parent, say, stop
from .figures import shown, table
from .options import count, seconds

ROWS, COLUMNS = 36, 120
CONSOLE_END_S_MAX = 10
WARM_UP_S = 5.0
# The console's picture of the cluster is complete by then, and its first events are behind it.
SETTLE_S = 1.0


def grammar(scenarios):
    about = "processor time per operation with and without a console"
    parser = scenarios.add_parser("console", help=about, description=__doc__)
    parser.add_argument("--pairs", type=count, default=20, help="of slices (default: 20)")
    parser.add_argument("--slice", type=seconds, default=4.0, help="default: 4s")
    parser.add_argument("--connections", type=count, default=16, help="default: 16")
    parser.add_argument("--mix", default="get=90,put=10", help="default: get=90,put=10")
    parser.add_argument("--keys", type=count, default=10_000, help="default: 10k")
    parser.add_argument("--value-bytes", type=count, default=100, help="default: 100")
    parser.add_argument("--nodes", type=count, default=5, help="default: 5")
    parser.add_argument("--replicas", type=count, default=2, help="default: 2")
    parser.set_defaults(run=run)


def run(args):
    if args.pairs < 2:
        raise Failed("one pair has no spread: take more --pairs")
    with Cluster(args, args.nodes, args.replicas) as cluster:
        cluster.fill(args.keys, args.value_bytes)
        load = cluster.load(
            "--keys", str(args.keys), "--mix", args.mix, "--value-bytes", str(args.value_bytes),
            "--connections", str(args.connections),
        )
        try:
            time.sleep(WARM_UP_S)
            slices = measure(args, cluster, load)
        finally:
            stop(load, signal.SIGINT)
    show(args, slices)
    return True


def measure(args, cluster, load):
    """The slices without and those with a console: (microseconds an operation, operations a
    second, bytes that the console wrote)."""
    slices = {False: [], True: []}
    for pair in range(args.pairs):
        say(f"pair {pair + 1} of {args.pairs}")
        for attached in ((False, True) if pair % 2 == 0 else (True, False)):
            console = Console(cluster) if attached else None
            try:
                time.sleep(SETTLE_S)
                slices[attached].append(one(args, cluster, console))
            finally:
                if console is not None:
                    console.end()
            if load.poll() is not None:
                raise Failed(f"the load ended: {load.stderr.read().strip()}")
    return slices


def one(args, cluster, console):
    pids = [*cluster.pids.values(), cluster.up.pid]
    written = console.written if console else 0
    begun, cpu, ops = time.monotonic(), cpu_ns(pids), operations(cluster)
    time.sleep(args.slice)
    took_s, cpu, ops = time.monotonic() - begun, cpu_ns(pids) - cpu, operations(cluster) - ops
    if console is not None and (console.written == written or not console.lives()):
        raise Failed("the console drew nothing: it does not run")
    return cpu / 1000 / ops, ops / took_s, console.written - written if console else 0


def operations(cluster):
    total = cluster.status()["ops"]["total"]
    return sum(count for outcomes in total.values() for count in outcomes.values())


class Console:
    """`piazza console` on a terminal of its own, which is read all the time."""

    def __init__(self, cluster):
        self.written = 0
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            try:
                die_with_parent()
                size = struct.pack("HHHH", ROWS, COLUMNS, 0, 0)
                fcntl.ioctl(0, termios.TIOCSWINSZ, size)
                environment = {**os.environ, "TERM": "xterm-256color"}
                command = [cluster.bin, "console", "--addr", cluster.addr]
                os.execve(cluster.bin, command, environment)
            finally:
                os._exit(127)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        try:
            while portion := os.read(self.terminal, 65536):
                self.written += len(portion)
        except OSError:
            pass  # It has ended: the terminal has no other end any more.

    def lives(self):
        return os.waitpid(self.pid, os.WNOHANG) == (0, 0)

    def end(self):
        try:
            os.write(self.terminal, b"q")
            end = time.monotonic() + CONSOLE_END_S_MAX
            while self.lives():
                if time.monotonic() > end:
                    os.kill(self.pid, signal.SIGKILL)
                time.sleep(0.02)
        except (OSError, ChildProcessError):
            pass
        self.reader.join(CONSOLE_END_S_MAX)
        os.close(self.terminal)


def show(args, slices):
    print(
        f"console: {args.nodes} nodes, {args.replicas} copies, {args.mix}, {args.connections} "
        f"connections, {args.pairs} pairs of slices of {args.slice:g} s\n"
    )
    rows = []
    for attached, name in ((False, "without"), (True, "with")):
        cost = [part[0] for part in slices[attached]]
        ops = [part[1] for part in slices[attached]]
        written = statistics.median(part[2] for part in slices[attached]) / args.slice
        rows.append([name, f"{statistics.median(ops):.0f}", f"{statistics.median(cost):.2f}",
                     f"{statistics.mean(cost):.2f}", shown(written / 1000, ".1f")])
    table(["CONSOLE", "OPS/S", "us CPU/OP MEDIAN", "MEAN", "ITS OUTPUT kB/s"], rows)
    pairs = zip(slices[False], slices[True])
    rises = [100 * (other[0] / one[0] - 1) for one, other in pairs]
    low, middle, high = statistics.quantiles(rises, n=4)
    error = statistics.stdev(rises) / len(rises) ** 0.5
    means = [statistics.mean(part[0] for part in each) for each in slices.values()]
    medians = [statistics.median(part[0] for part in each) for each in slices.values()]
    print(
        f"\nrise of the medians {100 * (medians[1] / medians[0] - 1):+.2f} %, of the means "
        f"{100 * (means[1] / means[0] - 1):+.2f} %\nby pairs: median {middle:+.2f} %, quartiles "
        f"{low:+.2f} to {high:+.2f} %, mean {statistics.mean(rises):+.2f} %, standard error of the "
        f"mean {error:.2f} %"
    )
