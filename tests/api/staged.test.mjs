// A template staged for the image started last: what starts without a machine of the pool
// starts from it, and is a machine of its own all the same.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { after, before, test } from 'node:test'
import { Server, until } from './lib/server.mjs'

const IMAGE = 'tabique/base'
const SLOW = { timeout: 300_000 } // emulated machines on a busy host
const WAIT = 300_000
let server
const ok = (...args) => server.ok(...args, SLOW)
const staged = async () => (await server.request('GET', '/api/v1/info')).json.pool.stagedBytes
const thick = (...args) => ok('run', '--isolation', 'hyperv', ...args)

// By the memory its worker has mapped: this template's, or the plain one's.
const startedFrom = async (id) => {
  const { State } = await server.info(id)
  return /memfd:(tabique-\w+)/.exec(fs.readFileSync(`/proc/${State.Pid}/maps`, 'utf8'))[1]
}
const groups = () => spawnSync('find', ['/sys/fs/cgroup', '-type', 'd', '-path', `*${server.cgroup}/stage-*`], { encoding: 'utf8' }).stdout.split('\n').filter(Boolean)
// Its machine's control group says whose it is.
const stagers = () => fs.readdirSync('/proc').filter((entry) => /^\d+$/.test(entry)).filter((pid) => {
  try {
    const command = fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8')
    return command.includes(`--stage\0`) && command.includes(`${server.cgroup}/stage-`)
  } catch { return false }
})
async function ownImage(name) {
  const id = await ok('create', IMAGE, 'true')
  await ok('commit', '--message', name, id, name)
  await ok('rm', id)
  return name
}
// Until what starts of this image starts from it.
async function stagedFor(image) {
  await until(`a template staged for ${image}`, async () => {
    const id = await thick('-d', image, 'sleep', '1000')
    const from = await startedFrom(id)
    await ok('rm', '-f', id)
    return from === 'tabique-staged'
  }, WAIT)
}

before(async () => {
  server = await Server.start({ args: ['--accelerator', 'tcg', '--vm-pool', '0'] })
  const id = await ok('run', '-d', IMAGE, 'sleep', '1000')
  const line = fs.readFileSync(`/proc/${(await server.info(id)).State.Pid}/cgroup`, 'utf8').split('\n').find((text) => text.includes(id))
  server.cgroup = line.slice(line.lastIndexOf(':') + 1).replace(`/${id}`, '').split('/').at(-1)
  await ok('rm', '-f', id)
}, { timeout: WAIT })
after(async () => { await server?.stop() }, { timeout: WAIT })

test('the first start has none; then there is one, and it is counted', { timeout: WAIT }, async () => {
  assert.equal(await staged(), 0)
  const id = await thick('-d', IMAGE, 'sleep', '1000')
  assert.equal(await startedFrom(id), 'tabique-template')
  await ok('rm', '-f', id)
  await until('its making', () => stagers().length > 0, WAIT)
  await until('a staged template', async () => await staged() > 1 << 20, WAIT)
  const { text } = await server.request('GET', '/metrics')
  assert.ok(Number(/^tabique_vm_staged_bytes (\S+)$/m.exec(text)[1]) > 1 << 20)
  await until('its maker to have gone', () => stagers().length === 0)
  assert.deepEqual(groups(), [])
})

test('two of it are machines of their own', { timeout: WAIT }, async () => {
  const ids = await Promise.all([1, 2].map((n) => thick('-d', '-e', `NUMBER=${n}`, IMAGE, 'sh', '-c', 'echo $NUMBER > /own; sleep 1000')))
  for (const id of ids) assert.equal(await startedFrom(id), 'tabique-staged')
  const look = (id) => ok('exec', id, 'sh', '-c', 'head -c 16 /dev/urandom | md5sum; cat /proc/sys/kernel/random/boot_id /sys/class/net/eth0/address; hostname; cat /own; date +%s')
  const [one, two] = (await Promise.all(ids.map(look))).map((text) => text.split('\n'))
  for (let i = 0; i < 5; i++) assert.notEqual(one[i], two[i])
  for (const [index, lines] of [one, two].entries()) {
    const { NetworkSettings } = await server.info(ids[index])
    assert.equal(lines[2], NetworkSettings.Networks.bridge.MacAddress)
    assert.equal(lines[3], ids[index].slice(0, 12))
    assert.equal(lines[4], String(index + 1))
    assert.ok(Math.abs(Number(lines[5]) - Date.now() / 1000) < 60)
  }
  const users = await Promise.all(ids.map(async (id) => fs.statSync(`/proc/${(await server.info(id)).State.Pid}`).uid))
  assert.notEqual(users[0], users[1])
  const { IPAddress } = (await server.info(ids[1])).NetworkSettings.Networks.bridge
  assert.match(await ok('exec', ids[0], 'ping', '-c', '1', '-W', '20', IPAddress), /1 packets received/)
  // Nothing of how it was made is in it.
  assert.deepEqual((await ok('diff', ids[0])).split('\n'), ['A /own'])
  assert.doesNotMatch(await ok('exec', ids[0], 'ps'), /warm/)
  await ok('rm', '-f', ...ids)
})

