// kill -9 of the server, again and again, under load: no container, exit status, log
// line or event is lost, and nothing is left over.
//
// TABIQUE_CRASH_ROUNDS  how often the server is killed (default 10)
// TABIQUE_CRASH_SEED    repeats the choices of an earlier run (its seed is printed)
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { Server, sleep, until } from './lib/server.mjs'

const ROUNDS = Number(process.env.TABIQUE_CRASH_ROUNDS || 10)
const CONTAINERS = 20
const seed = Number(process.env.TABIQUE_CRASH_SEED || Date.now() % 1_000_000)

let state = seed
const random = (below) => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return Math.floor((state / 2 ** 32) * below) }

let server
before(async () => { server = await Server.start({ listen: false, args: ['--vm-pool', '0'] }) /* or its warm machines would count as left over */ }, { timeout: 120_000 })
after(async () => { await server?.stop() }, { timeout: 180_000 })

// Each run says "begin", numbers, and "end" with the number it had come to; so a lost
// line shows, the last one included. Even ones end when told to, odd ones by themselves.
// Counting and writing are one command: a trap runs between two.
const script = (index) => (index % 2 === 0
  ? `trap 'echo end $n; exit ${10 + index}' TERM; n=0; echo begin; while :; do echo $((n+=1)); sleep 0.1; done`
  : `n=0; echo begin; while [ $n -lt ${10 + index} ]; do echo $((n+=1)); sleep 0.05; done; echo end $n; exit ${10 + index}`)

// What is asked while the server dies may fail; what is answered must be true.
const ask = (method, target, options) => server.request(method, target, options).catch(() => null)

async function create(name, index) {
  const answer = await ask('POST', `/containers/create?name=${name}`, { body: { Image: 'tabique/base', Cmd: ['sh', '-c', script(index)] } })
  return answer?.status === 201 ? answer.json.Id : null
}

async function logLines(id, tail = 'all') {
  const answer = await ask('GET', `/containers/${id}/logs?stdout=1&stderr=1&tail=${tail}`)
  if (answer?.status !== 200) return null
  let text = ''
  for (let at = 0; at + 8 <= answer.raw.length;) {
    const length = answer.raw.readUInt32BE(at + 4)
    text += answer.raw.subarray(at + 8, at + 8 + length).toString()
    at += 8 + length
  }
  return text.split('\n').filter(Boolean)
}

async function exec(id, alive) {
  const made = await ask('POST', `/containers/${id}/exec`, { body: { Cmd: ['sh', '-c', 'echo in; exit 5'], AttachStdout: true } })
  if (made?.status !== 201) return
  const run = await ask('POST', `/exec/${made.json.Id}/start`, { body: { Detach: false } })
  if (run?.status !== 200) return
  const info = await ask('GET', `/exec/${made.json.Id}/json`)
  // Its container may have ended under it (killed), or just before it (126).
  if (alive() && info?.status === 200 && !info.json.Running)
    assert.ok([5, 126, 137].includes(info.json.ExitCode), `exec in ${id}: exit ${info.json.ExitCode}`)
}

// A TERM before the trap stands would be ignored by pid 1, and end in a SIGKILL.
async function stop(id) {
  const [last] = await logLines(id, 1) ?? []
  if (last && /^\d+$/.test(last)) await ask('POST', `/containers/${id}/stop?t=120`)
}

function checkLog(name, lines) {
  let runs = 0
  let n = null
  for (const line of lines) {
    if (line === 'begin') {
      assert.equal(n, null, `${name}: a run begins before the last has ended`)
      n = 0
      runs += 1
    } else if (line.startsWith('end ')) {
      assert.equal(line, `end ${n}`, `${name}: the last line of run ${runs}`)
      n = null
    } else {
      n += 1
      assert.equal(line, String(n), `${name}: run ${runs}`)
    }
  }
  assert.equal(n, null, `${name}: the last run has no end`)
  return runs
}

// The making of machine templates is not a container's: it ends by itself.
function leftovers(ids) {
  const found = []
  for (const entry of fs.readdirSync('/proc')) {
    if (!/^\d+$/.test(entry) || Number(entry) === server.child.pid) continue
    let command = ''
    try { command = fs.readFileSync(`/proc/${entry}/cmdline`, 'utf8').replaceAll('\0', ' ') } catch { continue }
    if (command.includes(server.root) && command.includes('tabique-shim') && !command.includes('--prepare-machines')) found.push(`process ${entry}: ${command}`)
  }
  for (const line of fs.readFileSync('/proc/self/mountinfo', 'utf8').split('\n'))
    if (ids.some((id) => line.includes(id))) found.push(`mount ${line}`)
  for (const sub of ['shims', 'netns', 'network']) {
    const dir = path.join(server.runDir, sub)
    for (const entry of fs.existsSync(dir) ? fs.readdirSync(dir) : [])
      if (ids.some((id) => entry.startsWith(id))) found.push(path.join(dir, entry))
  }
  for (const entry of fs.readdirSync(path.join(server.dataDir, 'containers'))) found.push(`containers/${entry}`)
  const cgroups = spawnSync('find', ['/sys/fs/cgroup', '-type', 'd', '-regextype', 'posix-extended', '-regex', '.*[0-9a-f]{64}.*'], { encoding: 'utf8' }).stdout.split('\n')
  for (const dir of cgroups) if (ids.some((id) => dir.includes(id))) found.push(dir)
  return found
}

