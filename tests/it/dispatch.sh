#!/bin/bash
# One binary, many names: busybox's conventions.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
arch=$(uname -m | sed s/aarch64/arm64/)
box=${CRIBOX:-$top/build/$arch/cribox}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

verdict() { # NAME WHY: the status of what was run before decides
	if [ "$?" = 0 ]; then echo "ok $1"; else echo "not ok $1: $2"; fi
}

"$box" >"$dir/overview" && grep -q '^usage: cribox APPLET' "$dir/overview"
verdict no_arguments "no usage, or a status"
"$box" --help >"$dir/help" && cmp -s "$dir/help" "$dir/overview"
verdict help "is not the overview"
"$box" --version | grep -Eq '^cribox [0-9]+\.[0-9]+\.[0-9]+ \('
verdict version "no version line"

"$box" --list >"$dir/list" && for name in crid ctl crictl oci pull bridge host-local loopback portmap; do
	grep -qx "$name" "$dir/list" || { echo "# no $name"; false; break; }
done
verdict list "a name is missing"
! grep -qxE 'shim|pause|unpack|fetch' "$dir/list"
verdict list_hides_roles "an internal role is listed"

mkdir "$dir/bin" && "$box" --install -s "$dir/bin" && [ "$(find "$dir/bin" -type l | wc -l)" = "$(wc -l <"$dir/list")" ] &&
	[ "$(readlink "$dir/bin/ctl")" -ef "$box" ]
verdict install_symlinks "$(find "$dir/bin" | wc -l) entries"
"$box" --install -s "$dir/bin"
verdict install_again "a second time fails"
"$dir/bin/ctl" --help >"$dir/by-link" && "$box" ctl --help >"$dir/by-word" && [ -s "$dir/by-link" ] &&
	"$box" --help ctl >"$dir/by-help"
verdict applet_help "no help"
"$box" /any/where/ctl --help >/dev/null
verdict applet_by_path "not found"
(exec -a -ctl "$box" --help) >/dev/null
verdict login_shell_dash "not found"
(exec -a cribox-static "$box" --list) | cmp -s - "$dir/list"
verdict name_with_suffix "is not the multiplexer"

"$box" crit >"$dir/out" 2>"$dir/err"
[ "$?" = 127 ] && [ ! -s "$dir/out" ] && [ "$(wc -l <"$dir/err")" = 1 ] &&
	grep -q "crit: applet not found (did you mean 'crid'?)" "$dir/err"
verdict unknown_applet "$(cat "$dir/err")"
"$box" $'no\033[2Jsuch' 2>"$dir/err"
[ "$?" = 127 ] && ! grep -q $'\033' "$dir/err"
verdict unknown_is_escaped "$(cat -v "$dir/err")"
"$box" --nonsense 2>"$dir/err"
[ "$?" = 1 ] && grep -q -- --nonsense "$dir/err"
verdict unknown_option "$(cat "$dir/err")"
"$box" --install "$dir/not-there" 2>"$dir/err"
[ "$?" = 1 ] && grep -q not-there "$dir/err"
verdict install_nowhere "$(cat "$dir/err")"
"$box" --list >/dev/full 2>"$dir/err"
[ "$?" = 1 ] && grep -q 'No space left' "$dir/err"
verdict full_output "$(cat "$dir/err")"

"$box" crid --print-unit >"$dir/unit" && for line in Type=notify Delegate=yes KillMode=process TasksMax=infinity; do
	grep -qx "$line" "$dir/unit" || { echo "# no $line"; false; break; }
done
verdict print_unit "a line is missing"
