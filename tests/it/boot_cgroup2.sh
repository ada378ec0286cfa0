#!/bin/sh
# The daemon on a Debian kernel with cgroup version 2 only, in an emulator.
# timeout: 300
exec sh tests/boot/cgroup2.sh
