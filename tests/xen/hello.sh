#!/bin/bash
# The smallest application: by pgas on 1 and 4 ranks, and by plain xl.
. ./expect.bash

for ranks in 1 4; do
    run pgas run -n $ranks --table hello.img
    expect_status 0
    for rank in $(seq 0 $((ranks - 1))); do
        expect "[$rank] hello from $rank of $ranks"
    done
done

size=$(stat -c %s "$XENOLITH_IMAGES/hello.img")
echo "hello.img has $size bytes"
[ "$size" -le $((512 * 1024)) ] || fail "hello.img is larger than 512 KiB"

# A job of one rank, by its xl.cfg alone.
run xl create "$XENOLITH_IMAGES/hello.cfg"
expect_status 0
wait_for console_has hello "hello from 0 of 1"
wait_for no_domains hello
finish
