# lib.sh - what the scripts share. Sourced, not run.

say() { printf '\n== %s\n' "$*"; }

# Installs the Debian/Ubuntu packages that are not there yet. Needs root only when something is missing.
install_packages() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} = 0 ] && return 0
  say "installing ${missing[*]}"
  local sudo=""
  [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Prints those of `command=package` whose command is missing: what came from elsewhere than Debian's packages is good enough.
missing_commands() {
  local pair
  for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null || printf '%s\n' "${pair#*=}"
  done
}

build_packages=(build-essential cmake ninja-build pkg-config liburing-dev libxxhash-dev libjemalloc-dev librocksdb-dev libpcre2-dev node-llhttp libncurses-dev systemtap-sdt-dev)
# hashes, tokens and JSON, then the modules' client libraries
build_packages+=(libssl-dev libcrypt-dev libargon2-dev libjansson-dev libcurl4-openssl-dev libpq-dev libmariadb-dev libhiredis-dev libldap-dev libidn-dev zlib1g-dev)

# build PRESET [cmake option…]: configures (once) and builds build/PRESET, or only $build_targets of it.
build() {
  local preset=$1; shift
  [ -f "build/$preset/build.ninja" ] || cmake --preset "$preset" "$@" >/dev/null
  cmake --build --preset "$preset" ${build_targets:+--target $build_targets} -- -k 0
}

# A port nobody listens on now.
free_port() {
  python3 - <<'PY'
import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])
PY
}
