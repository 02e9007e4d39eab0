# What the tests of recovery share: a job behind the script's back, which is saved, killed and
# restored; and whether its answer is that of a job that nobody disturbed. Sourced after expect.bash
# by scripts that say where `images` and `log` are.

# start COMMAND...: runs pgas behind the script's back, its job as $job. A job that begins has no
# images yet.
start() {
    echo "+ pgas $*"
    [ "$1" != run ] || rm -rf "$images"
    pgas "$@" >"$log" 2>&1 &
    pid=$!
    job=
    wait_for named
}

named() {
    job=$(pgas ps --json | sed -n 's/.*"job":"\([0-9a-f]*\)".*/\1/p')
    [ -n "$job" ] || ! is_running
}

is_running() {
    kill -0 "$pid" 2>/dev/null
}

# ended: what was started has ended, with $status; its output is $out.
ended() {
    wait "$pid"
    status=$?
    out=$(cat "$log")
    printf '%s\n' "$out" | tail -n 12
    wait_for no_domains pgas-
}

# ends STATUS: it has ended so.
ends() {
    ended
    expect_status "$1"
}

# says TEXT: it has written TEXT, or it has ended.
says() {
    ! is_running || grep -qF -- "$1" "$log"
}

# says_times COUNT TEXT: it has written it as often as that, or has ended.
says_times() {
    ! is_running || [ "$(grep -cF -- "$2" "$log")" -ge "$1" ]
}

# images LEAST: there are that many images, or it has ended.
images() {
    ! is_running || [ "$(find "$images" -name '*.image' 2>/dev/null | wc -l)" -ge "$1" ]
}

# a_rank: the number of a rank's domain, if there is any.
a_rank() {
    xl list | awk '/^pgas-/ { print $2; exit }'
}

# try_save ARGUMENTS...: saves the job, as soon as all of its ranks are there. False if it ends
# before. What pgas says is $out.
try_save() {
    until out=$(pgas checkpoint "$job" "$@" 2>&1); do
        case $out in
        *"not all of its ranks have started, or it has ended"*) is_running || return 1 ;;
        *"another line is under way"* | *"is being saved to by"*) ;;
        *"no job $job"* | *"no dom0-proxy"*) return 1 ;;
        *) break ;;
        esac
        sleep 0.1
    done
    printf '%s\n' "$out"
    case $out in
    *"is saved as line"*) ;;
    *) fail "checkpoint: $out" ;;
    esac
}

# save ARGUMENTS...: the same of a job that does not end by itself.
save() {
    try_save "$@" || fail "checkpoint: $out"
}

# says_one_line TEXT: the last command has said one line, with TEXT in it.
says_one_line() {
    [ "$(printf '%s\n' "$out" | wc -l)" = 1 ] || fail "this is not one line: $out"
    expect "$1"
}

# milliseconds: since 1970.
milliseconds() {
    local now=${EPOCHREALTIME/[.,]/}
    echo $((now / 1000))
}

# random END: a number below END, the next that follows from the seed.
random() {
    local bits=$((RANDOM << 15 | RANDOM))
    chosen=$((bits % $1))
}

# goes_on FIRST SECOND STORY: whether STORY, the logs of a job's lives one after another, has the
# answer of FIRST and SECOND, the logs of two runs that nobody disturbed. Each rank must write the
# same lines, wherever those two agree. A life may begin within a line, end within one, and write
# again what the life before has written; but none may leave anything out.
goes_on() {
    awk -v first="$1" -v second="$2" '
    function rank_of(line) {
        match(line, /^\[[0-9]+\]/)
        return substr(line, 2, RLENGTH - 2)
    }
    # Puts a line behind those of its rank. Beginnings of lines may be shown alone.
    function take(line, lines, count,    rank, goes_on) {
        rank = rank_of(line)
        goes_on = line ~ /^\[[0-9]+\]\+/
        sub(/^\[[0-9]+\]\+? ?/, "", line)
        if (goes_on) lines[rank, count[rank]] = lines[rank, count[rank]] line
        else lines[rank, ++count[rank]] = line
    }
    function load(file, lines, count,    line) {
        while ((getline line < file) > 0) if (line ~ /^\[[0-9]+\]/) take(line, lines, count)
        close(file)
    }
    function fault(rank, why) {
        printf "rank %s, life %d: %s\n", rank, life, why
        faults++
    }
    function ends_with(text, end) {
        return substr(text, length(text) - length(end) + 1) == end
    }
    # Whether line `at` of this life can be line `place` of the answer.
    function fits(rank, at, place,    found, right, is_first, is_end) {
        if (place > total[rank]) return 0
        if ((rank, place) in free) return 1
        found = lived[rank, at]
        right = answer[rank, place]
        is_first = at == 1 && !is_fresh
        is_end = at == count[rank] && !is_last
        if (is_first && is_end) return index(right, found) > 0
        if (is_first) return ends_with(right, found)
        if (is_end) return index(right, found) == 1
        return found == right
    }
    # How many lines of the answer there are when this life follows `before` of them; -1 if it
    # cannot.
    function follows(rank, before,    at, last) {
        for (at = 1; at <= count[rank]; at++) if (!fits(rank, at, before + at)) return -1
        at = before + count[rank]
        last = lived[rank, count[rank]]
        if (is_last) return at == total[rank] ? at : -1
        # The rest of a line that was cut is to come.
        return (rank, at) in free || ends_with(answer[rank, at], last) ? at : at - 1
    }
    function settle(    rank, key, before, after, known) {
        for (rank in count) {
            known = is_fresh ? 0 : reached[rank] + 0
            after = -1
            for (before = known; before >= (is_fresh ? known : 0) && after < 0; before--)
                after = follows(rank, before)
            if (after > reached[rank]) reached[rank] = after
            if (after >= 0) continue
            for (before = known + 1; before < total[rank] && after < 0; before++)
                after = follows(rank, before)
            if (after >= 0)
                fault(rank, "lines are missing behind line " known ": " answer[rank, known + 1])
            else
                fault(rank, "this is not the answer behind line " known ": " lived[rank, 1] \
                    " ... " lived[rank, count[rank]])
            reached[rank] = total[rank]
        }
        for (key in count) delete count[key]
        for (key in lived) delete lived[key]
    }
    BEGIN {
        split("", answer); split("", total); split("", other); split("", others)
        split("", lived); split("", count); split("", free); split("", reached)
        load(first, answer, total)
        load(second, other, others)
        for (rank in total) if (total[rank] != others[rank]) {
            print "rank " rank " did not write as many lines twice"
            faults++
        }
        # Times and what follows from them may agree by chance.
        for (key in answer)
            if (answer[key] != other[key] || answer[key] ~ /time|Mop\/s|GUPS/) free[key] = 1
        life = 1
        is_fresh = 1
    }
    # Whether a line is marked as one that was shown before is looked at elsewhere.
    /^\[[0-9]+ again\]/ { sub(/ again\]/, "]") }
    /^pgas: restored from / { settle(); life++; is_fresh = 0 }
    /^pgas: the job goes back to its start/ { settle(); life++; is_fresh = 1 }
    /^\[[0-9]+\]/ { take($0, lived, count) }
    END {
        is_last = 1
        settle()
        for (rank in total) if (reached[rank] != total[rank])
            fault(rank, "its last lines are missing, from " reached[rank] + 1 " of " total[rank])
        exit faults > 0
    }' "$3" || fail "another answer than that of $1"
}
