#!/bin/bash
# xenolith: hosts=2
# Jobs over two hosts, by TCP: ARMCI's promises, real programs, and what is said when a host's proxy
# is gone.
. ./expect.bash

secret=/root/secret
hosts=host1,host2
export XENOLITH_SECRET=$secret
(umask 077 && head -c 32 /dev/urandom | od -An -vtx1 | tr -d ' \n' >$secret)
on 2 "umask 077; echo $(<$secret) >$secret"

# start HOST: a daemon there that listens for members.
start() {
    local command="dom0-proxy --detach --listen host$1:7574 --secret $secret"
    on "$1" "$command </dev/null >>/root/daemon.log 2>&1 &
        until [ -s /run/xenolith/address ]; do sleep 0.1; done"
}
# clean HOST: nothing but domain 0 is there.
is_clean() { [ "$(on "$1" 'xl list | tail -n +2 | grep -vc "^Domain-0 "')" = 0 ]; }

for host in 1 2; do start $host; done

# More ranks and hosts are tried with processes, see tests/tests/hosts.rs.
semantics() {
    run pgas run -n $1 --hosts $hosts --placement $2 semantics.img
    expect_status 0
    expect "[0] 213 passed, 0 failed on $1 ranks"
}
semantics 2 block
run pgas run -n 2 --hosts $hosts c_semantics.img
expect_status 0
run pgas run -n 4 --hosts $hosts --mem 32M cg.img -- --class W
expect_status 0
expect "VERIFICATION SUCCESSFUL"
run pgas run -n 3 --hosts $hosts randomaccess.img -- --log2-table 8
expect_status 0
expect "errors      0 in 256 words"

# A rank that crashes on one host ends the job on both, and is named.
run pgas run -n 4 --hosts $hosts faults.img -- --rank 3 null
[ "$status" = 134 ] || fail "status $status is not 134"
expect_last "rank 3"
for host in 1 2; do wait_for is_clean $host; done

# Without the secret there is no job.
(umask 077 && head -c 32 /dev/urandom | od -An -vtx1 | tr -d ' \n' >/root/other)
run pgas run -n 2 --hosts $hosts --secret /root/other hello.img
expect_status 125
expect_last "host1:7574 does not know this secret"

# One host is cut off: both sides find out, and end what they have.
echo "+ the network of host 2 is down"
pgas run -n 4 --hosts $hosts pace.img -- 100000 >/root/cut.log 2>&1 &
pid=$!
wait_for grep -q "^.0. pace" /root/cut.log
on 2 "ip link set xenbr0 down"
wait $pid
status=$?
tail -n 3 /root/cut.log
expect_status 121
grep -q "host2 is gone" /root/cut.log || fail "host2 is not named"
for host in 1 2; do wait_for is_clean $host; done
on 2 "ip link set xenbr0 up"
run pgas run -n 2 --hosts $hosts hello.img
expect_status 0

# The daemon of one host dies.
echo "+ the daemon of host 2 is killed"
pgas run -n 4 --hosts $hosts pace.img -- 100000 >/root/pace.log 2>&1 &
pid=$!
wait_for grep -q "^.0. pace" /root/pace.log
on 2 "pkill -KILL -x dom0-proxy"
wait $pid
status=$?
tail -n 3 /root/pace.log
expect_status 121
grep -q "host2" /root/pace.log || fail "host2 is not named"
wait_for is_clean 1
start 2
wait_for is_clean 2
run pgas run -n 2 --hosts $hosts hello.img
expect_status 0
finish
