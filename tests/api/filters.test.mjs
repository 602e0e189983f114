// Every filter of the lists and of /events: one row each, with what it must and must not find.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Server, until } from './lib/server.mjs'

const IMAGE = 'tabique/base'
let server
const ids = {}
const ask = async (method, path, body) => {
  const answer = await server.request(method, path, { body })
  assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${answer.text}`)
  return answer.json
}
const query = (path, filters) => `${path}${path.includes('?') ? '&' : '?'}filters=${encodeURIComponent(JSON.stringify(filters))}`

before(async () => {
  server = await Server.start({ listen: false })
  await ask('POST', '/networks/create', { Name: 'net1', Labels: { colour: 'red' } })
  await ask('POST', '/networks/create', { Name: 'other' })
  await ask('POST', '/volumes/create', { Name: 'vol1', Labels: { colour: 'red' } })
  await ask('POST', '/volumes/create', { Name: 'spare' })
  const make = async (name, config) => { ids[name] = (await ask('POST', `/containers/create?name=${name}`, { Image: IMAGE, ...config })).Id }
  await make('first', { Cmd: ['sh', '-c', 'exit 3'], Labels: { colour: 'red' }, ExposedPorts: { '81/udp': {} } })
  await make('second', { Cmd: ['sleep', '100000'], Healthcheck: { Test: ['CMD', 'true'], Interval: 1e12 }, HostConfig: { NetworkMode: 'net1', Binds: ['vol1:/v'], PortBindings: { '80/tcp': [{ HostPort: '0' }] } } })
  await make('third', { Cmd: ['true'] })
  for (const name of ['first', 'second']) await ask('POST', `/containers/${name}/start`)
  await ask('POST', '/containers/first/wait')
  await ask('POST', `/images/${IMAGE}/tag?repo=again&tag=1`)
  await ask('POST', '/commit?container=third&repo=later&changes=LABEL%20colour=red')
}, { timeout: 120_000 })
after(async () => { await server?.stop() }, { timeout: 60_000 })

describe('each filter finds what it says', () => {
  const names = (list) => list.map((one) => (one.Names?.[0] ?? one.Name).replace('/', '')).sort().join(' ')
  const containers = [
    ['ancestor', IMAGE, 'first second third'], ['ancestor', 'again:1', 'first second third'], ['ancestor', 'later', ''],
    ['before', 'second', 'first'], ['since', 'second', 'third'],
    ['expose', '81/udp', 'first'], ['expose', '1-79', ''], ['publish', '80', 'second'], ['publish', '81/udp', ''],
    ['exited', '3', 'first'], ['exited', '0', ''],
    ['health', 'starting', 'second'], ['health', 'none', 'first third'], ['health', 'unhealthy', ''],
    ['id', () => ids.third.slice(0, 20), 'third'], ['isolation', 'process', 'first second third'], ['is-task', 'false', 'first second third'], ['is-task', 'true', ''],
    ['label', 'colour', 'first'], ['label', 'colour=red', 'first'], ['label', 'colour=blue', ''],
    ['name', 'ir', 'first third'], ['name', '^/third$', 'third'], ['network', 'net1', 'second'], ['network', 'other', ''],
    ['status', 'created', 'third'], ['status', 'exited', 'first'], ['status', 'running', 'second'], ['status', 'paused', ''],
    ['volume', 'vol1', 'second'], ['volume', '/v', 'second'], ['volume', 'spare', ''],
  ]
  for (const [key, value, want] of containers) {
    test(`containers: ${key}=${typeof value === 'function' ? '...' : value}`, async () => {
      const list = await ask('GET', query('/containers/json?all=1', { [key]: [typeof value === 'function' ? value() : value] }))
      assert.equal(names(list), want)
    })
  }

  const networks = [
    ['dangling', 'true', 'other'], ['dangling', 'false', 'bridge host net1 none'], ['driver', 'bridge', 'bridge net1 other'], ['driver', 'null', 'none'],
    ['id', async () => (await ask('GET', '/networks/net1')).Id, 'net1'], ['label', 'colour=red', 'net1'], ['label', 'colour=blue', ''],
    ['name', 'net1', 'net1'], ['scope', 'local', 'bridge host net1 none other'], ['scope', 'swarm', ''], ['type', 'custom', 'net1 other'], ['type', 'builtin', 'bridge host none'],
  ]
  for (const [key, value, want] of networks) {
    test(`networks: ${key}=${typeof value === 'function' ? '...' : value}`, async () => {
      assert.equal(names(await ask('GET', query('/networks', { [key]: [typeof value === 'function' ? await value() : value] }))), want)
    })
  }

  const volumes = [
    ['dangling', 'true', 'spare'], ['dangling', 'false', 'vol1'], ['driver', 'local', 'spare vol1'], ['driver', 'nfs', ''],
    ['label', 'colour', 'vol1'], ['label', 'colour=blue', ''], ['name', 'pa', 'spare'],
  ]
  for (const [key, value, want] of volumes) {
    test(`volumes: ${key}=${value}`, async () => { assert.equal(names((await ask('GET', query('/volumes', { [key]: [value] }))).Volumes ?? []), want) })
  }

  const images = [
    ['before', 'later', 'again:1'], ['since', IMAGE, 'later:latest'], ['dangling', 'true', ''], ['dangling', 'false', 'again:1 later:latest'],
    ['label', 'colour=red', 'later:latest'], ['label', 'colour=blue', ''], ['reference', 'aga*', 'again:1'], ['reference', 'later', 'later:latest'], ['reference', 'nothing', ''],
    ['until', '2001-01-01', ''], ['until', '1h', 'again:1'],
  ]
  for (const [key, value, want] of images) {
    test(`images: ${key}=${value}`, async () => {
      const list = await ask('GET', query('/images/json', { [key]: [value] }))
      const tags = list.map(({ RepoTags }) => RepoTags.filter((tag) => !tag.startsWith(IMAGE)).join(' ')).filter(Boolean).sort().join(' ')
      assert.equal(tags, want)
    })
  }

  const events = [
    ['container', 'first', (event) => event.Type === 'container' && event.Actor.Attributes.name === 'first'],
    ['image', 'again', (event) => /again/.test(event.Actor.ID + event.Actor.Attributes.name)],
    ['network', 'net1', (event) => event.Type === 'network' && event.Actor.Attributes.name === 'net1'],
    ['volume', 'vol1', (event) => event.Type === 'volume' && event.Actor.ID === 'vol1'],
    ['type', 'network', (event) => event.Type === 'network'],
    ['event', 'die', (event) => event.Action === 'die'],
    ['label', 'colour=red', (event) => event.Actor.Attributes.colour === 'red'],
    ['scope', 'local', (event) => event.scope === 'local'],
  ]
  for (const [key, value, fits] of events) {
    test(`events: ${key}=${value}`, async () => {
      const { text } = await server.request('GET', query(`/events?since=1&until=${Math.floor(Date.now() / 1000) + 1}`, { [key]: [value] }))
      const seen = text.trim().split('\n').filter(Boolean).map((line) => JSON.parse(line))
      assert.ok(seen.length > 0, 'something was found')
      assert.ok(seen.every(fits), JSON.stringify(seen.find((event) => !fits(event))))
    })
  }
  for (const key of ['daemon', 'plugin', 'node', 'service', 'secret', 'config']) {
    test(`events: ${key}=x finds none`, async () => {
      const { status, text } = await server.request('GET', query('/events?since=1&until=2', { [key]: ['x'] }))
      assert.equal(status, 200)
      assert.equal(text, '')
    })
  }
})

test('values of one key are alternatives, keys are conditions', async () => {
  const count = async (filters) => (await ask('GET', query('/containers/json?all=1', filters))).length
  assert.equal(await count({ name: ['first', 'third'] }), 2)
  assert.equal(await count({ name: ['first', 'third'], status: ['created'] }), 1)
  assert.equal(await count({ label: ['colour=red', 'colour=blue'] }), 0, 'labels must all match')
})

test('/info counts who listens to events', async () => {
  const listeners = async () => (await ask('GET', '/info')).NEventsListener
  const before = await listeners()
  const stream = server.request('GET', `/events?until=${Math.floor(Date.now() / 1000) + 5}`)
  await until('the listener', async () => await listeners() === before + 1)
  await stream
  await until('its end', async () => await listeners() === before)
})

test('a key that is none is refused, in Docker\'s words', async () => {
  for (const path of ['/containers/json', '/images/json', '/networks', '/volumes']) {
    const { status, json } = await server.request('GET', query(path, { colour: ['x'] }))
    assert.deepEqual([status, json.message], [400, "invalid filter 'colour'"], path)
  }
})
