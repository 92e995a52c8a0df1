"""`flow`: a cluster loses nodes, heals, grows and shrinks under load, and every key is accounted
for.

The check of refusals is this: at the moment of a refusal, a second to either side, either one of
the key's holders by a ring then in force was not up, or the key's holders were changing or
learning it. A refusal that names a node must name one of those holders.
"""

import collections
import time

from . import disks
from .cluster import (
    CHANGE_S_MAX, STOP_S_MAX, Cluster, Failed, milliseconds, nothing_moves, ring_without, say,
)
from .figures import quantile, shown, table
from .load import Account, Load
from .options import count, percent, rate, seconds
from .ring import Ring, moves

# What is told comes a little later than it happens, and machines stall.
SLACK_S = 1.0


def grammar(scenarios):
    about = "kill, evict, heal, add, remove, return, under load; then every disk is read"
    parser = scenarios.add_parser("flow", help=about, description=__doc__)
    parser.add_argument("--keys", type=count, default=200_000, help="default: 200k")
    parser.add_argument("--value-bytes", type=count, default=100, help="default: 100")
    parser.add_argument("--nodes", type=count, default=7, help="default: 7")
    parser.add_argument("--replicas", type=count, default=3, help="default: 3")
    parser.add_argument("--evict-after", type=seconds, default=3.0, help="default: 3s")
    parser.add_argument("--connections", type=count, default=16, help="default: 16")
    parser.add_argument(
        "--rate", type=rate, default=2000, metavar="OPS_PER_S",
        help="operations a second over all connections; 0: each asks again when it is answered "
        "(default: 2000)",
    )
    parser.add_argument(
        "--reads", type=percent, default=50, metavar="PERCENT",
        help="reads among the operations (default: 50)",
    )
    parser.add_argument("--seed", type=int, default=1, help="repeats the draws (default: 1)")
    parser.set_defaults(run=run)


def run(args):
    if args.nodes < args.replicas + 3:
        raise Failed("flow loses two nodes for a while: take 3 --nodes more than --replicas")
    options = ["--evict-after", milliseconds(args.evict_after)]
    with Cluster(args, args.nodes, args.replicas, options) as cluster:
        return Flow(args, cluster).run()


Step = collections.namedtuple("Step", "name begun ended evicted copied")


