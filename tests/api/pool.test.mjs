// Machines kept warm: counted, taken, replaced; nothing of them outlives the server.
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
const pool = async () => (await server.request('GET', '/api/v1/info')).json.pool
const full = (size) => until('a full pool', async () => (await pool()).ready === size, WAIT)

// Whose control group is this server's: its machines and their shims' worker processes.
function workers() {
  const group = fs.readdirSync('/proc').filter((entry) => /^\d+$/.test(entry)).map((pid) => {
    try { return { pid, comm: fs.readFileSync(`/proc/${pid}/comm`, 'utf8').trim(), cgroup: fs.readFileSync(`/proc/${pid}/cgroup`, 'utf8') } } catch { return null }
  }).filter((process) => process?.comm === 'vmwp')
  return group.filter(({ cgroup }) => cgroup.includes(`${server.cgroup}/`))
}
const waiting = () => workers().filter(({ cgroup }) => cgroup.includes('/pool-'))
const worker = async (id) => String((await server.info(id)).State.Pid)
function shims() {
  return fs.readdirSync('/proc').filter((entry) => /^\d+$/.test(entry)).filter((pid) => {
    try {
      const command = fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8')
      return command.includes('--warm') && command.includes(server.root)
    } catch { return false }
  })
}
const groups = () => spawnSync('find', ['/sys/fs/cgroup', '-type', 'd', '-path', `*${server.cgroup}/pool-*`], { encoding: 'utf8' }).stdout.split('\n').filter(Boolean)
const nothing = () => until('nothing of the pool to be left', () => workers().length === 0 && shims().length === 0 && groups().length === 0, 60_000)

