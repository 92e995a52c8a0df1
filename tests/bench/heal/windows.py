"""`p99` and `scrub`: latencies in windows in which the cluster has something to do beside its
clients, against windows in which it has not.

The load is `piazza bench --rate`, with latencies from when an operation was meant to start, one
run a window. Beside it one connection asks on between the runs, since copying takes all the time
when nobody asks for anything. A window in which the host took much of the machine (STEAL) says
little about what ran in it.
"""

import threading
import time

from .cluster import Cluster, Conn, Failed, Stolen, milliseconds, nothing_moves, say
from .figures import median, quantile, shown, table
from .options import count, seconds

CLOSED_LOOP_S = 5
ASKING_PAUSE_S = 0.02
# No window of one kind after so many changes or scrubs: they are too short for it.
TRIES = 5


def grammar(scenarios):
    about = "p99 of gets and puts while copies are made, against quiet"
    copying = scenarios.add_parser(
        "p99", help=about, description=__doc__ + """
    Copying: a node is added and, next time, removed (or killed, evicted and started). A window
    counts only if the copying of keys was under way from its beginning to its end.""",
    )
    copying.add_argument(
        "--change", choices=["add", "evict"], default="add",
        help="add: a node is added, and removed again; evict: a node is killed, and comes back "
        "(default: add)",
    )
    copying.add_argument(
        "--copy-bytes-per-s", type=count, metavar="N",
        help="hold copying to this, so that there is more of it (default: as fast as it goes)",
    )
    copying.set_defaults(run=lambda args: run(args, Copying))
    about = "p99 of gets and puts while a scrub is running, against quiet"
    scrub = scenarios.add_parser(
        "scrub", help=about, description=__doc__ + """
    Scrub: one after the other, so that one is running nearly all the time of the window.""",
    )
    scrub.set_defaults(run=lambda args: run(args, Scrubbing))
    for parser in (copying, scrub):
        parser.add_argument("--keys", type=count, default=200_000, help="default: 200k")
        parser.add_argument("--value-bytes", type=count, default=300, help="default: 300")
        parser.add_argument("--nodes", type=count, default=6, help="default: 6")
        parser.add_argument("--replicas", type=count, default=3, help="default: 3")
        parser.add_argument("--connections", type=count, default=16, help="default: 16")
        parser.add_argument("--mix", default="get=90,put=10", help="default: get=90,put=10")
        parser.add_argument(
            "--rate", type=count, metavar="OPS_PER_S",
            help="default: half of what the connections reach when each asks as it is answered",
        )
        parser.add_argument("--window", type=seconds, default=3.0, help="default: 3s")
        parser.add_argument("--settle", type=seconds, default=3.0,
                            help="load without measuring before quiet windows (default: 3s)")
        parser.add_argument("--pairs", type=count, default=8,
                            help="so many windows of each kind (default: 8)")


def run(args, kind):
    options = ["--evict-after", "1s"]
    with Cluster(args, args.nodes, args.replicas, options) as cluster:
        cluster.fill(args.keys, args.value_bytes)
        return Windows(args, cluster, kind(args, cluster)).run()


class Windows:
    """One run."""

    def __init__(self, args, cluster, task):
        self.args, self.cluster, self.task = args, cluster, task
        self.rows, self.reports = [], {"quiet": [], task.name: []}

    def run(self):
        args = self.args
        if args.rate is None:
            self.bench(CLOSED_LOOP_S, None)
            full = self.bench(CLOSED_LOOP_S, None)["rate"]
            args.rate = int(full / 2)
            print(f"as answered: {full:.0f}/s over {args.connections} connections")
        print(
            f"{self.task.name}: {args.nodes} nodes, {args.replicas} copies, {args.keys} keys of "
            f"{args.value_bytes} bytes, {args.mix}, {args.rate}/s in windows of {args.window:g} s\n"
        )
        with Asking(self.cluster.addr):
            self.measure()
        head = ["WINDOW", "GET P50 us", "P99", "P99.9", "PUT P50 us", "P99", "P99.9", "ERRORS",
                "UNSENT", "STEAL %", self.task.unit]
        table(head, self.rows)
        print()
        self.summary()
        return True

    def measure(self):
        kinds, tries = self.reports, 0
        while min(len(reports) for reports in kinds.values()) < self.args.pairs:
            before = len(kinds[self.task.name])
            self.bench(self.args.settle, self.args.rate)
            self.window("quiet")
            self.task.begin()
            while self.task.goes_on() and self.window(self.task.name):
                # As many quiet windows as others, in turn as far as the task lasts long enough.
                if len(kinds[self.task.name]) >= self.args.pairs:
                    break
            self.task.end()
            while len(kinds["quiet"]) < len(kinds[self.task.name]):
                self.bench(self.args.settle, self.args.rate)
                self.window("quiet")
            tries = 0 if len(kinds[self.task.name]) > before else tries + 1
            if tries >= TRIES:
                raise Failed(
                    f"{self.task.name} ends within a window: take more --keys, a shorter --window, "
                    "or hold it up"
                )

    def window(self, name):
        """Measures one; whether it counts."""
        busy = name != "quiet"
        before = self.task.done() if busy else None
        stolen = Stolen()
        report = self.bench(self.args.window, self.args.rate)
        steal = f"{stolen.percent():.1f}"
        if busy and not self.task.goes_on():
            say(f"{name} ended within the window, which does not count")
            return False
        did = f"{self.task.done() - before:.1f}" if busy else "-"
        self.reports[name].append(report)
        cells = []
        for op in ("get", "put"):
            latency = report["kinds"].get(op, {}).get("latency", {})
            cells += [shown(latency.get(f"p{part}_us")) for part in (50, 99, 999)]
        errors = sum(report["errors"].values())
        self.rows.append([name, *cells, errors, report["unsent"], steal, did])
        return True

    def bench(self, seconds, rate):
        args = self.args
        asked = [] if rate is None else ["--rate", str(rate)]
        return self.cluster.bench(
            "--no-fill", "--keys", str(args.keys), "--value-bytes", str(args.value_bytes),
            "--mix", args.mix, "--connections", str(args.connections),
            "--duration", milliseconds(seconds), *asked,
        )

    def summary(self):
        rows = []
        for op in ("get", "put"):
            p99 = {
                name: [report["kinds"].get(op, {}).get("latency", {}).get("p99_us")
                       for report in reports]
                for name, reports in self.reports.items()
            }
            quiet, busy = median(p99["quiet"]), median(p99[self.task.name])
            spread = [
                f"{shown(quantile([v for v in values if v is not None], 0.25))}.."
                f"{shown(quantile([v for v in values if v is not None], 0.75))}"
                for values in p99.values()
            ]
            ratio = busy / quiet if quiet and busy else None
            rows.append([f"{op} p99", shown(quiet), spread[0], shown(busy), spread[1],
                         shown(ratio, ".2f")])
        number = [len(reports) for reports in self.reports.values()]
        print(f"medians of {number[0]} and {number[1]} windows, microseconds:")
        table(["", "QUIET", "QUARTILES", self.task.name.upper(), "QUARTILES", "RATIO"], rows)


