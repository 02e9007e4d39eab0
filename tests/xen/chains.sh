#!/bin/bash
# A job is restored again and again, gets on a little each time, and is saved and ended at once: by
# its save, or by the end of a rank's domain. No link of the chain is without progress, the clocks
# are right, and images do not grow. LINKS=N makes it longer; from 20 on times are bounded too.
. ./expect.bash
. ./recovery.bash

images=/tmp/chain-images
log=/tmp/chain.log
all=/tmp/chain.all
links=${LINKS:-8}

# tick RANK: the number of the last tick that this rank has told in this life.
tick() {
    sed -n "s/^\[$1\] tick \([0-9]*\) elapsed [0-9]* wall [0-9]*$/\1/p" $log | tail -n 1
}

# has_gone_on: both ranks have told of more than before, or the job has ended.
has_gone_on() {
    local now0 now1
    now0=$(tick 0) now1=$(tick 1)
    is_running || return 0
    [ "${now0:-0}" -gt "$before0" ] && [ "${now1:-0}" -gt "$before1" ]
}

# restored: the daemon has said how long restoring this job took: $took, in milliseconds.
restored() {
    took=$(sed -n "s/.* restored job=\"$job\" seconds=\([0-9.]*\)\([mµ]*s\).*/\1 \2/p" \
        /run/xenolith/daemon.log | awk '{ print int($1 * ($2 == "s" ? 1000 : 1)) }')
    [ -n "$took" ]
}

# median NUMBER...
median() {
    printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"
}

# clocks: whether in all lives together each rank has told all ticks in order, its time has gone on
# by about as much as it has slept, not as has passed while it was no domain, and its wall clock is
# that of dom0.
clocks() {
    awk '
    function fault(why) {
        print "rank " rank ": " why ": " $0
        faults++
    }
    $1 == "life" { life++; began = $2; next }
    # At the end of its life: no tick is later.
    $1 == "over" {
        for (key in told) if (told[key] > $2 + 2000) {
            print "a wall clock is fast: " told[key] " at " $2
            faults++
        }
        next
    }
    $2 == "tick" && NF == 7 {
        rank = substr($1, 2, length($1) - 2)
        if ($7 < began - 2000) fault("its wall clock is slow, in a life that began at " began)
        told[rank, life] = $7
        if (lives[rank] != life && life > 1) {
            if ($3 > last[rank] + 1) fault("ticks are missing behind " last[rank])
            slept = $5 - elapsed[rank, $3 - 1]
            passed = $7 - wall[rank, $3 - 1]
            printf "life %d, rank %s: %d ms went by, %d for the rank\n", life, rank, passed, slept
            if (slept < 95) fault("it was too quick behind tick " $3 - 1)
            if (2 * slept > passed) fault("its time has jumped by " slept " of " passed " ms")
        } else if (last[rank] != "") {
            if ($3 != last[rank] + 1) fault("tick " last[rank] + 1 " is missing")
            if ($5 < elapsed[rank, $3 - 1] + 95) fault("it was too quick")
        }
        lives[rank] = life
        last[rank] = $3
        elapsed[rank, $3] = $5
        wall[rank, $3] = $7
    }
    END { exit faults > 0 }' $all || fail "clocks or ticks are wrong"
}

life() {
    echo "life $1" >>$all
    grep '^\[' $log >>$all
    echo "over $(milliseconds)" >>$all
}

rm -f $all
began=$(milliseconds)
start run -n 2 --mem 16M c_clocks.img -- 1000000 100
before0=1 before1=1
times=()
for ((link = 1; link <= links; link++)); do
    wait_for has_gone_on
    # By turns.
    if [ $((link % 2)) = 1 ]; then
        save --dir $images --then stop
        ends 120
    else
        save --dir $images
        xl destroy "$(a_rank)"
        ends 123
        expect "its domain was destroyed from outside"
    fi
    life "$began"
    before0=$(tick 0) before1=$(tick 1)
    echo "link $link: rank 0 is at tick $before0, rank 1 at $before1"
    began=$(milliseconds)
    start restore $images
    wait_for restored
    times+=("$took")
done
wait_for has_gone_on
run pgas kill "$job"
ends 137
life "$began"
clocks

# What of the images grows, of the first and of the last five; without the very first one, in which
# everything is new.
mapfile -t used < <(pgas images $images --json | grep -o '"used":[0-9]*' | cut -d : -f 2)
mapfile -t written < <(pgas images $images --json | grep -o '"written":[0-9]*' | cut -d : -f 2)
[ ${#used[@]} = "$links" ] || fail "there are ${#used[@]} images of $links"
echo "in use: ${used[*]}; written: ${written[*]}; restored in ms: ${times[*]}"
five=$(((links < 10 ? links : 10) / 2))
# bound WHAT PERCENT NUMBER...: the last ones are no more than that of the first ones.
bound() {
    local what=$1 percent=$2 first last
    shift 2
    first=$(median "${@:1:five}")
    last=$(median "${@: -five}")
    [ "$last" -le $((first * percent / 100)) ] || fail "$what has grown from $first to $last"
}
bound "memory in use" 110 "${used[@]}"
bound "what an image adds" 110 "${written[@]:1}"
# Under emulation times are coarse, and say nothing while other work comes and goes.
[ "$links" -lt 20 ] || bound "the time of a restore" 150 "${times[@]}"
run pgas verify $images
expect_status 0
rm -rf $images $log $all
finish
