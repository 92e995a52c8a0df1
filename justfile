# The few verbs of this repository; `just` alone lists them.
_list:
    @just --list --unsorted

# Everything that a change must pass; writes nothing
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
    cargo test

# Formats, and repairs what the lints can repair
fix:
    cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
    cargo fmt --all

# All tests, or those whose name contains WHAT, with what they print
test *WHAT:
    cargo test {{ if WHAT == "" { "" } else { WHAT + " -- --nocapture" } }}

# Bugs planted one by one: the simulation must find each
planted:
    cargo test --features planted-bugs --test main planted -- --nocapture

# Against Redis, side by side; options after --
bench *OPTIONS:
    cargo bench --bench versus -- {{ OPTIONS }}

# Membership under load, and what the console costs: `just heal flow`, `just heal --help`
heal *OPTIONS:
    cargo build --release
    python3 tests/bench/heal.py {{ OPTIONS }}

# What the continuous integration runs
ci:
    .ci/run
