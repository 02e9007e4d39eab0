#!/bin/bash
# ARMCI's promises, by the same source that runs hosted.
. ./expect.bash

for ranks in 1 2 3 4 5; do
    run pgas run -n $ranks semantics.img
    expect_status 0
    expect "[0] 213 passed, 0 failed on $ranks ranks"
done
finish