// The server's control group is known by a container of it.
async function learnGroup() {
  const id = await ok('run', '-d', IMAGE, 'sleep', '1000')
  const pid = (await server.info(id)).State.Pid
  const line = fs.readFileSync(`/proc/${pid}/cgroup`, 'utf8').split('\n').find((text) => text.includes(id))
  server.cgroup = line.slice(line.lastIndexOf(':') + 1).replace(`/${id}`, '').replace(/^\//, '').split('/').at(-1)
  await ok('rm', '-f', id)
}

before(async () => {
  server = await Server.start({ args: ['--accelerator', 'tcg', '--vm-pool', '2'] })
  await learnGroup()
}, { timeout: WAIT })
after(async () => { await server?.stop() }, { timeout: WAIT })

test('it fills, and is counted', { timeout: WAIT }, async () => {
  await full(2)
  assert.equal(waiting().length, 2)
  const { wanted, memoryBytes } = await pool()
  assert.equal(wanted, 2)
  assert.ok(memoryBytes > 1 << 20)
  const { text } = await server.request('GET', '/metrics')
  assert.match(text, /^tabique_vm_pool_wanted 2$/m)
  assert.match(text, /^tabique_vm_pool_ready 2$/m)
  assert.match(await ok('info'), /^ +Virtual Machines Kept Warm: 2 of 2 ready, \d+ MiB$/m)
  assert.ok(Number(/^tabique_vm_pool_memory_bytes (\S+)$/m.exec(text)[1]) > 1 << 20)
  // Each with a user of its own.
  const users = waiting().map(({ pid }) => fs.statSync(`/proc/${pid}`).uid)
  assert.equal(new Set(users).size, 2)
  assert.ok(users.every((uid) => uid > 0))
})

test('what is typed reaches the container that took one', { timeout: WAIT }, async () => {
  await full(2)
  const ready = waiting().map(({ pid }) => pid)
  const said = await server.docker('run', '-i', '--name', 'typed', '--isolation', 'hyperv', IMAGE, 'sh', '-c', 'wc -c; sleep 1', { ...SLOW, input: Buffer.alloc(300_000) })
  assert.equal(said.stdout.trim(), '300000', said.stderr)
  await until('a machine of the pool to have gone', () => waiting().filter(({ pid }) => ready.includes(pid)).length < 2)
  await ok('rm', '-f', 'typed')
})

test('two starts take them, and are machines of their own', { timeout: WAIT }, async () => {
  await full(2)
  const ready = waiting().map(({ pid }) => pid)
  const run = () => ok('run', '-d', '--isolation', 'hyperv', IMAGE, 'sleep', '1000')
  const ids = [await run(), await run()]
  const taken = await Promise.all(ids.map(worker))
  assert.deepEqual([...taken].sort(), [...ready].sort())
  for (const [index, id] of ids.entries())
    assert.ok(workers().find(({ pid }) => pid === taken[index]).cgroup.includes(id))
  const look = (id) => ok('exec', id, 'sh', '-c', 'head -c 16 /dev/urandom | md5sum; cat /proc/sys/kernel/random/boot_id /sys/class/net/eth0/address; hostname')
  const [one, two] = (await Promise.all(ids.map(look))).map((text) => text.split('\n'))
  for (let i = 0; i < 4; i++) assert.notEqual(one[i], two[i])
  for (const [index, lines] of [one, two].entries()) {
    const info = await server.info(ids[index])
    assert.equal(lines[2], info.NetworkSettings.Networks.bridge.MacAddress)
    assert.equal(lines[3], ids[index].slice(0, 12))
    assert.match(await ok('exec', ids[index], 'ip', '-4', '-o', 'addr', 'show', 'dev', 'eth0'), new RegExp(info.NetworkSettings.Networks.bridge.IPAddress.replaceAll('.', '\\.')))
  }
  const [, , , gateway] = [null, null, null, (await server.info(ids[0])).NetworkSettings.Networks.bridge.Gateway]
  assert.match(await ok('exec', ids[0], 'ping', '-c', '1', '-W', '20', gateway), /1 packets received/)
  await full(2)
  assert.equal(waiting().filter(({ pid }) => taken.includes(pid)).length, 0)
  await ok('rm', '-f', ...ids)
})

test('limits hold on a start from the pool', { timeout: WAIT }, async () => {
  await full(2)
  const ready = waiting().map(({ pid }) => pid)
  const id = await ok('run', '-d', '--isolation', 'hyperv', '-m', '24m', '--memory-swap', '24m', IMAGE, 'sh', '-c', 'sleep 3; exec tail /dev/zero')
  assert.ok(ready.includes(await worker(id)))
  await until('the end', async () => (await server.info(id)).State.Status === 'exited', 120_000)
  const { State } = await server.info(id)
  assert.deepEqual([State.ExitCode, State.OOMKilled], [137, true])
  await ok('rm', id)
})

test('a machine that dies while it waits is replaced', { timeout: WAIT }, async () => {
  await full(2)
  const [{ pid }] = waiting()
  process.kill(Number(pid), 'SIGKILL')
  await until('another one', async () => (await pool()).ready === 2 && waiting().every((other) => other.pid !== pid) && waiting().length === 2, WAIT)
  assert.equal(await ok('run', '--rm', '--isolation', 'hyperv', IMAGE, 'echo', 'here'), 'here')
})

test('one that stands still is thrown away, and the start succeeds', { timeout: WAIT }, async () => {
  await full(2)
  const stalled = waiting().map(({ pid }) => Number(pid))
  for (const pid of stalled) process.kill(pid, 'SIGSTOP')
  const id = await ok('run', '-d', '--isolation', 'hyperv', IMAGE, 'sleep', '1000')
  assert.ok(!stalled.includes(Number(await worker(id))))
  assert.equal(await ok('exec', id, 'echo', 'here'), 'here')
  for (const pid of stalled) { try { process.kill(pid, 'SIGKILL') } catch { /* gone already */ } }
  await ok('rm', '-f', id)
})

test('a stopped container\'s files are read by one', { timeout: WAIT }, async () => {
  const id = await ok('create', '--isolation', 'hyperv', IMAGE, 'true')
  await full(2)
  const answer = await server.request('GET', `/containers/${id}/archive?path=/etc/passwd`)
  assert.equal(answer.status, 200)
  assert.match(answer.text, /root:x:0:0/)
  await ok('rm', id)
})

// An image of its own, which none of the pool has seen.
async function ownImage(name) {
  const id = await ok('create', IMAGE, 'true')
  await ok('commit', '--message', name, id, name)
  await ok('rm', id)
  return name
}

// Files of images that are open, by the pool's machines and their shims.
const openDisks = () => [...waiting().map(({ pid }) => pid), ...shims()].flatMap((pid) => {
  try { return fs.readdirSync(`/proc/${pid}/fd`).map((fd) => fs.readlinkSync(`/proc/${pid}/fd/${fd}`)) } catch { return [] }
}).filter((target) => /\/disks\/[0-9a-f]+\.erofs/.test(target))

test('an image that is removed gives its space back', { timeout: 2 * WAIT }, async () => {
  const image = await ownImage('pool/removed')
  const before = new Set(openDisks())
  await ok('run', '--rm', '--isolation', 'hyperv', image, 'true')
  const own = () => openDisks().filter((disk) => !before.has(disk))
  await until('the pool to have its disk', () => own().length > 0, WAIT)
  const [disk] = own()
  await full(2)
  await ok('rmi', image)
  await until('its disk to be closed', () => openDisks().every((one) => !one.startsWith(disk)), WAIT)
  await full(2)
})

test('one whose plan cannot be rehearsed does not empty the pool', { timeout: 2 * WAIT }, async () => {
  const image = await ownImage('pool/unfit')
  const profile = `${server.root}/no-pipes.json`
  fs.writeFileSync(profile, JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['pipe', 'pipe2'], action: 'SCMP_ACT_ERRNO' }] }))
  const run = () => ok('run', '--rm', '--isolation', 'hyperv', '--security-opt', `seccomp=${profile}`, image, 'echo', 'here')
  const told = () => (server.log.match(/do not rehearse image/g) ?? []).length
  await full(2)
  assert.equal(await run(), 'here')
  await until('it to be given up', () => told() === 1, WAIT)
  await full(2)
  assert.equal(await run(), 'here')
  await full(2)
  assert.equal(told(), 1)
  await ok('rmi', image)
})

