# lib.sh - what tools/run, tools/test and tools/setup share. Sourced, from the
# top of the tree.

say() { printf '%s\n' "$*" >&2; }
step() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
die() {
  say "$1"
  shift
  for line in "$@"; do say "  $line"; done
  exit 1
}

need_root() {
  [ "$(id -u)" = 0 ] || die "$1 must run as root: it makes namespaces, mounts and bridges." \
    "Run: sudo $1"
}

need_debian() {
  local id="" version=""
  [ -r /etc/os-release ] && { id=$(. /etc/os-release; echo "${ID:-}"); version=$(. /etc/os-release; echo "${VERSION_ID:-}"); }
  [ "$id" = debian ] || die "This is ${id:-an unknown system}, not Debian; tools/ installs packages by Debian's names." \
    "On another distribution install the packages listed in tools/packages.txt, then build with CMake."
  [ -z "$version" ] || [ "${version%%.*}" -ge 12 ] ||
    die "Debian $version is too old: Debian 12 or newer is needed."
}

need_cgroups() {
  grep -qE ' - cgroup2? ' /proc/self/mountinfo ||
    die "No cgroup hierarchy is mounted; limits and pause need one." \
      "Run: mount -t cgroup2 none /sys/fs/cgroup"
}

need_overlayfs() {
  grep -qw overlay /proc/filesystems || modprobe overlay 2>/dev/null ||
    die "The kernel has no overlayfs; container file systems need it." \
      "Run: modprobe overlay (or use a kernel with CONFIG_OVERLAY_FS)"
}

# build_tree DIR TYPE [CMAKE-OPTION...]: configures when needed, then builds;
# quiet unless something has to be done.
build_tree() {
  local dir=$1 type=$2
  shift 2
  local log=$dir.log options="$type $*"
  mkdir -p "$(dirname "$dir")"
  if [ ! -f "$dir/build.ninja" ] || [ "$(cat "$dir/.options" 2>/dev/null)" != "$options" ]; then
    step "configuring $dir"
    cmake -S . -B "$dir" -G Ninja -DCMAKE_BUILD_TYPE="$type" "$@" >"$log" 2>&1 ||
      { tail -n 40 "$log" >&2; die "cmake failed; the whole output is in $log"; }
    printf '%s' "$options" >"$dir/.options"
  fi
  if ! ninja -C "$dir" -n 2>/dev/null | grep -q 'no work to do'; then
    step "building $dir"
    ninja -C "$dir" >"$log" 2>&1 ||
      { grep -aE 'error|FAILED' -A4 "$log" | head -n 60 >&2; die "the build failed; the whole output is in $log"; }
  fi
}

make_base_image() {
  if [ ! -f "$1" ] || [ tools/base-image -nt "$1" ] || [ /bin/busybox -nt "$1" ]; then
    step "making the built-in image tabique/base"
    tools/base-image "$1.new" && mv "$1.new" "$1"
  fi
}

packages_of() { # packages_of GROUP: by name, of tools/packages.txt
  awk -v group="$1" '$1 == group { print $2 }' tools/packages.txt
}

# unpack_debs DIR GROUP: Debian's packages of a group, unpacked and not installed, so that
# none of their services is started.
unpack_debs() {
  local dir=$1 debs=$1.debs packages
  mapfile -t packages < <(packages_of "$2")
  rm -rf "$dir" "$debs"
  mkdir -p "$debs" "$dir"
  download() { (cd "$debs" && apt-get -q -o APT::Sandbox::User=root download "${packages[@]}" >/dev/null); }
  download || { apt-get -q update >/dev/null && download; } || return 1
  for deb in "$debs"/*.deb; do dpkg-deb -x "$deb" "$dir"; done
  rm -rf "$debs"
}

# unpack_docker DIR: Debian's docker.io, unpacked (not installed), to compare with.
unpack_docker() {
  local peer=$1
  [ ! -x "$peer/usr/sbin/dockerd" ] || return 0
  step "unpacking docker.io, containerd and runc for comparison"
  unpack_debs "$peer" peer || return 1
  ln -sf iptables-nft "$peer/usr/sbin/iptables"
  ln -sf ip6tables-nft "$peer/usr/sbin/ip6tables"
}

# unpack_newer_docker DIR OLDER: Debian 13's docker.io and containerd over a copy of OLDER,
# fetched by an apt set-up beside the machine's. They run with Debian 12's libraries.
unpack_newer_docker() {
  local peer=$1 older=$2 apt=$1.apt uri
  [ ! -x "$peer/usr/sbin/dockerd" ] || return 0
  step "unpacking Debian 13's docker.io for comparison"
  uri=$(apt-get indextargets --format '$(REPO_URI)|$(CODENAME)|$(ORIGIN)' |
    sed -n 's/^\(.*\)|[a-z]*|Debian$/\1/p' | head -n 1)
  [ -n "$uri" ] || die "apt knows no Debian mirror." "Check /etc/apt/sources.list and run: apt-get update"
  rm -rf "$peer" "$apt"
  mkdir -p "$apt"/{lists/partial,cache/archives/partial,debs}
  apt=$(readlink -f "$apt")
  : >"$apt/status"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${uri%/} trixie main" >"$apt/sources.list"
  cat >"$apt/conf" <<CONF
Dir::Etc::SourceList "$apt/sources.list";
Dir::Etc::SourceParts "-";
Dir::State::Lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
APT::Sandbox::User "root";
Acquire::Languages "none";
CONF
  (cd "$apt/debs" && export APT_CONFIG=$apt/conf && apt-get -q update && apt-get -q download docker.io containerd) >/dev/null
  cp -a "$older" "$peer"
  for deb in "$apt"/debs/*.deb; do dpkg-deb -x "$deb" "$peer"; done
  rm -rf "$apt"
}

# unpack_sshd DIR: Debian's ssh server, unpacked and not installed: its package would
# start a daemon.
unpack_sshd() {
  [ ! -x "$1/usr/sbin/sshd" ] || return 0
  step "unpacking Debian's sshd for the tests"
  unpack_debs "$1" sshd
}
