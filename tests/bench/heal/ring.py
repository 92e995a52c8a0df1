"""Where a key lies by a ring, from what the cluster says of the ring's points and the key's hash.

Used by `flow`. Does not hash: the hash of a key is what `locate` says. What it works out is
compared with what `locate` says for every key.
"""

from bisect import bisect_left


class Ring:
    """Points with their nodes; a key's holders are the next distinct nodes from its hash on."""

    def __init__(self, points, replicas):
        points = sorted((int(point["hash"], 16), point["node"]) for point in points)
        self.ends = [end for end, _ in points]
        self.holders = []
        for first in range(len(points)):
            walk = [node for _, node in points[first:] + points[:first]]
            self.holders.append(tuple(dict.fromkeys(walk))[:replicas])

    def at(self, point):
        """Who holds what lies at this point, the primary first."""
        return self.holders[bisect_left(self.ends, point) % len(self.ends)]


def moves(event, point):
    """Whether the ring that this event tells of has somebody learn what lies at this point."""
    for move in event["moves"]:
        first, last = int(move["from"], 16), int(move["to"], 16)
        wraps = first > last
        if (first <= point <= last) if not wraps else (point >= first or point <= last):
            return True
    return False
