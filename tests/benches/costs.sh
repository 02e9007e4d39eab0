#!/bin/bash
# Measures in dom0 what `compare --costs` reports; run by it through `qemu-ci exec`.
# Arguments: how many rounds. In /root/other may be pgas, dom0-proxy, cg.img and bench.img of
# another build. Prints lines for machines, `cost,WHERE,WHAT,NUMBER`; see
# tests/benches/compare/costs.rs.
set -euo pipefail

rounds=$1
linux=/usr/share/xenolith/linux
logs=/var/log/xen/console
scratch=$(mktemp -d)
clean_up() {
    local status=$? name
    ((status == 0)) || tail -n 30 "$scratch"/*.log >&2
    for name in $(xl list | awk '/^bench-/ { print $1 }'); do xl destroy "$name"; done
    rm -rf "$scratch"
}
trap clean_up EXIT

# The initial file system of a Linux domU that runs the same programs: what the busybox of the other
# benchmarks needs, and behind that the programs with their libraries.
guest=$scratch/guest
mkdir -p "$guest/bin"
for program in dom0-proxy pgas cg bench; do
    cp "/opt/xenolith/bin/$program" "$guest/bin"
    for library in $(LD_TRACE_LOADED_OBJECTS=1 "/opt/xenolith/bin/$program" | grep -o '/[^ ]*'); do
        mkdir -p "$guest${library%/*}"
        cp -L "$library" "$guest$library"
    done
done
cat >"$guest/measure" <<'END'
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /dev /tmp /run
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mkdir -p /dev/shm
/bin/busybox mount -t tmpfs shm /dev/shm
export PATH=/bin XENOLITH_RUN_DIR=/run/xenolith
pgas run --hosted -n 1 /bin/cg -- --class S
pgas run --hosted -n 2 /bin/bench -- --longest 8 --way direct
echo "all measured"
while :; do /bin/busybox sleep 3600; done
END
chmod +x "$guest/measure"
(cd "$guest" && find . | busybox cpio -o -H newc) >"$scratch/programs.cpio" 2>>"$scratch/cpio.log"
cat "$linux/initramfs" "$scratch/programs.cpio" >"$scratch/initramfs"

# tell WHERE FILE: what cg and bench have written into it.
tell() {
    sed -n "s/^\[0\]   time  *\([0-9.]*\) s.*/cost,$1,cg,\1/p" "$2" | tr -d '\r'
    sed -n "s/^\[0\] [a-z]*,\(put\),8,\([0-9.]*\),.*/cost,$1,\1,\2/p" "$2" | tr -d '\r'
}

# ours WHERE CLASS ARGUMENTS...: the class of CG on one unikernel.
ours() {
    local where=$1 class=$2
    shift 2
    rm -rf "$scratch/images"
    pgas run -n 1 "$@" "$XENOLITH_IMAGES/cg.img" -- --class "$class" >"$scratch/ours.log" 2>&1
    tell "$where" "$scratch/ours.log"
}

# no_daemon: the one that pgas has started, which is idle, gives up the host's domains.
no_daemon() {
    pkill -TERM -x dom0-proxy
    while pgrep -x dom0-proxy >/dev/null; do sleep 0.1; done
}

# others: class W of CG, and puts, on the other build.
others() {
    no_daemon
    local pgas=(env "PATH=/root/other:$PATH" XENOLITH_RUN_DIR=/run/other /root/other/pgas)
    "${pgas[@]}" run -n 1 /root/other/cg.img -- --class W >"$scratch/other.log" 2>&1
    tell other "$scratch/other.log"
    "${pgas[@]}" run -n 2 --mem 16M /root/other/bench.img -- --longest 8 --way direct \
        >"$scratch/other.log" 2>&1
    tell other "$scratch/other.log"
    no_daemon
}

serial=0
# theirs: the same programs in a Linux domU.
theirs() {
    serial=$((serial + 1))
    local name=bench-linux-$serial
    printf '%s\n' "name = \"$name\"" 'type = "pvh"' 'memory = 384' 'vcpus = 1' \
        "kernel = \"$linux/vmlinuz\"" "ramdisk = \"$scratch/initramfs\"" \
        'cmdline = "console=hvc0 rdinit=/measure quiet"' >"$scratch/$name.cfg"
    xl create "$scratch/$name.cfg" >>"$scratch/create.log" 2>&1
    # As long as it takes; whoever has started this sees whether it hangs.
    until grep -q "all measured" "$logs/guest-$name.log" 2>/dev/null; do
        xl domid "$name" >/dev/null
        sleep 0.5
    done
    tell linux "$logs/guest-$name.log"
    xl destroy "$name"
}

# What a line of such a job costs decides how often it is saved. The second is looked at: the first
# has to take memory for the copy from the system.
pgas run -n 1 --mem 64M "$XENOLITH_IMAGES/cg.img" -- --class A >"$scratch/first.log" 2>&1 &
until job=$(pgas ps --json | sed -n 's/.*"job":"\([0-9a-f]*\)".*/\1/p') && [[ -n $job ]] &&
    pgas checkpoint "$job" --dir "$scratch/first" --json >"$scratch/report" 2>/dev/null; do
    sleep 0.1
done
pgas checkpoint "$job" --dir "$scratch/first" --json >"$scratch/report"
every=$(sed -n 's/.*"stall":\([0-9.e-]*\).*/\1/p' "$scratch/report" |
    awk '{ printf "%.2f", $1 * 100 }')
wait
echo "cost,saved,every,$every"

for ((round = 0; round < rounds; round++)); do
    ours xenolith S
    pgas run -n 2 --mem 16M "$XENOLITH_IMAGES/bench.img" -- --longest 8 --way direct \
        >"$scratch/bench.log" 2>&1
    tell xenolith "$scratch/bench.log"
    theirs
    ours plain W
    if [[ -d /root/other ]]; then others; fi
    ours unsaved A --mem 64M
    ours saved A --mem 64M --every "${every}s" --keep 2 --dir "$scratch/images"
done
