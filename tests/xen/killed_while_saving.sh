#!/bin/bash
# A job is saved without a pause, and at random moments a rank, the daemon or pgas is killed, or the
# daemon while it restores the job. No good image is lost, none is damaged, and the answer is right,
# by the job itself or by its newest image. Then jobs that are told to leave, once or twice or as
# they end, and a save of a job that ends at that moment. SEED=N chooses the moments, TRIES=N how
# many there are.
. ./expect.bash
. ./recovery.bash

seed=${SEED:-$RANDOM}
RANDOM=$seed
echo "SEED=$seed"
images=/tmp/killed-images
log=/tmp/killed.log
story=$log.story
reference=/tmp/killed-reference
tries=${TRIES:-4}

# after MILLISECONDS: sleeps for up to that.
after() {
    random "$1"
    sleep "$((chosen / 1000)).$(printf %03d $((chosen % 1000)))"
}

# over: what was started has ended, with $ending, and whatever has been killed, committed images are
# good.
over() {
    ended
    ending=$status
    [ -e $images ] || return 0
    run pgas verify $images
    expect_status 0
}

command=(-n 2 rounds.img -- accumulates 500)
began=$(milliseconds)
for time in 1 2; do
    pgas run "${command[@]}" >$reference.$time 2>&1 || fail "the job ends with $?"
done
usual=$((($(milliseconds) - began) / 2))
ways=(rank daemon pgas restoring)
for ((try = 0; try < tries; try++)); do
    way=${ways[(try + seed) % ${#ways[@]}]}
    restarts=(--every 100ms --restart 9)
    [ "$way" != restoring ] || restarts=(--every 100ms)
    start run "${restarts[@]}" --dir $images "${command[@]}"
    wait_for images 1
    after $((usual / 2))
    pgas checkpoint "$job" >/tmp/killed.checkpoint 2>&1 &
    saver=$!
    after 300
    echo "try $try: $way is killed"
    case $way in
    rank | restoring) for domain in $(a_rank); do xl destroy "$domain"; done ;;
    daemon) pkill -KILL -x dom0-proxy ;;
    pgas) kill -KILL $pid 2>/dev/null ;;
    esac
    wait $saver
    [ "$(wc -l </tmp/killed.checkpoint)" = 1 ] ||
        grep -q "is saved as line" /tmp/killed.checkpoint ||
        fail "this is not one line: $(cat /tmp/killed.checkpoint)"
    over
    cp $log $story
    case $way-$ending in
    *-0 | pgas-137) ;;
    restoring-123)
        # The daemon dies while it restores that: what has begun goes back by itself.
        echo "+ pgas restore --restart 3"
        pgas restore --restart 3 $images >$log 2>&1 &
        pid=$!
        after 3000
        pkill -KILL -x dom0-proxy
        ended
        cat $log >>$story
        ending=$status
        [ "$status" = 0 ] || [ "$status" = 121 ] || fail "the status is $status"
        ;;
    *) fail "$way: the status is $ending" ;;
    esac
    if [ "$ending" != 0 ]; then
        start restore $images
        ends 0
        cat $log >>$story
    fi
    goes_on $reference.1 $reference.2 $story
done

# Told to leave while it is being saved: that comes to its end first, and nothing is lost.
start run --every 50ms --grace 300s --dir $images -n 2 hello.img -- --ticks 1000
wait_for images 2
kill -TERM $pid
ends 120
expect "\`pgas restore $images\` goes on with it"
run pgas verify $images
expect_status 0

# Told twice: it ends at once, saved or not.
start run --every 50ms --grace 300s --dir $images -n 2 hello.img -- --ticks 1000
wait_for images 2
kill -TERM $pid
kill -TERM $pid 2>/dev/null
over
[ "$ending" = 130 ] || [ "$ending" = 120 ] || fail "the status is $ending"
start restore $images
wait_for says "[1] tick "
run pgas kill "$job"
ends 137

# Told to leave as it ends, and saved as it ends: it has ended, or it has not and goes on later.
for how in leave save; do
    for try in 1 2 3; do
        start run --grace 300s --dir $images -n 2 hello.img -- --ticks 1
        wait_for says "[1] hello from 1 of 2"
        after 1300
        case $how in
        leave) kill -TERM $pid 2>/dev/null ;;
        save) run pgas checkpoint "$job" ;;
        esac
        over
        case $ending in
        0) grep -q "^\[1\] tick 1" $log || fail "a line is missing" ;;
        120)
            run pgas restore $images
            case $status-$out in
            0-*) ;;
            126-*"all of its ranks had ended"*) ;;
            *) fail "it does not go on: $status" ;;
            esac
            ;;
        *) fail "the status is $ending" ;;
        esac
    done
done
rm -rf $images $log $story $reference.* /tmp/killed.checkpoint
finish
