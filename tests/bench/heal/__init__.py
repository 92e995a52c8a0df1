"""The parts of tests/bench/heal.py: `cluster` starts one and talks with it, `load` writes and
keeps account, `ring` places keys, `disks` reads stopped nodes, `figures` computes and prints,
`options` reads what is typed; `flow`, `times`, `windows` and `console` are the scenarios.
"""
