#!/bin/bash
# Measures in dom0 what `compare --path` reports; run by it through `qemu-ci exec`.
# Arguments: how many rounds. Prints lines for machines, `path,WHAT,BYTES,NANOSECONDS`; see
# tests/benches/compare/path.rs.
set -euo pipefail

for ((round = 0; round < $1; round++)); do
    pgas run -n 2 --mem 16M "$XENOLITH_IMAGES/bench.img" -- --longest 64 --way proxy 2>/dev/null |
        tr -d '\r' | sed -n 's/^\[0\] xenolith,\([a-z]*\),\([0-9]*\),\([0-9.]*\),.*/path,\1,\2,\3/p'
done
