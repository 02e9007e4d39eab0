#!/bin/bash
# Measures in dom0 what `compare --xen` reports; run by it through `qemu-ci exec`.
# Arguments: how many rounds. Prints lines for machines; see tests/benches/compare/guests.rs.
set -euo pipefail

rounds=$1
images=$XENOLITH_IMAGES
linux=/usr/share/xenolith/linux
logs=/var/log/xen/console
scratch=$(mktemp -d)
clean_up() {
    local status=$? name
    ((status == 0)) || cat "$scratch/create.log" >&2
    for name in $(xl list | awk '/^bench-/ { print $1 }'); do xl destroy "$name"; done
    rm -rf "$scratch"
}
trap clean_up EXIT
# Waiting without starting processes, which is slow under emulation.
mkfifo "$scratch/never"
exec {never}<>"$scratch/never"
nap() { read -r -t 0.01 -u "$never" || true; }
# Microseconds, as the shell itself knows them.
now() { printf -v "$1" '%s' "${EPOCHREALTIME/[.,]/}"; }

# What tells that the application of a guest is up.
declare -A sign=([xenolith]="hello from 0 of 1" [linux]="linux up")

# configure KIND NAME MEMORY: writes a guest's configuration.
configure() {
    printf '%s\n' "name = \"$2\"" 'type = "pvh"' "memory = $3" 'vcpus = 1' \
        'on_poweroff = "destroy"' 'on_reboot = "destroy"' 'on_crash = "destroy"'
    case $1 in
        xenolith) printf '%s\n' "kernel = \"$images/hello.img\"" 'cmdline = "--ticks 100000"' ;;
        linux) printf '%s\n' "kernel = \"$linux/vmlinuz\"" "ramdisk = \"$linux/initramfs\"" \
            'cmdline = "console=hvc0 rdinit=/init quiet"' ;;
    esac
}

# is_up KIND NAME: whether its application has written its first line.
is_up() {
    local lines
    [[ -e $logs/guest-$2.log ]] || return 1
    mapfile lines <"$logs/guest-$2.log"
    [[ ${lines[*]} == *"${sign[$1]}"* ]]
}

# Seconds after which a guest that is not up is taken for hung; less when it is known how long boots
# take.
patience=600

# wait_up KIND NAME: fails when the guest ends first, or hangs.
wait_up() {
    local turn end=$((EPOCHSECONDS + patience))
    for ((turn = 1; EPOCHSECONDS < end; turn++)); do
        is_up "$1" "$2" && return
        ((turn % 100)) || xl domid "$2" >/dev/null 2>&1 || return 1
        nap
    done
    return 1
}

serial=0
# create KIND MEMORY [-p]: sets $name. Each guest has a name, and so a console log, of its own.
create() {
    serial=$((serial + 1))
    name=bench-$1-$serial
    configure "$1" "$name" "$2" >"$scratch/$name.cfg"
    xl create "${@:3}" "$scratch/$name.cfg" >"$scratch/create.log" 2>&1
}

# boot KIND MEMORY: "boot,KIND,MICROSECONDS to create,MICROSECONDS from then to the application's
# first line".
boot() {
    local start created up
    now start
    create "$1" "$2" -p
    now created
    xl unpause "$name"
    wait_up "$1" "$name"
    now up
    echo "boot,$1,$((created - start)),$((up - created))"
    xl destroy "$name"
}

# boots KIND MEMORY: whether it does.
boots() {
    local good=0
    create "$1" "$2" && wait_up "$1" "$name" || good=1
    xl destroy "$name" 2>/dev/null || true
    return "$good"
}

# smallest KIND TOO_LITTLE ENOUGH STEP: sets $least to the least memory with which it boots.
smallest() {
    local little=$2 middle
    least=$3
    while ((least - little > $4)); do
        middle=$((little + (least - little) / $4 / 2 * $4))
        if boots "$1" "$middle"; then least=$middle; else little=$middle; fi
    done
}

free_memory() { xl info | awk '/^free_memory/ { print $3 }'; }

# host_cost KIND MEMORY COUNT: what the host has less with COUNT guests.
host_cost() {
    local before names=() index
    before=$(free_memory)
    for ((index = 0; index < $3; index++)); do
        create "$1" "$2"
        wait_up "$1" "$name"
        names+=("$name")
    done
    echo "host,$1,$2,$3,$((before - $(free_memory)))"
    for name in "${names[@]}"; do xl destroy "$name"; done
    # Xen gives pages back a little later.
    for ((index = 0; index < 500 && $(free_memory) < before; index++)); do nap; done
}

for ((round = 0; round < rounds; round++)); do
    for way in direct proxy; do
        echo "round $way"
        pgas run -n 2 --mem 16M --timeout 300 "$images/bench.img" -- --longest 1048576 --way "$way"
    done
done

echo "guests"
echo "image,xenolith,$(stat -c %s "$images/hello.img")"
echo "image,linux,$(($(stat -c %s "$linux/vmlinuz") + $(stat -c %s "$linux/initramfs")))"

# The first boot of each is not counted: it brings the images into memory.
boot xenolith 16 >/dev/null
begin=$EPOCHSECONDS
boot linux 128 >/dev/null
patience=$((30 + 3 * (EPOCHSECONDS - begin)))
for ((round = 0; round < rounds; round++)); do
    boot xenolith 16
    boot linux 128
done

smallest xenolith 1 16 1
echo "least,xenolith,$least"
host_cost xenolith "$least" 8
smallest linux 16 128 8
echo "least,linux,$least"
host_cost linux "$least" 1
