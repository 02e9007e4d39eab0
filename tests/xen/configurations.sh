#!/bin/bash
# What people's xl.cfg have in them besides: maxmem above memory, a long command line.
. ./expect.bash

# configured NAME IMAGE LINES...: an xl.cfg of the image with these lines, for a domain of this
# name.
configured() {
    sed -e "s/^name *=.*/name = \"$1\"/" -e '/^cmdline/d' -e '/^memory/d' \
        "$XENOLITH_IMAGES/$2.cfg" >"/tmp/$1.cfg"
    printf '%s\n' "${@:3}" >>"/tmp/$1.cfg"
}

# The memory map says maxmem, and a domain that uses more than memory is killed without a word. The
# tables take 8 and 32 MiB, twice.
for table in 20 22; do
    configured roomy$table randomaccess 'memory = 20' 'maxmem = 64' \
        "cmdline = \"--log2-table $table --updates-per-word 1\""
    run xl create /tmp/roomy$table.cfg
    expect_status 0
    wait_for console_has roomy$table "xenolith: exit"
    wait_for no_domains roomy$table
    console roomy$table | grep -a '^xenolith: '
done
console_has roomy20 "xenolith: exit 0" || fail "it cannot use what it has"
console_has roomy22 "xenolith: exit 1" || fail "it does not say that there is no more"

# What the kernel cannot take whole, it does not cut.
configured wordy hello 'memory = 16' "cmdline = \"$(head -c 6000 /dev/zero | tr '\0' y)\""
run xl create /tmp/wordy.cfg
expect_status 0
wait_for console_has wordy "fatal: rank 0: a command line has more than 4095 bytes"
wait_for no_domains wordy
finish
