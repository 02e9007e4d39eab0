#!/bin/bash
# A rank that goes wrong: one line names the rank and the cause, the host's other job is unharmed.
. ./expect.bash

pgas run -n 2 hello.img -- --ticks 1000 >/tmp/other.log 2>&1 &
other=$!
wait_for grep -q "tick 1" /tmp/other.log

# fault STATUS TEXT ARGUMENTS...
fault() {
    local expected_status=$1 text=$2
    shift 2
    run pgas run -n 3 --timeout 1800 faults.img -- --rank 1 "$@"
    expect_status "$expected_status"
    expect_last "failed: rank 1"
    expect_last "$text"
}

fault 134 "asked to panic" panic
expect_last "faults.rs:"
fault 134 "null pointer" null
fault 134 "stack overflow" stack
fault 134 "read-only" text
fault 134 "execut" data
fault 134 "division" divide
fault 134 "protection" privileged
fault 134 "memory" memory
fault 7 "exited with status 7" exit 7

run pgas run -n 3 --timeout 1800 faults.img -- spurious
expect_status 0
expect "[2] still here"

run pgas run -n 3 --timeout 5 faults.img -- compute
expect_status 124

# The other job has not noticed.
kill -0 $other || fail "the other job has ended: $(cat /tmp/other.log)"
run pgas ps
expect "hello"
ticks=$(grep -c tick /tmp/other.log)
wait_for eval '[ "$(grep -c tick /tmp/other.log)" -gt "$ticks" ]'
# A shell starts it with SIGINT ignored, which it then leaves ignored.
kill -TERM $other
wait $other
[ $? = 130 ] || fail "the interrupted job's status is not 130"
finish
