#!/usr/bin/env bash
# A dictionary goes in, everything is killed at once, and every word is still there.
#
#   demos/words.sh                                 with target/release/piazza
#   PIAZZA_BIN=target/debug/piazza demos/words.sh  with another binary
#
# Needs bash and python3. Uses free ports and a directory of its own, and leaves nothing behind.
# Exit code 0: every answer was right, before and after the kill.
set -euo pipefail

cd "$(dirname "$0")/.."
bin=${PIAZZA_BIN:-target/release/piazza}
dictionary=/usr/share/dict/american-english
ready_max_s=120

say() { printf '== %s\n' "$*"; }
fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}
command -v python3 >/dev/null || fail "python3 is missing: it reads the words back"
[ -x "$bin" ] || fail "no program at $bin: run 'cargo build --release' first, or set PIAZZA_BIN"

work=$(mktemp -d)
data=$work/data
supervisor=

clean_up() {
    code=$?
    trap - EXIT
    if [ -n "$supervisor" ]; then
        # The servers end with their supervisor, however that ends.
        kill -KILL "$supervisor" 2>/dev/null || true
        { wait "$supervisor" || true; } 2>/dev/null
    fi
    if [ "$code" -ne 0 ] && [ -e "$work/up.err" ]; then
        printf '%s\n' "-- the supervisor's last words:" >&2
        tail -n 20 "$work/up.err" >&2
    fi
    # A server that dies may still hold a file for a moment.
    rm -rf "$work" 2>/dev/null || { sleep 1 && rm -rf "$work"; }
    exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Starts the cluster in $data; sets $supervisor, $ready and $addr.
start() {
    local began=$SECONDS
    : >"$work/up.out"
    "$bin" up --headless --any-port --dir "$data" >"$work/up.out" 2>>"$work/up.err" &
    supervisor=$!
    while ! grep -q '^ready ' "$work/up.out"; do
        kill -0 "$supervisor" 2>/dev/null || fail "piazza up ended before it was ready"
        [ $((SECONDS - began)) -lt "$ready_max_s" ] || fail "not ready after $ready_max_s s"
        sleep 0.05
    done
    ready=$(sed -n 's/^ready //p' "$work/up.out")
    addr=$(python3 -c 'import json, sys; print(json.loads(sys.argv[1])["clients"][0])' "$ready")
    printf 'ready %s\n' "$ready"
}

# Asks for every word over one connection, at most 500 questions ahead, and compares each answer.
read_back() {
    python3 - "$addr" "$work/words.csv" <<'PYTHON'
import json, socket, sys, time

host, port = sys.argv[1].rsplit(":", 1)
with open(sys.argv[2], encoding="utf-8", newline="\n") as file:
    expected = [line.rstrip("\n").rsplit(",", 1) for line in file]
connection = socket.create_connection((host.strip("[]"), int(port)), timeout=60)
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
replies = connection.makefile("rb", buffering=1 << 16)
began, asked, wrong = time.monotonic(), 0, 0
for answered, (word, value) in enumerate(expected):
    # Asked in portions, so that one write carries many questions.
    if asked - answered <= 250:
        ahead = expected[asked : answered + 500]
        lines = [json.dumps({"op": "get", "key": key}) + "\n" for key, _ in ahead]
        connection.sendall("".join(lines).encode())
        asked += len(ahead)
    line = replies.readline()
    if not line:
        sys.exit(f"the connection ended after {answered} answers")
    reply = json.loads(line)
    if reply.get("value") != value:
        wrong += 1
        if wrong <= 5:
            print(f"{word!r} should be {value!r}: {reply}", file=sys.stderr)
took = time.monotonic() - began
print(f"{len(expected)} words read back in {took:.2f} s, {wrong} wrong")
sys.exit(1 if wrong else 0)
PYTHON
}

# Exports everything: sorted, it must be what was imported, sorted.
check_export() {
    "$bin" export --csv --addr "$addr" "$work/exported.csv" || return
    LC_ALL=C sort "$work/exported.csv" >"$work/exported" || return
    LC_ALL=C sort "$work/words.csv" | diff - "$work/exported" || return
    echo "import and export do not differ"
}

say "the words"
if [ -r "$dictionary" ]; then
    cp "$dictionary" "$work/words"
else
    echo "$dictionary is not there (Debian's package wamerican): 104334 made-up words instead"
    python3 - >"$work/words" <<'PYTHON'
syllables = [c + v for c in "bcdfghjklmnprstvwz" for v in ("a", "e", "i", "o", "u", "é")]
for number in range(104_334):
    word, rest = "", number
    for _ in range(3):
        word, rest = syllables[rest % len(syllables)] + word, rest // len(syllables)
    print(word + ("'s" if number % 4 == 0 else ""))
PYTHON
fi
awk '{ print $0 "," NR }' "$work/words" >"$work/words.csv"
count=$(wc -l <"$work/words.csv")
[ "$(LC_ALL=C sort -u "$work/words" | wc -l)" -eq "$count" ] || fail "a word is there twice"
echo "$count words, each with its line number as value"

say "a cluster of one coordinator and five nodes"
start

say "import"
"$bin" import --csv --addr "$addr" "$work/words.csv"

say "read back"
read_back || fail "the words came back wrong"

say "export"
check_export || fail "the export is not what was imported"

say "SIGKILL to supervisor, coordinator and all nodes at once"
pids=$(python3 -c 'import json, sys; print(*json.loads(sys.argv[1])["pids"].values())' "$ready")
# In braces, so that the shell's own remark about the kill is not shown.
# shellcheck disable=SC2086  # One word per process.
{ kill -KILL "$supervisor" $pids && wait "$supervisor" || true; } 2>/dev/null
supervisor=
for pid in $pids; do
    for _ in $(seq 200); do
        kill -0 "$pid" 2>/dev/null || continue 2
        sleep 0.05
    done
    fail "process $pid survived SIGKILL"
done
echo "killed: $pids"

say "the same directory again"
start

say "read back, after the kill"
read_back || fail "words were lost"
check_export || fail "the export has changed"
"$bin" wait healthy --timeout 60s --addr "$addr"

say "stop"
"$bin" down --dir "$data"
wait "$supervisor" || fail "piazza up ended with exit code $?"
supervisor=
say "all is well"
