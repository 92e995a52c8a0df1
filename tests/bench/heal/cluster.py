"""A cluster of its own for one scenario: started, asked, listened to, and taken away again.

Used by all scenarios. What it starts ends with this process even if that is killed: children are
told so by the kernel, and a guard removes the directory when nobody holds this end of its pipe.
"""

import ctypes
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

START_S_MAX = 120
STOP_S_MAX = 60
# A change of a million keys on a slow disk takes minutes; what takes longer hangs.
CHANGE_S_MAX = 1800
ASK_S_MAX = 90
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


class Failed(Exception):
    """Something could not be done; one sentence."""


def say(text):
    print(f"  {text}", file=sys.stderr, flush=True)


def milliseconds(seconds):
    """A duration as piazza's flags take it."""
    return f"{round(seconds * 1000)}ms"


def die_with_parent():
    """In a new child: if whoever started it is gone, it is told to stop."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


class Conn:
    """A connection that asks and waits, for one thread at a time."""

    def __init__(self, addr, timeout_s=ASK_S_MAX):
        try:
            self.socket = socket.create_connection(address(addr), timeout=timeout_s)
        except OSError as error:
            raise Failed(f"cannot connect to {addr}: {error}") from None
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.lines = self.socket.makefile("rb")

    def send(self, requests):
        text = "".join(json.dumps(request, separators=(",", ":")) + "\n" for request in requests)
        self.socket.sendall(text.encode())

    def receive(self):
        try:
            line = self.lines.readline()
        except OSError as error:
            raise Failed(f"no answer: {error}") from None
        if not line.endswith(b"\n"):
            raise Failed("the server closed the connection")
        return json.loads(line)

    def call(self, **request):
        """The reply to one request, whatever it says."""
        self.send([request])
        return self.receive()

    def done(self, **request):
        """The reply to one request that must be carried out."""
        reply = self.call(**request)
        if not reply.get("ok"):
            raise Failed(f"{request} was refused: {reply.get('code')}: {reply.get('error')}")
        return reply

    def many(self, requests, depth=512):
        """The replies to many requests, in order, with at most `depth` in flight."""
        requests = iter(requests)
        while part := list(itertools.islice(requests, depth)):
            self.send(part)
            for _ in part:
                yield self.receive()

    def close(self):
        """Also wakes a thread that waits for an answer, which closing alone would wait for."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # The server was faster.
        self.lines.close()
        self.socket.close()


class Events:
    """What the coordinator tells of members and rings, each with the time when it came."""

    def __init__(self, addr):
        self.conn = Conn(addr)
        self.conn.done(op="subscribe", topics=["member", "ring"])
        self.conn.socket.settimeout(None)
        self.heard = []
        self.news = threading.Condition()
        self.ended = None
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        try:
            while True:
                event = self.conn.receive()
                if event.get("event") == "lagged":
                    raise Failed("events were lost, since this program was too slow to read them")
                with self.news:
                    self.heard.append((time.monotonic(), event))
                    self.news.notify_all()
        except (Failed, OSError, ValueError) as error:
            with self.news:
                self.ended = error
                self.news.notify_all()

    def since(self, begun):
        with self.news:
            return [(at, event) for at, event in self.heard if at >= begun]

    def wait(self, what, begun, wanted, timeout_s=CHANGE_S_MAX):
        """When the first event since `begun` came that is wanted, and the event."""
        looked = 0
        end = time.monotonic() + timeout_s
        with self.news:
            while True:
                for at, event in self.heard[looked:]:
                    if at >= begun and wanted(event):
                        return at, event
                looked = len(self.heard)
                left = end - time.monotonic()
                if self.ended is not None or left <= 0:
                    why = self.ended or f"not within {timeout_s} s"
                    raise Failed(f"waited for {what}: {why}")
                self.news.wait(left)


def state_is(node, *states):
    """Of an event: this node is now in one of these states."""
    return lambda event: (
        event["event"] == "member_state" and event["node"] == node and event["to"] in states
    )


