#!/bin/busybox sh
# The first program of a host's dom0: mounts, modules, Xen's daemons, the network, then the agent of
# qemu-ci. What programs find is what Debian would give them, as far as it may matter to them.

export PATH=/opt/xenolith/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root USER=root LOGNAME=root SHELL=/bin/bash TERM=linux LANG=C.UTF-8
umask 022
ulimit -H -n 1048576

mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 /sys/fs/cgroup
echo "+cpu +memory +pids" >/sys/fs/cgroup/cgroup.subtree_control
mount -t debugfs -o nosuid,nodev,noexec debugfs /sys/kernel/debug
mount -t devtmpfs -o nosuid devtmpfs /dev
mkdir -p /dev/pts /dev/shm /dev/mqueue
mount -t devpts -o nosuid,noexec,gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o nosuid,nodev tmpfs /dev/shm
mount -t mqueue -o nosuid,nodev,noexec mqueue /dev/mqueue
mount -t tmpfs -o nosuid,nodev,mode=755,size=10% tmpfs /run
mkdir /run/lock
mount -t tmpfs -o nosuid,nodev,noexec,mode=1777,size=5m tmpfs /run/lock
chown user:user /home/user
ln -sf /proc/self/fd /dev/fd
ln -sf /proc/self/fd/0 /dev/stdin
ln -sf /proc/self/fd/1 /dev/stdout
ln -sf /proc/self/fd/2 /dev/stderr

# The value of xenolith.NAME= on the kernel command line.
option() {
    tr ' ' '\n' </proc/cmdline | sed -n "s/^xenolith\.$1=//p"
}

modprobe -a virtio_pci virtio_console xenfs xen-evtchn xen-gntdev xen-gntalloc xen-privcmd
mount -t xenfs xenfs /proc/xen

mkdir -p /run/xen /run/xenstored
xenstored --pid-file /run/xen/xenstored.pid
until xenstore-read -s / >/dev/null 2>&1; do usleep 20000; done
xen-init-dom0
xenconsoled --pid-file=/run/xen/xenconsoled.pid --log=guest --log-dir=/var/log/xen/console

guest_cpu=$(option guest_cpu)
[ -z "$guest_cpu" ] || echo "vm.cpumask=\"$guest_cpu\"" >>/etc/xen/xl.conf

host=$(option host)
hostname "host$host"
hostname >/etc/hostname
ip link set lo up
if [ "$(option hosts)" != 1 ]; then
    modprobe -a virtio_net bridge
    ip link add xenbr0 type bridge
    ip link set eth0 up master xenbr0
    ip link set xenbr0 up
    ip address add "10.77.0.$host/24" dev xenbr0
fi

cd /root
xenolith-agent
echo "xenolith-agent ended with status $?: stopping the host"
poweroff -f
