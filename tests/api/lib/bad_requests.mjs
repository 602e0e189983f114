// The table of requests that must fail, and the few objects they speak of. The same
// table is put to Docker's own engine (tests/parity/bad_requests.mjs, which records
// its answers) and to ours (bad_requests.test.mjs, which holds ours against them).
import http from 'node:http'
import { tar } from './tar.mjs'

export const VERSION = '/v1.41' // what both speak
export const KINDS = ['type', 'missing', 'unknown', 'conflict', 'long', 'value']

export function asker(socketPath) {
  return (method, path, { body, type, headers = {}, patience = 60_000 } = {}) => new Promise((resolve, reject) => {
    const data = body === undefined ? undefined : typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body)
    const request = http.request({
      socketPath, method, path, agent: false,
      headers: {
        ...(data === undefined ? {} : { 'Content-Length': Buffer.byteLength(data) }),
        ...(data === undefined && type === undefined ? {} : { 'Content-Type': type ?? 'application/json' }), ...headers,
      },
    }, (response) => {
      const chunks = []
      const done = () => {
        const text = Buffer.concat(chunks).toString()
        let json
        try { json = JSON.parse(text) } catch { /* text will do */ }
        resolve({ status: response.statusCode, headers: response.headers, text, json })
      }
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('end', done)
      response.on('error', reject)
    })
    const timer = setTimeout(() => request.destroy(new Error(`${method} ${path}: no end`)), patience)
    request.on('close', () => clearTimeout(timer))
    request.on('upgrade', (response, socket) => { socket.destroy(); resolve({ status: 101, headers: response.headers, text: '' }) })
    request.on('error', reject)
    request.end(data)
  })
}

