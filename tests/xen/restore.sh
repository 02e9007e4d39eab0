#!/bin/bash
# Jobs are saved at random moments and restored: each goes on where it was, with the answer of a job
# that nobody disturbed; from one image as often as one likes, and from restored jobs as well. What
# cannot be restored is said, and harms nobody. SEED=N chooses the moments.
. ./expect.bash
. ./recovery.bash

seed=${SEED:-$RANDOM}
RANDOM=$seed
echo "SEED=$seed"
images=/tmp/restore-images
log=/tmp/restore.log

# moment: waits for up to 2 s.
moment() {
    sleep "$((RANDOM % 2)).$((RANDOM % 10))"
}

# ticks FIRST LAST: both ranks have counted from FIRST to LAST.
ticks() {
    local rank counted
    for rank in 0 1; do
        counted=$(sed -n "s/^\[$rank\] tick //p" $log | tr '\n' ' ')
        [ "$counted" = "$(seq -s ' ' "$1" "$2") " ] || fail "rank $rank has counted $counted"
    done
}

# What counts is stopped, and goes on twice from the same image. Its image's file is another then.
rm -rf $images
cp "$XENOLITH_IMAGES/hello.img" /tmp/counts.img
start run -n 2 /tmp/counts.img -- --ticks 8
wait_for says "[1] tick 3"
wait_for says "[0] tick 3"
save --dir $images --then stop
ends 120
expect "was saved as line 0-1, and stopped: \`pgas restore $images\` goes on with it"
last=$(sed -n 's/^\[0\] tick //p' $log | tail -n 1)
other=$(sed -n 's/^\[1\] tick //p' $log | tail -n 1)
[ "$last" = "$other" ] || echo "rank 0 was at $last and rank 1 at $other"
rm /tmp/counts.img
wait_for no_domains pgas-
for time in 1 2; do
    start restore $images
    ends 0
    expect "pgas: restored from $images, line 0-1"
    [ "$last" != "$other" ] || ticks $((last + 1)) 8
    wait_for no_domains pgas-
done
for time in 1 2; do
    pgas restore $images >$log.$time 2>&1 &
    pids[time]=$!
done
for time in 1 2; do
    wait "${pids[time]}" || fail "one of two restores at a time ended with $?"
    grep -q '^\[1\] tick 8' $log.$time || fail "one of two restores at a time: $(cat $log.$time)"
done
wait_for no_domains pgas-
run pgas images $images
expect_status 0

# A job that goes on after it was saved, and ends, and goes on again from there. Then one that is
# saved twice, once after it was restored.
for then in continue stop; do
    rm -rf $images
    start run -n 4 --mem 32M cg.img -- --class W
    moment
    save --dir $images --then $then
    case $then in
    continue)
        ends 0
        expect "VERIFICATION SUCCESSFUL"
        start restore $images
        ;;
    stop)
        ends 120
        wait_for no_domains pgas-
        start restore $images
        save
        ;;
    esac
    ends 0
    expect "VERIFICATION SUCCESSFUL"
done

# A line that had begun comes whole: from the job that is restored, once, and from all runs.
rm -rf $images
start run -n 1 hello.img -- --dots 9
wait_for says "[0] ..."
save --dir $images --then stop
ends 120
first=$job
wait_for no_domains pgas-
start restore $images
ends 0
second=$(ls -t /var/log/xenolith | head -n 1)
[ "$(grep -c '^\[0\] \.\{9\}$' $log)" = 1 ] || fail "the line is not whole"
[ "$(grep -c '\.' $log)" = 1 ] || fail "dots are shown twice"
wait_for no_domains pgas-
run pgas logs "$second"
expect_status 0
expect "-- job $second: restored from line 0-1 of job $first --
[0] ........."
run pgas logs "$second" --all-runs
expect "-- job $first --
[0] hello from 0 of 1
[0 undone] ..."

