#!/bin/busybox sh
# The first program of a host's dom0: mounts, modules, Xen's daemons, the network, then the agent of
# qemu-ci.

export PATH=/opt/xenolith/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=linux LANG=C.UTF-8

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
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
