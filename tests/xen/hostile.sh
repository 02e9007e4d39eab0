#!/bin/bash
# A rank that writes garbage into its ring or its attach node fails its own job, with a reason, and
# harms nobody.
. ./expect.bash

pgas run -n 2 hello.img -- --ticks 1000 >/tmp/other.log 2>&1 &
other=$!
wait_for grep -q "tick 1" /tmp/other.log

kinds=$(pgas run -n 1 hostile.img | sed -n 's/^\[0\] //p')
[ "$(echo "$kinds" | wc -l)" -ge 10 ] || fail "too few kinds: $kinds"
for kind in $kinds; do
    run pgas run -n 3 --timeout 1800 hostile.img -- "$kind"
    expect_status 122
    expect_last "rank 2 broke the protocol"
done

kill -0 $other || fail "the other job has ended: $(cat /tmp/other.log)"
kill -TERM $other
wait $other
[ $? = 130 ] || fail "the interrupted job's status is not 130"
finish
