#!/bin/sh
# By what the objects call: codecs do no I/O and see no clock, libraries do not print or exit.
set -u
arch=$(uname -m | sed s/aarch64/arm64/)
obj=build/$arch/obj/lib
bad=0

forbid() # NAME REGEX OBJECT...
{
	name=$1 regex=$2
	shift 2
	found=
	for o; do
		[ -f "$o" ] || continue
		u=$(nm -u "$o" | awk '{ print $2 }' | grep -xE "$regex" | tr '\n' ' ')
		[ -z "$u" ] || found="$found; ${o#"$obj"/} calls $u"
	done
	if [ -z "$found" ]; then
		echo "ok symbols: $name"
	else
		echo "not ok symbols: $name${found}"
		bad=1
	fi
}

io='open|openat|open64|read|write|readv|writev|pread|pwrite|close|socket|connect|accept4?|send(to|msg)?|recv(from|msg)?|f(open|read|write|close)|ioctl|mmap|poll|epoll_.*'
clock='time|clock_gettime|gettimeofday|nanosleep|clock_nanosleep'
out='printf|puts|putchar|vprintf|perror|syslog|exit|stdout|stderr|err|warn'

forbid "codecs do no I/O" "$io" "$obj"/wire/*.o
forbid "codecs see no clock" "$clock" "$obj"/wire/*.o
forbid "libraries neither print nor exit" "$out" \
	"$obj"/wire/*.o "$obj"/os/*.o "$obj"/loop/*.o "$obj"/net/*.o "$obj"/rpc/*.o \
	"$obj"/store/*.o "$obj"/oci/*.o "$obj"/image/*.o "$obj"/cni/*.o "$obj"/registry/*.o \
	"$obj"/cri/*.o
exit $bad
