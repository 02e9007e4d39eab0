#!/bin/busybox sh
# The only program of the Linux domU that benchmarks compare with: lays as many MiB of random bytes
# into its memory as `data=` on the kernel's command line says, says that it is up, then idles.

/bin/busybox mkdir -p /proc
/bin/busybox mount -t proc proc /proc
for word in $(/bin/busybox cat /proc/cmdline); do
    case $word in
        data=*) /bin/busybox dd if=/dev/urandom of=/data bs=1048576 count="${word#data=}" ;;
    esac
done
echo "linux up"
while :; do /bin/busybox sleep 3600; done
