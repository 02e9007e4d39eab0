# Jobs that are saved or killed at a moment, and restored, beside the same jobs undisturbed. Sourced
# after recovery.bash by moments.sh and tests/campaigns/moments.sh.

seed=${SEED:-$RANDOM}
RANDOM=$seed
echo "SEED=$seed"
images=/tmp/moments-images
log=/tmp/moments.log
# The answers of jobs that nobody disturbs.
references=/tmp/moments-references
mkdir $references
hits=0 misses=0

# program NAME RANKS: sets $command, what a job of it is run with; false if it does not run on that
# many ranks. The names say what its ranks are doing most of the time.
program() {
    local memory=16M image=rounds.img
    local -a arguments=("$1")
    case $1 in
    cg)
        image=cg.img memory=32M arguments=(--class W)
        [ "$2" != 16 ] || memory=8M arguments=(--class S)
        [ $(($2 & ($2 - 1))) = 0 ] || return 1
        ;;
    randomaccess)
        image=randomaccess.img arguments=(--log2-table 14 --updates-per-word 32)
        [ "$2" != 16 ] || memory=8M arguments=(--log2-table 12)
        ;;
    semantics) image=semantics.img arguments=() ;;
    c_semantics)
        image=c_semantics.img arguments=()
        # With more ranks only what depends on their number.
        [ "$2" -le 3 ] || arguments=(query groups mutexes messages reductions)
        ;;
    # All ranks have one processor.
    printf) image=c_talker.img arguments=(lines $((6000 / $2))) ;;
    computes) image=faults.img arguments=(compute $((40 / $2))) ;;
    registers) arguments+=($((800 / $2))) ;;
    locks) arguments+=($((3600 / $2))) ;;
    barriers) arguments+=($((4000 / $2))) ;;
    accumulates) arguments+=($((500 / $2))) ;;
    messages) arguments+=($((160 / $2))) ;;
    *) return 1 ;;
    esac
    case $1-$2 in
    cg-16 | randomaccess-16 | locks-16 | barriers-16) ;;
    *-16) return 1 ;;
    esac
    command=(-n "$2" --mem "$memory" "$image" -- "${arguments[@]}")
}

# undisturbed NAME RANKS: runs it twice, unless that has been done. The logs are $reference.1 and
# $reference.2, and $usual is how many milliseconds it takes.
undisturbed() {
    reference=$references/$1-$2
    if [ ! -e "$reference.usual" ]; then
        local time began
        for time in 1 2; do
            began=$(milliseconds)
            pgas run "${command[@]}" >"$reference.$time" 2>&1 ||
                fail "$1 on $2 ranks ends with $?: $(tail -n 3 "$reference.$time")"
            echo $(($(milliseconds) - began)) >"$reference.usual"
        done
    fi
    usual=$(cat "$reference.usual")
}

# wait_until MILLISECONDS: since $began.
wait_until() {
    local left=$((began + $1 - $(milliseconds)))
    [ $left -le 0 ] || sleep "$((left / 1000)).$(printf %03d $((left % 1000)))"
}

# disturbed NAME RANKS WAY: a job of it is disturbed at a random moment:
#   continue  saved, and goes on; then what was saved is restored as well
#   stop      saved, ended, and restored
#   rank      saved again and again, until the domain of a rank is destroyed: it goes back by itself
#   daemon    the same, and the daemon is killed
disturbed() {
    local began at story=$log.story disturbance=$3
    program "$1" "$2" || fail "$1 does not run on $2 ranks"
    undisturbed "$1" "$2"
    # From before all ranks are there to behind the end.
    random $((usual + usual / 10))
    at=$chosen
    echo "moment: $1 on $2 ranks: $disturbance after $at of $usual ms"
    began=$(milliseconds)
    case $disturbance in
    continue | stop)
        start run "${command[@]}"
        wait_until "$at"
        if ! try_save --dir "$images" --then "$disturbance"; then
            misses=$((misses + 1))
            ends 0
            goes_on "$reference.1" "$reference.2" "$log"
            return
        fi
        if [ "$disturbance" = stop ]; then ends 120; else ends 0; fi
        cp "$log" "$story"
        [ "$disturbance" = stop ] || goes_on "$reference.1" "$reference.2" "$log"
        start restore "$images"
        ended
        case $status-$out in
        # There was nothing left to be done.
        126-*"all of its ranks had ended"*) ;;
        *)
            expect_status 0
            cat "$log" >>"$story"
            ;;
        esac
        ;;
    rank | daemon)
        start run --every 700ms --restart 5 --dir "$images" "${command[@]}"
        wait_until "$at"
        strike "$disturbance"
        ends 0
        if grep -q '^pgas: the job goes back' "$log"; then
            hits=$((hits + 1))
        else
            misses=$((misses + 1))
        fi
        goes_on "$reference.1" "$reference.2" "$log"
        run pgas verify "$images"
        expect_status 0
        rm -rf "$images"
        return
        ;;
    esac
    hits=$((hits + 1))
    goes_on "$reference.1" "$reference.2" "$story"
    run pgas verify "$images"
    expect_status 0
    rm -rf "$images" "$story"
}

# strike WHAT: destroys the domain of some rank, or kills the daemon. It may be gone already.
strike() {
    local -a domains
    case $1 in
    rank)
        mapfile -t domains < <(xl list | awk '/^pgas-/ { print $2 }')
        [ ${#domains[@]} != 0 ] || return 0
        random ${#domains[@]}
        xl destroy "${domains[chosen]}"
        ;;
    daemon) pkill -KILL -x dom0-proxy ;;
    esac
}
