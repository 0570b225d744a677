# SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
# shellcheck shell=bash disable=SC2034
#
# What the scripts of the test machine share. Sourced, never run.
#
#	tree	a Debian system in a directory, made once per suite, never written to
#	layer	a directory laid over a tree: a debug kernel, or modules just built
#	slot	the right to run one virtual machine now

# Not in everybody's path who becomes root; and what else a login may have set.
PATH=$PATH:/usr/sbin:/sbin
export LC_ALL=C.UTF-8
umask 022

VM_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TOP=$(cd "$VM_DIR/../.." && pwd)
CACHE=${URXE_CACHE:-${XDG_CACHE_HOME:-${HOME:-~}/.cache}/urxe}
ALL_KERNELS="6.1 6.12 sid"

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }

need_root() { [ "$(id -u)" = 0 ] || die "must run as root"; }

# suite_of KERNEL: the Debian suite whose user space goes with a kernel
suite_of() {
	case $1 in
	6.1 | debug) echo bookworm ;;
	6.12) echo trixie ;;
	sid) echo sid ;;
	*) die "no kernel '$1': use one of $ALL_KERNELS debug" ;;
	esac
}

# need_packages PROGRAM:PACKAGE...: install the package of each missing program
need_packages() {
	local pair missing=()
	for pair in "$@"; do
		command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	need_root
	say "installing ${missing[*]}"
	with_lock apt apt_install "${missing[@]}"
}

apt_install() {
	apt-get update -qq >&2 || say "trying with what apt knew before"
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
		-o DPkg::Lock::Timeout=600 "$@" >&2
}

# with_lock NAME COMMAND...: no two holders of one name at a time
with_lock() {
	mkdir -p "$CACHE"
	(
		exec {lock}>"$CACHE/.lock-$1"
		flock "$lock"
		shift
		"$@"
	)
}

# hash_of FILE...: a short key that changes with the files
hash_of() { cat "$@" | sha256sum | cut -c1-12; }

# hold DIR: keep DIR from drop_unused() for the life of this process
hold() {
	local fd
	exec {fd}<"$1"
	flock -s "$fd"
}

# drop_unused DIR...: remove the directories that nobody holds
drop_unused() {
	local dir fd
	for dir in "$@"; do
		[ -d "$dir" ] || continue
		exec {fd}<"$dir"
		# By another name first: half of it is not to be taken for all.
		if flock -n -x "$fd" && mv "$dir" "$CACHE/tmp.$BASHPID.${dir##*/}"; then
			rm -rf --one-file-system "$CACHE/tmp.$BASHPID.${dir##*/}"
		fi
		exec {fd}>&-
	done
}

# kver_in DIR: the one kernel release whose modules are in DIR
kver_in() {
	local list
	list=$(ls "$1/lib/modules")
	[ "$(wc -w <<<"$list")" = 1 ] || die "not one kernel in $1: $list"
	echo "$list"
}

# in_tree TREE [HOST_DIR:DIR]... -- COMMAND...: run COMMAND as root inside a
# tree. The tree itself is read-only there; the directories named are not.
in_tree() {
	unshare --mount --propagation private "$VM_DIR/enter" "$@"
}

# build_dir KERNEL: where this checkout's modules for a kernel are built
build_dir() {
	echo "$CACHE/build-$(printf %s "$TOP" | sha256sum | cut -c1-8)/$1"
}

# take_slot: wait until fewer than two virtual machines run, for the life of
# this process
take_slot() {
	local fd n told=
	while :; do
		for n in 0 1; do
			exec {fd}>"$CACHE/.slot-$n"
			! flock -n "$fd" || return 0
			exec {fd}>&-
		done
		[ -n "$told" ] || say "waiting for another virtual machine to end"
		told=y
		sleep 1
	done
}
