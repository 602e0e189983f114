// A server that was killed, and the next one: what ran is found again with all that
// is known of it, and what happened meanwhile is told with the time it happened at.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { after, before, test } from 'node:test'
import { Server, until } from './lib/server.mjs'

const IMAGE = 'tabique/base'
let server

before(async () => { server = await Server.start({ listen: false }) }, { timeout: 180_000 })
after(async () => { await server?.stop() }, { timeout: 180_000 })

const exec = async (id, Cmd, more = {}) => {
  const { json } = await server.request('POST', `/containers/${id}/exec`, { body: { Cmd, ...more } })
  const started = await server.request('POST', `/exec/${json.Id}/start`, { body: { Detach: true } })
  assert.equal(started.status, 200, started.text)
  return json.Id
}
const execInfo = async (id) => (await server.request('GET', `/exec/${id}/json`)).json
const gone = (pid) => until(`process ${pid} to end`, () => {
  try { return /^State:\s+Z/m.test(fs.readFileSync(`/proc/${pid}/status`, 'utf8')) } catch { return true /* ended and reaped */ }
})
const events = async (since, action) => (await server.request('GET',
  `/events?since=${since}&until=${Math.ceil(Date.now() / 1000) + 1}&filters=${encodeURIComponent(JSON.stringify({ event: [action] }))}`))
  .text.trim().split('\n').filter(Boolean).map((line) => JSON.parse(line))

test('execs are found again: running, ended meanwhile, ended before', async () => {
  const id = await server.ok('run', '-d', IMAGE, 'sleep', '100000')
  const before = await exec(id, ['sh', '-c', 'exit 3'])
  await until('the first exec to end', async () => !(await execInfo(before)).Running)
  const meanwhile = await exec(id, ['sleep', '88888'], { User: '12:34' })
  const running = await exec(id, ['sleep', '99999'], { Tty: true, AttachStdout: true })
  const infos = { meanwhile: await execInfo(meanwhile), running: await execInfo(running) }
  await server.halt('SIGKILL')
  process.kill(infos.running.Pid, 0)
  process.kill(infos.meanwhile.Pid, 'SIGKILL')
  await gone(infos.meanwhile.Pid)
  await server.spawn()

  const found = await execInfo(running)
  assert.deepEqual(found, infos.running)
  assert.equal(found.Running, true)
  assert.deepEqual((await server.info(id)).ExecIDs, [running])
  const ended = await execInfo(meanwhile)
  assert.equal(ended.Running, false)
  assert.equal(ended.ProcessConfig.user, '12:34')
  assert.equal(ended.ExitCode, 137)
  const old = await execInfo(before)
  assert.deepEqual([old.Running, old.ExitCode], [false, 3])

  // It can still be handled, and its end is told once.
  assert.equal((await server.request('POST', `/exec/${running}/resize?h=10&w=20`)).status, 200)
  process.kill(found.Pid, 'SIGTERM')
  await until('the exec to end', async () => !(await execInfo(running)).Running)
  assert.equal((await execInfo(running)).ExitCode, 143)
  for (const which of [before, meanwhile, running]) {
    const told = await until('its end to be told', async () => {
      const all = (await events(0, 'exec_die')).filter((event) => event.Actor.Attributes.execID === which)
      return all.length > 0 && all
    })
    assert.equal(told.length, 1)
  }
  await server.ok('rm', '-f', id)
  assert.equal((await server.request('GET', `/exec/${running}/json`)).status, 404)
})

test('an end that no server saw has its own time', async () => {
  const id = await server.ok('run', '-d', IMAGE, 'sleep', '100000')
  const { Pid } = (await server.info(id)).State
  await server.halt('SIGKILL')
  process.kill(Pid, 'SIGKILL')
  await gone(Pid)
  const ended = Date.now()
  await until('two seconds to pass, which events can tell apart', () => Date.now() - ended > 2000)
  const back = Date.now()
  await server.spawn()
  await server.waitState(id, 'exited')
  const die = (await events(0, 'die')).filter((event) => event.Actor.ID === id)
  assert.equal(die.length, 1)
  assert.ok(die[0].timeNano / 1e6 < back, `${die[0].timeNano / 1e6} is not before ${back}`)
  assert.equal(new Date((await server.info(id)).State.FinishedAt).getTime(), Math.floor(die[0].timeNano / 1e6))
  await server.ok('rm', id)
})

test('a container that joins: host name, shared memory, processes', async () => {
  const donor = await server.ok('run', '-d', '--ipc', 'shareable', '--shm-size', '8m', '-h', 'donor', IMAGE, 'sleep', '100000')
  assert.equal(await server.ok('run', '--rm', '--network', `container:${donor}`, IMAGE, 'sh', '-c', 'echo $(hostname) $HOSTNAME $(cat /etc/hostname)'), 'donor donor donor')
  assert.match(await server.ok('run', '--rm', '--ipc', `container:${donor}`, IMAGE, 'sh', '-c', 'echo both > /dev/shm/word; df -k /dev/shm'), /\b8192\b/)
  assert.equal(await server.ok('exec', donor, 'cat', '/dev/shm/word'), 'both')
  await server.halt('SIGKILL')
  await server.spawn()
  assert.equal(await server.ok('run', '--rm', '--ipc', `container:${donor}`, IMAGE, 'cat', '/dev/shm/word'), 'both')
  assert.match(await server.ok('run', '--rm', '--pid', `container:${donor}`, IMAGE, 'ps'), /1 root .*sleep 100000/)
  const closed = await server.ok('run', '-d', IMAGE, 'sleep', '100000')
  const refused = await server.docker('run', '--rm', '--ipc', `container:${closed}`, IMAGE, 'true')
  assert.equal(refused.code, 125)
  assert.match(refused.stderr, /non-shareable IPC/)
  const mounted = () => fs.readFileSync('/proc/self/mounts', 'utf8').includes(`/shm/${donor}`)
  assert.ok(mounted())
  await server.ok('rm', '-f', donor, closed)
  assert.ok(!mounted())
})

test('bridge and rules stay for containers that run on, and go with the last', async () => {
  const { json } = await server.request('GET', '/networks/bridge')
  const bridge = json.Options['com.docker.network.bridge.name']
  const there = () => [spawnSync('ip', ['link', 'show', bridge]).status === 0,
    spawnSync('nft', ['list', 'table', 'inet', `tabique-${bridge}`]).status === 0]
  const id = await server.ok('run', '-d', IMAGE, 'sleep', '100000')
  await server.halt()
  assert.deepEqual(there(), [true, true])
  await server.spawn()
  await server.ok('rm', '-f', id)
  await server.halt()
  assert.deepEqual(there(), [false, false])
  await server.spawn()
  assert.deepEqual(there(), [true, true])
  assert.equal(await server.ok('run', '--rm', IMAGE, 'echo', 'again'), 'again')
})
