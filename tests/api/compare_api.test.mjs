// /api/v1: what Docker has no word for, behind the thin wall, and its document.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Server, until } from './lib/server.mjs'

const IMAGE = 'tabique/base'
let server
let id
let pid

before(async () => {
  server = await Server.start()
  id = await server.ok('run', '-d', '--name', 'pinger', IMAGE, 'ping', 'localhost')
  pid = (await server.info(id)).State.Pid
}, { timeout: 120_000 })
after(async () => { await server?.stop() }, { timeout: 120_000 })

const get = async (target, options) => {
  const answer = await server.request('GET', target, options)
  assert.equal(answer.status, 200, `${target}: ${answer.text}`)
  return answer
}

test('info', async () => {
  const { json } = await get('/api/v1/info')
  assert.equal(json.pid, server.child.pid)
  assert.equal(json.dataRoot, server.dataDir)
  assert.equal(json.socket, server.socket)
  assert.deepEqual(json.walls.map((wall) => wall.name), ['process', 'hyperv'])
  assert.equal(json.walls[0].kernel, 'shared')
  assert.ok(['connector', 'polling'].includes(json.samplerSource))
  assert.ok(json.uptimeSeconds >= 0)
})

test('host', async () => {
  const json = await until('a sample', async () => { const { json } = await get('/api/v1/host'); return json.cpuPercent !== null && json })
  assert.ok(json.cpuPercent >= 0, json.cpuPercent)
  assert.ok(json.cpus > 0 && json.memoryTotal > json.memoryAvailable)
})

describe('comparison', () => {
  test('the container\'s ping and the host\'s are the same process', async () => {
    const { json } = await get(`/api/v1/containers/${id}/comparison`)
    assert.equal(json.container.name, 'pinger')
    assert.equal(json.container.isolation, 'process')
    assert.equal(json.boundary.kernel, 'shared')
    assert.equal(json.boundary.accelerator, null)
    assert.equal(json.worker, null)
    assert.ok(json.boundary.explanation.length > 20)
    assert.deepEqual(json.rows.map((row) => row.relation), ['same'])
    const [row] = json.rows
    assert.equal(row.container.pid, 1)
    assert.equal(row.host.pid, pid)
    assert.equal(row.container.name, 'ping')
    assert.equal(row.container.startedAt, row.host.startedAt)
    assert.deepEqual(json.summary, { same: 1, containerOnly: 0, hostOnly: 0 })
  })

  test('scope=host brings the others', async () => {
    const { json } = await get('/api/v1/containers/pinger/comparison?scope=host')
    assert.ok(json.summary.hostOnly > 3)
    assert.ok(json.rows.some((row) => row.relation === 'host-only' && row.host.pid === 1 && row.container === null))
  })

  test('CSV', async () => {
    const { text, headers } = await get(`/api/v1/containers/${id}/comparison`, { headers: { Accept: 'text/csv' } })
    assert.match(headers['content-type'], /^text\/csv/)
    const [head, row] = text.split('\r\n')
    assert.match(head, /^relation,containerPid,/)
    assert.match(row, new RegExp(`^same,1,0,root,ping,ping localhost,.*,${pid},`))
  })

  test('at= answers from history', async () => {
    const { json } = await until('history', async () => {
      const answer = await server.request('GET', `/api/v1/containers/${id}/comparison?at=${new Date(Date.now() - 100).toISOString()}`)
      return answer.status === 200 && answer.json.rows.length > 0 && answer
    })
    assert.equal(json.rows[0].host.pid, pid)
  })

  test('what cannot be', async () => {
    assert.equal((await server.request('GET', '/api/v1/containers/nobody/comparison')).status, 404)
    assert.equal((await server.request('GET', `/api/v1/containers/${id}/comparison?scope=nonsense`)).status, 400)
    assert.equal((await server.request('GET', `/api/v1/containers/${id}/comparison?at=nonsense`)).status, 400)
  })
})

