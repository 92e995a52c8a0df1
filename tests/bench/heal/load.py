"""Writers that keep account: what each key must hold, whatever became of its updates.

Used by `flow`. Each key belongs to one connection, which has one request in flight, so the
account of a key is never raced. An update that was answered `unknown_outcome`, or not at all, may
hold or not, until a later update of the key is acknowledged or a read shows it.
"""

import asyncio
import collections
import json
import random
import threading
import time
import zlib

# Codes by which an update was certainly not made.
REFUSED = {
    "replica_down", "aborted", "overloaded", "timeout", "unavailable", "not_leader",
}
UNKNOWN = {"unknown_outcome", "connection_lost"}
STOP_S_MAX = 30
# The bits of a version's number that count within an epoch.
COUNTER_BITS = 44

Refusal = collections.namedtuple("Refusal", "begun ended key op code node reason")
Answer = collections.namedtuple("Answer", "ended op took_s")


def crc_of(key, version, value):
    """The checksum that a node keeps with a value, as `cluster/src/storage/codec` defines it."""
    epoch, counter = (int(part) for part in version.split("."))
    number = (epoch << COUNTER_BITS) | counter
    key, value = key.encode(), value.encode()
    head = len(key).to_bytes(2, "little") + key + number.to_bytes(8, "little") + b"\1"
    return format(zlib.crc32(head + value), "08x")


class Account:
    """What each key must hold. Keys are numbers from 0; values tell key and update."""

    def __init__(self, keys, value_bytes):
        self.keys, self.value_bytes = keys, value_bytes
        self.held = [0] * keys  # the update that was acknowledged last
        self.version = [None] * keys
        self.given = [0] * keys  # the update that was sent last
        self.open = {}  # key: updates since then that may hold, oldest first
        self.writes = 0
        self.wrong = []

    def name(self, key):
        return f"key-{key:07d}"

    def value(self, key, update):
        return f"{key}.{update}.".ljust(self.value_bytes, "x")

    def give(self, key):
        self.given[key] += 1
        return self.given[key]

    def acknowledge(self, key, update, version):
        self.held[key], self.version[key] = update, version
        self.open.pop(key, None)
        self.writes += 1

    def lose(self, key, update):
        self.open.setdefault(key, []).append(update)

    def may_hold(self, key):
        return [self.held[key], *self.open.get(key, [])]

    def read(self, key, value, version):
        """A read was answered: is it one of what may be there? It settles what it shows."""
        for update in self.may_hold(key):
            if value == self.value(key, update):
                break
        else:
            self.wrong.append(f"{self.name(key)} was read as {str(value)[:40]!r}, not as update "
                              f"{self.may_hold(key)}")
            return
        if update == self.held[key]:
            if self.version[key] not in (None, version):
                self.wrong.append(f"{self.name(key)}: version {version}, not {self.version[key]}")
            return
        self.held[key], self.version[key] = update, version
        left = [later for later in self.open[key] if later > update]
        self.open.pop(key)
        if left:
            self.open[key] = left

    def fill(self, conn):
        """Puts every key once."""
        puts = (
            {"op": "put", "key": self.name(key), "value": self.value(key, 0)}
            for key in range(self.keys)
        )
        for key, reply in enumerate(conn.many(puts)):
            if not reply.get("ok"):
                return f"{self.name(key)} could not be filled: {reply}"
            self.acknowledge(key, 0, reply["version"])
        return None


class Load:
    """Connections that read and write their keys, in a thread of their own, until they are told to
    stop. `rate`: operations a second over all of them; 0: each asks again when it is answered."""

    def __init__(self, addr, account, connections, rate, reads, seed):
        self.addr, self.account = addr, account
        self.connections, self.rate, self.reads = connections, rate, reads
        self.seed = seed
        self.answers, self.refusals = [], []
        self.ended = threading.Event()
        self.failure = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self.thread.start()

    def stop(self):
        """Waits for what is in flight. An exception of a connection is handed on."""
        self.ended.set()
        self.thread.join(STOP_S_MAX)
        if self.failure is not None:
            raise self.failure
        if self.thread.is_alive():
            raise RuntimeError("a request was not answered: the load did not end")

    def _run(self):
        async def all_of_them():
            each = (self._connection(number) for number in range(self.connections))
            await asyncio.gather(*each)

        try:
            asyncio.run(all_of_them())
        except Exception as failure:
            self.failure = failure

    async def _connection(self, number):
        draw = random.Random(f"{self.seed}.{number}")
        mine = range(number, self.account.keys, self.connections)
        pause_s = self.connections / self.rate if self.rate else 0.0
        due = time.monotonic() + draw.random() * pause_s
        host, port = self.addr.rsplit(":", 1)
        streams = None
        while not self.ended.is_set():
            if pause_s:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                due = max(due + pause_s, time.monotonic() - pause_s)
            key = mine[draw.randrange(len(mine))]
            op = "get" if draw.random() * 100 < self.reads else "put"
            update = self.account.give(key) if op == "put" else None
            begun = time.monotonic()
            try:
                streams = streams or await asyncio.open_connection(host, int(port))
                reply = await self._ask(streams, op, key, update)
            except OSError:
                streams, reply = None, {"ok": False, "code": "connection_lost"}
                await asyncio.sleep(0.1)
            self._take(op, key, update, reply, begun)
        if streams:
            streams[1].close()

    async def _ask(self, streams, op, key, update):
        request = {"op": op, "key": self.account.name(key)}
        if op == "put":
            request["value"] = self.account.value(key, update)
        streams[1].write(json.dumps(request, separators=(",", ":")).encode() + b"\n")
        line = await streams[0].readline()
        if not line.endswith(b"\n"):
            raise ConnectionResetError
        return json.loads(line)

    def _take(self, op, key, update, reply, begun):
        account, ended = self.account, time.monotonic()
        if reply.get("ok"):
            self.answers.append(Answer(ended, op, ended - begun))
            if op == "put":
                account.acknowledge(key, update, reply["version"])
            else:
                account.read(key, reply.get("value"), reply["version"])
            return
        code = reply.get("code")
        if op == "put" and code in UNKNOWN:
            account.lose(key, update)
        elif code not in REFUSED | UNKNOWN:
            account.wrong.append(f"{op} of {account.name(key)} was answered {reply}")
        self.refusals.append(
            Refusal(begun, ended, key, op, code, reply.get("node"), reply.get("reason"))
        )
