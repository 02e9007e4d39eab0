# Checks that a test leaves dom0 as it was. `baseline` remembers the state; `check` prints one line
# per thing left behind. After `check` no dom0-proxy runs: the next test begins with none. `hang`
# tells why a test may hang, and ends its jobs; how their ranks were is in daemon.log then.

baseline=/run/qemu-ci-baseline
mkdir -p $baseline

# Domains with their state, dom0 aside.
domains() { xl list | tail -n +3; }
store_domains() { xenstore-list /local/domain | grep -vx 0 | sort -n; }
free_memory() { xl info free_memory; }
# A sign of trouble in the kernel's log, however often it has come.
trouble='BUG:|WARNING:|Bad page|Oops|general protection|grant.*still in use'
kernel_trouble() { dmesg | grep -cE "$trouble"; }
last_trouble() { dmesg | grep -E "$trouble" | tail -n 1 | sed 's/^/in the kernel log: /'; }
leftover_programs() { pgrep -l -x 'pgas|dom0-proxy'; }

# Waits until $1 prints nothing; a domain takes a moment to die.
settle() {
    for _ in $(seq 600); do
        [ -z "$($1)" ] && return
        sleep 0.1
    done
}

case $1 in
baseline)
    free_memory >$baseline/free
    kernel_trouble >$baseline/trouble
    ;;
hang)
    echo "--- domains, their processors, and jobs:"
    xl list
    xl vcpu-list
    pgas ps
    echo "--- where guests that run were, in ten looks:"
    for _ in $(seq 10); do
        xl dmesg -c >/dev/null
        xl debug-keys d
        xl dmesg -c | grep -A 11 'guest state (d[1-9]'
        sleep 0.2
    done
    pkill -TERM -x pgas
    settle 'pgrep -x pgas'
    echo "--- end of daemon.log:"
    tail -n 100 /run/xenolith/daemon.log
    ;;
check)
    pids=$(pgrep -x pgas) && echo "program pgas still runs ($pids)" && pkill -KILL -x pgas
    if pgrep -x dom0-proxy >/dev/null; then
        pkill -TERM -x dom0-proxy
        settle leftover_programs
        pkill -KILL -x dom0-proxy && echo "dom0-proxy did not end on SIGTERM"
    fi
    settle domains
    domains | while read -r name id rest; do echo "domain $name ($id)"; done
    store_domains | while read -r id; do echo "xenstore /local/domain/$id"; done
    before=$(cat $baseline/free) now=$(free_memory)
    # The table of dom0's grant mappings grows with the most that there ever were, to 4 MiB, and
    # never shrinks.
    [ "$now" -ge $((before - 5)) ] || echo "Xen has $now MiB free, it had $before"
    before=$(cat $baseline/trouble) now=$(kernel_trouble)
    [ "$now" -le "$before" ] || last_trouble
    ;;
esac
true
