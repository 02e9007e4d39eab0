#!/bin/bash
# Sixteen ranks of 8 MiB on one host.
. ./expect.bash

run pgas run -n 16 --mem 8M hello.img
expect_status 0
for rank in $(seq 0 15); do
    expect "[$rank] hello from $rank of 16"
done
finish
