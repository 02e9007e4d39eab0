#!/bin/bash
# NPB CG finds the reference value on every number of ranks; class S in 8 MiB a rank.
. ./expect.bash

for ranks in 1 2 4 8; do
    run pgas run -n $ranks --mem 8M cg.img -- --class S
    expect_status 0
    expect "VERIFICATION SUCCESSFUL"
done
for ranks in 1 2 4 8; do
    run pgas run -n $ranks --mem 32M cg.img -- --class W
    expect_status 0
    expect "VERIFICATION SUCCESSFUL"
done
finish
