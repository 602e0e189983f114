// What goes wrong behind the thick wall, as clients meet it: it is told at once and
// with its reason (State.Error, exit status, event), and nothing of it is left on the host.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { Server, sleep, until } from './lib/server.mjs'

const IMAGE = 'tabique/base'
const SLOW = { timeout: 180_000 }
const TCG = ['--accelerator', 'tcg']
let server
let count = 0
const name = (what = 'f') => `${what}-${process.pid}-${++count}`
const ok = (...args) => server.ok(...args, SLOW)
const docker = (...args) => server.docker(...args, SLOW)
const start = async (...args) => {
  const id = name()
  await ok('run', '-d', '--isolation', 'hyperv', '--name', id, ...args)
  return server.info(id)
}

/** Processes of a container: its shim, worker and file server name it in their arguments. */
const processesOf = (id) => fs.readdirSync('/proc').filter((pid) => {
  if (!/^\d+$/.test(pid)) return false
  try { return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(id) } catch { return false }
})

const found = (dir, id) => spawnSync('find', [dir, '-name', `*${id}*`], { encoding: 'utf8' }).stdout.split('\n').filter(Boolean)

// Processes, control groups, network namespaces (and with them taps and bridges), run-time files.
async function nothingLeft(id, owner = server) {
  await until(`the processes of ${id} to be gone`, () => processesOf(id).length === 0, 60_000)
  await until(`the rest of ${id} to be gone`, () => [...found('/sys/fs/cgroup', id), ...found(owner.runDir, id)].length === 0, 30_000)
    .catch(() => assert.deepEqual([...found('/sys/fs/cgroup', id), ...found(owner.runDir, id)], []))
}

async function dieEvent(id, since) {
  const text = await ok('events', '--since', since, '--until', String(Math.ceil(Date.now() / 1000)), '--filter', `container=${id}`,
    '--filter', 'event=die', '--format', '{{json .}}')
  return JSON.parse(text.split('\n').at(-1)).Actor.Attributes
}

// status, words: of State and of the event; the container can be started again.
async function fell({ Id }, since, status, words) {
  const { State } = await until('the end', async () => {
    const info = await server.info(Id)
    return info.State.Status === 'exited' && info
  }, 60_000)
  assert.match(String(State.ExitCode), status, State.Error)
  assert.match(State.Error, words)
  const attributes = await dieEvent(Id, since)
  assert.equal(attributes.exitCode, String(State.ExitCode))
  assert.equal(attributes.error, State.Error)
  const { json } = await server.request('GET', `/api/v1/containers`)
  const listed = (json.containers ?? json).find((container) => container.id === Id)
  assert.equal(listed.error, State.Error)
  await nothingLeft(Id)
}

const now = () => String(Math.floor(Date.now() / 1000))

before(async () => { server = await Server.start({ args: TCG }) }, { timeout: 180_000 })
after(async () => { await server?.stop() }, { timeout: 180_000 })

describe('a machine is lost', () => {
  test('worker killed: 137, the reason, nothing left; it starts again', SLOW, async () => {
    const since = now()
    const info = await start(IMAGE, 'sleep', '1000')
    process.kill(info.State.Pid, 'SIGKILL')
    await fell(info, since, /^137$/, /worker \(vmwp\) was killed \(signal 9\)/)
    await ok('start', info.Id)
    assert.equal((await server.info(info.Id)).State.Error, '')
    await ok('rm', '-f', info.Id)
    await nothingLeft(info.Id)
  })

  test('guest kernel panic: 255 and its last words', SLOW, async () => {
    const since = now()
    const info = await start('--privileged', IMAGE, 'sh', '-c', 'echo c > /proc/sysrq-trigger; sleep 1000')
    await fell(info, since, /^255$/, /kernel panicked; its last words: Kernel panic - not syncing: sysrq triggered crash/)
    await ok('rm', info.Id)
  })

  // The device below the agent's channel is torn out. Whether the agent, its kernel or the
  // worker ends of it is QEMU's matter.
  test('the channel torn out: an end, and the reason', SLOW, async () => {
    const since = now()
    const info = await start('--privileged', IMAGE, 'sh', '-c', 'for d in /sys/bus/virtio/drivers/virtio_console/virtio*; do echo ${d##*/} > /sys/bus/virtio/drivers/virtio_console/unbind; done; sleep 1000')
    await docker('top', info.Id)
    await fell(info, since, /^(255|137|139)$/, /guest|channel|agent|worker/)
    await ok('rm', info.Id)
  })

  test('the client of docker run gets the status', SLOW, async () => {
    const result = await docker('run', '--rm', '--privileged', '--isolation', 'hyperv', IMAGE, 'sh', '-c', 'echo before; echo c > /proc/sysrq-trigger; sleep 1000')
    assert.deepEqual([result.code, result.stdout], [255, 'before\n'], result.stderr)
  })

  test('a restart policy counts it', SLOW, async () => {
    const info = await start('--restart', 'on-failure:1', IMAGE, 'sleep', '1000')
    process.kill(info.State.Pid, 'SIGKILL')
    const again = await until('the restart', async () => {
      const now = await server.info(info.Id)
      return now.RestartCount === 1 && now.State.Status === 'running' && now
    }, 60_000)
    assert.notEqual(again.State.Pid, info.State.Pid)
    await ok('rm', '-f', info.Id)
  })

  test('while no server is there: the next one tells', SLOW, async () => {
    const since = now()
    const info = await start(IMAGE, 'sleep', '1000')
    await server.halt('SIGKILL')
    process.kill(info.State.Pid, 'SIGKILL')
    await until('the worker to be gone', () => !fs.existsSync(`/proc/${info.State.Pid}`))
    await server.spawn()
    await fell(info, since, /^137$/, /worker \(vmwp\) was killed \(signal 9\)/)
    await ok('rm', info.Id)
  })
})

describe('the server is killed', () => {
  test('in the middle of a restore, at any moment of it', { timeout: 400_000 }, async () => {
    const all = []
    for (let delay = 0; delay < 500; delay += 60) {
      const id = await ok('create', '--isolation', 'hyperv', '--name', name(), IMAGE, 'sleep', '1000')
      all.push(id)
      const request = server.request('POST', `/containers/${id}/start`).catch(() => null)
      await sleep(delay)
      await server.halt('SIGKILL')
      await request
      await server.spawn()
      // It runs whole, or it does not and says why; never half of it.
      const { State } = await until('a state of rest', async () => {
        const info = await server.info(id)
        return ['running', 'exited', 'created'].includes(info.State.Status) && info
      })
      if (State.Status === 'running') assert.match(await ok('top', id, '-o', 'pid,comm'), /sleep/)
      else assert.equal(State.Pid, 0)
    }
    await ok('rm', '-f', ...all)
    for (const id of all) await nothingLeft(id)
  })
})
