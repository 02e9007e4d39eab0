#!/bin/bash
# Recovery in Xen, longer than in the tests: at many random moments of many programs, which
# tests/xen/moments.bash tells; then a chain of many restores, and many faults while a job is being
# saved. On the build host:
#
#     cargo run --release -p qemu-ci -- exec --timeout 14400 \
#         --put tests/xen:/opt/xenolith/tests tests/campaigns/moments.sh \
#         [MOMENTS=50] [LINKS=20] [TRIES=12] [SEED=N]
for setting in "$@"; do export "${setting?}"; done
cd /opt/xenolith/tests || exit 1
. ./expect.bash
. ./recovery.bash
. ./moments.bash

names=(cg randomaccess semantics c_semantics printf computes registers locks barriers accumulates
    messages)
ways=(stop rank continue daemon)
declare -A count
moments=${MOMENTS:-50}
for ((moment = 0; moment < moments; moment++)); do
    # Each program as often as any other, on 1 to 5 ranks; sixteen once.
    name=${names[(moment + seed) % ${#names[@]}]}
    random ${#ways[@]}
    way=${ways[chosen]}
    if [ $moment = 1 ]; then
        name=randomaccess ranks=16
    else
        until
            random 5
            ranks=$((chosen + 1))
            program "$name" $ranks
        do :; done
    fi
    before=$failures
    disturbed "$name" $ranks "$way"
    [ "$failures" = "$before" ] || echo "moment $moment has failed"
    count[$way]=$((${count[$way]:-0} + 1))
done
echo "moments: SEED=$seed: $moments of ${#names[@]} programs: $hits disturbed, $misses too late;" \
    "$(for way in "${ways[@]}"; do echo "$way ${count[$way]:-0}"; done | tr '\n' ' ')"
rm -rf $references $log

export SEED=$seed LINKS=${LINKS:-20} TRIES=${TRIES:-12}
for script in chains killed_while_saving; do
    bash ./$script.sh || fail "$script.sh"
done
finish
