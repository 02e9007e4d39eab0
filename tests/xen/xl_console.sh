#!/bin/bash
# What the head of an image's configuration advises, `xl create -c`, and `xl console`.
. ./expect.bash

# Where the images are, since a configuration may name its image without a folder.
cd "$XENOLITH_IMAGES" || exit 1
run timeout 600 xl create -c hello.cfg </dev/null
expect_status 0
expect "hello from 0 of 1"
wait_for no_domains hello

# The console of a domain that runs, until it ends.
config=/tmp/xl_console.cfg
sed -e 's/^name *=.*/name = "counting"/' -e 's/^cmdline *=.*/cmdline = "-- --ticks 100000"/' \
    hello.cfg >$config
run xl create $config
expect_status 0
wait_for console_has counting "tick 1"
xl console counting </dev/null >/tmp/xl_console.out 2>&1 &
console=$!
wait_for grep -q "tick 4" /tmp/xl_console.out
run xl destroy counting
expect_status 0
wait $console
wait_for no_domains counting
rm -f $config /tmp/xl_console.out
finish
