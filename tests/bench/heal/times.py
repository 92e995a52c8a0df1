"""`times`: how long it takes after a SIGKILL of a node until it is noticed, evicted, written
around, and copied again, for several numbers of keys and several loads.

The node is killed by the supervisor's `kill` (which sends SIGKILL), so that it stays down; times
count from just before that order is sent. A probe writes every 2 ms, to the next of several
hundred keys of which the node holds a copy, on whichever of its connections is free: one write
that hangs stops no other. It ends when writes flow again, before most of the copying.
"""

import asyncio
import json
import signal
import threading
import time

from .cluster import (
    Cluster, Failed, milliseconds, nothing_moves, ring_without, say, state_is, stop,
)
from .figures import shown, table
from .options import count, counts, loads, seconds

PROBE_KEYS = 300
PROBE_CONNECTIONS = 128
PROBE_PAUSE_S = 0.002
# How long all goes on before the kill.
CALM_S = 2.0
# Writes flow again when none was refused for so long.
FLOWING_S = 0.5
TOLD_S_MAX = 120


def grammar(scenarios):
    about = "from a SIGKILL to suspect, evicted, writes again, all copies again"
    parser = scenarios.add_parser("times", help=about, description=__doc__)
    parser.add_argument(
        "--keys", type=counts, default=[10_000, 100_000, 1_000_000], metavar="COUNT,...",
        help="how many, one cluster each (default: 10k,100k,1M)",
    )
    parser.add_argument(
        "--load", type=loads, default=["none", "500", "closed"], metavar="LOAD,...",
        help="beside the probe: none; so many writes a second; closed: writers that write again "
        "when they are answered (default: none,500,closed)",
    )
    parser.add_argument("--value-bytes", type=count, default=100, help="default: 100")
    parser.add_argument("--nodes", type=count, default=5, help="default: 5")
    parser.add_argument("--replicas", type=count, default=3, help="default: 3")
    parser.add_argument("--evict-after", type=seconds, default=3.0, help="default: 3s")
    parser.add_argument("--connections", type=count, default=16, help="of the load (default: 16)")
    parser.set_defaults(run=run)


def run(args):
    if len(args.load) >= args.nodes:
        raise Failed("each load kills another node: take more --nodes, or fewer --load")
    options = ["--evict-after", milliseconds(args.evict_after)]
    print(
        f"times: {args.nodes} nodes, {args.replicas} copies, values of {args.value_bytes} bytes, "
        f"evicted after {args.evict_after:g} s; milliseconds since the kill\n"
    )
    rows = []
    for keys in args.keys:
        with Cluster(args, args.nodes, args.replicas, options) as cluster:
            cluster.fill(keys, args.value_bytes)
            probed = set()
            for number, load in enumerate(args.load):
                rows.append(measure(args, cluster, keys, load, f"n{number + 2}", probed))
                say(" ".join(str(cell) for cell in rows[-1]))
    table(["KEYS", "LOAD", "SUSPECT", "DOWN", "EVICTED", "FIRST WRITE", "ALL WRITES", "COPIED",
           "TOLD WHOLE", "KEYS COPIED", "OF THEM/S"], rows)
    print(
        "\nFIRST WRITE: after refusals, of a key of the dead node, answered ok; ALL WRITES: from "
        "then on none was\nrefused or still waiting; COPIED: a ring in which nobody learns; TOLD "
        "WHOLE: by the counts of status"
    )
    return True


def measure(args, cluster, keys, load, node, probed):
    """One kill, and the node's return; `probed`: the keys that probes have put so far."""
    say(f"{keys} keys, load {load}: killing {node}")
    events = cluster.events()
    names = keys_of(cluster, node)
    probed.update(names)
    total = keys + len(probed)
    probe = Probe(cluster, names)
    loading = start_load(args, cluster, keys, load)
    try:
        probe.start()
        time.sleep(CALM_S)
        cluster.wait("a whole cluster", lambda: cluster.is_whole(total))
        killed = time.monotonic()
        cluster.order("kill", node)
        silent = "suspect", "down", "evicted"
        suspect, _ = events.wait("suspect", killed, state_is(node, *silent), TOLD_S_MAX)
        down, _ = events.wait("down", killed, state_is(node, *silent[1:]), TOLD_S_MAX)
        evicted, _ = events.wait("evicted", killed, ring_without(node))
        cluster.wait("writes to flow again", lambda: probe.flows(evicted), TOLD_S_MAX)
        # From here on it would only be one more client, for whom copying makes room.
        probe.stop()
        copied, _ = events.wait("copied", evicted, nothing_moves)
        cluster.wait("all copies", lambda: cluster.is_whole(total))
        whole = time.monotonic()
        if loading is not None and loading.poll() is not None:
            raise Failed(f"the load ended early: {loading.communicate()[1]}")
    finally:
        probe.stop()
        if loading is not None:
            stop(loading, signal.SIGINT)
    first, last = probe.found(killed)
    copied_keys = keys_copied(cluster, node)
    cluster.order("start", node)
    cluster.wait(f"{node} to be back", lambda: cluster.is_whole(total, node))
    events.conn.close()
    rate = copied_keys and copied_keys / (copied - evicted)
    times = [suspect, down, evicted, first, last, copied, whole]
    moments = [shown(at and (at - killed) * 1000) for at in times]
    return [keys, load, *moments, shown(copied_keys), shown(rate)]


