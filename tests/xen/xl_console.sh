#!/bin/bash
# xenolith: timeout=400
# What the head of an image's configuration advises, `xl create -c`, and `xl console`.
. ./expect.bash

# Where the images are, since a configuration may name its image without a folder.
cd "$XENOLITH_IMAGES" || exit 1
run timeout 60 xl create -c hello.cfg </dev/null
expect_status 0
expect "hello from 0 of 1"
wait_for 20 no_domains hello

# The console of a domain that runs, until it ends.
config=/tmp/xl_console.cfg
sed -e 's/^name *=.*/name = "counting"/' -e 's/^cmdline *=.*/cmdline = "-- --ticks 6"/' \
    hello.cfg >$config
run xl create $config
expect_status 0
wait_for 20 console_has counting "tick 1"
run timeout 60 xl console counting </dev/null
expect_status 0
expect "tick 6"
wait_for 20 no_domains counting
rm -f $config
finish
