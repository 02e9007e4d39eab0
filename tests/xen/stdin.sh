#!/bin/bash
# Standard input reaches ranks in Xen, byte for byte, and no more of it is taken than they read.
. ./expect.bash

seq 5000 >/tmp/input
sum=$(awk '{ for (i = 1; i <= length($0); i++) sum = (sum * 31 + ord($0, i)) % 1000000007
             sum = (sum * 31 + 10) % 1000000007 }
           function ord(text, at) { return index("0123456789", substr(text, at, 1)) + 47 }
           END { print sum }' /tmp/input)
all="$(stat -c %s /tmp/input) bytes, 5000 lines, sum $sum"
none="0 bytes, 0 lines, sum 0"

# from INPUT ARGUMENTS...: runs pgas with this file as its standard input.
from() {
    local input=$1
    shift
    run pgas run -n 2 "$@" <"$input"
    expect_status 0
}

from /tmp/input reader.img
expect "[0] $all"
expect "[1] $none"
from /tmp/input --stdin all c_reader.img
expect "[0] $all"
expect "[1] $all"
from /tmp/input --stdin none reader.img
expect "[0] $none"
from /dev/null c_reader.img
expect "[0] $none"

# A pipe, of which a rank reads the beginning; the rest stays for the next. (The daemon takes what
# the rank has room for, so a little more may be gone.)
run bash -c 'seq 5000 | { pgas run -n 1 reader.img -- 10; wc -c; }'
expect_status 0
expect "[0] 10 bytes, 5 lines"
rest=${out##*$'\n'}
[ "$rest" -ge $((23893 - 10 - 512)) ] || fail "only $rest bytes are left"

# Who does not ask leaves all of it alone; and bytes of all values pass, as do those that come late.
run bash -c 'seq 5000 | { pgas run -n 1 hello.img >/dev/null; wc -c; }'
expect "23893"
printf '%b' "$(printf '\\x%02x' $(seq 0 255))" >/tmp/input
run bash -c '(cat /tmp/input; sleep 2; cat /tmp/input) | pgas run -n 1 c_reader.img'
expect_status 0
expect "[0] 512 bytes, 2 lines"

# Input that does not end keeps no job from ending, nor a job that is killed.
mkfifo /tmp/forever
sleep 10000 <>/tmp/forever >/tmp/forever &
writer=$!
run pgas run -n 2 hello.img </tmp/forever
expect_status 0
run pgas run -n 1 --timeout 10 reader.img </tmp/forever
expect_status 124
kill $writer
rm -f /tmp/input /tmp/forever
finish
