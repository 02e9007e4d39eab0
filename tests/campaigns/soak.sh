#!/bin/bash
# The soak in Xen, of which tests/src/bin/soak/main.rs tells. On the build host:
#
#     cargo build --release -p xenolith-tests --bins
#     cargo run --release -p qemu-ci -- exec --timeout 7200 \
#         --put target/release/soak:/root/soak tests/campaigns/soak.sh [--jobs 40] [--seed N]
set -eu
programs=$(dirname "$(command -v pgas)")
/root/soak --jobs 40 --xen "$programs" --image "${XENOLITH_IMAGES%%:*}/chatter.img" "$@"
left=$(xl list | grep -c pgas- || true)
[ "$left" = 0 ] || { echo "soak: $left domains are left"; exit 1; }