// The objects of the table: the same in either engine.
export async function prepare(ask) {
  const must = async (method, path, body) => {
    const answer = await ask(method, VERSION + path, { body })
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`)
    return answer.json
  }
  const ids = {}
  const make = async (name, config) => { ids[name] = (await must('POST', `/containers/create?name=${name}`, config)).Id }
  await must('POST', '/networks/create', { Name: 'net1', IPAM: { Config: [{ Subnet: '10.231.7.0/24' }] } })
  await must('POST', '/networks/create', { Name: 'net2' })
  await must('POST', '/volumes/create', { Name: 'vol1', Labels: { a: 'b' } })
  await must('POST', '/volumes/create', { Name: 'vol2' })
  const image = 'tabique/base'
  await make('stopped', { Image: image, Cmd: ['true'], HostConfig: { Binds: ['vol1:/v'] } })
  await make('running', { Image: image, Cmd: ['sleep', '100000'], HostConfig: { NetworkMode: 'net1' } })
  await make('nolog', { Image: image, Cmd: ['sleep', '100000'], HostConfig: { LogConfig: { Type: 'none' } } })
  await must('POST', '/containers/running/start')
  ids.exec = (await must('POST', '/containers/running/exec', { Cmd: ['sleep', '1'] })).Id
  ids.done = (await must('POST', '/containers/running/exec', { Cmd: ['true'], AttachStdout: true })).Id
  const exec = await ask('POST', `${VERSION}/exec/${ids.done}/start`, { body: {} })
  if (exec.status !== 200) throw new Error(`exec: ${exec.text}`)
  ids.net1 = (await must('GET', '/networks/net1')).Id
  ids.image = (await must('GET', `/images/${image}/json`)).Id.replace('sha256:', '')
  return ids
}

// Ids, addresses and times differ from run to run; words must not.
export function normalise(message, ids) {
  let text = message
  for (const [name, id] of Object.entries(ids)) text = text.replaceAll(id, `<${name}>`).replaceAll(id.slice(0, 12), `<${name}>`)
  // Which of several containers is named is the engine's choice; a message of ours is one line.
  return text.replace(/container <\w+> is using/, 'container <one> is using').replace(/\n(\* )?/g, ' ').replace(/lstat \S+\/merged/, 'lstat <root>').replace(/sha256:[0-9a-f]{64}/g, 'sha256:<digest>')
    .replace(/\b[0-9a-f]{64}\b/g, '<id>').replace(/id:"[0-9a-f]{12}"/g, 'id:"<id>"').trim()
}

const long = (n, c = 'a') => c.repeat(n)
const f = (filters) => encodeURIComponent(JSON.stringify(filters))
const create = (kind, body, name = '') => ({ op: 'POST /containers/create', kind, path: `/containers/create${name && `?name=${name}`}`, body })
const config = (more, host) => ({ Image: 'tabique/base', Cmd: ['true'], ...more, ...(host && { HostConfig: host }) })
const host = (kind, value) => create(kind, config({}, value))

// A build of one Dockerfile; without one, of no context at all.
const build = (kind, query, dockerfile, body = dockerfile === undefined ? undefined : tar({ Dockerfile: dockerfile })) => ({
  op: 'POST /build', kind, path: `/build?forcerm=1${query ? `&${query}` : ''}`, body, type: body === undefined ? undefined : 'application/x-tar', note: dockerfile ?? '(no context)',
})

// Every operation on one container: unknown, and an over-long name.
const ofContainer = [
  'GET json', 'GET top', 'GET logs?stdout=1', 'GET changes', 'GET export', 'GET stats?stream=0', 'GET archive?path=/', 'HEAD archive?path=/',
  'PUT archive?path=/', 'POST attach?stream=1&stdout=1', 'POST start', 'POST stop', 'POST restart', 'POST kill', 'POST pause', 'POST unpause',
  'POST rename?name=x', 'POST update', 'POST resize?h=1&w=1', 'POST wait', 'DELETE ', 'POST exec', 'GET attach/ws?stream=1',
]
const bodies = { 'POST update': {}, 'POST exec': { Cmd: ['true'] } }
const containerOps = ofContainer.flatMap((entry) => {
  const [method, rest] = entry.split(' ')
  const [name] = rest.split('?')
  const op = `${method} /containers/{id}${name && `/${name}`}`
  const one = (kind, id) => ({
    op, kind, method, path: `/containers/${id}${rest && `/${rest}`}`, body: bodies[`${method} ${name}`],
    ...(method === 'PUT' && { type: 'application/x-tar', body: '' }),
  })
  return [one('unknown', 'nothere'), one('long', long(300))]
})

const table = [
  ...containerOps,
  // --- containers -----------------------------------------------------------------
  { op: 'GET /containers/json', kind: 'type', path: '/containers/json?limit=x' },
  { op: 'GET /containers/json', kind: 'type', path: '/containers/json?filters=x' },
  { op: 'GET /containers/json', kind: 'type', path: `/containers/json?filters=${f([])}` },
  { op: 'GET /containers/json', kind: 'type', path: `/containers/json?filters=${f({ label: 'x' })}` },
  { op: 'GET /containers/json', kind: 'unknown', path: `/containers/json?filters=${f({ colour: ['red'] })}` },
  { op: 'GET /containers/json', kind: 'value', path: `/containers/json?filters=${f({ status: ['flying'] })}` },
  { op: 'GET /containers/json', kind: 'value', path: `/containers/json?filters=${f({ exited: ['x'] })}` },
  { op: 'GET /containers/json', kind: 'value', path: `/containers/json?filters=${f({ health: ['x'] })}` },
  { op: 'GET /containers/json', kind: 'value', path: `/containers/json?filters=${f({ 'is-task': ['x'] })}` },
  { op: 'GET /containers/json', kind: 'unknown', path: `/containers/json?filters=${f({ before: ['nothere'] })}` },
  { op: 'GET /containers/json', kind: 'unknown', path: `/containers/json?filters=${f({ since: ['nothere'] })}` },
  { op: 'GET /containers/json', kind: 'value', path: `/containers/json?filters=${f({ publish: ['x/y/z'] })}` },
  { op: 'GET /containers/json', kind: 'value', path: `/containers/json?filters=${f({ expose: ['70000'] })}` },
  { op: 'GET /containers/json', kind: 'long', path: `/containers/json?filters=${f({ [long(4000)]: ['x'] })}` },
  create('missing', undefined),
  create('missing', ''),
  create('missing', {}),
  create('missing', { Image: '', Cmd: ['x'] }),
  create('type', '{'),
  create('type', '[]'),
  create('type', '"x"'),
  create('type', 'null'),
  { op: 'POST /containers/create', kind: 'type', path: '/containers/create', body: '{}', type: 'text/plain' },
  create('type', config({ Cmd: 5 })),
  create('type', config({ Env: 'x' })),
  create('type', config({ Tty: 'yes' })),
  create('type', config({ Labels: ['x'] })),
  create('type', config({ ExposedPorts: ['80'] })),
  create('type', config({ StopTimeout: 'x' })),
  create('type', config({}, { Memory: '1g' })),
  create('type', config({}, { Binds: '/a:/b' })),
  create('type', config({}, { PortBindings: { '80/tcp': 'x' } })),
  create('type', config({}, { RestartPolicy: 'always' })),
  create('type', config({ NetworkingConfig: [] })),
  create('unknown', { Image: 'nothere', Cmd: ['x'] }),
  create('unknown', { Image: 'nothere:1.2', Cmd: ['x'] }),
  create('unknown', { Image: `sha256:${long(64)}`, Cmd: ['x'] }),
  create('value', { Image: 'Bad Name', Cmd: ['x'] }),
  create('value', { Image: 'x:y:z', Cmd: ['x'] }),
  create('conflict', config(), 'running'),
  create('value', config(), 'a'),
  create('value', config(), 'b%20d'),
  create('value', config(), '-dash'),
  create('value', config({ WorkingDir: 'relative' })),
  create('value', config({ Env: ['=x'] })),
  create('value', config({ Env: [''] })),
  create('value', config({ StopSignal: 'SIGNOPE' })),
  create('value', config({ ExposedPorts: { 'x/tcp': {} } })),
  create('value', config({ ExposedPorts: { '80/xyz': {} } })),
  create('value', config({ Hostname: '-x' })),
  create('value', config({ Healthcheck: { Test: ['CMD', 'x'], Interval: 5 } })),
  create('value', config({ Healthcheck: { Test: ['CMD', 'x'], Timeout: 5 } })),
  create('value', config({ Healthcheck: { Test: ['CMD', 'x'], Retries: -1 } })),
  create('value', config({ Healthcheck: { Test: ['CMD', 'x'], StartPeriod: 5 } })),
  create('value', config({ Healthcheck: { Test: ['NOPE'] } })),
  host('value', { Memory: 1000 }),
  host('value', { Memory: 10000000, MemorySwap: 9000000 }),
  host('value', { MemorySwap: 9000000 }),
  host('value', { Memory: 10000000, MemoryReservation: 20000000 }),
  host('value', { MemoryReservation: 1000 }),
  host('value', { KernelMemory: 1000 }),
  host('value', { MemorySwappiness: 101 }),
  host('value', { CpuShares: -1 }),
  host('value', { NanoCpus: -1 }),
  host('value', { NanoCpus: 1e15 }),
  host('conflict', { NanoCpus: 1e9, CpuQuota: 5000 }),
  host('conflict', { NanoCpus: 1e9, CpuPeriod: 5000 }),
  host('value', { CpuPeriod: 5 }),
  host('value', { CpuQuota: 5 }),
  host('value', { CpusetCpus: 'x' }),
  host('value', { CpusetCpus: '0-999' }),
  host('value', { CpusetMems: 'x' }),
  host('value', { CpusetMems: '77' }),
  host('value', { BlkioWeightDevice: [{ Path: '/dev/zero', Weight: 5 }] }),
  host('value', { OomScoreAdj: 2000 }),
  host('value', { OomScoreAdj: -2000 }),
  host('value', { ShmSize: -1 }),
  host('value', { RestartPolicy: { Name: 'sometimes' } }),
  host('value', { RestartPolicy: { Name: 'always', MaximumRetryCount: 3 } }),
  host('value', { RestartPolicy: { Name: 'on-failure', MaximumRetryCount: -3 } }),
  host('conflict', { RestartPolicy: { Name: 'always' }, AutoRemove: true }),
  host('value', { CapAdd: ['NOPE'] }),
  host('value', { CapDrop: ['NOPE'] }),
  host('value', { CgroupnsMode: 'x' }),
  host('value', { IpcMode: 'x' }),
  host('value', { PidMode: 'x' }),
  host('value', { UTSMode: 'x' }),
  host('value', { UsernsMode: 'x' }),
  host('value', { Isolation: 'x' }),
  host('value', { Runtime: 'x' }),
  host('value', { Dns: ['x'] }),
  host('value', { ExtraHosts: ['x'] }),
  host('value', { ExtraHosts: ['x:y'] }),
  host('value', { SecurityOpt: ['x'] }),
  host('value', { SecurityOpt: ['seccomp=/nothere'] }),
  host('value', { SecurityOpt: ['seccomp={'] }),
  host('value', { SecurityOpt: ['no-new-privileges:x'] }),
  host('value', { Sysctls: { 'kernel.x': '1' } }),
  host('value', { StorageOpt: { nope: '1' } }),
  host('value', { Tmpfs: { rel: '' } }),
  host('value', { Tmpfs: { '/x': 'nope=1' } }),
  host('value', { Binds: ['x'] }),
  host('value', { Binds: ['a:b:c:d'] }),
  host('value', { Binds: ['/a:b'] }),
  host('value', { Binds: ['/a:/b:nope'] }),
  host('value', { Binds: ['/a:/'] }),
  host('value', { Binds: ['a/b:/c'] }),
  host('value', { Binds: [':/c'] }),
  host('conflict', { Binds: ['/a:/b', '/c:/b'] }),
  host('unknown', { VolumesFrom: ['nothere'] }),
  host('value', { VolumesFrom: [''] }),
  host('value', { VolumesFrom: ['running:x'] }),
  host('unknown', { VolumeDriver: 'nope', Binds: ['abc:/x'] }),
  host('value', { Mounts: [{}] }),
  host('value', { Mounts: [{ Type: 'nope', Source: 'x', Target: '/x' }] }),
  host('missing', { Mounts: [{ Type: 'bind', Target: '/x' }] }),
  host('missing', { Mounts: [{ Type: 'volume', Source: 'x' }] }),
  host('value', { Mounts: [{ Type: 'bind', Source: '/nothere', Target: '/x' }] }),
  host('value', { Mounts: [{ Type: 'bind', Source: 'rel', Target: '/x' }] }),
  host('value', { Mounts: [{ Type: 'volume', Source: 'x', Target: 'rel' }] }),
  host('value', { Mounts: [{ Type: 'tmpfs', Source: 'x', Target: '/x' }] }),
  host('value', { Mounts: [{ Type: 'tmpfs', Target: '/x', TmpfsOptions: { SizeBytes: -1 } }] }),
  host('value', { Mounts: [{ Type: 'volume', Source: 'x', Target: '/' }] }),
  host('conflict', { Mounts: [{ Type: 'volume', Source: 'x', Target: '/b' }], Binds: ['/a:/b'] }),
  host('value', { Mounts: [{ Type: 'bind', Source: '/tmp', Target: '/x', BindOptions: { Propagation: 'x' } }] }),
  host('value', { Mounts: [{ Type: 'bind', Source: '/tmp', Target: '/x', VolumeOptions: {} }] }),
  host('value', { LogConfig: { Type: 'nope' } }),
  host('value', { LogConfig: { Type: 'json-file', Config: { nope: '1' } } }),
  host('value', { LogConfig: { Type: 'json-file', Config: { 'max-size': 'x' } } }),
  host('value', { LogConfig: { Type: 'json-file', Config: { 'max-file': 'x' } } }),
  host('value', { LogConfig: { Type: 'json-file', Config: { 'max-file': '0' } } }),
  host('value', { LogConfig: { Type: 'json-file', Config: { 'max-file': '3' } } }),
  host('value', { LogConfig: { Type: 'json-file', Config: { mode: 'x' } } }),
  host('value', { LogConfig: { Type: 'json-file', Config: { 'max-buffer-size': '1m' } } }),
  host('value', { LogConfig: { Type: 'json-file', Config: { mode: 'non-blocking', 'max-buffer-size': 'x' } } }),
  host('value', { LogConfig: { Type: 'json-file', Config: { compress: 'x' } } }),
  host('value', { LogConfig: { Type: 'json-file', Config: { compress: 'true' } } }),
  host('value', { LogConfig: { Type: 'local', Config: { nope: '1' } } }),
  host('value', { LogConfig: { Type: 'local', Config: { 'max-size': 'x' } } }),
  host('value', { LogConfig: { Type: 'none', Config: { 'max-size': '1m' } } }),
  host('value', { LogConfig: { Type: 'syslog', Config: { 'syslog-address': 'x' } } }),
  host('value', { LogConfig: { Type: 'syslog', Config: { 'syslog-facility': 'x' } } }),
  host('value', { LogConfig: { Type: 'syslog', Config: { 'syslog-format': 'x' } } }),
  host('value', { LogConfig: { Type: 'syslog', Config: { nope: 'x' } } }),
  host('value', { LogConfig: { Type: 'journald', Config: { nope: 'x' } } }),
  host('value', { PortBindings: { 'x': [{ HostPort: '1' }] } }),
  host('value', { PortBindings: { '80/tcp': [{ HostPort: 'x' }] } }),
  host('value', { PortBindings: { '80/tcp': [{ HostPort: '70000' }] } }),
  host('value', { PortBindings: { '80/tcp': [{ HostIp: 'x', HostPort: '80' }] } }),
  host('value', { PortBindings: { '70000/tcp': [{}] } }),
  host('value', { Devices: [{ PathOnHost: '/dev/null', PathInContainer: '/dev/x', CgroupPermissions: 'q' }] }),
  host('value', { DeviceCgroupRules: ['x'] }),
  host('value', { Ulimits: [{ Name: 'nope', Soft: 1, Hard: 1 }] }),
  host('value', { Ulimits: [{ Name: 'nofile', Soft: 10, Hard: 1 }] }),
  host('conflict', { NetworkMode: 'container:running', PortBindings: { '80/tcp': [{}] } }),
  host('conflict', { NetworkMode: 'host', Links: ['running:x'] }),
  host('conflict', { NetworkMode: 'container:running', Links: ['running:x'] }),
  host('conflict', { NetworkMode: 'container:running', Dns: ['1.1.1.1'] }),
  host('conflict', { NetworkMode: 'container:running', ExtraHosts: ['a:1.1.1.1'] }),
  host('value', { NetworkMode: 'container:' }),
  host('unknown', { Links: ['nothere:x'] }),
  host('value', { Links: ['a:b:c'] }),
  host('value', { Links: [':'] }),
  host('conflict', { Links: ['stopped:x'], NetworkMode: 'none' }),
  host('conflict', { UTSMode: 'host', NetworkMode: 'host' }) && create('conflict', config({ Hostname: 'x' }, { UTSMode: 'host' })),
  create('conflict', config({ Hostname: 'x' }, { NetworkMode: 'container:running' })),
  create('conflict', config({ ExposedPorts: { '80/tcp': {} } }, { NetworkMode: 'container:running' })),
  create('conflict', config({ MacAddress: '02:42:ac:11:00:99' }, { NetworkMode: 'host' })),
  create('value', config({ MacAddress: 'x' })),
  create('conflict', config({ Volumes: { '/b': {} } }, { Binds: ['/a:/b'], Mounts: [{ Type: 'tmpfs', Target: '/b' }] })),
  create('value', config({ Volumes: { '/': {} } })),
  create('conflict', config({ NetworkingConfig: { EndpointsConfig: { net1: {}, net2: {} } } })),
  create('value', config({ NetworkingConfig: { EndpointsConfig: { net1: { IPAMConfig: { IPv4Address: 'x' } } } } }, { NetworkMode: 'net1' })),
  create('value', config({ NetworkingConfig: { EndpointsConfig: { net1: { IPAMConfig: { IPv6Address: 'x' } } } } }, { NetworkMode: 'net1' })),
  create('value', config({ NetworkingConfig: { EndpointsConfig: { net1: null } } }, { NetworkMode: 'net1' })),
  host('value', { Privileged: true, ReadonlyPaths: ['x'] }) && host('conflict', { PidMode: 'container:nothere' }),
  host('unknown', { IpcMode: 'container:nothere' }),
  host('value', { Annotations: { x: 5 } }),
  create('long', config(), long(300)),
  create('long', config({ Hostname: long(100) })),
  create('long', { Image: long(300), Cmd: ['x'] }),
  { op: 'POST /containers/create', kind: 'value', path: '/containers/create?platform=nope', body: config() },
  { op: 'POST /containers/create', kind: 'value', path: '/containers/create?platform=linux/arm64', body: config() },
  { op: 'POST /containers/create', kind: 'value', path: '/containers/create?platform=windows/amd64', body: config() },
  { op: 'POST /containers/{id}/start', kind: 'type', path: '/containers/stopped/start?detachKeys=ctrl-what' },
  { op: 'POST /containers/{id}/start', kind: 'conflict', path: '/containers/running/start' },
  { op: 'POST /containers/{id}/start', kind: 'value', path: '/containers/stopped/start', body: { Binds: ['/a:/b'] } },
  { op: 'POST /containers/{id}/start', kind: 'value', path: '/containers/stopped/start?checkpoint=x' },
  { op: 'POST /containers/{id}/stop', kind: 'type', path: '/containers/running/stop?t=x' },
  { op: 'POST /containers/{id}/stop', kind: 'conflict', path: '/containers/stopped/stop' },
  { op: 'POST /containers/{id}/restart', kind: 'type', path: '/containers/running/restart?t=x' },
  { op: 'POST /containers/{id}/kill', kind: 'type', path: '/containers/running/kill?signal=x' },
  { op: 'POST /containers/{id}/kill', kind: 'value', path: '/containers/running/kill?signal=999' },
  { op: 'POST /containers/{id}/kill', kind: 'value', path: '/containers/running/kill?signal=-1' },
  { op: 'POST /containers/{id}/kill', kind: 'value', path: '/containers/running/kill?signal=0' },
  { op: 'POST /containers/{id}/kill', kind: 'conflict', path: '/containers/stopped/kill' },
  { op: 'POST /containers/{id}/pause', kind: 'conflict', path: '/containers/stopped/pause' },
  { op: 'POST /containers/{id}/unpause', kind: 'conflict', path: '/containers/running/unpause' },
  { op: 'POST /containers/{id}/unpause', kind: 'conflict', path: '/containers/stopped/unpause' },
  { op: 'POST /containers/{id}/rename', kind: 'missing', path: '/containers/stopped/rename' },
  { op: 'POST /containers/{id}/rename', kind: 'value', path: '/containers/stopped/rename?name=%2F' },
  { op: 'POST /containers/{id}/rename', kind: 'value', path: '/containers/stopped/rename?name=a%20b' },
  { op: 'POST /containers/{id}/rename', kind: 'conflict', path: '/containers/stopped/rename?name=running' },
  { op: 'POST /containers/{id}/rename', kind: 'conflict', path: '/containers/stopped/rename?name=stopped' },
  { op: 'POST /containers/{id}/update', kind: 'type', path: '/containers/stopped/update', body: { Memory: 'x' } },
  { op: 'POST /containers/{id}/update', kind: 'missing', path: '/containers/stopped/update' },
  { op: 'POST /containers/{id}/update', kind: 'type', path: '/containers/stopped/update', body: '[]' },
  { op: 'POST /containers/{id}/update', kind: 'value', path: '/containers/running/update', body: { Memory: 1000 } },
  { op: 'POST /containers/{id}/update', kind: 'value', path: '/containers/running/update', body: { CpusetCpus: 'x' } },
  { op: 'POST /containers/{id}/update', kind: 'value', path: '/containers/running/update', body: { RestartPolicy: { Name: 'x' } } },
  { op: 'POST /containers/{id}/resize', kind: 'type', path: '/containers/running/resize?h=x&w=1' },
  { op: 'POST /containers/{id}/resize', kind: 'type', path: '/containers/running/resize?h=1&w=x' },
  { op: 'POST /containers/{id}/resize', kind: 'missing', path: '/containers/running/resize' },
  { op: 'POST /containers/{id}/resize', kind: 'conflict', path: '/containers/stopped/resize?h=1&w=1' },
  { op: 'POST /containers/{id}/wait', kind: 'value', path: '/containers/running/wait?condition=x', patience: 15_000 },
  { op: 'DELETE /containers/{id}', kind: 'conflict', path: '/containers/running' },
  { op: 'DELETE /containers/{id}', kind: 'unknown', path: '/containers/running?link=1' },
  { op: 'GET /containers/{id}/top', kind: 'conflict', path: '/containers/stopped/top' },
  { op: 'GET /containers/{id}/top', kind: 'value', path: '/containers/running/top?ps_args=-o%20nope' },
  { op: 'GET /containers/{id}/top', kind: 'value', path: '/containers/running/top?ps_args=--nope' },
  { op: 'GET /containers/{id}/top', kind: 'value', path: '/containers/running/top?ps_args=-o%20comm' },
  { op: 'GET /containers/{id}/logs', kind: 'missing', path: '/containers/stopped/logs' },
  { op: 'GET /containers/{id}/logs', kind: 'type', path: '/containers/stopped/logs?stdout=1&since=x' },
  { op: 'GET /containers/{id}/logs', kind: 'type', path: '/containers/stopped/logs?stdout=1&until=x' },
  { op: 'GET /containers/{id}/logs', kind: 'conflict', path: '/containers/nolog/logs?stdout=1' },
  { op: 'GET /containers/{id}/stats', kind: 'value', path: '/containers/running/stats?one-shot=1&stream=1' },
  { op: 'GET /containers/{id}/archive', kind: 'missing', path: '/containers/stopped/archive' },
  { op: 'GET /containers/{id}/archive', kind: 'unknown', path: '/containers/stopped/archive?path=/nothere' },
  { op: 'GET /containers/{id}/archive', kind: 'long', path: `/containers/stopped/archive?path=/${long(300)}` },
  { op: 'GET /containers/{id}/archive', kind: 'value', path: '/containers/stopped/archive?path=/bin/busybox/x' },
  { op: 'HEAD /containers/{id}/archive', kind: 'unknown', path: '/containers/stopped/archive?path=/nothere' },
  { op: 'PUT /containers/{id}/archive', kind: 'missing', path: '/containers/stopped/archive', body: '', type: 'application/x-tar' },
  { op: 'PUT /containers/{id}/archive', kind: 'unknown', path: '/containers/stopped/archive?path=/nothere', body: '', type: 'application/x-tar' },
  { op: 'PUT /containers/{id}/archive', kind: 'value', path: '/containers/stopped/archive?path=/bin/busybox', body: '', type: 'application/x-tar' },
  { op: 'PUT /containers/{id}/archive', kind: 'type', path: '/containers/stopped/archive?path=/tmp', body: long(2000, 'x'), type: 'application/x-tar' },
  { op: 'POST /containers/{id}/attach', kind: 'value', path: '/containers/running/attach?stream=1&detachKeys=ctrl-what' },
  { op: 'POST /containers/{id}/exec', kind: 'missing', path: '/containers/running/exec', body: {} },
  { op: 'POST /containers/{id}/exec', kind: 'missing', path: '/containers/running/exec' },
  { op: 'POST /containers/{id}/exec', kind: 'type', path: '/containers/running/exec', body: { Cmd: 5 } },
  { op: 'POST /containers/{id}/exec', kind: 'type', path: '/containers/running/exec', body: '{' },
  { op: 'POST /containers/{id}/exec', kind: 'conflict', path: '/containers/stopped/exec', body: { Cmd: ['true'] } },
  { op: 'POST /containers/{id}/exec', kind: 'value', path: '/containers/running/exec', body: { Cmd: ['true'], DetachKeys: 'ctrl-what' } },
  { op: 'POST /exec/{id}/start', kind: 'unknown', path: '/exec/nothere/start', body: {} },
  { op: 'POST /exec/{id}/start', kind: 'type', path: '/exec/<exec>/start', body: { Detach: 'x' } },
  { op: 'POST /exec/{id}/start', kind: 'conflict', path: '/exec/<done>/start', body: { Detach: true } },
  { op: 'POST /exec/{id}/start', kind: 'long', path: `/exec/${long(300)}/start`, body: {} },
  { op: 'POST /exec/{id}/resize', kind: 'unknown', path: '/exec/nothere/resize?h=1&w=1' },
  { op: 'POST /exec/{id}/resize', kind: 'type', path: '/exec/<exec>/resize?h=x&w=1' },
  { op: 'POST /exec/{id}/resize', kind: 'missing', path: '/exec/<exec>/resize' },
  { op: 'GET /exec/{id}/json', kind: 'unknown', path: '/exec/nothere/json' },
  { op: 'GET /exec/{id}/json', kind: 'long', path: `/exec/${long(300)}/json` },
  { op: 'POST /containers/prune', kind: 'type', path: '/containers/prune?filters=x' },
  { op: 'POST /containers/prune', kind: 'unknown', path: `/containers/prune?filters=${f({ colour: ['x'] })}` },
  { op: 'POST /containers/prune', kind: 'value', path: `/containers/prune?filters=${f({ until: ['x'] })}` },
  { op: 'POST /containers/prune', kind: 'conflict', path: `/containers/prune?filters=${f({ until: ['1', '2'] })}` },
  { op: 'POST /commit', kind: 'missing', path: '/commit' },
  { op: 'POST /commit', kind: 'unknown', path: '/commit?container=nothere' },
  { op: 'POST /commit', kind: 'value', path: '/commit?container=stopped&repo=Bad%20Name' },
  { op: 'POST /commit', kind: 'value', path: '/commit?container=stopped&repo=x&tag=-x' },
  { op: 'POST /commit', kind: 'value', path: '/commit?container=stopped&changes=NOPE%20x' },
  { op: 'POST /commit', kind: 'value', path: '/commit?container=stopped&changes=RUN%20x' },
  { op: 'POST /commit', kind: 'type', path: '/commit?container=stopped', body: { Env: 'x' } },
  { op: 'POST /commit', kind: 'long', path: `/commit?container=stopped&repo=${long(300)}` },
  // --- images -----------------------------------------------------------------------
  { op: 'GET /images/json', kind: 'type', path: '/images/json?filters=x' },
  { op: 'GET /images/json', kind: 'unknown', path: `/images/json?filters=${f({ colour: ['x'] })}` },
  { op: 'GET /images/json', kind: 'value', path: `/images/json?filters=${f({ dangling: ['x'] })}` },
  { op: 'GET /images/json', kind: 'unknown', path: `/images/json?filters=${f({ before: ['nothere'] })}` },
  { op: 'GET /images/json', kind: 'unknown', path: `/images/json?filters=${f({ since: ['nothere'] })}` },
  { op: 'GET /images/json', kind: 'value', path: `/images/json?filters=${f({ reference: ['[x'] })}` },
  { op: 'GET /images/{name}/json', kind: 'unknown', path: '/images/nothere/json' },
  { op: 'GET /images/{name}/json', kind: 'unknown', path: '/images/nothere:x/json' },
  { op: 'GET /images/{name}/json', kind: 'value', path: '/images/Bad%20Name/json' },
  { op: 'GET /images/{name}/json', kind: 'long', path: `/images/${long(300)}/json` },
  { op: 'GET /images/{name}/history', kind: 'unknown', path: '/images/nothere/history' },
  { op: 'GET /images/{name}/history', kind: 'long', path: `/images/${long(300)}/history` },
  { op: 'POST /images/{name}/tag', kind: 'unknown', path: '/images/nothere/tag?repo=x' },
  { op: 'POST /images/{name}/tag', kind: 'missing', path: '/images/tabique/base/tag' },
  { op: 'POST /images/{name}/tag', kind: 'value', path: '/images/tabique/base/tag?repo=Bad' },
  { op: 'POST /images/{name}/tag', kind: 'value', path: '/images/tabique/base/tag?repo=x&tag=-bad' },
  { op: 'POST /images/{name}/tag', kind: 'value', path: `/images/tabique/base/tag?repo=${long(64)}` },
  { op: 'POST /images/{name}/tag', kind: 'long', path: `/images/tabique/base/tag?repo=${long(300)}` },
  { op: 'POST /images/{name}/tag', kind: 'long', path: `/images/tabique/base/tag?repo=x&tag=${long(200)}` },
  { op: 'DELETE /images/{name}', kind: 'unknown', path: '/images/nothere' },
  { op: 'DELETE /images/{name}', kind: 'conflict', path: '/images/tabique/base' },
  { op: 'DELETE /images/{name}', kind: 'long', path: `/images/${long(300)}` },
  { op: 'GET /images/{name}/get', kind: 'unknown', path: '/images/nothere/get' },
  { op: 'GET /images/get', kind: 'unknown', path: '/images/get?names=nothere' },
  { op: 'POST /images/load', kind: 'type', path: '/images/load?quiet=1', body: 'xxxx', type: 'application/x-tar' },
  { op: 'POST /images/prune', kind: 'unknown', path: `/images/prune?filters=${f({ colour: ['x'] })}` },
  { op: 'POST /images/prune', kind: 'value', path: `/images/prune?filters=${f({ dangling: ['x'] })}` },
  { op: 'POST /images/prune', kind: 'value', path: `/images/prune?filters=${f({ until: ['x'] })}` },
  // --- registry --------------------------------------------------------------------------
  { op: 'POST /images/create', kind: 'missing', path: '/images/create' },
  { op: 'POST /images/create', kind: 'value', path: '/images/create?fromImage=Bad%20Name' },
  { op: 'POST /images/create', kind: 'value', path: '/images/create?fromImage=x&tag=-bad' },
  { op: 'POST /images/create', kind: 'value', path: '/images/create?fromImage=x&platform=a/b/c/d' },
  { op: 'POST /images/create', kind: 'long', path: `/images/create?fromImage=${long(300)}` },
  { op: 'POST /images/create', kind: 'long', path: `/images/create?fromImage=x&tag=${long(200)}` },
  { op: 'POST /images/create', kind: 'value', path: `/images/create?fromImage=${long(64)}` },
  { op: 'POST /images/create', kind: 'unknown', path: '/images/create?fromImage=127.0.0.1:9/x&tag=y' },
  { op: 'POST /images/create', kind: 'unknown', path: '/images/create?fromImage=127.0.0.1:9/x@sha256:1234' },
  { op: 'POST /images/create', kind: 'type', path: '/images/create?fromSrc=-', body: 'xxxx', type: 'application/x-tar' },
  { op: 'POST /images/create', kind: 'value', path: '/images/create?fromSrc=-&repo=Bad', body: '', type: 'application/x-tar' },
  { op: 'POST /images/create', kind: 'value', path: '/images/create?fromSrc=-&repo=x&tag=-bad', body: '', type: 'application/x-tar' },
  { op: 'POST /images/create', kind: 'value', path: '/images/create?fromSrc=-&changes=RUN%20x', body: '', type: 'application/x-tar' },
  { op: 'POST /images/create', kind: 'value', path: '/images/create?fromSrc=-&changes=NOPE%20x', body: '', type: 'application/x-tar' },
  { op: 'POST /images/{name}/push', kind: 'unknown', path: '/images/127.0.0.1:9/nothere/push', headers: { 'X-Registry-Auth': 'e30=' } },
  { op: 'POST /images/{name}/push', kind: 'unknown', path: '/images/127.0.0.1:9/nothere/push?tag=x', headers: { 'X-Registry-Auth': 'e30=' } },
  { op: 'POST /images/{name}/push', kind: 'value', path: '/images/Bad%20Name/push', headers: { 'X-Registry-Auth': 'e30=' } },
  { op: 'POST /images/{name}/push', kind: 'value', path: '/images/127.0.0.1:9/x/push?tag=-bad', headers: { 'X-Registry-Auth': 'e30=' } },
  { op: 'POST /images/{name}/push', kind: 'missing', path: '/images/127.0.0.1:9/nothere/push' },
  { op: 'POST /images/{name}/push', kind: 'type', path: '/images/127.0.0.1:9/nothere/push', headers: { 'X-Registry-Auth': '!' } },
  { op: 'POST /images/{name}/push', kind: 'long', path: `/images/127.0.0.1:9/${long(300)}/push`, headers: { 'X-Registry-Auth': 'e30=' } },
  { op: 'GET /distribution/{name}/json', kind: 'value', path: '/distribution/Bad%20Name/json' },
  { op: 'GET /distribution/{name}/json', kind: 'unknown', path: `/distribution/sha256:${long(64)}/json` },
  { op: 'GET /distribution/{name}/json', kind: 'unknown', path: '/distribution/127.0.0.1:9/x/json' },
  { op: 'GET /distribution/{name}/json', kind: 'long', path: `/distribution/127.0.0.1:9/${long(300)}/json` },
  { op: 'POST /auth', kind: 'missing', path: '/auth' },
  { op: 'POST /auth', kind: 'type', path: '/auth', body: '{' },
  { op: 'POST /auth', kind: 'type', path: '/auth', body: '[]' },
  { op: 'POST /auth', kind: 'type', path: '/auth', body: { username: 5 } },
  { op: 'POST /auth', kind: 'unknown', path: '/auth', body: { username: 'a', password: 'b', serveraddress: '127.0.0.1:9' } },
  { op: 'POST /auth', kind: 'value', path: '/auth', body: { username: 'a', password: 'b', serveraddress: 'ftp://x' } },
  { op: 'GET /images/search', kind: 'missing', path: '/images/search' },
  { op: 'GET /images/search', kind: 'type', path: '/images/search?term=x&limit=x' },
  { op: 'GET /images/search', kind: 'value', path: '/images/search?term=x&limit=101' },
  { op: 'GET /images/search', kind: 'value', path: '/images/search?term=x&limit=-1' },
  { op: 'GET /images/search', kind: 'type', path: '/images/search?term=x&filters=x' },
  { op: 'GET /images/search', kind: 'unknown', path: `/images/search?term=x&filters=${f({ colour: ['x'] })}` },
  { op: 'GET /images/search', kind: 'value', path: `/images/search?term=x&filters=${f({ stars: ['x'] })}` },
  { op: 'GET /images/search', kind: 'value', path: `/images/search?term=x&filters=${f({ 'is-official': ['x'] })}` },
  { op: 'GET /images/search', kind: 'unknown', path: '/images/search?term=127.0.0.1:9/x' },
  // --- build -------------------------------------------------------------------------------
  build('missing', undefined, undefined),
  build('type', '', 'FROM x', 'xxxx'),
  build('unknown', 'dockerfile=nothere', 'FROM scratch'),
  build('value', 'dockerfile=../x', 'FROM scratch'),
  build('missing', '', ''),
  build('missing', '', '# nothing\n'),
  build('missing', '', 'RUN x'),
  build('missing', '', 'FROM'),
  build('value', '', 'NOPE x'),
  build('value', '', 'FROM scratch\nNOPE x'),
  build('value', '', 'FROM Bad:Name:x\n'),
  build('value', '', 'FROM scratch\nENV a'),
  build('value', '', 'FROM scratch\nCOPY a'),
  build('value', '', 'FROM scratch\nCOPY --nope=x a b'),
  build('unknown', '', 'FROM scratch\nCOPY nothere /'),
  build('unknown', '', 'FROM scratch\nCOPY --from=nothere:x a /'),
  build('value', '', 'FROM scratch\nCOPY --from=7 a /'),
  build('value', '', 'FROM scratch\nEXPOSE x'),
  build('value', '', 'FROM scratch\nSTOPSIGNAL NOPE'),
  build('value', '', 'FROM scratch\nHEALTHCHECK NOPE'),
  build('value', '', 'FROM scratch\nHEALTHCHECK --interval=x CMD y'),
  build('value', '', 'FROM scratch\nONBUILD FROM x'),
  build('value', '', 'FROM scratch\nSHELL x'),
  build('value', '', 'FROM scratch\nWORKDIR'),
  build('value', '', 'FROM scratch\nUSER'),
  build('value', '', 'FROM scratch\nVOLUME'),
  build('value', '', 'FROM scratch\nLABEL'),
  build('value', '', 'FROM scratch\nARG'),
  build('value', '', 'FROM scratch\nMAINTAINER'),
  build('value', '', 'FROM tabique/base\nRUN exit 3'),
  build('value', '', 'FROM tabique/base\nRUN --mount=type=cache,target=/x true'),
  build('value', '', 'FROM tabique/base\nCOPY <<E /x\nE\n'),
  build('value', 'target=nothere', 'FROM scratch AS a\nLABEL a=b'),
  build('value', 't=Bad%20Name', 'FROM scratch'),
  build('value', 't=x:-bad', 'FROM scratch'),
  build('long', `t=${long(300)}`, 'FROM scratch'),
  build('type', 'buildargs=x', 'FROM scratch'),
  build('type', 'buildargs=[]', 'FROM scratch'),
  build('type', 'labels=x', 'FROM scratch'),
  build('type', 'labels=[]', 'FROM scratch'),
  build('type', 'ulimits=x', 'FROM scratch'),
  build('type', 'cachefrom=x', 'FROM scratch'),
  build('value', 'buildargs=%7B%22nope%22%3A%22x%22%7D', 'FROM tabique/base\nRUN exit 3'),
  build('value', 'isolation=x', 'FROM scratch'),
  build('value', 'platform=a/b/c/d', 'FROM scratch'),
  build('value', 'memory=1000', 'FROM tabique/base\nRUN true'),
  build('value', 'shmsize=x', 'FROM scratch'),
  build('value', 'version=7', 'FROM scratch'),
  build('conflict', 'squash=1', 'FROM scratch'),
  build('value', 'networkmode=nothere', 'FROM tabique/base\nRUN true'),
  build('unknown', 'remote=nothere', 'FROM scratch'),
  build('unknown', 'remote=http://127.0.0.1:9/x', 'FROM scratch'),
  build('unknown', 'remote=ftp://127.0.0.1:9/x', 'FROM scratch'),
  { op: 'POST /build', kind: 'type', path: '/build', body: '{}', type: 'application/json' },
  { op: 'POST /build', kind: 'type', path: '/build', body: '', type: 'application/x-tar', headers: { 'X-Registry-Config': '!' } },
  { op: 'POST /build/prune', kind: 'type', path: '/build/prune?filters=x' },
  { op: 'POST /build/prune', kind: 'unknown', path: `/build/prune?filters=${f({ colour: ['x'] })}` },
  { op: 'POST /build/prune', kind: 'value', path: `/build/prune?filters=${f({ until: ['x'] })}` },
  { op: 'POST /build/prune', kind: 'type', path: '/build/prune?keep-storage=x' },
  { op: 'POST /build/cancel', kind: 'missing', path: '/build/cancel' },
  { op: 'POST /build/cancel', kind: 'unknown', path: '/build/cancel?id=nothere' },
  { op: 'POST /session', kind: 'missing', path: '/session' },
  { op: 'GET /system/df', kind: 'value', path: '/system/df?type=x' },
  // --- networks ------------------------------------------------------------------------
  { op: 'GET /networks', kind: 'type', path: '/networks?filters=x' },
  { op: 'GET /networks', kind: 'unknown', path: `/networks?filters=${f({ colour: ['x'] })}` },
  { op: 'GET /networks', kind: 'value', path: `/networks?filters=${f({ type: ['x'] })}` },
  { op: 'GET /networks', kind: 'value', path: `/networks?filters=${f({ dangling: ['x'] })}` },
  { op: 'GET /networks/{id}', kind: 'unknown', path: '/networks/nothere' },
  { op: 'GET /networks/{id}', kind: 'type', path: '/networks/net1?verbose=x' },
  { op: 'GET /networks/{id}', kind: 'value', path: '/networks/net1?scope=swarm' },
  { op: 'GET /networks/{id}', kind: 'long', path: `/networks/${long(300)}` },
  ...[
    ['missing', undefined], ['missing', {}], ['missing', { Name: '' }], ['type', '{'], ['type', '[]'], ['type', { Name: 5 }],
    ['type', { Name: 'x', IPAM: [] }], ['type', { Name: 'x', Internal: 'x' }], ['type', { Name: 'x', Options: [] }], ['type', { Name: 'x', Labels: 'x' }],
    ['conflict', { Name: 'net1', CheckDuplicate: true }], ['conflict', { Name: 'bridge' }], ['conflict', { Name: 'host' }],
    ['unknown', { Name: 'x', Driver: 'nope' }], ['unknown', { Name: 'x', IPAM: { Driver: 'nope' } }],
    ['value', { Name: 'x', IPAM: { Config: [{ Subnet: 'x' }] } }],
    ['value', { Name: 'x', IPAM: { Config: [{ Subnet: '10.0.0.0/99' }] } }],
    ['value', { Name: 'x', IPAM: { Config: [{ Gateway: '10.0.0.1' }] } }],
    ['value', { Name: 'x', IPAM: { Config: [{ Subnet: '10.232.0.0/24', Gateway: 'x' }] } }],
    ['value', { Name: 'x', IPAM: { Config: [{ Subnet: '10.232.0.0/24', Gateway: '10.233.0.1' }] } }],
    ['value', { Name: 'x', IPAM: { Config: [{ Subnet: '10.232.0.0/24', IPRange: '10.233.0.0/28' }] } }],
    ['value', { Name: 'x', IPAM: { Config: [{ Subnet: '10.232.0.0/24', IPRange: 'x' }] } }],
    ['value', { Name: 'x', IPAM: { Config: [{ Subnet: '10.232.0.0/24', AuxiliaryAddresses: { a: 'x' } }] } }],
    ['conflict', { Name: 'x', IPAM: { Config: [{ Subnet: '10.231.7.0/24' }] } }],
    ['conflict', { Name: 'x', IPAM: { Config: [{ Subnet: '10.231.0.0/16' }] } }],
    ['conflict', { Name: 'x', IPAM: { Config: [{ Subnet: '10.232.0.0/24' }, { Subnet: '10.232.1.0/24' }] } }],
    ['value', { Name: 'x', Options: { 'com.docker.network.driver.mtu': 'x' } }],
    ['value', { Name: 'x', Options: { 'com.docker.network.bridge.enable_icc': 'x' } }],
    ['value', { Name: 'x', Options: { 'com.docker.network.bridge.host_binding_ipv4': 'x' } }],
    ['conflict', { Name: 'x', Ingress: true }], ['conflict', { Name: 'x', Scope: 'swarm' }], ['conflict', { Name: 'x', Driver: 'host' }], ['conflict', { Name: 'x', Driver: 'null' }],
    ['conflict', { Name: 'x', ConfigFrom: { Network: 'nothere' } }],
    ['unknown', { Name: 'x', Driver: 'overlay' }],
    ['value', { Name: 'a/b' }], ['value', { Name: 'container:x' }],
    ['long', { Name: long(70000) }],
  ].map(([kind, body]) => ({ op: 'POST /networks/create', kind, path: '/networks/create', body })),
  { op: 'DELETE /networks/{id}', kind: 'unknown', path: '/networks/nothere' },
  { op: 'DELETE /networks/{id}', kind: 'conflict', path: '/networks/net1' },
  { op: 'DELETE /networks/{id}', kind: 'conflict', path: '/networks/bridge' },
  { op: 'DELETE /networks/{id}', kind: 'conflict', path: '/networks/host' },
  { op: 'DELETE /networks/{id}', kind: 'long', path: `/networks/${long(300)}` },
  ...['connect', 'disconnect'].flatMap((what) => [
    { op: `POST /networks/{id}/${what}`, kind: 'unknown', path: `/networks/nothere/${what}`, body: { Container: 'running' } },
    { op: `POST /networks/{id}/${what}`, kind: 'unknown', path: `/networks/net2/${what}`, body: { Container: 'nothere' } },
    { op: `POST /networks/{id}/${what}`, kind: 'missing', path: `/networks/net2/${what}` },
    { op: `POST /networks/{id}/${what}`, kind: 'missing', path: `/networks/net2/${what}`, body: {} },
    { op: `POST /networks/{id}/${what}`, kind: 'type', path: `/networks/net2/${what}`, body: { Container: 5 } },
    { op: `POST /networks/{id}/${what}`, kind: 'type', path: `/networks/net2/${what}`, body: '[]' },
    { op: `POST /networks/{id}/${what}`, kind: 'long', path: `/networks/net2/${what}`, body: { Container: long(300) } },
  ]),
  { op: 'POST /networks/{id}/connect', kind: 'conflict', path: '/networks/net1/connect', body: { Container: 'running' } },
  { op: 'POST /networks/{id}/connect', kind: 'conflict', path: '/networks/host/connect', body: { Container: 'running' } },
  { op: 'POST /networks/{id}/connect', kind: 'value', path: '/networks/net2/connect', body: { Container: 'running', EndpointConfig: { IPAMConfig: { IPv4Address: '10.1.1.1' } } } },
  { op: 'POST /networks/{id}/connect', kind: 'value', path: '/networks/net2/connect', body: { Container: 'running', EndpointConfig: { IPAMConfig: { IPv4Address: 'x' } } } },
  { op: 'POST /networks/{id}/connect', kind: 'value', path: '/networks/bridge/connect', body: { Container: 'running', EndpointConfig: { Aliases: ['x'] } } },
  { op: 'POST /networks/{id}/disconnect', kind: 'conflict', path: '/networks/net2/disconnect', body: { Container: 'running' } },
  { op: 'POST /networks/{id}/disconnect', kind: 'conflict', path: '/networks/host/disconnect', body: { Container: 'running' } },
  { op: 'POST /networks/prune', kind: 'type', path: '/networks/prune?filters=x' },
  { op: 'POST /networks/prune', kind: 'unknown', path: `/networks/prune?filters=${f({ colour: ['x'] })}` },
  { op: 'POST /networks/prune', kind: 'value', path: `/networks/prune?filters=${f({ until: ['x'] })}` },
  // --- volumes ------------------------------------------------------------------------------
  { op: 'GET /volumes', kind: 'type', path: '/volumes?filters=x' },
  { op: 'GET /volumes', kind: 'unknown', path: `/volumes?filters=${f({ colour: ['x'] })}` },
  { op: 'GET /volumes', kind: 'value', path: `/volumes?filters=${f({ dangling: ['x'] })}` },
  { op: 'GET /volumes/{name}', kind: 'unknown', path: '/volumes/nothere' },
  { op: 'GET /volumes/{name}', kind: 'long', path: `/volumes/${long(300)}` },
  { op: 'DELETE /volumes/{name}', kind: 'unknown', path: '/volumes/nothere' },
  { op: 'DELETE /volumes/{name}', kind: 'conflict', path: '/volumes/vol1' },
  { op: 'DELETE /volumes/{name}', kind: 'conflict', path: '/volumes/vol1?force=1' },
  { op: 'DELETE /volumes/{name}', kind: 'long', path: `/volumes/${long(300)}` },
  ...[
    ['missing', undefined], ['missing', ''], ['type', '{'], ['type', '[]'], ['type', { Name: 5 }], ['type', { Name: 'x', DriverOpts: [] }], ['type', { Name: 'x', Labels: 'x' }],
    ['type', { Name: 'x', Labels: { a: 5 } }],
    ['unknown', { Name: 'x', Driver: 'nope' }], ['value', { Name: 'a/b' }], ['value', { Name: 'x' , DriverOpts: { nope: '1' } }], ['value', { Name: 'a' }],
    ['value', { Name: 'xx' , DriverOpts: { nope: '1' } }],
    ['conflict', { Name: 'vol1', DriverOpts: { type: 'tmpfs', device: 'tmpfs' } }], ['missing', { Name: 'xx', DriverOpts: { type: 'tmpfs' } }],
    ['missing', { Name: 'xx', DriverOpts: { o: 'size=1' } }], ['missing', { Name: 'xx', DriverOpts: { device: '/x' } }],
    ['value', { Name: 'xx', DriverOpts: { type: 'tmpfs', device: 'tmpfs', size: '1m' } }],
    ['long', { Name: long(300) }],
  ].map(([kind, body]) => ({ op: 'POST /volumes/create', kind, path: '/volumes/create', body })),
  { op: 'POST /volumes/prune', kind: 'type', path: '/volumes/prune?filters=x' },
  { op: 'POST /volumes/prune', kind: 'unknown', path: `/volumes/prune?filters=${f({ colour: ['x'] })}` },
  // --- system ----------------------------------------------------------------------------------
  { op: 'GET /events', kind: 'type', path: '/events?since=x&until=1' },
  { op: 'GET /events', kind: 'type', path: '/events?until=x' },
  { op: 'GET /events', kind: 'type', path: '/events?until=1&filters=x' },
  { op: 'GET /events', kind: 'conflict', path: '/events?since=5&until=1' },
  { op: 'GET /events', kind: 'unknown', path: `/events?until=1&filters=${f({ colour: ['x'] })}` },
  { op: 'GET /info', kind: 'unknown', path: '/infox' },
  // --- swarm and its kin -------------------------------------------------------------------------
  ...['GET /swarm', 'GET /swarm/unlockkey', 'POST /swarm/leave', 'GET /services', 'GET /services/x', 'DELETE /services/x', 'GET /services/x/logs?stdout=1',
    'GET /nodes', 'GET /nodes/x', 'DELETE /nodes/x', 'GET /tasks', 'GET /tasks/x', 'GET /secrets', 'GET /secrets/x', 'DELETE /secrets/x',
    'GET /configs', 'GET /configs/x', 'DELETE /configs/x', 'GET /tasks/x/logs?stdout=1'].map((entry) => {
    const [method, path] = entry.split(' ')
    return { op: `${method} ${path.split('?')[0].replace('/x', '/{id}')}`, kind: 'conflict', method, path }
  }),
  ...['/services/create', '/secrets/create', '/configs/create', '/swarm/unlock', '/swarm/update?version=1', '/nodes/x/update?version=1', '/secrets/x/update?version=1', '/configs/x/update?version=1', '/services/x/update?version=1'].map((path) => ({
    op: `POST ${path.split('?')[0].replace('/x/', '/{id}/')}`, kind: 'conflict', path,
    body: path.includes('services') ? { Name: 'x', TaskTemplate: { ContainerSpec: { Image: 'x' } } } : path.includes('unlock') ? { UnlockKey: 'x' } : { Name: 'x' },
  })),
  { op: 'POST /swarm/update', kind: 'missing', path: '/swarm/update', body: {} },
  { op: 'POST /services/{id}/update', kind: 'missing', path: '/services/x/update', body: {} },
  { op: 'POST /services/create', kind: 'type', path: '/services/create', body: '[]' },
  { op: 'POST /secrets/create', kind: 'type', path: '/secrets/create', body: '[]' },
  { op: 'POST /swarm/init', kind: 'type', path: '/swarm/init', body: '[]' },
  { op: 'POST /swarm/join', kind: 'missing', path: '/swarm/join', body: {} },
  { op: 'DELETE /containers/{id}/{link}', kind: 'unknown', path: '/containers/nothere/alias?link=1' },
  { op: 'DELETE /containers/{id}/checkpoints/{checkpoint}', kind: 'conflict', path: '/containers/running/checkpoints/x' },
  { op: 'PUT /volumes/{name}', kind: 'conflict', path: '/volumes/vol1?version=1', body: { Spec: {} } },
  { op: 'GET /plugins', kind: 'value', path: '/plugins?filters=x' },
  { op: 'GET /plugins/privileges', kind: 'value', path: '/plugins/privileges?remote=Bad' },
  { op: 'POST /plugins/pull', kind: 'value', path: '/plugins/pull?remote=Bad', body: [] },
  { op: 'POST /plugins/{name}/upgrade', kind: 'value', path: '/plugins/nothere/upgrade?remote=Bad', body: [] },
  { op: 'POST /plugins/create', kind: 'value', path: '/plugins/create?name=Bad' },
  { op: 'GET /plugins/{name}/json', kind: 'unknown', path: '/plugins/nothere/json' },
  { op: 'DELETE /plugins/{name}', kind: 'unknown', path: '/plugins/nothere' },
  { op: 'POST /plugins/{name}/enable', kind: 'unknown', path: '/plugins/nothere/enable?timeout=0' },
  { op: 'POST /plugins/{name}/disable', kind: 'unknown', path: '/plugins/nothere/disable' },
  { op: 'POST /plugins/{name}/push', kind: 'unknown', path: '/plugins/nothere/push' },
  { op: 'POST /plugins/{name}/set', kind: 'unknown', path: '/plugins/nothere/set', body: ['a=b'] },
  { op: 'GET /containers/{id}/checkpoints', kind: 'unknown', path: '/containers/nothere/checkpoints' },
  { op: 'GET /containers/{id}/checkpoints', kind: 'conflict', path: '/containers/running/checkpoints' },
  { op: 'POST /containers/{id}/checkpoints', kind: 'conflict', path: '/containers/running/checkpoints', body: { CheckpointID: 'x' } },
  { op: 'GET /nothing', kind: 'unknown', path: '/nothing' },
  { op: 'GET /nothing', kind: 'unknown', method: 'PATCH', path: '/containers/json' },
]

export const cases = table.map((entry) => ({ method: entry.op.split(' ')[0], ...entry }))
const short = (text) => text.replace(/(.)\1{60,}/g, (run, c) => `${c}*${run.length}`)
const shown = ({ note, body }) => note ?? (body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body))
export const key = (entry) => `${entry.method} ${short(entry.path)} ${short(shown(entry))}${
  entry.type && entry.type !== 'application/x-tar' ? ` (${entry.type})` : ''}${
  entry.headers ? ` (${Object.entries(entry.headers).map((header) => header.join(': '))})` : ''}`

// A stream that has begun tells of its error in its last line.
function streamed({ text }) {
  const last = text.trim().split('\n').at(-1)
  try { return JSON.parse(last).error ?? '' } catch { return '' }
}

// What the engine answered, in the shape that is kept: [status, message].
export async function answerOf(ask, entry, ids) {
  const path = VERSION + entry.path.replace(/<(\w+)>/g, (_, name) => ids[name])
  const answer = await ask(entry.method, path, entry)
  const message = answer.status < 400 ? streamed(answer) : answer.json?.message ?? answer.text
  return [answer.status, normalise(message, ids)]
}
// A request that was taken by one of them leaves nothing behind for the next.
export async function tidy(ask, entry, status) {
  // What it was started for may take a moment; the next case is about a stopped one.
  if (status === 204 && entry.path.startsWith('/containers/stopped/start')) await ask('POST', `${VERSION}/containers/stopped/wait`)
  if (status === 201 && entry.path.startsWith('/containers/create')) {
    const { json } = await ask('GET', `${VERSION}/containers/json?all=1&filters=${f({ status: ['created'] })}`)
    for (const { Id, Names } of json ?? [])
      if (!Names.some((name) => ['/stopped', '/nolog', '/running'].includes(name))) await ask('DELETE', `${VERSION}/containers/${Id}?force=1&v=1`)
  }
  if (status === 201 && entry.path === '/networks/create') {
    const { json } = await ask('GET', `${VERSION}/networks`)
    for (const { Id, Name } of json) if (Name === entry.body.Name) await ask('DELETE', `${VERSION}/networks/${Id}`)
  }
  if (status === 201 && entry.path === '/volumes/create' && !entry.body?.Name) await ask('POST', `${VERSION}/volumes/prune?filters=${f({ label: ['com.docker.volume.anonymous'] })}`)
  if (status === 201 && entry.path === '/volumes/create' && entry.body?.Name && entry.body.Name !== 'vol1') await ask('DELETE', `${VERSION}/volumes/${encodeURIComponent(entry.body.Name)}`)
}
