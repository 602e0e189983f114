// Published ports as Docker's: on IPv4 and IPv6, shown so, and carried to containers that
// have IPv4 only (datagrams: tests/unit/network); a container behind either wall cannot be told from the other.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import fs from 'node:fs'
import net from 'node:net'
import { describe, test } from 'node:test'
import { until } from './lib/server.mjs'
import { IMAGE, ask, server } from './lib/own.mjs'

const MiB = 1 << 20

// Says `text`, ends its side, and gives all that comes back.
const talk = (host, port, text = '') => new Promise((resolve, reject) => {
  const socket = net.connect({ host, port: Number(port), allowHalfOpen: true }), got = []
  socket.on('data', (data) => got.push(data)).on('end', () => resolve(Buffer.concat(got))).on('error', reject)
  socket.setTimeout(20_000, () => socket.destroy(new Error('silent')))
  socket.end(text)
})
const answers = async (host, port) => until(`${host}:${port}`, async () => (await talk(host, port, 'hello\n').catch(() => '')).toString() === 'hello\n')
const refused = (host, port) => assert.rejects(talk(host, port), { code: 'ECONNREFUSED' })
const ports = async (name) => (await server.info(name)).NetworkSettings.Ports
const forwarders = () => fs.readdirSync('/proc').filter((pid) => /^\d+$/.test(pid)).filter((pid) => {
  try { return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('tabique-forward\0') && fs.readlinkSync(`/proc/${pid}/fd/3`).startsWith(server.root) } catch { return false }
})
const echo = ['nc', '-ll', '-p', '80', '-e', 'cat']

for (const wall of ['process', 'hyperv']) {
  describe(`behind the wall ${wall}`, () => {
    const run = (name, ...more) => server.ok('run', '-d', '--name', name, `--isolation=${wall}`, ...more)

    test('both families, as Docker shows them', { timeout: 120_000 }, async () => {
      await run(`both-${wall}`, '-p', '80', '-p', '0.0.0.0::81', '-p', '[::1]::82', '-p', '53/udp', IMAGE, ...echo)
      const bound = await ports(`both-${wall}`)
      const all = bound['80/tcp'][0].HostPort, local = bound['82/tcp'][0].HostPort, four = bound['81/tcp'][0].HostPort
      assert.deepEqual(bound['80/tcp'], [{ HostIp: '0.0.0.0', HostPort: all }, { HostIp: '::', HostPort: all }])
      assert.deepEqual(bound['81/tcp'], [{ HostIp: '0.0.0.0', HostPort: four }])
      assert.deepEqual(bound['82/tcp'], [{ HostIp: '::1', HostPort: local }])
      assert.deepEqual(bound['53/udp'].map(({ HostIp }) => HostIp), ['0.0.0.0', '::'])
      assert.match(await server.ok('ps', '--format', '{{.Ports}}', '--filter', `name=both-${wall}`), new RegExp(`0\\.0\\.0\\.0:${all}->80/tcp.*(\\[::\\]|::):${all}->80/tcp`))
      assert.match(await server.ok('port', `both-${wall}`, '80'), new RegExp(`^0\\.0\\.0\\.0:${all}\n(\\[::\\]|::):${all}$`))
      const listed = (await ask('GET', `/containers/json?filters=${encodeURIComponent(JSON.stringify({ name: [`both-${wall}`] }))}`)).json[0].Ports
      assert.deepEqual(listed.filter((port) => port.PrivatePort === 80).map((port) => port.IP), ['0.0.0.0', '::'])

      await answers('127.0.0.1', all)
      await answers('::1', all)
      await refused('::1', four)
      await refused('127.0.0.1', local)
    })

    test('a great deal in both directions, half-closed, over IPv6', { timeout: 240_000 }, async () => {
      await run(`bulk-${wall}`, '-p', '[::]::80', IMAGE, ...echo)
      const [{ HostPort }] = (await ports(`bulk-${wall}`))['80/tcp']
      await answers('::1', HostPort)
      const sent = randomBytes(4 * MiB), got = await talk('::1', HostPort, sent)
      assert.equal(createHash('sha256').update(got).digest('hex'), createHash('sha256').update(sent).digest('hex'))
    })

    test('many at once', { timeout: 120_000 }, async () => {
      await run(`many-${wall}`, '-p', '80', IMAGE, 'httpd', '-f', '-h', '/etc')
      const get = async (host) => (await fetch(`http://${host}:${port}/passwd`)).text()
      const port = (await ports(`many-${wall}`))['80/tcp'][0].HostPort
      const expected = await until('the page', () => get('127.0.0.1').catch(() => ''))
      assert.match(expected, /^root:/)
      for (const said of await Promise.all(Array.from({ length: 60 }, () => get('[::1]')))) assert.equal(said, expected)
    })
  })
}

