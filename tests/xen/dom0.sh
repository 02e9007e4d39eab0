#!/bin/bash
# What programs count on in Debian's dom0 is there in qemu-ci's.
. ./expect.bash

# has MODE PATH: a directory with these permissions.
has() {
    [ "$(stat -L -c '%a %F' "$2")" = "$1 directory" ] || fail "$2: $(stat -L -c '%a %F' "$2")"
}
has 1777 /tmp
has 1777 /var/tmp
has 1777 /dev/shm
has 1777 /run/lock
has 1777 /var/lock
has 755 /run
has 755 /var/run
has 700 /root
has 755 /usr/local/sbin

# mounted TYPE PATH
mounted() { grep -q "^[^ ]* $2 $1 " /proc/mounts || fail "no $1 on $2"; }
mounted tmpfs /run
mounted tmpfs /run/lock
mounted tmpfs /dev/shm
mounted devpts /dev/pts
mounted mqueue /dev/mqueue
mounted cgroup2 /sys/fs/cgroup
mounted debugfs /sys/kernel/debug
grep -q memory /sys/fs/cgroup/cgroup.subtree_control || fail "no groups with a limit of memory"

for command in "id user" "id nobody" "test $(hostname) = $(cat /etc/hostname)" \
    "test $(ulimit -H -n) -ge 65536" "test $(ulimit -S -n) = 1024" \
    "grep -q Debian /etc/os-release"; do
    run $command
    expect_status 0
done
# Characters are those of UTF-8, and an ordinary user can write where one should.
text=größer
[ ${#text} = 6 ] || fail "no locale: $text has ${#text} characters"
for path in /tmp/mine /var/lock/mine /dev/shm/mine /home/user/mine; do
    run su user -c "touch $path && rm $path"
    expect_status 0
done
run su user -c "touch /run/mine"
[ "$status" != 0 ] || fail "anybody can write to /run"
finish