test('a server that is killed leaves nothing of it; the next one fills its own', { timeout: 2 * WAIT }, async () => {
  await full(2)
  const id = await ok('run', '-d', '--isolation', 'hyperv', IMAGE, 'sleep', '1000')
  const pid = await worker(id)
  server.child.kill('SIGKILL')
  await server.ended
  await until('the pool to go', () => waiting().length === 0 && shims().every((shim) => fs.readFileSync(`/proc/${shim}/task/${shim}/children`, 'utf8').trim() === pid) && groups().length === 0, 60_000)
  assert.deepEqual(workers().map((one) => one.pid), [pid])
  await server.spawn()
  assert.equal(await worker(id), pid)
  assert.equal(await ok('exec', id, 'echo', 'still here'), 'still here')
  await full(2)
  await ok('rm', '-f', id)
})

test('a server that ends takes it along; none is made where none is wanted', { timeout: 2 * WAIT }, async () => {
  await full(2)
  await server.halt()
  await nothing()
  server.args = server.args.map((argument, index, all) => (all[index - 1] === '--vm-pool' ? '0' : argument))
  await server.spawn()
  assert.equal(await ok('run', '--rm', '--isolation', 'hyperv', IMAGE, 'echo', 'here'), 'here')
  const { wanted, ready, memoryBytes } = await pool()
  assert.deepEqual({ wanted, ready, memoryBytes }, { wanted: 0, ready: 0, memoryBytes: 0 })
  assert.equal(waiting().length, 0)
  for (const wrong of ['-1', '65', 'x']) {
    const result = spawnSync(server.binary, [...server.args, '--vm-pool', wrong, '--check-config'], { encoding: 'utf8' })
    assert.notEqual(result.status, 0, wrong)
    assert.match(result.stderr, /vm-pool/)
  }
})