class Asking:
    """A connection that asks for a key that is not there, all the time; a context manager."""

    def __init__(self, addr):
        self.conn, self.ended, self.failure = Conn(addr), threading.Event(), None
        self.thread = threading.Thread(target=self._ask, daemon=True)

    def _ask(self):
        try:
            while not self.ended.wait(ASKING_PAUSE_S):
                self.conn.call(op="get", key="nobody has put this")
        except (Failed, OSError) as failure:
            self.failure = failure

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *why):
        self.ended.set()
        self.thread.join()
        self.conn.close()
        if self.failure is not None and why[0] is None:
            raise self.failure


class Copying:
    """A change of the membership that copies."""

    name, unit = "copying", "MB COPIED"

    def __init__(self, args, cluster):
        self.args, self.cluster = args, cluster
        self.added, self.events = None, cluster.events()
        if args.copy_bytes_per_s:
            cluster.main.done(op="admin", action="set", name="copy_bytes_per_s",
                              value=args.copy_bytes_per_s)

    def begin(self):
        cluster, begun = self.cluster, time.monotonic()
        if self.args.change == "evict":
            cluster.order("kill", "n2")
        elif self.added is None:
            before = self.members()
            cluster.main.done(op="admin", action="add")
            cluster.wait("a node to join", lambda: self.members() - before)
            self.added = (self.members() - before).pop()
        else:
            cluster.main.done(op="admin", action="remove", node=self.added)
            self.added = None

        def begins():
            over = any(nothing_moves(event) for _, event in self.events.since(begun))
            return over or self.goes_on()

        cluster.wait("copying to begin", begins)

    def members(self):
        return {point["node"] for point in self.cluster.status()["ring"]["points"]}

    def running(self):
        changes = self.cluster.status()["changes"]
        return [change for change in changes if change["state"] == "running"]

    def goes_on(self):
        """Whether keys are being copied, and are not only being made durable at the end."""
        return any(
            part["state"] == "copying" and part["keys_done"] < (part["keys_total"] or float("inf"))
            for change in self.running() for part in change.get("transfers", [])
        )

    def done(self):
        return sum(change["bytes_done"] for change in self.running()) / 1e6

    def end(self):
        self.cluster.wait("the copying to end", self.cluster.is_whole)
        if self.args.change == "evict":
            self.cluster.order("start", "n2")
            self.cluster.wait("n2 to be back", lambda: self.cluster.is_whole(member="n2"))


class Scrubbing:
    """Scrubs, one after the other."""

    name, unit = "scrubbing", "SCRUBS"

    def __init__(self, args, cluster):
        self.cluster, self.ended, self.thread = cluster, threading.Event(), None
        self.scrubs, self.failure = 0, None

    def begin(self):
        self.ended.clear()
        self.thread = threading.Thread(target=self._scrub, args=(self.cluster.conn(),), daemon=True)
        self.thread.start()

    def _scrub(self, conn):
        try:
            while not self.ended.is_set():
                change = conn.done(op="admin", action="scrub")["change"]
                while self._runs(conn, change):
                    time.sleep(0.01)
                self.scrubs += 1
        except (Failed, OSError) as failure:
            self.failure = failure

    def _runs(self, conn, change):
        changes = conn.done(op="status")["changes"]
        return any(one["change"] == change and one["state"] == "running" for one in changes)

    def goes_on(self):
        if self.failure is not None:
            raise self.failure
        return not self.ended.is_set()

    def done(self):
        return float(self.scrubs)

    def end(self):
        self.ended.set()
        self.thread.join()
        if self.failure is not None:
            raise self.failure
