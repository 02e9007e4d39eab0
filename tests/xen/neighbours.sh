#!/bin/bash
# Ranks map each other's memory and leave nothing mapped or granted behind: a little of it often,
# much of it in small domains, and in one that is saved in the middle of it.
. ./expect.bash

run pgas run -n 1 neighbours.img
expect_status 0
expect "no neighbours: ok"

# tries RANKS ROUNDS PAGES
tries() {
    run pgas run -n "$1" --mem 8M neighbours.img -- "$2" "$3"
    expect_status 0
    for rank in $(seq 0 $(($1 - 1))); do
        expect "[$rank] $2 rounds of $3 pages with $(($1 - 1)) neighbours: ok"
    done
}
tries 2 50 12
tries 4 20 12
# 1 MiB of each of three others, in a domain of 8 MiB.
tries 4 3 256
# More than 64 grant frames do.
run pgas run -n 4 --mem 48M neighbours.img -- 1 8000
expect_status 0
expect "[3] 1 rounds of 8000 pages with 3 neighbours: ok"

# What runs out is said, and nothing breaks.
run pgas run -n 2 --mem 8M neighbours.img -- exhausted 900
expect_status 0
expect "[0] undone: ok"

# suspended RANKS: starts a job, and the daemon sleeps when it is under way: to the proxy a domain
# that is being saved has stopped.
suspended() {
    pgas run -n "$1" --mem 8M neighbours.img -- suspended >/tmp/neighbours.log 2>&1 &
    job=$!
    wait_for grep -q '^\[0\] mapped' /tmp/neighbours.log
    pkill -STOP -x dom0-proxy
    domain=$(xl list | awk '/^pgas-.*-0 / { print $1 }')
}

# awake: wakes it, and waits for the job.
awake() {
    pkill -CONT -x dom0-proxy
    wait $job
    status=$?
    out=$(cat /tmp/neighbours.log)
    printf '%s\n' "$out"
}

# exited DOMAIN STATUS: its kernel has told that status.
exited() {
    [ "$(xenstore-read "/local/domain/$(xl domid "$1")/data/xenolith/exit" 2>/dev/null)" = "$2" ]
}

# A rank that is saved has nobody else's memory in it, and finds out.
suspended 3
run xl save -c "$domain" /tmp/neighbours.image
expect_status 0
awake
expect_status 0
expect "[0] the mappings are gone"
expect "[1] the mappings stayed"
for rank in 0 1 2; do
    expect "[$rank] mapped again: ok"
done

# One that is restored in another domain knows no neighbours there. It has left its proxy, so the
# job has failed.
suspended 2
run xl save "$domain" /tmp/neighbours.image
expect_status 0
run xl restore /tmp/neighbours.image
expect_status 0
wait_for console_has "$domain" "in another domain: ok"
wait_for exited "$domain" 7
awake
[ $status != 0 ] || fail "the job was successful"
wait_for no_domains pgas-

# A job that is ended while everybody has everybody's memory mapped leaves nothing behind.
pgas run -n 3 --mem 8M neighbours.img -- suspended >/tmp/neighbours.log 2>&1 &
job=$!
wait_for grep -q '^\[2\] mapped' /tmp/neighbours.log
kill -TERM $job
wait $job
[ $? = 130 ] || fail "the interrupted job's status is not 130"
# The list's heading and domain 0.
wait_for eval '[ "$(xl list | wc -l)" = 2 ]'
rm -f /tmp/neighbours.image /tmp/neighbours.log
finish