describe('processes', () => {
  test('host: by name, by container, sorted, paged, as a tree', async () => {
    const byName = (await get('/api/v1/host/processes?name=ping&container=pinger')).json
    assert.deepEqual(byName.processes.map((process) => process.pid), [pid])
    assert.equal(byName.processes[0].containerId, id)
    const sorted = (await get('/api/v1/host/processes?sort=memory&limit=5')).json
    assert.equal(sorted.processes.length, 5)
    assert.ok(sorted.processes[0].memoryBytes >= sorted.processes[4].memoryBytes)
    const rest = (await get('/api/v1/host/processes?sort=memory&offset=1&limit=1')).json
    assert.equal(sorted.total >= 5 && rest.processes.length, 1)
    const tree = (await get('/api/v1/host/processes?tree=1')).json
    const init = tree.processes.find((process) => process.pid === 1)
    assert.ok(init.children.length > 0)
    assert.equal((await server.request('GET', '/api/v1/host/processes?sort=nonsense')).status, 400)
    assert.equal((await server.request('GET', '/api/v1/host/processes?limit=-1')).status, 400)
  })

  test('container: pids as seen inside', async () => {
    const { json } = await get(`/api/v1/containers/${id}/processes`)
    assert.equal(json.processes[0].pid, 1)
    assert.equal(json.processes[0].hostPid, pid)
  })

  test('whose is this?', async () => {
    const { json } = await get(`/api/v1/owner?pid=${pid}`)
    assert.equal(json.owner, 'container')
    assert.equal(json.container.name, 'pinger')
    assert.equal((await get('/api/v1/owner?pid=1')).json.owner, 'none')
    assert.equal((await server.request('GET', '/api/v1/owner?pid=x')).status, 400)
  })

  test('a signal needs pid and start time', async () => {
    const victim = await server.ok('run', '-d', IMAGE, 'sh', '-c', 'sleep 1000 & wait')
    const sleeper = await until('the sleep', async () =>
      (await get(`/api/v1/containers/${victim}/processes`)).json.processes.find((process) => process.name === 'sleep'))
    const target = `/api/v1/containers/${victim}/processes/${sleeper.pid}/signal`
    assert.equal((await server.request('POST', target, { body: { signal: 'TERM' } })).status, 400)
    const wrong = await server.request('POST', target, { body: { signal: 'TERM', startedAt: '2001-01-01T00:00:00Z' } })
    assert.ok([404, 409].includes(wrong.status), wrong.text)
    assert.equal((await server.request('POST', target, { body: { signal: 'NONSENSE', startedAt: sleeper.startedAt } })).status, 400)
    const sent = await server.request('POST', target, { body: { signal: 'TERM', startedAt: sleeper.startedAt } })
    assert.equal(sent.status, 204, sent.text)
    await server.waitState(victim, 'exited')
    await server.ok('rm', victim)
  })
})

describe('containers for the console', () => {
  test('list and one', async () => {
    const { json } = await until('a sample', async () => {
      const answer = await get('/api/v1/containers')
      return answer.json.containers[0].memoryBytes > 0 && answer
    })
    const [one] = json.containers
    assert.equal(one.name, 'pinger')
    assert.equal(one.isolation, 'process')
    assert.deepEqual(one.command, ['ping', 'localhost'])
    assert.equal((await get('/api/v1/containers/pinger')).json.id, id)
    assert.deepEqual((await get('/api/v1/containers?isolation=hyperv')).json.containers, [])
    assert.match((await get('/api/v1/containers?format=csv')).text, /^id,name,image,isolation,state/)
  })
})

describe('history', () => {
  test('events, paged', async () => {
    const { json } = await get(`/api/v1/events?id=${id}&limit=1`)
    assert.equal(json.events.length, 1)
    assert.equal(json.events[0].action, 'create')
    const next = (await get(`/api/v1/events?id=${id}&after=${json.next}`)).json
    assert.ok(next.events.some((event) => event.action === 'start'))
    assert.ok(next.events.every((event) => event.sequence > json.events[0].sequence))
    const newest = (await get(`/api/v1/events?id=${id}&order=desc`)).json
    assert.ok(newest.events[0].sequence >= newest.events.at(-1).sequence)
  })

  test('lives of processes', async () => {
    const short = await server.ok('run', '-d', IMAGE, 'sleep', '0.4')
    await server.waitState(short, 'exited')
    const { json } = await until('the life', async () => {
      const answer = await get(`/api/v1/history/processes?container=${short}&search=sleep`)
      return answer.json.processes[0]?.endedAt && answer
    })
    assert.equal(json.processes[0].name, 'sleep')
    await server.ok('rm', short)
    // Removed, it is still known by its full id.
    assert.ok((await get(`/api/v1/history/processes?container=${short}`)).json.processes.length > 0)
  })

  test('samples', async () => {
    for (const subject of ['host', 'pinger']) {
      const { json } = await until(`samples of ${subject}`, async () => {
        const answer = await get(`/api/v1/history/samples?subject=${subject}&since=1m`)
        return answer.json.samples.length > 1 && answer
      })
      assert.ok(json.samples.at(-1).memoryBytes > 0)
    }
    assert.equal((await server.request('GET', '/api/v1/history/samples?step=nonsense')).status, 400)
    assert.equal((await server.request('GET', '/api/v1/history/samples?subject=nobody')).status, 404)
  })

  test('marks for a slider', async () => {
    const { json } = await get('/api/v1/history/marks?container=pinger&since=10m&buckets=60')
    assert.equal(json.births.length, 60)
    assert.ok(json.births.reduce((sum, value) => sum + value, 0) >= 1)
    assert.ok(json.events.some((event) => event.action === 'start'))
    assert.equal((await server.request('GET', '/api/v1/history/marks?buckets=0')).status, 400)
  })
})

describe('the document', () => {
  test('names every path it answers to, and no other', async () => {
    const { json } = await get('/api/openapi.json')
    assert.equal(json.openapi.slice(0, 2), '3.')
    const gets = Object.entries(json.paths).filter(([target, item]) => item.get && !target.includes('{'))
    // Streams never end by themselves, and are seen elsewhere.
    const skip = new Set(['/events', '/api/v1/stream'])
    for (const [target] of gets.filter(([target]) => !skip.has(target))) {
      const { status, json: body } = await server.request('GET', target)
      assert.ok(!(status === 404 && body?.message === 'page not found'), target)
    }
  })
})
