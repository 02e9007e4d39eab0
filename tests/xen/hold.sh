#!/bin/bash
# Jobs are held at random moments: while they compute, work on each other's memory, sleep, print, or
# have not begun. Meanwhile their domains stand still, and are paused and saved by xl as the user
# likes. Each goes on when it is released, and its answer is that of a job that nobody disturbed.
# SEED=N chooses the moments.
. ./expect.bash

seed=${SEED:-$RANDOM}
RANDOM=$seed
echo "SEED=$seed"
image=/tmp/hold.image
log=/tmp/hold.log

# start ARGUMENTS...: runs a job behind the script's back, as $job.
start() {
    pgas run "$@" >$log 2>&1 &
    pid=$!
    job=
    wait_for named
}

named() {
    job=$(pgas ps --json | sed -n 's/.*"job":"\([0-9a-f]*\)".*/\1/p')
    [ -n "$job" ]
}

is_running() {
    kill -0 $pid 2>/dev/null
}

# moment: waits for up to 1.5 s.
moment() {
    sleep "$((RANDOM % 2)).$((RANDOM % 5))"
}

# hold: holds the job, as soon as all of its ranks are there. False if it has ended.
hold() {
    local began
    until began=$(date +%s%N) && out=$(pgas hold "$job" 2>&1); do
        case $out in
        *"not all of its ranks have started, or it has ended"*) is_running || return 1 ;;
        *"no job"* | *"no dom0-proxy"*) return 1 ;;
        *)
            fail "hold: $out"
            return 1
            ;;
        esac
        sleep 0.1
    done
    holds=$((holds + 1))
    echo "held after $((($(date +%s%N) - began) / 1000000)) ms"
}

# seconds_of DOMAIN: the processor's time that it has taken, in tenths.
seconds_of() {
    xl list | awk -v name="$1" '$1 == name { printf "%d", $6 * 10 }'
}

# disturb: does to the domains of a held job what a user may.
disturb() {
    local all domain before
    all=$(xl list | awk -v name="pgas-$job-" 'index($1, name) == 1 { print $1 }')
    # shellcheck disable=SC2206
    all=($all)
    domain=${all[$((RANDOM % ${#all[@]}))]}
    case $((RANDOM % 4)) in
    0)
        before=$(seconds_of "$domain")
        sleep 1
        [ $(($(seconds_of "$domain") - before)) -le 3 ] || fail "$domain does not stand still"
        ;;
    1)
        for domain in "${all[@]}"; do
            xl pause "$domain" || fail "xl pause $domain"
        done
        for domain in "${all[@]}"; do
            xl unpause "$domain" || fail "xl unpause $domain"
        done
        ;;
    2)
        run xl save -c "$domain" $image
        expect_status 0
        ;;
    3)
        for domain in "${all[@]}"; do
            run xl save -c "$domain" $image
            expect_status 0
        done
        ;;
    esac
}

# held LEAST MOST: holds the job again and again until it has ended, MOST times at most, which must
# be LEAST times at least.
held() {
    holds=0
    # The first time at once, when ranks have just started.
    while [ $holds -lt "$2" ] && is_running && { [ $holds = 0 ] || moment; } && hold; do
        disturb
        out=$(pgas release "$job" 2>&1) || fail "release: $out"
    done
    wait $pid
    status=$?
    out=$(cat $log)
    printf '%s\n' "$out" | tail -n 12
    echo "held $holds times"
    expect_status 0
    [ $holds -ge "$1" ] || fail "it was held $holds times"
}

# What has not asked for its job yet, and only computes.
run pgas run -n 2 faults.img -- compute 60
expect_status 0
checksums=$(grep -o 'checksum.*' <<<"$out")
start -n 2 faults.img -- compute 60
held 1 3
[ "$(grep -o 'checksum.*' <<<"$out")" = "$checksums" ] || fail "another checksum than $checksums"

# What sleeps.
start -n 2 hello.img -- --ticks 12
held 2 3
for rank in 0 1; do
    ticks=$(sed -n "s/^\[$rank\] tick //p" $log | tr '\n' ' ')
    [ "$ticks" = "$(seq -s ' ' 12) " ] || fail "rank $rank has ticks $ticks"
done

# What works on the memory of the others.
start -n 3 randomaccess.img -- --log2-table 16 --updates-per-word 64
held 1 4
expect "errors      0 in 65536 words"
start -n 4 --mem 32M cg.img -- --class W
held 1 4
expect "VERIFICATION SUCCESSFUL"
start -n 3 c_semantics.img
held 1 4
expect "[0] 116 passed, 0 failed on 3 ranks"

# What prints, from C.
start -n 1 --no-tag c_talker.img -- lines 6000
held 1 3
[ "$(grep -c '^result 00[0-9]* of 006000: energy -1.234567890123 gradient' $log)" = 6000 ] ||
    fail "lines are missing: $(wc -l <$log)"

# What cannot be done is said, and harms nobody.
start -n 2 hello.img -- --ticks 10
holds=0
hold
run pgas hold "$job"
expect_status 0
run pgas ps
expect "held"
run pgas release "$job"
expect_status 0
run pgas release "$job"
expect_status 125
expect "job $job cannot be released: it is not held"
hold
run pgas kill "$job"
expect_status 0
wait $pid
[ $? = 137 ] || fail "the killed job's status is not 137"
wait_for no_domains pgas-
rm -f $image $log
finish