def ring_without(node):
    """Of an event: a ring is in force in which this node has no point."""
    return lambda event: (
        event["event"] == "ring_epoch" and node not in {at["node"] for at in event["points"]}
    )


def nothing_moves(event):
    """Of an event: a ring is in force under which nobody learns anything."""
    return event["event"] == "ring_epoch" and not event["moves"]


class Cluster:
    """A running cluster in a directory of its own; a context manager."""

    def __init__(self, args, nodes, replicas, options=()):
        self.bin, self.nodes, self.replicas = str(args.bin), nodes, replicas
        self.options = list(options)
        self.tmp = args.tmp
        self.up = self.guard = self.home = None
        self.conns = []

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_why):
        for conn in self.conns:
            conn.close()
        if self.up is not None:
            stop(self.up)
        if self.home is not None:
            shutil.rmtree(self.home, ignore_errors=True)
        if self.guard is not None:
            self.guard.stdin.close()
            self.guard.wait()

    def _start(self):
        self.home = Path(tempfile.mkdtemp(prefix="piazza-heal-", dir=self.tmp))
        self.guard = subprocess.Popen(
            [sys.executable, "-c", GUARD, str(self.home)],
            stdin=subprocess.PIPE, start_new_session=True,
        )
        self.dir = self.home / "data"
        command = [
            self.bin, "up", "--headless", "--any-port", "--dir", str(self.dir),
            "--nodes", str(self.nodes), "--replicas", str(self.replicas), *self.options,
        ]
        with open(self.home / "out", "wb") as out, open(self.home / "err", "wb") as err:
            self.up = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                preexec_fn=die_with_parent, start_new_session=True,
            )
        ready = self.wait("the cluster to be ready", self._ready, START_S_MAX)
        self.addr, self.supervisor = ready["clients"][0], ready["supervisor"]
        self.pids = ready["pids"]
        self.main = self.conn()
        self.processes = Conn(self.supervisor)
        self.conns.append(self.processes)

    def _ready(self):
        for line in (self.home / "out").read_text().splitlines():
            if line.startswith("ready "):
                return json.loads(line.removeprefix("ready "))
        if self.up.poll() is not None:
            raise Failed(f"piazza up ended: {(self.home / 'err').read_text().strip()}")
        return None

    def conn(self):
        conn = Conn(self.addr)
        self.conns.append(conn)
        return conn

    def events(self):
        events = Events(self.addr)
        self.conns.append(events.conn)
        return events

    def wait(self, what, look, timeout_s=CHANGE_S_MAX, every_s=0.02):
        """What `look` finds, as soon as that is something."""
        end = time.monotonic() + timeout_s
        while not (found := look()):
            if time.monotonic() > end:
                raise Failed(f"waited {timeout_s} s for {what}")
            time.sleep(every_s)
        return found

    def status(self):
        return self.main.done(op="status")

    def order(self, action, proc):
        """Asks the supervisor to do something to a process."""
        return self.processes.done(op="admin", action=action, proc=proc)

    def change(self, action, **more):
        """Asks the coordinator for a change, and waits until it has ended well."""
        change = self.main.done(op="admin", action=action, **more).get("change")
        if change is not None:
            self.wait(f"{action} to be done", lambda: self.has_ended(change))

    def has_ended(self, change):
        found = [one for one in self.status()["changes"] if one["change"] == change]
        if not found or found[0]["state"] in ("cancelled", "failed"):
            raise Failed(f"the change {change} did not come to its end: {found}")
        return found[0]["state"] == "done"

    def is_whole(self, keys=None, member=None):
        """The status, if every key has all its copies and nothing is under way; else nothing.

        `keys`: how many there must be; `member`: who must have a place.
        """
        status = self.status()
        holders = {point["node"] for point in status["ring"]["points"]}
        copies = {int(number): keys for number, keys in status["copies"].items() if keys > 0}
        well = all(node["state"] == "up" for node in status["nodes"] if node["name"] in holders)
        whole = (
            well
            and status["coordinator"]["state"] == "active"
            and set(copies) <= {self.replicas}
            and keys in (None, sum(copies.values()))
            and (member is None or member in holders)
            and not status.get("copies_unwritable")
            and not status.get("copies_uncounted")
            and status["keys_in_doubt"] == 0
            and not any(one["state"] in ("running", "waiting") for one in status["changes"])
            and not any(node["state"] == "leaving" for node in status["nodes"])
        )
        return status if whole else None

    def piazza(self, *arguments, timeout_s=CHANGE_S_MAX):
        """What a command prints; it must succeed."""
        try:
            ran = subprocess.run(
                [self.bin, *arguments], capture_output=True, text=True, timeout=timeout_s,
                stdin=subprocess.DEVNULL, preexec_fn=die_with_parent,
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"piazza {' '.join(arguments)} takes over {timeout_s} s") from None
        if ran.returncode != 0:
            told = (ran.stderr or ran.stdout).strip()
            raise Failed(f"piazza {' '.join(arguments)} ended with {ran.returncode}: {told}")
        return ran.stdout

    def bench_command(self, *arguments):
        return [self.bin, "bench", "--addr", self.addr, "--json", "--yes", *arguments]

    def bench(self, *arguments):
        """The report of a benchmark that leaves its keys."""
        command = self.bench_command("--keep", *arguments)
        return json.loads(self.piazza(*command[1:]).splitlines()[-1])

    def load(self, *arguments):
        """A benchmark that leaves its keys and asks on until it is stopped: its process."""
        return subprocess.Popen(
            self.bench_command("--keep", "--no-fill", "--duration", "600m", *arguments),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            preexec_fn=die_with_parent,
        )

    def fill(self, keys, value_bytes):
        """Puts every key that a benchmark of so many asks for."""
        say(f"filling {keys} keys of {value_bytes} bytes")
        begun = time.monotonic()
        self.bench("--keys", str(keys), "--value-bytes", str(value_bytes), "--ops", "1")
        took_s = time.monotonic() - begun
        self.wait("all keys to be counted", lambda: self.is_whole(keys))
        say(f"filled in {took_s:.1f} s, {keys / took_s:.0f}/s")


