#!/bin/bash
# Domains that write garbage into all that others read of them, or ring without end, harm nobody but
# their own jobs, which can be ended. tests/campaigns/chaos.sh does more of that.
. ./expect.bash

pgas run -n 1 --mem 8M hello.img -- --ticks 1000 >/tmp/other.log 2>&1 &
other=$!
wait_for grep -q "tick 1" /tmp/other.log

# Either the proxy has stopped it, or what it says of itself makes no sense, or it is interrupted.
true_ends=" 122 123 130 "
kinds=$(pgas run -n 1 --mem 8M vandal.img | sed -n 's/^\[0\] //p')
[ "$(echo "$kinds" | wc -l)" -ge 8 ] || fail "too few kinds: $kinds"
# The campaign takes all of them.
for kind in bell area console store all; do
    pgas run -n 2 --mem 8M vandal.img -- "$kind" 1 0 >/tmp/vandal.log 2>&1 &
    job=$!
    wait_for eval 'grep -q "^\[0\] attacked" /tmp/vandal.log || ! kill -0 $job 2>/dev/null'
    ticks=$(wc -l </tmp/other.log)
    # While it goes on, so do others.
    wait_for eval '[ "$(wc -l </tmp/other.log)" -ge $((ticks + 2)) ]'
    if [ "$kind" = all ]; then
        # A job that keeps no promise is held at most for a while.
        name=$(pgas ps | awk '/vandal/ { print $1 }')
        pgas hold "$name"
        pgas release "$name"
    fi
    kill -TERM $job 2>/dev/null
    wait $job
    status=$?
    echo "vandal $kind: status $status: $(tail -n 1 /tmp/vandal.log | cut -c 1-200)"
    case $true_ends in *" $status "*) ;; *) fail "status $status is none of$true_ends" ;; esac
done

kill -0 $other || fail "the other job has ended: $(cat /tmp/other.log)"
kill -TERM $other
wait $other
[ $? = 130 ] || fail "the interrupted job's status is not 130"
[ "$(wc -c </run/xenolith/daemon.log)" -lt 1000000 ] || fail "daemon.log has grown"
finish
