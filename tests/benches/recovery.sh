#!/bin/bash
# Measures in dom0 what `compare --recovery` reports; run by it through `qemu-ci exec`.
# Arguments: RANKSxMIB..., how many ranks hold how many MiB of random data each, or RANKSxcg, how
# many are at work on NPB CG. Prints lines for machines, `KIND,RANKS,DATA,WHAT,NUMBER` with times in
# microseconds and sizes in bytes; see tests/benches/compare/recovery.rs.
set -euo pipefail

linux=/usr/share/xenolith/linux
daemon_log=/run/xenolith/daemon.log
logs=/var/log/xen/console
scratch=$(mktemp -d)
clean_up() {
    local status=$? name
    ((status == 0)) || tail -n 30 "$scratch"/*.log >&2
    for name in $(xl list | awk '/^bench-/ { print $1 }'); do xl destroy "$name"; done
    rm -rf "$scratch"
}
trap clean_up EXIT
now() { printf -v "$1" '%s' "${EPOCHREALTIME/[.,]/}"; }
# wait_for COMMAND...: as long as it takes; whoever has started this sees whether it hangs.
wait_for() { until "$@"; do sleep 0.1; done; }
# tell WHAT NUMBER
tell() { echo "$kind,$ranks,$data,$1,$2"; }
# took WHAT COMMAND...: tells how long it takes.
took() {
    local start end what=$1
    shift
    now start
    "$@" >>"$scratch/commands.log" 2>&1
    now end
    tell "$what" $((end - start))
}

# A number of a report in JSON; seconds as microseconds.
field() {
    local number
    number=$(sed -n "s/.*\"$1\":\([0-9.e-]*\).*/\1/p" "$scratch/report")
    awk -v number="$number" -v unit="${2:-1}" 'BEGIN { printf "%.0f", number * unit }'
}

# checkpoint NAME ARGUMENTS...
checkpoint() {
    local which=$1 what
    shift
    pgas checkpoint "$job" --dir "$scratch/images" --json "$@" >"$scratch/report"
    for what in to_the_line park copy stall write commit; do
        tell "$which $what" "$(field $what 1000000)"
    done
    for what in memory zero free new packed; do tell "$which $what" "$(field $what)"; done
}

# started FILE PATTERN COUNT
started() { [[ $(grep -c "$2" "$1") == "$3" ]]; }
has_ended() { ! kill -0 "$1" 2>/dev/null; }
named() {
    job=$(pgas ps --json | sed -n 's/.*"job":"\([0-9a-f]*\)".*/\1/p')
    [[ -n $job ]]
}

# restored: whether the daemon has said how long restoring the job took; tells that.
restored() {
    local time
    time=$(sed -n "s/.* restored job=\"$job\" seconds=\([0-9.]*\)\([mµ]*s\).*/\1 \2/p" \
        "$daemon_log")
    [[ -n $time ]] || return 1
    tell restore "$(awk -v time="$time" 'BEGIN {
        split(time, part, " ")
        unit["s"] = 1000000; unit["ms"] = 1000; unit["µs"] = 1
        printf "%.0f", part[1] * unit[part[2]]
    }')"
}

# copied MIB: how long a plain copy of that takes.
copied() {
    local kind=memcpy
    tell once "$(/root/copying "$1")"
}

