#!/bin/bash
# What may befall a directory of images: a name with spaces, a full disk, a disk that is read-only,
# its end while the job runs, another job's images, damage. The job goes on, no good image is lost,
# and each is told in one clear line. (Every flipped bit and every cut, files of another version and
# a full disk at every step: dom0-proxy/src/images/tests; damage in a pack: restore.sh.)
. ./expect.bash
. ./recovery.bash

disk=/tmp/folder-disk
images="$disk/images of a job"
log=/tmp/folder.log

# last_tick: the last one that rank 0 has told.
last_tick() {
    sed -n 's/^\[0\] tick //p' $log | tail -n 1
}

# goes_on_ticking: rank 0 tells more than it had.
goes_on_ticking() {
    local last
    last=$(last_tick)
    wait_for says "[0] tick $((${last:-0} + 1))"
}

# is_full: there is no room any more, as whoever saves the job finds out.
is_full() {
    dd if=/dev/zero bs=64k 2>/dev/null >>$disk/filler
    out=$(pgas checkpoint "$job" 2>&1)
    status=$?
    case $out in *"No space left on device"*) ;; *) return 1 ;; esac
}

# is_saved_again TIMES: pgas has said so.
is_saved_again() {
    ! is_running || [ "$(grep -c '^pgas: the job is saved again$' $log)" -ge "$1" ]
}

# is_read_only: whoever saves the job finds that out.
is_read_only() {
    out=$(pgas checkpoint "$job" 2>&1)
    status=$?
    case $out in *"Read-only file system"*) ;; *) return 1 ;; esac
}

# A full disk, then a read-only one: that is said, the job goes on, and is saved again afterwards.
mkdir $disk
mount -t tmpfs -o size=48m,mode=700 tmpfs $disk
start run -n 2 --every 300ms --restart 3 --dir "$images" hello.img -- --ticks 100000
wait_for images 1
wait_for says "[1] tick 1"
wait_for is_full
says_one_line "free some space or use another directory; older images are as they were"
wait_for says "No space left on device (os error 28): free some space"
run pgas verify "$images"
expect_status 0
goes_on_ticking
rm $disk/filler
wait_for is_saved_again 1
wait_for mount -o remount,ro $disk
wait_for is_read_only
says_one_line "use a directory that you can write into"
wait_for says "Read-only file system (os error 30): use a directory that you can write into"
goes_on_ticking
mount -o remount,rw $disk
wait_for is_saved_again 2
save --then stop
ends 120
expect "\`pgas restore '$images'\` goes on with it"
last=$(last_tick)
# What is read-only can be restored from.
wait_for mount -o remount,ro $disk
start restore "$images"
wait_for says "[0] tick $((last + 2))"
run pgas kill "$job"
ends 137
expect "pgas: restored from $images, line "
mount -o remount,rw $disk

# The directory is deleted while the job runs: the next image is in a new one, and is whole.
images=$disk/deleted
start run -n 2 --every 300ms --restart 3 --dir "$images" hello.img -- --ticks 100000
wait_for images 2
until rm -rf "$images"; do :; done
wait_for images 1
wait_for says "[0] tick 1"
xl destroy "$(a_rank)"
wait_for says "pgas: restored from $images, line 0-"
goes_on_ticking
wait_for named
run pgas kill "$job"
ends 137
run pgas verify "$images"
expect_status 0

# The images of a job are not mixed with another's, however often that is tried.
kept=$disk/kept
start run -n 2 hello.img -- --ticks 100000
save --dir $kept
save --dir $kept
goes_on_ticking
run pgas kill "$job"
ends 137
before=$(cd $kept && stat -c '%n %s %Y' -- *.image *.pack)
start run -n 1 hello.img -- --ticks 100000
save --dir $disk/own
for time in 1 2; do
    run pgas checkpoint "$job" --dir $kept
    expect_status 125
    says_one_line "has images of another job, "
done
run pgas kill "$job"
ends 137
now=$(cd $kept && stat -c '%n %s %Y' -- *.image *.pack)
[ "$now" = "$before" ] || fail "there is something else in $kept"

# damaged WHAT FILE: a copy of those images, which has that damage, in $damaged.
damaged() {
    damaged=$disk/damaged
    rm -rf $damaged
    cp -a $kept $damaged
    local size byte middle
    size=$(stat -c %s "$damaged/$2")
    middle=$((size / 2))
    case $1 in
    cut) truncate -s $middle "$damaged/$2" ;;
    flipped)
        byte=$(dd if="$damaged/$2" bs=1 skip=$middle count=1 2>/dev/null | od -An -tu1)
        # shellcheck disable=SC2059
        printf "\\x$(printf %x $((byte ^ 1)))" |
            dd of="$damaged/$2" bs=1 seek=$middle conv=notrunc 2>/dev/null
        ;;
    missing) rm "$damaged/$2" ;;
    esac
    echo "damage: $2 is $1"
}

# What is damaged is named, and not restored. Where there is an image before it, that is.
newest_pack=$(cd $kept && ls -- *.pack | sort -n | tail -n 1)
for damage in "cut 0-2.image" "flipped 0-2.image" "missing $newest_pack"; do
    # shellcheck disable=SC2086
    damaged $damage
    run pgas verify $damaged
    expect_status 126
    expect "${damage#* }"
    run pgas restore $damaged --epoch 0-2
    [ "$status" = 126 ] || [ "$status" = 127 ] || fail "status $status is not 126 or 127"
    says_one_line "${damage#* }"
done
start restore $damaged
wait_for says "[0] tick "
run pgas kill "$job"
ends 137
expect "pgas: line 0-2 is damaged, as \`pgas verify\` tells: line 0-1 is used instead"
damaged missing 1.pack
run pgas restore $damaged
expect_status 126
says_one_line "there is no good image in $damaged"

umount $disk
rm -rf $disk $log
finish
