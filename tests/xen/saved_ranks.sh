#!/bin/bash
# Ranks that are saved at work and go on in the same domain reach their neighbours directly again,
# and nothing is lost or done twice. Nobody has told the daemon.
. ./expect.bash

log=/tmp/saved_ranks.log
pgas run -n 3 --mem 8M neighbours.img -- again >$log 2>&1 &
job=$!
says() {
    grep -qF "$1" $log
}
for rank in 0 1 2; do
    wait_for says "[$rank] directly in generation 0"
done
job_name=$(xl list | awk '/^pgas-.*-0 / { print substr($1, 1, length($1) - 2) }')
for step in "0 1" "1 1" "2 1" "0 2"; do
    read -r rank generation <<<"$step"
    run xl save -c "$job_name-$rank" /tmp/saved_ranks.image
    expect_status 0
    wait_for says "[$rank] directly in generation $generation"
done
wait $job
status=$?
out=$(cat $log)
printf '%s\n' "$out"
expect_status 0
for rank in 0 1 2; do
    expect "[$rank] all done once: ok"
done
rm -f $log /tmp/saved_ranks.image
finish
