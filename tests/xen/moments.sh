#!/bin/bash
# Jobs are saved, or lose a rank or the daemon, at random moments, and their answers are those of
# jobs that nobody disturbed. SEED=N chooses the moments. There are more of them in
# tests/campaigns/moments.sh.
. ./expect.bash
. ./recovery.bash
. ./moments.bash

disturbed registers 1 stop
disturbed accumulates 2 continue
disturbed printf 1 daemon
disturbed locks 3 rank
rm -rf $references $log
finish