class Flow:
    """One run."""

    def __init__(self, args, cluster):
        self.args, self.cluster = args, cluster
        self.account = Account(args.keys, args.value_bytes)
        self.findings = disks.Findings()
        self.steps = []
        self.killed = {}  # node: [from, to]

    def run(self):
        say(f"filling {self.args.keys} keys")
        begun = time.monotonic()
        if wrong := self.account.fill(self.cluster.conn()):
            raise Failed(wrong)
        took_s = time.monotonic() - begun
        say(f"filled in {took_s:.1f} s, {self.args.keys / took_s:.0f}/s")
        self.cluster.wait("all keys to be counted", lambda: self.cluster.is_whole(self.args.keys))
        self.hashes, self.first_ring = self.locate()[0], self.ring()
        self.events = self.cluster.events()
        self.load = Load(
            self.cluster.addr, self.account, self.args.connections, self.args.rate,
            self.args.reads, self.args.seed,
        )
        self.begun = time.monotonic()
        self.load.start()
        try:
            self.change_everything()
        finally:
            self.load.stop()
        self.stopped = time.monotonic()
        self.check_refusals()
        self.check_at_rest()
        self.print()
        return not self.findings

    def ring(self):
        return Ring(self.cluster.status()["ring"]["points"], self.args.replicas)

    def locate(self):
        """For every key its hash and its holders, as the coordinator says; the ring that `status`
        shows must lead to the same."""
        say("asking where each key lies")
        conn, ring = self.cluster.conn(), self.ring()
        asks = ({"op": "locate", "key": self.account.name(key)} for key in range(self.args.keys))
        hashes, places = [], []
        for key, reply in enumerate(conn.many(asks)):
            if not reply.get("ok"):
                raise Failed(f"locate was refused: {reply}")
            hashes.append(int(reply["hash"], 16))
            places.append(tuple(reply["nodes"]))
            if ring.at(hashes[-1]) != places[-1]:
                name, by_ring = self.account.name(key), ring.at(hashes[-1])
                text = f"{name}: {places[-1]}, by its points {by_ring}"
                self.findings.add("placed otherwise than the ring says", text)
        return hashes, places

    def change_everything(self):
        self.step("calm", lambda: time.sleep(3))
        self.step("kill n2", lambda: self.kill("n2"), gone="n2")
        second = f"n{self.args.nodes - 2}"
        self.step(f"kill {second}", lambda: self.kill(second), gone=second)
        self.step("add", lambda: self.cluster.change("add"))
        self.step("add again", lambda: self.cluster.change("add"))
        self.step("remove n1", lambda: self.cluster.change("remove", node="n1"))
        self.step("start n2", lambda: self.cluster.order("start", "n2"), member="n2")
        self.killed["n2"][1] = time.monotonic()
        self.step("calm again", lambda: time.sleep(3))

    def kill(self, node):
        """By the supervisor, so that it stays down: what dies unasked is started again."""
        self.killed[node] = [time.monotonic(), float("inf")]
        self.cluster.order("kill", node)

    def step(self, name, act, gone=None, member=None):
        """Does it, and waits until every key has all its copies."""
        say(name)
        begun, evicted = time.monotonic(), None
        act()
        if gone is not None:
            evicted, _ = self.events.wait(f"{gone} to be evicted", begun, ring_without(gone))
            self.events.wait("its keys to be copied", evicted, nothing_moves)
        keys = self.args.keys
        self.cluster.wait(
            f"all copies after {name}", lambda: self.cluster.is_whole(keys, member), CHANGE_S_MAX
        )
        ended = time.monotonic()
        heard = self.events.since(begun)
        copied = [at for at, event in heard if nothing_moves(event)]
        self.steps.append(Step(name, begun, ended, evicted, copied[-1] if copied else None))
        if self.load.failure is not None:
            raise self.load.failure

    def check_refusals(self):
        rings = self.rings()
        silent = self.silent()
        self.why = collections.Counter()
        for refusal in self.load.refusals:
            point = self.hashes[refusal.key]
            first, last = refusal.begun - SLACK_S, refusal.ended + SLACK_S
            then = [
                (ring, event) for begun, ended, ring, event in rings
                if begun <= last and first <= ended
            ]
            holders = {node for ring, _ in then for node in ring.at(point)}
            changing = len({ring.at(point) for ring, _ in then}) > 1
            copied = any(event is not None and moves(event, point) for _, event in then)
            not_up = {node for node, begun, ended in silent if begun <= last and first <= ended}
            killed = {
                node for node, (begun, ended) in self.killed.items()
                if begun <= last and first <= ended
            }
            why = (
                "a holder was killed" if holders & killed
                else "its holders were changing" if changing
                else "it was being copied" if copied
                else "a holder was silent unasked" if holders & not_up
                else None
            )
            text = f"{self.account.name(refusal.key)}, held by {sorted(holders)}: {refusal}"
            if why is None:
                self.findings.add("refused though nothing was wrong with its holders", text)
            elif refusal.node is not None and refusal.node not in holders:
                self.findings.add("refused for a node that does not hold it", text)
            self.why[(refusal.op, refusal.code, why or "NO REASON")] += 1

    def rings(self):
        """Each ring with the time in which it was in force, and the event that told it."""
        heard = self.events.since(self.begun)
        told = [(at, event) for at, event in heard if event["event"] == "ring_epoch"]
        begins = [self.begun, *(at for at, _ in told)]
        ends = [*begins[1:], float("inf")]
        rings = [(self.first_ring, None)]
        rings += [(Ring(event["points"], self.args.replicas), event) for _, event in told]
        return [(begin, end, *ring) for begin, end, ring in zip(begins, ends, rings)]

    def silent(self):
        """Who was not up, from when to when."""
        since, periods = {}, []
        for at, event in self.events.since(self.begun):
            if event["event"] != "member_state":
                continue
            node = event["node"]
            if event["to"] != "up":
                since.setdefault(node, at)
            elif node in since:
                periods.append((node, since.pop(node), at))
        return periods + [(node, at, float("inf")) for node, at in since.items()]

    def check_at_rest(self):
        """With no load any more: by what the cluster says, and by what its disks say."""
        cluster = self.cluster
        say("scrubbing")
        begun = time.monotonic()
        self.scrubbed = cluster.piazza("admin", "scrub", "--addr", cluster.addr).strip()
        self.scrub_s = time.monotonic() - begun
        say("reading every key")
        self.read_back()
        self.settle()
        places = self.locate()[1]
        status = cluster.is_whole(self.args.keys)
        if status is None:
            self.findings.add("not whole at the end", str(cluster.status()["copies"]))
            status = cluster.status()
        for incident in status["incidents"]:
            self.findings.add("incidents", str(incident))
        for text in self.account.wrong:
            self.findings.add("answers that are wrong", text)
        members = sorted({point["node"] for point in status["ring"]["points"]})
        say("stopping, and reading the disks of " + " ".join(members))
        cluster.piazza("down", "--dir", str(cluster.dir))
        cluster.up.wait(STOP_S_MAX)
        found = {member: disks.read(cluster, member, self.findings) for member in members}
        self.copies = {member: len(found[member]) for member in members}
        disks.compare(self.account, found, places, self.findings)

    def read_back(self):
        """All keys through the coordinator, as any client would."""
        names = [self.account.name(key) for key in range(self.args.keys)]
        parts = [names[at:at + 100] for at in range(0, len(names), 100)]
        key = 0
        asks = ({"op": "mget", "keys": part} for part in parts)
        for reply in self.cluster.conn().many(asks, depth=16):
            if not reply.get("ok"):
                raise Failed(f"keys cannot be read at the end: {reply}")
            for found in reply["values"]:
                found = found or {"value": None, "version": None}
                self.account.read(key, found["value"], found["version"])
                key += 1

    def settle(self):
        """Until nodes have dropped what they do not hold any more; if they never do, the disks
        will show it."""
        wanted = self.args.keys * self.args.replicas

        def held():
            nodes = self.cluster.status()["nodes"]
            parts = [(node["keys_primary"] or 0) + (node["keys_replica"] or 0) for node in nodes
                     if node["state"] == "up"]
            return sum(parts) == wanted

        self.cluster.wait("nodes to hold no more than they should", held, 60)

    def print(self):
        load, account = self.load, self.account
        took_s = self.stopped - self.begun
        print(
            f"flow: {self.args.nodes} nodes, {self.args.replicas} copies, {account.keys} keys of "
            f"{account.value_bytes} bytes, evicted after {self.args.evict_after:g} s, "
            f"{self.args.connections} connections, rate {self.args.rate or 'as answered'}, "
            f"{self.args.reads} % reads, seed {self.args.seed}\n"
        )
        self.print_steps()
        print()
        for op in ("get", "put"):
            took = [answer.took_s * 1000 for answer in load.answers if answer.op == op]
            print(
                f"{op}: {len(took)} ok, {len(took) / took_s:.0f}/s, p50 "
                f"{shown(quantile(took, 0.5), '.2f')} ms, p99 {shown(quantile(took, 0.99), '.2f')} "
                f"ms, longest {shown(max(took, default=None), '.0f')} ms"
            )
        print(f"acknowledged writes: {account.writes - account.keys}, and {account.keys} before")
        for (op, code, why), count in sorted(self.why.items()):
            print(f"refused: {op} {code}: {count}, {why}")
        if not self.why:
            print("refused: none")
        print(f"keys with an update whose outcome is unknown at the end: {len(account.open)}")
        print(f"scrub: {self.scrubbed.splitlines()[-1]} ({self.scrub_s:.1f} s)")
        held = " ".join(f"{member}:{count}" for member, count in self.copies.items())
        wanted = account.keys * self.args.replicas
        print(f"copies on disks: {sum(self.copies.values())} of {wanted} ({held})")
        self.findings.print()
        if not self.findings:
            print("all is as it should be: places, copies, values, versions, refusals")

    def print_steps(self):
        rows = []
        for step in self.steps:
            within = [a for a in self.load.answers if step.begun <= a.ended <= step.ended]
            refused = sum(step.begun <= r.ended <= step.ended for r in self.load.refusals)
            row = [step.name]
            for at in (step.evicted, step.copied, step.ended):
                row.append(shown(at and (at - step.begun), ".2f"))
            for op in ("get", "put"):
                took = [answer.took_s * 1000 for answer in within if answer.op == op]
                row += [shown(quantile(took, part), ".2f") for part in (0.5, 0.99)]
            rows.append([*row, f"{len(within) / (step.ended - step.begun):.0f}", refused])
        head = [
            "STEP", "EVICTED s", "COPIED s", "WHOLE s", "GET P50 ms", "P99", "PUT P50 ms", "P99",
            "OK/S", "REFUSED",
        ]
        table(head, rows)
