#!/bin/bash
# Jobs that are saved again and again go back to their newest image after whatever happens to them,
# and end with the right answer; those that do not get on are given up; those that are told to leave
# are saved first.
. ./expect.bash
. ./recovery.bash

images=/tmp/heal-images
log=/tmp/heal.log

# A domain is destroyed, and then the daemon killed. What has become of the job is told and drawn.
drawn=/tmp/heal.svg
rm -f $drawn
start run -n 4 --mem 32M --every 2s --restart 3 --lines --timeline $drawn --dir $images \
    cg.img -- --class W
wait_for images 1
xl destroy "$(a_rank)"
wait_for says "pgas: restored from $images"
kill -9 "$(pgrep -x dom0-proxy)"
ends 0
expect "its domain was destroyed from outside"
expect "(restart 1 of 3)"
expect "the daemon (process "
expect "VERIFICATION SUCCESSFUL"
[ "$(grep -c 'pgas: restored from' $log)" = 2 ] || fail "it was not restored twice"
expect "pgas: line 0-1: stall "
expect "line  to the line  drained "
told=$(grep -c 'pgas: line ' $log)
rows=$(grep -cE '^ *[0-9]+-[0-9]+ +[0-9.]+ ms ' $log)
[ "$rows" = "$told" ] || fail "the table has $rows lines of $told"
[ "$(grep -c ' operations drained<' $drawn)" = "$told" ] || fail "a line is not drawn"
[ "$(grep -c ' accident of ' $drawn)" = 2 ] || fail "not both accidents are drawn"
[ "$(grep -c '>back to line ' $drawn)" = 2 ] || fail "not both ways back are drawn"

# What goes wrong each time is given up. There is no image: it begins at its start.
start run -n 2 --restart 2 --dir $images faults.img -- --rank 1 panic
ends 134
expect "goes back to its start (restart 2 of 2)"
expect "pgas: it has failed 3 times in a row without a new line: it is given up"
[ "$(grep -c 'asked to panic' $log)" -ge 3 ] || fail "it did not fail three times"

# What a rank ends with is its answer.
start run -n 2 --restart 2 --dir $images faults.img -- --rank 1 exit 7
ends 7
case $out in *"goes back"*) fail "it went back" ;; esac

# What is written again is marked; the rest is as if nothing had happened.
start run -n 2 --restart 3 --dir $images hello.img -- --ticks 15
wait_for says "[1] tick 2"
job=$(pgas ps --json | sed -n 's/.*"job":"\([0-9a-f]*\)".*/\1/p')
run pgas checkpoint "$job" --dir $images
expect_status 0
last=$(sed -n 's/^\[1\] tick //p' $log | tail -n 1)
wait_for says "[0] tick $((last + 3))"
wait_for says "[1] tick $((last + 3))"
xl destroy "$(a_rank)"
ends 0
expect "(restart 1 of 3): what was written since is written again"
for rank in 0 1; do
    counted=$(sed -n "s/^\[$rank\] tick //p" $log | tr '\n' ' ')
    [ "$counted" = "$(seq -s ' ' 15) " ] || fail "rank $rank has counted $counted"
    grep -q "^\[$rank again\] tick $((last + 3))$" $log || fail "rank $rank: nothing is marked"
done
case $out in *"[0 again] hello"*) fail "more is marked than was written behind the line" ;; esac
healed=$(ls -t /var/log/xenolith | head -n 1)
run pgas logs "$healed" --all-runs
expect_status 0
expect "-- job $job --"
expect "[0 undone] tick $((last + 3))"
expect "-- job $healed: restored from line 0-1 of job $job, after its accident --"

# Told to leave, it is saved, and goes on later.
start run -n 2 --grace 300s --dir $images hello.img -- --ticks 12
wait_for says "[0] tick 3"
kill -TERM $pid
ends 120
expect "\`pgas restore $images\` goes on with it"
run pgas restore $images
expect_status 0
expect "[1] tick 12"

# What goes on from an older line has its accidents there: the newer image is not its own.
start run -n 2 --every 3s --dir $images hello.img -- --ticks 100
wait_for images 2
kill -TERM $pid
ends 130
start restore $images --epoch 0-1 --restart 1
wait_for says "[1] tick"
xl destroy "$(a_rank)"
wait_for says "goes back to its start (restart 1 of 1)"
wait_for says_times 2 "pgas: restored from $images, line 0-1"
kill -TERM $pid
ends 130

# A directory that has another job's images, and arguments that make no sense.
run pgas run -n 2 --every 1s --dir $images hello.img
expect_status 125
expect "has images of another job"
run pgas run -n 2 --every 1s hello.img
expect_status 125
expect "need --dir DIR"
run pgas run --hosted -n 2 --dir $images /bin/true
expect_status 125
expect "cannot be saved"

finish