describe('what cannot be', () => {
  test('a port that is taken on IPv6, ours or not, and an address that is not here', { timeout: 60_000 }, async () => {
    await server.ok('run', '-d', '--name', 'first', '-p', '[::1]::80', IMAGE, ...echo)
    const [{ HostPort }] = (await ports('first'))['80/tcp']
    for (const [binding, expected] of [[`[::1]:${HostPort}`, new RegExp(`Bind for ::1:${HostPort} failed: port is already allocated`)],
      [`${HostPort}`, new RegExp(`Bind for :::${HostPort} failed: port is already allocated`)],
      ['[2001:db8::1]:8080', /failed to bind host port \[2001:db8::1\]:8080\/tcp: cannot assign requested address/]]) {
      const { code, stderr } = await server.docker('run', '-d', '--name', 'second', '-p', `${binding}:80`, IMAGE, 'true')
      assert.equal(code, 125)
      assert.match(stderr, expected)
      await server.ok('rm', 'second')
    }
    const listener = net.createServer().listen(0, '::1')
    await new Promise((resolve) => listener.once('listening', resolve))
    const { stderr } = await server.docker('run', '-d', '--name', 'second', '-p', `${listener.address().port}:80`, IMAGE, 'true')
    listener.close()
    assert.match(stderr, /failed to bind host port \[::\]:\d+\/tcp: address already in use/)
    await server.ok('rm', 'second')
  })
})

test('a forwarder that dies is started again, and says so', { timeout: 120_000 }, async () => {
  await server.ok('run', '-d', '--name', 'fallen', '-p', '[::1]::80', IMAGE, ...echo)
  const [{ HostPort }] = (await ports('fallen'))['80/tcp'], { Id } = await server.info('fallen')
  const mine = () => forwarders().filter((pid) => fs.readlinkSync(`/proc/${pid}/fd/3`).includes(Id))
  await answers('::1', HostPort)
  const [first] = mine()
  process.kill(Number(first), 'SIGKILL')
  const [second] = await until('another one', () => { const found = mine(); return found.length && found[0] !== first && found })
  assert.notEqual(second, first)
  await answers('::1', HostPort)
  assert.match(server.log, new RegExp(`${Id.slice(0, 12)}: tabique-forward has ended; it is started again`))
  await server.ok('rm', '-f', 'fallen')
  assert.deepEqual(mine(), [])
})

test('goes on without the server, moves with the network, and ends with the container', { timeout: 120_000 }, async () => {
  await server.ok('network', 'create', 'later')
  await server.ok('run', '-d', '--name', 'moving', '-p', '80', IMAGE, ...echo)
  const [{ HostPort }] = (await ports('moving'))['80/tcp']
  await answers('::1', HostPort)
  await server.halt('SIGKILL')
  await answers('::1', HostPort)
  await server.spawn()
  await answers('::1', HostPort)
  await server.ok('network', 'connect', 'later', 'moving')
  await server.ok('network', 'disconnect', 'bridge', 'moving')
  await answers('::1', HostPort)
  await answers('127.0.0.1', HostPort)
  const names = (await ask('GET', '/containers/json?all=1')).json.map((container) => container.Id)
  await server.ok('rm', '-f', ...names)
  await refused('::1', HostPort)
  assert.deepEqual(forwarders(), [])
})