test(`${ROUNDS} times kill -9 under load loses nothing`, { timeout: 120_000 + ROUNDS * 40_000 }, async (t) => {
  t.diagnostic(`seed ${seed}`)
  const since = Math.floor(Date.now() / 1000) - 1
  const containers = []
  for (let i = 0; i < CONTAINERS; i++) {
    const id = await create(`crash-${i}`, i)
    assert.ok(id)
    containers.push({ id, name: `crash-${i}`, index: i })
  }

  for (let round = 0; round < ROUNDS; round++) {
    let dead = false
    const alive = () => !dead
    const load = containers.slice(0, CONTAINERS).map(async ({ id }) => {
      while (alive()) {
        await ask('POST', `/containers/${id}/start`)
        await exec(id, alive)
        await sleep(random(400))
        if (alive() && random(3) === 0) await stop(id)
      }
    })
    load.push((async () => {
      for (let i = 0; alive() && i < 3; i++) {
        const id = await create(`crash-${round}-more-${i}`, 1)
        if (id) {
          containers.push({ id, name: `crash-${round}-more-${i}`, index: 1 })
          await ask('POST', `/containers/${id}/start`)
        }
        await sleep(random(200))
      }
    })())
    await sleep(200 + random(1800))
    server.child.kill('SIGKILL')
    await server.ended
    dead = true
    await Promise.all(load)
    await server.spawn()
  }

  // Rest: everything runs to its end.
  await Promise.all(containers.map(({ id, index }) => until(`${id} to end`, async () => {
    const info = await server.info(id)
    if (info.State.Status === 'exited' || info.State.Status === 'created') return true
    if (index % 2 === 0) await stop(id)
    return false
  }, 180_000)))

  const listed = (await server.request('GET', '/containers/json?all=1')).json.map((one) => one.Id)
  const answer = await server.request('GET', `/events?since=${since}&until=${Math.ceil(Date.now() / 1000) + 1}&filters=${encodeURIComponent('{"type":["container"]}')}`)
  assert.equal(answer.status, 200, answer.text)
  const events = answer.text.trim().split('\n').map((line) => JSON.parse(line))
  let runs = 0
  let lines = 0
  const wrong = []
  for (const { id, name, index } of containers) {
    try {
      assert.ok(listed.includes(id), `${name} is lost`)
      const info = await server.info(id)
      const log = await logLines(id)
      const count = checkLog(name, log)
      const own = events.filter((event) => event.Actor.ID === id)
      const starts = own.filter((event) => event.Action === 'start')
      const ends = own.filter((event) => event.Action === 'die')
      assert.equal(own.filter((event) => event.Action === 'create').length, 1, `${name}: create events`)
      assert.equal(starts.length, count, `${name}: start events for ${count} runs`)
      assert.equal(ends.length, count, `${name}: die events for ${count} runs`)
      for (const event of ends) assert.equal(event.Actor.Attributes.exitCode, String(10 + index), `${name}: ${JSON.stringify(event)}`)
      if (count) assert.equal(info.State.ExitCode, 10 + index, `${name}: exit code; ${JSON.stringify(info.State)}`)
      runs += count
      lines += log.length
    } catch (error) {
      wrong.push(error.message)
    }
  }
  t.diagnostic(`${ROUNDS} kills, ${containers.length} containers, ${runs} runs, ${lines} log lines`)
  assert.deepEqual(wrong, [])
  assert.ok(runs >= CONTAINERS, 'the load ran')

  const bridge = (await server.request('GET', '/networks/bridge')).json.Options['com.docker.network.bridge.name']
  // One that was made as the server died is there, though nobody was told.
  await Promise.all(listed.map(async (id) => {
    const gone = await server.request('DELETE', `/containers/${id}?force=1&v=1`)
    assert.equal(gone.status, 204, gone.text)
  }))
  let left = []
  await until('nothing to be left', () => { left = leftovers(listed); return left.length === 0 }, 20_000).catch(() => {})
  assert.deepEqual(left, [])
  const ports = spawnSync('ip', ['-o', 'link', 'show', 'master', bridge], { encoding: 'utf8' }).stdout.trim()
  assert.equal(ports, '', `links still in ${bridge}`)
})