def stop(process, number=signal.SIGTERM):
    """Ends a child, by force if it does not end by itself."""
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


# Waits until nobody has the other end of its pipe, thus until the benchmark has ended in whatever
# way, then until the supervisor has let go of its lock, which it does when all its children are
# gone, and removes what is left.
GUARD = """
import fcntl, shutil, signal, sys, time
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
sys.stdin.read()
home, end = sys.argv[1], time.monotonic() + 60
while time.monotonic() < end:
    try:
        with open(home + "/data/supervisor.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        break
    except FileNotFoundError:
        break
    except OSError:
        time.sleep(0.1)
for _ in range(50):
    shutil.rmtree(home, ignore_errors=True)
    try:
        open(home + "/data").close()
    except FileNotFoundError:
        break
    except OSError:
        pass
    time.sleep(0.2)
"""


class Stolen:
    """What part of the machine's time its host gave to others, since the last look."""

    def __init__(self):
        self.before = self._ticks()

    @staticmethod
    def _ticks():
        with open("/proc/stat") as file:
            # user nice system idle iowait irq softirq steal; guests are in user already
            ticks = [int(tick) for tick in file.readline().split()[1:9]]
        return ticks[7], sum(ticks)

    def percent(self):
        (stolen, all_), before = self._ticks(), self.before
        self.before = stolen, all_
        return 100 * (stolen - before[0]) / max(1, all_ - before[1])


def cpu_ns(pids):
    """Processor time of all threads of these processes, nanoseconds.

    What threads that have ended took is not in it; those of a server do not end while it serves.
    """
    total = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            try:
                with open(f"/proc/{pid}/task/{task}/schedstat") as file:
                    total += int(file.read().split()[0])
            except (FileNotFoundError, ProcessLookupError):
                continue
    return total
