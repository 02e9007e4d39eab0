#!/bin/bash
# The daemon is killed in the middle of a job: pgas says so, no domain is left, and the next job
# works.
. ./expect.bash

pgas run -n 3 semantics.img -- nothing-of-this-name >/dev/null 2>&1 # starts the daemon
for job_line in "hello.img -- --ticks 1000" "faults.img -- compute"; do
    # shellcheck disable=SC2086
    pgas run -n 3 $job_line >/tmp/job.log 2>&1 &
    job=$!
    wait_for eval '[ "$(grep -c "^\[" /tmp/job.log)" -ge 3 ]'
    pkill -KILL -x dom0-proxy
    wait $job
    status=$?
    out=$(cat /tmp/job.log)
    printf '%s\n' "$out" | tail -3
    expect_status 121
    expect_last "daemon"
    wait_for no_domains pgas-
    run pgas run -n 2 hello.img
    expect_status 0
done

# The client is killed: the daemon ends its job.
pgas run -n 2 hello.img -- --ticks 1000 >/tmp/job.log 2>&1 &
job=$!
wait_for grep -q "tick 1" /tmp/job.log
kill -KILL $job
wait_for no_domains pgas-
run pgas ps --json
expect_status 0

# Both are killed: the next daemon clears up.
pgas run -n 2 hello.img -- --ticks 1000 >/tmp/job.log 2>&1 &
job=$!
wait_for grep -q "tick 1" /tmp/job.log
# Stopped first: it would end the job on seeing its client die.
pkill -STOP -x dom0-proxy
kill -KILL $job
pkill -KILL -x dom0-proxy
[ "$(domains pgas-)" = 2 ] || fail "there should be two orphans"
run pgas run -n 1 hello.img
expect_status 0
wait_for no_domains pgas-
finish
