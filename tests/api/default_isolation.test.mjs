// The wall of containers that ask for none is the engine's to choose, and everything that
// speaks of a container names its wall.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Server } from './lib/server.mjs'

const IMAGE = 'tabique/base'
const SLOW = { timeout: 240_000 }
let server
const ok = (...args) => server.ok(...args, SLOW)

before(async () => { server = await Server.start({ args: ['--accelerator', 'tcg', '--default-isolation', 'hyperv'] }) }, { timeout: 180_000 })
after(async () => { await server?.stop() }, { timeout: 180_000 })

test('info, inspect, ps, events and metrics say which wall', SLOW, async () => {
  const since = String(Math.floor(Date.now() / 1000))
  assert.equal(await ok('info', '-f', '{{.Isolation}}'), 'hyperv')
  const walls = {}
  for (const asked of ['', 'default', 'hyperv', 'process']) {
    const id = await ok('run', '-d', ...(asked ? ['--isolation', asked] : []), IMAGE, 'sleep', '1000')
    walls[id] = asked === 'process' ? 'process' : 'hyperv'
  }
  const list = (filter) => ok('ps', '-q', '--no-trunc', ...filter).then((text) => text.split('\n').filter(Boolean).sort())
  for (const wall of ['process', 'hyperv'])
    assert.deepEqual(await list(['--filter', `isolation=${wall}`]), Object.keys(walls).filter((id) => walls[id] === wall).sort())
  const events = (await ok('events', '--since', since, '--until', String(Math.ceil(Date.now() / 1000) + 1), '--filter', 'event=start', '--format', '{{json .Actor}}'))
    .split('\n').map((line) => JSON.parse(line))
  assert.deepEqual(Object.fromEntries(events.map(({ ID, Attributes }) => [ID, Attributes.isolation])), walls)
  const metrics = (await server.request('GET', '/metrics')).text
  assert.match(metrics, /^tabique_containers\{state="running",isolation="hyperv"\} 3$/m)
  assert.match(metrics, /^tabique_containers\{state="running",isolation="process"\} 1$/m)
  for (const [id, wall] of Object.entries(walls)) {
    assert.match(metrics, new RegExp(`\\{id="${id}"[^}]*isolation="${wall}"`))
    const { json } = await server.request('GET', `/api/v1/containers/${id}/comparison`)
    assert.equal(json.boundary?.isolation ?? json.container?.isolation, wall, JSON.stringify(json).slice(0, 300))
  }
  await ok('rm', '-f', ...Object.keys(walls))
})