# Nothing of what ranks write is lost or doubled at a line, wherever in their text that is.
rm -rf $images /tmp/undisturbed
run pgas run -n 2 --output /tmp/undisturbed chatter.img -- 7 200000 60 well
expect_status 0
wait_for no_domains pgas-
start run -n 2 chatter.img -- 7 200000 60 well
wait_for says "[0] "
wait_for says "[1] "
moment
save --dir $images --then stop
ends 120
logs=/var/log/xenolith
first=$logs/$job
wait_for no_domains pgas-
start restore $images
ends 0
second=$logs/$(ls -t $logs | head -n 1)
wait_for no_domains pgas-
begins=$(sed 's/.*"begins":\[\([0-9,]*\)\].*/\1/' "$second/origin.json")
for rank in 0 1; do
    at=$(echo "$begins" | cut -d, -f $((rank + 1)))
    { head -c "$at" "$first/rank-$rank.log"; cat "$second/rank-$rank.log"; } >/tmp/put-together
    cmp /tmp/put-together "/tmp/undisturbed/rank-$rank.log" || fail "rank $rank has written else"
    [ "$at" -gt 0 ] || fail "rank $rank had written nothing"
done
rm -rf /tmp/undisturbed /tmp/put-together

# A chain: each restored job is saved in its turn when it has got on, and the last one ends.
rm -rf $images
start run -n 2 hello.img -- --ticks 40
for link in 0 1 2 3 4; do
    wait_for says "[0] tick"
    save --dir $images --then stop
    ends 120
    last=$(sed -n 's/^\[0\] tick //p' $log | tail -n 1)
    wait_for no_domains pgas-
    start restore $images
done
ends 0
expect "pgas: restored from $images, line 4-1"
grep -qF "[0] tick $((last + 1))" $log || fail "rank 0 did not go on behind tick $last"
expect "tick 40"
run pgas images $images
expect_status 0
for link in 0 1 2 3 4; do
    expect " $link-1 "
done

# The newest image is damaged: the one before it is taken, and that is said.
newest=$(ls $images/*.pack | sort | tail -n 1)
size=$(stat -c %s "$newest")
printf 'X' | dd of="$newest" bs=1 seek=$((size / 2)) conv=notrunc 2>/dev/null
run pgas restore $images
expect_status 0
expect "pgas: line 4-1 is damaged, as \`pgas verify\` tells: line 3-1 is used instead"
expect "[1] tick 40"
run pgas restore $images --epoch 4-1
expect_status 126
expect "damaged"

# What cannot be restored, or not so.
run pgas restore $images --mem 32M
expect_status 126
expect "its ranks have 16 MiB of memory, and are restored with as much, not with 32 MiB"
run pgas restore $images -n 3
expect_status 126
expect "it is of 2 ranks, and restored with as many, not with 3"
run pgas restore $images --epoch 7-7
expect_status 127
expect "there is no image of line 7-7"
run pgas restore /tmp/nowhere
expect "/tmp/nowhere"
[ "$status" != 0 ] || fail "nothing was restored"
mkdir -p /tmp/empty && chmod 700 /tmp/empty
run pgas restore /tmp/empty
expect_status 127
expect "/tmp/empty is no directory of images"

# What cannot be saved.
start run -n 2 hello.img -- --ticks 6
wait_for says "tick 1"
run pgas hold "$job"
expect_status 0
run pgas checkpoint "$job" --dir $images
expect_status 125
expect "job $job cannot be saved: it is held: release it first"
run pgas release "$job"
expect_status 0
run pgas checkpoint "$job" --dir /tmp
[ "$status" != 0 ] || fail "/tmp has an image"
ends 0
ticks 1 6
run pgas checkpoint "$job"
expect_status 125
wait_for no_domains pgas-

# Domain 0 has no memory for copies of all ranks.
rm -rf $images
start run -n 3 --mem 96M hello.img -- --ticks 100000
wait_for says "[2] tick 1"
filling=/tmp/filling
mkdir -p $filling
mount -t tmpfs -o size=100% tmpfs $filling
available=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
head -c $(((available - 180) << 20)) /dev/zero >$filling/file || fail "it cannot be taken"
save --dir $images
case $out in
*"they stand still until they are written"*) ;;
*) fail "nothing is said of too little memory: $out" ;;
esac
umount $filling
rmdir $filling
run pgas kill "$job"
ends 137
wait_for no_domains pgas-
start restore $images
wait_for says "[2] tick"
run pgas kill "$job"
ends 137
rm -rf $images $log* /tmp/empty
finish
