#!/bin/bash
# ARMCI for C: the sources of the hosted tests (tests/tests/c_armci.rs, which covers more), as
# images.
. ./expect.bash

run pgas run -n 3 c_hello.img
expect_status 0
for rank in 0 1 2; do
    expect "[$rank] hello from $rank of 3, written to by $(((rank + 2) % 3))"
done

for ranks in 1 2 3; do
    run pgas run -n $ranks c_semantics.img
    expect_status 0
    expect "[0] 116 passed, 0 failed on $ranks ranks"
done
# With more ranks only what depends on their number.
for ranks in 4 5; do
    run pgas run -n $ranks c_semantics.img -- query groups mutexes messages reductions
    expect_status 0
    expect "passed, 0 failed on $ranks ranks"
done

run pgas run -n 2 c_profile.img
expect_status 0
expect "[0] profile: the tool saw what it should"

run pgas run -n 3 c_mpi.img
expect_status 0
expect "[0] mpi: all is as it should be"

# dies CASE STATUS TEXT: rank 1 ends the job with one line, and what had been printed is there.
dies() {
    run pgas run -n 3 --timeout 1800 c_dies.img -- "$1"
    expect_status "$2"
    expect "[1] rank 1: $3"
    expect_last "rank 1 exited with status $2"
    for rank in 0 1 2; do
        expect "[$rank] ready"
    done
}

dies error 7 "the matrix is singular (7)"
dies lock 1 "ARMCI_Lock: mutex 5 of rank 0 does not exist"

# Without a job, a job of one.
run xl create "$XENOLITH_IMAGES/c_hello.cfg"
expect_status 0
wait_for console_has c_hello "hello from 0 of 1, written to by 0"
wait_for no_domains c_hello
finish