test('what its plan does not have is there all the same', { timeout: WAIT }, async () => {
  fs.mkdirSync(`${server.root}/shared`)
  fs.writeFileSync(`${server.root}/shared/word`, 'from the host\n')
  const said = (...args) => thick('--rm', ...args)
  assert.equal(await said('-v', `${server.root}/shared:/given`, IMAGE, 'cat', '/given/word'), 'from the host')
  assert.match(await said('--tmpfs', '/fast:size=1m', IMAGE, 'grep', '/fast', '/proc/mounts'), /tmpfs \/fast tmpfs/)
  assert.equal(await said('-u', 'nobody', '-w', '/tmp', '-e', 'A=b', IMAGE, 'sh', '-c', 'echo $(id -un) $PWD $A'), 'nobody /tmp b')
  assert.equal(await said('--sysctl', 'net.ipv4.ip_forward=1', IMAGE, 'cat', '/proc/sys/net/ipv4/ip_forward'), '1')
  assert.match(await said('--read-only', IMAGE, 'sh', '-c', 'touch /x 2>&1; true'), /Read-only file system/)
  assert.equal(await said('--cap-drop', 'ALL', IMAGE, 'grep', 'CapEff', '/proc/self/status'), 'CapEff:\t0000000000000000')
  assert.equal(await said('--security-opt', 'systempaths=unconfined', IMAGE, 'sh', '-c', 'wc -c < /proc/keys | grep -c .'), '1')
  assert.equal(await said('--network', 'none', IMAGE, 'sh', '-c', 'cat /sys/class/net/eth0/flags; ls /sys/class/net | wc -l'), '0x1002\n5')
  const bad = await server.docker('run', '--rm', '--isolation', 'hyperv', IMAGE, 'no-such-program', SLOW)
  assert.equal(bad.code, 127)
  assert.match(bad.stderr, /executable file not found in \$PATH/)
  const typed = await server.docker('run', '-i', '--rm', '--isolation', 'hyperv', IMAGE, 'wc', '-c', { ...SLOW, input: Buffer.alloc(300_000) })
  assert.equal(typed.stdout.trim(), '300000', typed.stderr)
})

test('limits hold, and a killed one says so', { timeout: WAIT }, async () => {
  const id = await thick('-d', '-m', '24m', '--memory-swap', '24m', IMAGE, 'sh', '-c', 'sleep 3; exec tail /dev/zero')
  assert.equal(await startedFrom(id), 'tabique-staged')
  await until('the end', async () => (await server.info(id)).State.Status === 'exited', 120_000)
  const { State } = await server.info(id)
  assert.deepEqual([State.ExitCode, State.OOMKilled], [137, true])
  await ok('rm', id)
})

test('a disk of its own is kept, and one of another size is made', { timeout: WAIT }, async () => {
  const id = await thick('-d', IMAGE, 'sh', '-c', 'echo start >> /kept; sleep 1000')
  const kept = (text) => until(`it to hold ${text}`, async () => (await ok('exec', id, 'sh', '-c', 'cat /kept 2>/dev/null; true')) === text)
  await kept('start')
  await ok('stop', '-t', '0', id)
  await ok('start', id)
  assert.equal(await startedFrom(id), 'tabique-template')
  await kept('start\nstart')
  await ok('rm', '-f', id)
  const small = await thick('-d', '--storage-opt', 'size=64M', IMAGE, 'sleep', '1000')
  assert.equal(await startedFrom(small), 'tabique-template')
  await ok('rm', '-f', small)
})

test('files of one that was never started', { timeout: WAIT }, async () => {
  const id = await ok('create', '--isolation', 'hyperv', IMAGE, 'cat', '/etc/added')
  fs.writeFileSync(`${server.root}/added`, 'put before the start\n')
  await ok('cp', `${server.root}/added`, `${id}:/etc/added`)
  assert.equal(await ok('start', '-a', id), 'put before the start')
  await ok('rm', id)
})

test('it follows the image; one that is removed gives its memory back', { timeout: 2 * WAIT }, async () => {
  const image = await ownImage('staged/other')
  const id = await thick('-d', image, 'sleep', '1000')
  assert.equal(await startedFrom(id), 'tabique-template')
  await ok('rm', '-f', id)
  await stagedFor(image)
  await ok('rmi', image)
  await until('its memory to be given back', async () => await staged() === 0, WAIT)
  assert.equal(await thick('--rm', IMAGE, 'echo', 'here'), 'here')
  await stagedFor(IMAGE)
})

test('one that is damaged is given up, and the start succeeds', { timeout: WAIT }, async () => {
  const fds = fs.readdirSync(`/proc/${server.child.pid}/fd`).map((fd) => `/proc/${server.child.pid}/fd/${fd}`)
  const state = fds.find((fd) => { try { return fs.readlinkSync(fd).includes('memfd:tabique-staged-state') } catch { return false } })
  fs.truncateSync(state, 1000)
  const id = await thick('-d', IMAGE, 'sleep', '1000')
  assert.equal(await startedFrom(id), 'tabique-template')
  assert.equal(await ok('exec', id, 'echo', 'here'), 'here')
  await ok('rm', '-f', id)
  assert.equal(await staged(), 0)
  assert.equal(await thick('--rm', IMAGE, 'echo', 'again'), 'again')
  await until('a word of it', () => /staged template did not serve/.test(server.log))
})

test('a server that is killed while one is made leaves nothing, and what came of it goes on', { timeout: 2 * WAIT }, async () => {
  const image = await ownImage('staged/third')
  const id = await thick('-d', image, 'sleep', '1000')
  await until('its making', () => stagers().length > 0, WAIT)
  server.child.kill('SIGKILL')
  await server.ended
  await until('its maker to end', () => stagers().length === 0, WAIT)
  assert.deepEqual(groups(), [])
  await server.spawn()
  assert.equal(await ok('exec', id, 'echo', 'still here'), 'still here')
  await ok('rm', '-f', id)
  await stagedFor(image)
  const kept = await thick('-d', image, 'sleep', '1000')
  assert.equal(await startedFrom(kept), 'tabique-staged')
  await server.halt()
  assert.deepEqual(groups(), [])
  await server.spawn()
  assert.equal(await ok('exec', kept, 'echo', 'still here'), 'still here')
  await ok('rm', '-f', kept)
})
