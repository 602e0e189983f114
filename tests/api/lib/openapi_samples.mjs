// Real answers of the Docker operations that the OpenAPI document describes field by
// field: enough states that each documented field is there at least once.
import { until } from './server.mjs'

const IMAGE = 'tabique/base'
const q = (filters) => encodeURIComponent(JSON.stringify(filters))

export async function dockerSamples(ask) {
  const samples = {}
  const take = async (operation, path, body) => {
    const [method] = operation.split(' ')
    const answer = await ask(method, path, { body })
    if (answer.status >= 300 || answer.json === undefined) throw new Error(`${method} ${path}: ${answer.status} ${answer.text.slice(0, 300)}`)
    ;(samples[operation] ??= []).push(answer.json)
    return answer.json
  }
  const none = q({ label: ['no-such-label'] })

  await take('POST /networks/create', '/networks/create', { Name: 'sample', EnableIPv6: true, Labels: { a: 'b' }, Options: { 'com.docker.network.driver.mtu': '1400' },
    IPAM: { Config: [{ Subnet: '10.77.0.0/24', IPRange: '10.77.0.128/25', AuxiliaryAddresses: { router: '10.77.0.5' } }] } })
  await take('POST /volumes/create', '/volumes/create', { Name: 'sample', Labels: { a: 'b' } })
  await take('POST /volumes/create', '/volumes/create', { Name: 'memory', DriverOpts: { type: 'tmpfs', device: 'tmpfs' } })
  await take('POST /containers/create', '/containers/create?name=rich', {
    Image: IMAGE, Cmd: ['sleep', '100000'], Labels: { x: 'y' }, ExposedPorts: { '80/tcp': {}, '81/tcp': {} }, Env: ['A=b'], Volumes: { '/anonymous': {} },
    Entrypoint: [], StopSignal: 'SIGINT', StopTimeout: 3, Shell: ['/bin/sh'], Healthcheck: { Test: ['CMD', 'true'], Interval: 1e9, Timeout: 2e9, Retries: 2, StartPeriod: 1e9, StartInterval: 1e9 },
    HostConfig: {
      NetworkMode: 'sample', Binds: ['sample:/v'], PortBindings: { '80/tcp': [{ HostIp: '127.0.0.1', HostPort: '0' }] }, Init: true, Annotations: { note: 'x' },
      Mounts: [
        { Type: 'tmpfs', Target: '/t', TmpfsOptions: { SizeBytes: 1048576, Mode: 448 } },
        { Type: 'volume', Source: 'memory', Target: '/m', ReadOnly: true, VolumeOptions: { NoCopy: true, Labels: { l: '1' }, DriverConfig: { Name: 'local', Options: { type: 'tmpfs', device: 'tmpfs' } } } },
        { Type: 'bind', Source: '/tmp', Target: '/b', BindOptions: { Propagation: 'rprivate', NonRecursive: true } },
      ],
      Tmpfs: { '/u': '' }, Sysctls: { 'net.ipv4.ip_forward': '1' }, Ulimits: [{ Name: 'nofile', Soft: 100, Hard: 100 }], Dns: ['192.0.2.1'], DnsSearch: ['example'], DnsOptions: ['ndots:1'],
      ExtraHosts: ['a:192.0.2.2'], CapAdd: ['NET_ADMIN'], CapDrop: ['MKNOD'], GroupAdd: ['100'], SecurityOpt: ['no-new-privileges'], LogConfig: { Type: 'json-file', Config: { 'max-size': '1m' } },
      Devices: [{ PathOnHost: '/dev/null', PathInContainer: '/dev/mynull', CgroupPermissions: 'r' }], Memory: 100e6, MemorySwap: -1, PidsLimit: 100, RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 2 },
    },
    NetworkingConfig: { EndpointsConfig: { sample: { Aliases: ['other'], IPAMConfig: { IPv4Address: '10.77.0.20' }, MacAddress: '02:42:0a:4d:00:14' } } },
  })
  await take('POST /containers/create', '/containers/create?name=plain', { Image: IMAGE, Cmd: ['sh', '-c', 'exit 3'] })
  await ask('POST', '/containers/rich/start')
  await ask('POST', '/containers/plain/start')
  await ask('POST', '/containers/plain/wait')
  await until('a probe', async () => (await ask('GET', '/containers/rich/json')).json.State.Health?.Log?.length)
  const exec = await take('POST /containers/{id}/exec', '/containers/rich/exec', { Cmd: ['sh', '-c', 'touch /written; rm -rf /home'], AttachStdout: true, User: 'root' })
  await ask('POST', `/exec/${exec.Id}/start`, { body: {} })
  await until('the exec', async () => !(await take('GET /exec/{id}/json', `/exec/${exec.Id}/json`)).Running)

  await take('GET /containers/json', '/containers/json?all=1&size=1')
  await take('GET /containers/json', '/containers/json')
  await take('GET /containers/{id}/json', '/containers/rich/json?size=1')
  await take('GET /containers/{id}/json', '/containers/plain/json')
  await take('GET /containers/{id}/top', '/containers/rich/top')
  await take('GET /containers/{id}/changes', '/containers/rich/changes')
  await take('GET /containers/{id}/stats', '/containers/rich/stats?stream=0')
  await take('GET /containers/{id}/stats', '/containers/plain/stats?stream=0&one-shot=1')
  await take('POST /containers/{id}/update', '/containers/rich/update', { Memory: 120e6, MemorySwap: -1 })
  await take('POST /containers/{id}/wait', '/containers/plain/wait')
  await take('GET /images/json', '/images/json?shared-size=1')
  await take('GET /images/json', '/images/json')
  await take('GET /images/{name}/json', `/images/${IMAGE}/json`)
  await take('GET /images/{name}/history', `/images/${IMAGE}/history`)
  await take('GET /networks', '/networks')
  await take('GET /networks/{id}', '/networks/sample')
  await take('GET /networks/{id}', '/networks/host')
  await take('GET /volumes', '/volumes')
  await take('GET /volumes/{name}', '/volumes/sample')
  await take('GET /volumes/{name}', '/volumes/memory')
  await take('GET /info', '/info')
  await take('GET /version', '/version')
  await take('GET /system/df', '/system/df')
  await take('POST /containers/prune', `/containers/prune?filters=${none}`)
  await take('POST /images/prune', `/images/prune?filters=${none}`)
  await take('POST /networks/prune', `/networks/prune?filters=${none}`)
  await take('POST /volumes/prune', `/volumes/prune?filters=${none}`)
  await take('POST /commit', '/commit?container=plain&repo=sample/committed')
  await take('DELETE /images/{name}', '/images/sample/committed')
  await ask('DELETE', '/containers/plain')
  await take('POST /volumes/prune', '/volumes/prune')
  const past = await ask('GET', `/events?since=1&until=${Math.ceil(Date.now() / 1000)}`)
  samples['GET /events'] = past.text.trim().split('\n').map((line) => JSON.parse(line))
  return samples
}