# ours: a job of such ranks is saved three times, once by xl, and restored.
ours() {
    local kind=xenolith pid job domains run ready count used
    if [[ $data == cg ]]; then
        run=(--mem 32M "$XENOLITH_IMAGES/cg.img" -- --class A)
        ready='^.0.  *2 '
        count=1
    else
        run=(--mem "$((data + 8))M" "$XENOLITH_IMAGES/ballast.img" -- "$data" 100000)
        ready="filled $data MiB"
        count=$ranks
    fi
    pgas run -n "$ranks" "${run[@]}" >"$scratch/run.log" 2>&1 &
    pid=$!
    wait_for started "$scratch/run.log" "$ready" "$count"
    wait_for named
    checkpoint first
    if [[ $data == cg ]]; then
        # What ranks have in use.
        used=$(($(field memory) - $(field zero) - $(field free)))
        copied $((used / ranks / 1048576 + 1))
    else
        copied "$data"
    fi
    checkpoint second
    # CG would have ended by then.
    if [[ $data != cg ]]; then
        domains=$(xl list | awk -v name="pgas-$job-" 'index($1, name) == 1 { print $1 }')
        took "xl save" save "$domains" -c
        tell "xl size" "$(cat "$scratch"/*.saved | wc -c)"
        rm "$scratch"/*.saved
    fi
    checkpoint third --then stop
    wait_for has_ended $pid
    pgas restore "$scratch/images" >"$scratch/restore.log" 2>&1 &
    pid=$!
    wait_for named
    wait_for restored
    checkpoint fourth
    pgas kill "$job" >>"$scratch/commands.log" 2>&1
    wait_for has_ended $pid
    rm -r "$scratch/images"
}

# paces FILE LEAST: whether rank 0 has said so often how quickly it gets on.
paces() { [[ $(grep -c '^\[0\] pace' "$1") -ge $2 ]]; }

# pace: after how many tenths of a second a restored job is as quick as before it was saved, give or
# take 5 %.
pace() {
    local kind=xenolith pid job before
    pgas run -n "$ranks" --mem 16M "$XENOLITH_IMAGES/pace.img" -- 100000 \
        >"$scratch/pace.log" 2>&1 &
    pid=$!
    wait_for paces "$scratch/pace.log" 40
    wait_for named
    pgas checkpoint "$job" --dir "$scratch/images" --then stop >>"$scratch/commands.log" 2>&1
    wait_for has_ended $pid
    before=$(sed -n 's/^\[0\] pace //p' "$scratch/pace.log" | tail -n 20 | sort -n | sed -n 10p)
    pgas restore "$scratch/images" >"$scratch/paced.log" 2>&1 &
    pid=$!
    wait_for paces "$scratch/paced.log" 60
    wait_for named
    pgas kill "$job" >>"$scratch/commands.log" 2>&1
    wait_for has_ended $pid
    rm -r "$scratch/images"
    # From there on three of five are.
    tell "slow tenths" "$(sed -n 's/^\[0\] pace //p' "$scratch/paced.log" | head -n 60 |
        awk -v before="$before" '
            { quick[NR] = $1 >= before * 0.95 }
            END {
                for (tenth = 1; tenth + 4 <= NR; tenth++) {
                    sum = 0
                    for (next_one = tenth; next_one < tenth + 5; next_one++) sum += quick[next_one]
                    if (sum >= 3) break
                }
                print tenth - 1
            }')"
}

# save DOMAINS -c: one after the other.
save() {
    local name
    for name in $1; do xl save "$2" "$name" "$scratch/$name.saved"; done
}

# theirs: as many Linux domUs with the same data.
theirs() {
    local kind=linux mib=$data names="" name index start saved begin end saving=0 restoring=0 size=0
    for ((index = 0; index < ranks; index++)); do
        serial=$((serial + 1))
        name=bench-linux-$serial
        names+=" $name"
        printf '%s\n' "name = \"$name\"" 'type = "pvh"' "memory = $((mib + 112))" 'vcpus = 1' \
            "kernel = \"$linux/vmlinuz\"" "ramdisk = \"$linux/initramfs\"" \
            "cmdline = \"console=hvc0 rdinit=/init quiet data=$mib\"" >"$scratch/$name.cfg"
        xl create "$scratch/$name.cfg" >>"$scratch/commands.log" 2>&1
        wait_for grep -q "linux up" "$logs/guest-$name.log"
    done
    # One by one, since dom0 has no room for all of them.
    for name in $names; do
        now start
        xl save "$name" "$scratch/$name.saved" >>"$scratch/commands.log" 2>&1
        now saved
        size=$((size + $(stat -c %s "$scratch/$name.saved")))
        now begin
        xl restore "$scratch/$name.saved" >>"$scratch/commands.log" 2>&1
        now end
        saving=$((saving + saved - start))
        restoring=$((restoring + end - begin))
        rm "$scratch/$name.saved"
        xl destroy "$name"
    done
    tell "xl save" "$saving"
    tell "xl size" "$size"
    tell "xl restore" "$restoring"
}

serial=0
for measured in "$@"; do
    ranks=${measured%x*}
    data=${measured#*x}
    ours
    # Neither pace nor Linux guests hold what a program holds.
    [[ $data != cg ]] || continue
    pace
    # The daemon of the last job may still be ending.
    theirs
done
