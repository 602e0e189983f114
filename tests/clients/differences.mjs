// differences.mjs - what may differ between Docker's engine and this one, and why. `where`
// is matched against "client, wall: scenario/path". Texts: what Docker said, with `docker`
// (a pattern) replaced by `ours`, must be what we say. Other values: both as JSON, whole.
// An entry that nothing needs any more fails the run.

const anywhere = /^/
// The peer is 20.10. Where newer engines of Docker's speak or answer otherwise, ours does
// as they do: see tests/api/bad_requests.json for the same requests put to 26.1.
const newer = 'newer engines of Docker\'s say it so'
const newerStatus = 'newer engines of Docker\'s refuse it so: the fault is the request\'s'
const noDevices = 'the thick wall\'s kernel has devices of its own'
const isolation = 'Docker\'s engine has one wall on Linux, this one two'

export const differences = [
  { where: anywhere, docker: /\bfailed to create shim task: OCI runtime create failed: runc create failed: (.*): unknown/, ours: 'failed to create task for container: $1', why: 'neither containerd nor runc stands between' },
  { where: anywhere, docker: /\bInvalid filter '/, ours: "invalid filter '", why: newer },
  { where: anywhere, docker: /\bCannot kill container: /, ours: 'cannot kill container: ', why: newer },
  { where: anywhere, docker: /\bContainer (<id>|[a-z]+) is not running/, ours: 'container $1 is not running', why: newer },
  { where: anywhere, docker: /\bno such image: [^ ]+: No such image: /, ours: 'No such image: ', why: newer },
  { where: /bad options/, docker: /Range of CPUs/, ours: 'range of CPUs', why: newer },
  { where: /bad options/, docker: /(network no-such-net not found)/, ours: 'failed to set up container networking: $1', why: newer },
  { where: /create, start, stop/, docker: /You cannot remove a running container <id>\. Stop the container before attempting removal/, ours: 'cannot remove container "/life": container is running: stop the container before removing', why: newer },
  { where: /remove running/, docker: /You cannot remove a running container <id>\. Stop the container before attempting removal/, ours: 'cannot remove container "/py-running": container is running: stop the container before removing', why: newer },
  { where: /pause/, docker: /You cannot remove a paused container <id>\. Unpause and then stop the container before attempting removal/, ours: 'cannot remove container "/paused": container is paused: unpause and then stop the container before removing', why: newer },
  { where: /cli, \w+: signals/, docker: /Invalid signal: (\w+)/, ours: 'cannot kill container: signals: invalid signal: $1', why: newer },
  { where: /kill and signals/, docker: /Invalid signal: (\w+)/, ours: 'cannot kill container: <id>: invalid signal: $1', why: newer },
  { where: /build/, docker: /dockerfile parse error line/, ours: 'dockerfile parse error on line', why: newer },
  { where: /commit with changes/, docker: /\bnosuch is not a valid change/, ours: 'NOSUCH is not a valid change', why: newer },
  { where: /commit with changes/, docker: /\brun is not a valid change/, ours: 'RUN is not a valid change', why: newer },
  { where: /save and load/, docker: /Error processing tar file\(exit status 1\): /, ours: '', why: newer },
  { where: /networks/, docker: /Invalid subnet (\S+) : invalid CIDR address: \S+/, ours: 'invalid network config: invalid subnet $1: invalid CIDR block notation', why: newer },
  { where: /networks/, docker: /parity-net id <id> has active endpoints/, ours: 'parity-net has active endpoints (name:"neta" id:"<short>")', why: newer },
  { where: /network errors/, docker: /py-net4 id <id> has active endpoints/, ours: 'py-net4 has active endpoints (name:"py-net4-c" id:"<short>")', why: newer },
  { where: /network errors/, docker: /invalid name:$/, ours: 'invalid name: name is empty', why: newer },
  { where: /network errors\/result\/4\/1/, docker: 500, ours: 400, why: newerStatus },
  { where: /network details/, docker: /(daemon: )(user specified IP address)/, ours: '$1invalid endpoint settings: $2', why: newer },
  { where: /bad creates\/result\/4\/1/, docker: 500, ours: 400, why: newerStatus },
  { where: /bad creates\/result\/6/, docker: 'no error', ours: ['APIError', 400, 'invalid PID mode: nonsense'], why: newerStatus },
  { where: /bad creates/, docker: /invalid restart policy 'nonsense'/, ours: "invalid restart policy: unknown policy 'nonsense'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'", why: newer },
  { where: /limits and options/, docker: /(search example.org\n)(nameserver 8.8.8.8\n)/, ours: '$2$1', why: 'newer engines of Docker\'s write resolv.conf in this order' },

  // By design.
  { where: /(cli|compose), \w+: build/, docker: /(Step \d+\/\d+ : (?!RUN)[^\n]*\n(?:Note:[^\n]*\n)?) ---> Running in <short>\nRemoving intermediate container <short>\n/g, ours: '$1', why: 'steps that only change the configuration need no container' },
  { where: /archives?( of stopped)?\/result/, docker: '0o100640', ours: '0o640', why: 'an entry\'s type stands in its own field, as POSIX has it; Go before 1.9 wrote it into the mode too' },
  { where: /cli, hyperv: run: bad options/, docker: /No such container: nosuch/, ours: 'hyperv isolation does not support --pid=container: processes of another kernel cannot be shared', why: 'whoever it names, no other container\'s processes can be seen behind the thick wall' },
  { where: /dockerpy, hyperv: devices\/result/, docker: [[{ CgroupPermissions: 'r', PathInContainer: '/dev/nul2', PathOnHost: '/dev/null' }], 'crw-rw-rw-\n'], ours: undefined, why: noDevices },
  { where: /dockerpy, hyperv: devices\/error/, docker: undefined, ours: ['APIError', 400, "hyperv isolation does not support --device: the host's devices are not in its kernel"], why: noDevices },
  { where: /compose, \w+: isolation\/4 .*\/code/, docker: 1, ours: 0, why: isolation },
  { where: /compose, \w+: isolation\/4/, docker: /^\n\n(\n--no-ansi [^\n]*\n[^]*)\.\.\. error\n[^]*Invalid isolation: "hyperv" - linux only supports 'default'[^]*/, ours: '$1... done\r', why: isolation },
  { where: /compose, \w+: isolation\/5/, docker: /\nRemoving network project_default$/, ours: '$&\nRemoving project_one_1 ...\nRemoving project_one_1 ... done\r', why: isolation },
  { where: /run: isolation\/[23] .*\/code/, docker: 125, ours: 0, why: isolation },
  { where: /run: isolation/, docker: /[^]*Invalid isolation: "(hyperv|process)" - linux only supports 'default'[^]*/, ours: '', why: isolation },
  { where: /run: isolation/, docker: /Invalid isolation: "nosuch" - linux only supports 'default'/, ours: 'invalid isolation mode: "nosuch": one of default, process and hyperv is expected', why: isolation },

  // Owed.
]
