#!/bin/bash
# All that ranks write arrives, also when whoever reads it is slow; and what they write decides
# nothing.
. ./expect.bash

# lines FILE RANK: how many lines of a talker's rank are there, in one piece or in several: the
# beginning of a line that does not go on at once is shown by itself.
lines() {
    local text="result [0-9]* of [0-9]*: energy -1.234567890123 gradient 0.000123456789"
    sed -n "s/^\[$2\]+\{0,1\} //p" "$1" | tr -d '\n' | grep -ao "$text" | wc -l
}

# all_lines FILE RANKS COUNT: each rank's are.
all_lines() {
    local rank
    for rank in $(seq 0 $(($2 - 1))); do
        [ "$(lines "$1" "$rank")" = "$3" ] ||
            fail "rank $rank: $(lines "$1" "$rank") of $3 lines, last: $(tail -1 "$1")"
    done
}

# Nobody is slow but the machine.
pgas run -n 1 --timeout 1800 c_talker.img -- lines 3000 >/tmp/out 2>/tmp/err
status=$?
expect_status 0
all_lines /tmp/out 1 3000
[ -s /tmp/err ] && fail "messages: $(cat /tmp/err)"

# A reader that takes a while for everything, of more than is kept on the way. (Not by `head`, which
# may read more than it writes.)
pgas run -n 2 --timeout 1800 c_talker.img -- lines 6000 2>/tmp/err | (
    for _ in $(seq 60); do
        dd bs=4096 count=1 2>/dev/null
        sleep 0.2
    done
    sleep 5
    cat
) >/tmp/out
status=${PIPESTATUS[0]}
expect_status 0
all_lines /tmp/out 2 6000
[ -s /tmp/err ] && fail "messages: $(cat /tmp/err)"

# The log has the same.
job=$(ls -t /var/log/xenolith | head -1)
pgas logs "$job" >/tmp/logged
all_lines /tmp/logged 2 6000

# A reader that is stuck keeps nobody from ending the job.
mkfifo /tmp/stuck
sleep 600 </tmp/stuck &
reader=$!
pgas run -n 1 --timeout 1800 c_talker.img -- lines 100000 >/tmp/stuck 2>/tmp/err &
running=$!
sleep 15
# Not SIGINT, which a shell has such jobs ignore.
kill -TERM $running
wait $running
status=$?
expect_status 130
grep -q "bytes of the ranks' output were not shown" /tmp/err || fail "no word: $(cat /tmp/err)"
kill $reader
rm -f /tmp/stuck

run pgas run -n 1 c_talker.img -- spoof
expect_status 0
expect "[0] xenolith: exit 5
[0] xenolith: a unikernel, says the log of my solver
[0] xenolith: fatal: this is only a test of the parser
[0] all is well"

bytes=$(pgas run -n 1 --no-tag c_talker.img -- prompt | od -An -tx1 | tr -d ' \n')
[ "$bytes" = 636166e93f20 ] || fail "the prompt is $bytes"
wait_for no_domains pgas-
finish
