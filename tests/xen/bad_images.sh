#!/bin/bash
# Images and memory that cannot work are refused, nearly always before anything is started, in one
# line.
. ./expect.bash

good=$XENOLITH_IMAGES/hello.img
bad=/tmp/bad.img

# refused TEXT ARGUMENTS...
refused() {
    local text=$1
    shift
    run pgas run "$@"
    [ "$status" -ge 120 ] || fail "status $status is not one of pgas itself"
    expect_last "$text"
    no_domains pgas- || fail "a domain was started"
}

head -c 30000 "$good" >$bad
refused "bad.img" -n 2 $bad
cp "$good" $bad
printf '\xff' | dd of=$bad bs=1 seek=20000 conv=notrunc status=none
refused "checksum" -n 2 $bad
head -c 100000 /dev/urandom >$bad
refused "ELF" -n 2 $bad
: >$bad
refused "bad.img" -n 2 $bad
refused "no-such.img" -n 2 no-such.img
refused "/bin/bash" -n 1 /bin/bash
refused "memory" -n 4 --mem 1M hello.img
refused "free memory" -n 100 --mem 1G hello.img
refused "0" -n 0 hello.img
rm -f $bad

# More than Xen grants: its tools only say "Invalid argument".
run pgas run -n 1 --mem 512M hello.img
expect_status 123
expect_last "gnttab_max_frames=258"
no_domains pgas- || fail "a domain is left"

# And more than domain 0 can have mapped, which is known before.
run pgas run -n 2 --mem 600M hello.img
expect_status 123
expect_last "gnttab_max_frames=302"
expect_last "gnttab_max_maptrack_frames=2400"
no_domains pgas- || fail "a domain is left"

# Large ranks work.
run pgas run -n 2 --mem 200M hello.img
expect_status 0

# More memory than the application can have is its own error, and names the rank.
run pgas run -n 2 --mem 8M cg.img -- --class A
[ "$status" != 0 ] || fail "class A cannot fit into 8 MiB"
expect "rank"
finish