def keys_copied(cluster, node):
    for change in reversed(cluster.status()["changes"]):
        if change["action"] == "evict" and change["node"] == node:
            return change["keys_done"]
    return None


def keys_of(cluster, node):
    """Keys for the probe, of which this node holds a copy; put once."""
    conn = cluster.conn()
    names = [f"probe:{number}" for number in range(PROBE_KEYS * cluster.nodes)]
    asks = ({"op": "locate", "key": name} for name in names)
    found = [name for name, reply in zip(names, conn.many(asks)) if node in reply["nodes"]]
    found = found[:PROBE_KEYS]
    if len(found) < PROBE_KEYS:
        raise Failed(f"only {len(found)} keys for the probe are on {node}")
    for reply in conn.many({"op": "put", "key": name, "value": "0"} for name in found):
        if not reply.get("ok"):
            raise Failed(f"a key for the probe cannot be put: {reply}")
    return found


def start_load(args, cluster, keys, load):
    if load == "none":
        return None
    rate = [] if load == "closed" else ["--rate", load]
    return cluster.load(
        "--keys", str(keys), "--value-bytes", str(args.value_bytes), "--mix", "put=1",
        "--connections", str(args.connections), *rate,
    )


class Probe:
    """Writes to one key after the other, in a thread of its own."""

    def __init__(self, cluster, names):
        self.host, port = cluster.addr.rsplit(":", 1)
        self.port, self.names = int(port), names
        self.answers = []  # (sent, answered, ok)
        self.skipped = []
        self.ended = threading.Event()
        self.failure = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self.thread.start()

    def stop(self):
        self.ended.set()
        if self.thread.ident is not None:
            self.thread.join()
        if self.failure is not None:
            raise self.failure

    def found(self, killed):
        """When the first write that was sent after the kill was answered with ok; and when the
        last was answered that was refused, or sent before and answered only after others were."""
        after = [answer for answer in self.answers if answer[1] >= killed]
        refused = [answered for _, answered, ok in after if not ok]
        if not refused:
            raise Failed("no write of the probe was refused: it met nothing, and measures nothing")
        end = max(refused)
        again = [answered for sent, answered, ok in after if ok and sent >= min(refused)]
        if not again:
            raise Failed("no write of the probe was answered ok any more")
        late = [answered for sent, answered, ok in after if ok and sent < end < answered]
        first = min(again)
        return first, max([first, end, *late])

    def flows(self, evicted):
        """Whether nothing but `ok` was answered for a while, and something was."""
        answers, now = list(self.answers), time.monotonic()
        refused = max((answered for _, answered, ok in answers if not ok), default=evicted)
        since = max(refused, evicted)
        return now - since > FLOWING_S and any(sent > since for sent, _, ok in answers if ok)

    def _run(self):
        try:
            asyncio.run(self._probe())
        except Exception as failure:
            self.failure = failure

    async def _probe(self):
        opened = (asyncio.open_connection(self.host, self.port) for _ in range(PROBE_CONNECTIONS))
        free = list(await asyncio.gather(*opened))
        tasks, number, due = set(), 0, time.monotonic()
        while not self.ended.is_set():
            due += PROBE_PAUSE_S
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if not free:
                self.skipped.append(time.monotonic())
                continue
            streams = free.pop()
            task = asyncio.create_task(self._write(streams, self.names[number % PROBE_KEYS], free))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
        await asyncio.gather(*tasks)

    async def _write(self, streams, name, free):
        sent = time.monotonic()
        request = {"op": "put", "key": name, "value": str(sent)}
        streams[1].write(json.dumps(request).encode() + b"\n")
        reply = json.loads(await streams[0].readline())
        self.answers.append((sent, time.monotonic(), bool(reply.get("ok"))))
        free.append(streams)
