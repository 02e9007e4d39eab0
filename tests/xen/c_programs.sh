#!/bin/bash
# C programs without ARMCI: their library's functions, arguments, files, exit status, and what goes
# wrong.
. ./expect.bash

run pgas run -n 2 c_smallest.img
expect_status 0
for rank in 0 1; do
    expect "[$rank] hello from $rank of 2"
done
size=$(stat -c %s "$XENOLITH_IMAGES/c_smallest.img")
echo "c_smallest.img has $size bytes"
[ "$size" -le $((512 * 1024)) ] || fail "c_smallest.img is larger than 512 KiB"

printf 'first line\nand then, at the end, the\nlast\n' >/tmp/ramdisk
run pgas run -n 2 --file /tmp/ramdisk c_library.img -- check two "three words"
expect_status 0
expect "[1] c_library: [check] [two] [three words]"
expect "[1] the file has 42 bytes"
expect "[1] to stderr"
expect "[1] 0 checks failed"
expect "[1] at exit"
expect "[1] destructor"
rm -f /tmp/ramdisk

run pgas run -n 1 c_library.img -- exit 7
expect_status 7
expect_last "rank 0 exited with status 7"

# wrong TEXT ARGUMENT
wrong() {
    run pgas run -n 1 --timeout 1800 c_library.img -- "$2"
    expect_status 134
    expect_last "failed: rank 0"
    expect_last "$1"
    expect "[0] going wrong: $2"
}

wrong "aborted" abort
wrong "aborted" assert
expect "Assertion failed: how == NULL && \"this is asked for\""
wrong "null pointer: write" null
wrong "read-only" rodata
wrong "read-only" text
wrong "stack overflow" overflow
wrong "division by zero" divide
wrong "check in the C library failed" doublefree

# A C program survives being saved and restored, system calls and thread-local data included.
image=/tmp/c_programs.image
config=/tmp/c_programs.cfg
sed -e 's/^name *=.*/name = "cticks"/' -e 's/^cmdline *=.*/cmdline = "-- ticks 100000"/' \
    "$XENOLITH_IMAGES/c_library.cfg" >$config
run xl create $config
expect_status 0
wait_for console_has cticks "tick 2"
run xl save -c cticks $image
expect_status 0
ticks=$(console cticks | grep -ac '^tick')
wait_for console_has cticks "tick $((ticks + 2))"
run xl save cticks $image
expect_status 0
ticks=$(console cticks | grep -ac '^tick')
run xl restore $image
expect_status 0
wait_for console_has cticks "tick $((ticks + 4)) "
run xl destroy cticks
wait_for no_domains cticks
ticks=$(console cticks | grep -ac '^tick')
[ "$(console cticks | grep -a '^tick')" = "$(seq "$ticks" | sed 's/.*/tick & good/')" ] ||
    fail "ticks are missing or bad: $(console cticks)"
rm -f $image $config
finish
