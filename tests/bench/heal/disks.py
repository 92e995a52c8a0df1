"""What the members' disks hold, against what they should: every key on exactly the right nodes,
all copies alike, and each of them what was acknowledged.

Used by `flow`, after the cluster was stopped. Rests on `piazza inspect DIR --keystore --json`,
which verifies each record's checksum; the checksum that the account leads to is computed here
anew, so the value itself is compared, though it is not shown.
"""

import json
import subprocess

from .cluster import Failed, die_with_parent
from .load import crc_of

FINDINGS_MAX = 10


class Findings:
    """What is wrong, by kind: how often, and the first few."""

    def __init__(self):
        self.counts, self.some = {}, {}

    def add(self, kind, text):
        self.counts[kind] = self.counts.get(kind, 0) + 1
        some = self.some.setdefault(kind, [])
        if len(some) < FINDINGS_MAX:
            some.append(text)

    def print(self):
        for kind, count in self.counts.items():
            print(f"WRONG: {kind}: {count}")
            for text in self.some[kind]:
                print(f"    {text}")

    def __bool__(self):
        return bool(self.counts)


def read(cluster, member, findings):
    """The live keys of a stopped member: name to (role, version, checksum)."""
    command = [
        cluster.bin, "inspect", str(cluster.dir / member), "--keystore", "--json",
    ]
    found = {}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=die_with_parent,
    ) as ran:
        try:
            for line in ran.stdout:
                told = json.loads(line)
                if told["kind"] == "damage":
                    findings.add("damage", f"{member}: {told}")
                elif told["kind"] == "key" and not told["deleted"]:
                    found[told["key"]] = (told["role"], told["version"], told["checksum"])
                    if told["undecided"]:
                        findings.add("undecided after a stop", f"{member}: {told}")
        except BaseException:
            ran.kill()
            raise
        error = ran.stderr.read().strip()
    # 5 is told by `damage` lines.
    if ran.returncode not in (0, 5):
        raise Failed(f"piazza inspect of {member} ended with {ran.returncode}: {error}")
    return found


def compare(account, members, places, findings):
    """`members`: what `read` found, by name; `places`: the holders of each key, primary first."""
    for key in range(account.keys):
        name = account.name(key)
        copies = {member: found[name] for member, found in members.items() if name in found}
        if set(copies) != set(places[key]):
            findings.add(
                "copies elsewhere than they should be",
                f"{name} is on {sorted(copies)}, and should be on {sorted(places[key])}",
            )
        primaries = [member for member, copy in copies.items() if copy[0] == "primary"]
        if primaries != [places[key][0]]:
            findings.add("another primary", f"{name}: {primaries}, should be {places[key][0]}")
        if len({copy[1:] for copy in copies.values()}) > 1:
            findings.add("copies that differ", f"{name}: {copies}")
        for member, (_, version, checksum) in copies.items():
            if not is_allowed(account, key, version, checksum):
                findings.add(
                    "not what was acknowledged",
                    f"{name} on {member}: version {version} with checksum {checksum}; "
                    f"acknowledged was {account.version[key]}, may hold {account.may_hold(key)}",
                )
    known = {account.name(key) for key in range(account.keys)}
    for member, found in members.items():
        for name in found.keys() - known:
            findings.add("keys that nobody wrote", f"{name} on {member}")


def is_allowed(account, key, version, checksum):
    name = account.name(key)
    for update in account.may_hold(key):
        settled = update == account.held[key]
        if settled and version != account.version[key]:
            continue
        if crc_of(name, version, account.value(key, update)) == checksum:
            return True
    return False
