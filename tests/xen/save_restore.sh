#!/bin/bash
# A guest survives xl save -c (it goes on in the same domain) and xl save with xl restore (in a new
# one): one that waits for its clock, and one that only computes.
. ./expect.bash

image=/tmp/save_restore.image
config=/tmp/save_restore.cfg

# start NAME IMAGE ARGUMENTS
start() {
    sed -e "s/^name *=.*/name = \"$1\"/" -e "s/^cmdline *=.*/cmdline = \"-- $3\"/" \
        "$XENOLITH_IMAGES/$2.cfg" >$config
    grep -q '^cmdline' $config || echo "cmdline = \"-- $3\"" >>$config
    run xl create $config
    expect_status 0
}

start ticking hello "--ticks 100000"
wait_for console_has ticking "tick 2"
run xl save -c ticking $image
expect_status 0
run xl list ticking
expect_status 0
ticks=$(console ticking | grep -c tick)
wait_for console_has ticking "tick $((ticks + 2))"
run xl save ticking $image
expect_status 0
ticks=$(console ticking | grep -ac '^tick')
no_domains ticking || fail "the saved domain is still there"
run xl restore $image
expect_status 0
wait_for console_has ticking "tick $((ticks + 2))"
run xl destroy ticking
wait_for no_domains ticking
# Every tick once, in order.
ticks=$(console ticking | grep -ac '^tick')
[ "$(console ticking | grep -a '^tick')" = "$(seq "$ticks" | sed 's/^/tick /')" ] ||
    fail "ticks are missing or twice: $(console ticking)"

# The checksum of a computation that was saved in the middle is that of one that was not.
start straight faults "compute 40"
wait_for console_has straight "checksum"
wait_for no_domains straight
start saved faults "compute 40"
wait_for console_has saved "compute 40"
run xl save -c saved $image
expect_status 0
run xl save saved $image
expect_status 0
run xl restore $image
expect_status 0
wait_for console_has saved "checksum"
wait_for no_domains saved
[ "$(console straight | grep -a checksum)" = "$(console saved | grep -a checksum)" ] ||
    fail "the checksums differ"

# xl shutdown is answered.
start shut hello "--ticks 1000"
wait_for console_has shut "tick 1"
run xl shutdown -w shut
expect_status 0
wait_for no_domains shut
rm -f $image $config
finish
