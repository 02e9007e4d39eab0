# What the Xen tests share: run a command, look at its status and output. Sourced by the scripts
# beside it.

set -u
failures=0
# Nobody types anything, and no job is to wait for it. Descriptor 3 is the script's own output.
exec </dev/null 3>&1

# fail TEXT...: notes a failure and goes on.
fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# run COMMAND...: runs it, keeps its output in $out (both streams, also printed as it comes, since
# silence says that a script hangs) and its status in $status.
run() {
    echo "+ $*"
    out=$(
        "$@" 2>&1 3>&- | tee /dev/fd/3
        exit "${PIPESTATUS[0]}"
    )
    status=$?
}

# expect_status N: the last command's status is N.
expect_status() {
    [ "$status" = "$1" ] || fail "status $status is not $1"
}

# expect TEXT: the last command printed TEXT.
expect() {
    case $out in
    *"$1"*) ;;
    *) fail "no '$1' in the output" ;;
    esac
}

# expect_last TEXT: the last line that the last command printed has TEXT in it.
expect_last() {
    local last=${out##*$'\n'}
    case $last in
    *"$1"*) ;;
    *) fail "no '$1' in the last line: $last" ;;
    esac
}

# wait_for COMMAND...: waits until the command succeeds, for 300 s at least: what takes seconds on
# an idle machine.
wait_for() {
    local left=1500
    until "$@"; do
        left=$((left - 1))
        if [ $left -le 0 ]; then
            fail "waited in vain for: $*"
            return 1
        fi
        sleep 0.2
    done
}

# domains NAME: how many domains have a name that begins with NAME.
domains() {
    xl list | awk -v name="$1" 'index($1, name) == 1' | wc -l
}

# no_domains NAME: there is none.
no_domains() {
    [ "$(domains "$1")" = 0 ]
}

# console NAME: what a domain, or one that was, has written.
console() {
    cat "/var/log/xen/console/guest-$1.log"
}

# console_has NAME TEXT: it has written TEXT.
console_has() {
    console "$1" 2>/dev/null | grep -qF -- "$2"
}

# finish: the script's verdict, to be called last.
finish() {
    [ $failures = 0 ] || { echo "$failures expectations failed"; exit 1; }
    exit 0
}
