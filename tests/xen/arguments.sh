#!/bin/bash
# Every argument arrives as it was given, whatever is in it.
. ./expect.bash

# hex TEXT: its bytes in hexadecimal.
hex() { printf '%s' "$1" | od -An -v -tx1 | tr -d ' \n'; }

# All characters below the space but NUL, and what quoting is about.
control=
for code in $(seq 1 31) 127; do
    control+=$(printf "\\x$(printf %x "$code").")
done
arguments=('' ' ' 'a b' "$(printf 'tab\there')" "$(printf 'new\nline')" "$control"
    '"' "'" '\' '\n' '\\"' '$HOME `x` # ;' '--' 'xenolith.rank=7' 'größer ✓')

run pgas run -n 2 --timeout 1800 arguments.img -- "${arguments[@]}"
expect_status 0
for rank in 0 1; do
    expected=$(for argument in "${arguments[@]}"; do
        echo "[$rank] argument $(hex "$argument")"
    done)
    [ "$(printf '%s\n' "$out" | grep -F "[$rank] argument ")" = "$expected" ] ||
        fail "rank $rank got other arguments; expected were: $expected"
done
finish
