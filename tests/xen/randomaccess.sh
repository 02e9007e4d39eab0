#!/bin/bash
# Updates from all ranks at once, none of them lost.
. ./expect.bash

for ranks in 1 2 3 4 5; do
    run pgas run -n $ranks randomaccess.img -- --log2-table 10
    expect_status 0
    expect "errors      0 in 1024 words"
done
finish
