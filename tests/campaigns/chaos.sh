#!/bin/bash
# Chaos in Xen, of which tests/src/chaos/mod.rs tells: jobs beside domains that write garbage and
# ring without end. In a host of its own, all of whose domains are ranks. On the build host:
#
#     cargo build --release -p xenolith-tests --bins
#     cargo run --release -p qemu-ci -- exec --timeout 7200 \
#         --put target/release/chaos:/root/chaos tests/campaigns/chaos.sh [--jobs 20] [--seed N]
set -u
programs=$(dirname "$(command -v pgas)")
trouble='BUG:|WARNING:|Bad page|Oops|general protection|grant.*still in use'
before=$(xl info free_memory)
/root/chaos --jobs 20 --at-a-time 2 --daemon-kills 2 \
    --xen "$programs" --images "${XENOLITH_IMAGES%%:*}" "$@"
status=$?
# left WHAT COUNT: nothing of that kind may be left.
left() {
    [ "$2" = 0 ] || { echo "chaos: left behind: $2 $1"; status=1; }
}
left domains "$(xl list | tail -n +3 | wc -l)"
left "directories of domains in xenstore" "$(xenstore-list /local/domain | grep -cvx 0)"
left "complaints in the kernel's log" "$(dmesg | grep -cE "$trouble")"
# The table of dom0's grant mappings grows with the most that there ever were, to 4 MiB, and never
# shrinks.
now=$(xl info free_memory)
[ "$now" -ge $((before - 5)) ] || left "MiB that were free" $((before - now))
exit $status
