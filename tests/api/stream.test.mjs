// Live streams and terminals over WebSocket, against real containers.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Server, until } from './lib/server.mjs'
import { WebSocketClient } from './lib/websocket.mjs'

let server
let container
before(async () => {
  server = await Server.start()
  container = await server.ok('run', '-d', '--name', 'streamed', 'tabique/base', 'ping', 'localhost')
}, { timeout: 120_000 })
after(async () => { await server?.stop() }, { timeout: 120_000 })

const open = (path = '/api/v1/stream') => WebSocketClient.connect({ socketPath: server.socket }, path)
const state = (id) => (message) => message.id === id && message.type === 'state'
const delta = (id, fits = () => true) => (message) => message.id === id && message.type === 'delta' && fits(message)

describe('topics', () => {
  test('processes of a container: the state, then births and deaths', async () => {
    const socket = await open()
    socket.send({ op: 'subscribe', id: 1, topic: 'processes', container: 'streamed', interval_ms: 500 })
    const first = await socket.take('state', state(1))
    assert.equal(first.seq, 1)
    assert.equal(first.running, true)
    const isPing = (row) => row.name === 'ping'
    const ping = first.rows.find(isPing) ??
      (await socket.take('ping', delta(1, (message) => message.add?.some(isPing)))).add.find(isPing)
    assert.equal(ping.pid, 1)
    assert.ok(ping.hostPid > 1 && ping.key)
    await server.ok('exec', '-d', 'streamed', 'sleep', '600')
    const born = await socket.take('birth', delta(1, (message) => message.add?.some((row) => row.name === 'sleep')))
    assert.ok(born.seq > 1)
    const { key } = born.add.find((row) => row.name === 'sleep')
    await server.ok('exec', 'streamed', 'killall', 'sleep')
    await socket.take('death', delta(1, (message) => message.remove?.includes(key)))
    socket.close()
  })

  test('the comparison joins both sides; the host in full when asked', async () => {
    const socket = await open()
    socket.send({ op: 'subscribe', id: 1, topic: 'comparison', container, interval_ms: 1000 })
    socket.send({ op: 'subscribe', id: 2, topic: 'comparison', container, scope: 'host', interval_ms: 1000 })
    const small = await socket.take('state', state(1))
    const row = small.rows.find((entry) => entry.relation === 'same')
    assert.equal(row.container.pid, 1)
    assert.equal(row.host.name, 'ping')
    assert.equal(small.boundary.kernel, 'shared')
    const large = await socket.take('state', state(2))
    assert.ok(large.rows.length > small.rows.length)
    assert.ok(large.rows.some((entry) => entry.relation === 'host-only'))
    socket.close()
  })

  test('containers and events: what happens shows at once', async () => {
    const socket = await open()
    socket.send({ op: 'subscribe', id: 1, topic: 'containers', interval_ms: 60000 })
    socket.send({ op: 'subscribe', id: 2, topic: 'events', filters: { type: ['container'] } })
    const list = await socket.take('state', state(1))
    assert.ok(list.rows.some((row) => row.name === 'streamed' && row.state === 'running'))
    await socket.take('state', state(2))
    await server.ok('run', '-d', '--name', 'short', 'tabique/base', 'true')
    await socket.take('die', delta(2, (message) => message.events.some((event) => event.action === 'die')))
    await socket.take('row', delta(1, (message) => [...message.add ?? [], ...message.update ?? []].some((row) => row.name === 'short' && row.state === 'exited')))
    await server.ok('rm', 'short')
    await socket.take('removal', delta(1, (message) => message.remove?.length === 1))
    socket.close()
  })

  test('host processes and statistics', async () => {
    const socket = await open()
    socket.send({ op: 'subscribe', id: 1, topic: 'host-processes' })
    socket.send({ op: 'subscribe', id: 2, topic: 'stats' })
    socket.send({ op: 'subscribe', id: 3, topic: 'stats', container: 'streamed' })
    const all = await socket.take('state', state(1))
    assert.ok(all.rows.some((row) => row.pid === 1))
    assert.ok(all.rows.some((row) => row.containerId === container))
    await socket.take('state', state(2))
    await socket.take('sample', (message) => message.id === 3 && message.sample?.memoryBytes > 0)
    socket.close()
  })

  test('logs, from a tail on', async () => {
    const socket = await open()
    socket.send({ op: 'subscribe', id: 1, topic: 'logs', container: 'streamed', tail: 1 })
    const first = await socket.take('state', state(1))
    assert.match(first.lines[0].text, /bytes from|PING/)
    assert.equal(first.lines[0].stream, 'stdout')
    await socket.take('more', delta(1, (message) => message.lines.length > 0))
    socket.close()
  })

  test('many clients watch the same; numbers have no gaps', async () => {
    const sockets = await Promise.all(Array.from({ length: 40 }, () => open()))
    for (const socket of sockets) socket.send({ op: 'subscribe', id: 5, topic: 'host-processes', interval_ms: 500 })
    for (const socket of sockets) {
      assert.equal((await socket.take('state', state(5))).seq, 1)
      for (let seq = 2; seq < 4; seq++) assert.equal((await socket.take('delta', delta(5))).seq, seq)
      socket.close()
    }
  })

  test('the removed container ends its subscriptions', async () => {
    const socket = await open()
    const id = await server.ok('run', '-d', 'tabique/base', 'sleep', '600')
    socket.send({ op: 'subscribe', id: 1, topic: 'processes', container: id, interval_ms: 500 })
    await socket.take('state', state(1))
    await server.ok('rm', '-f', id)
    await socket.take('end', (message) => message.id === 1 && message.type === 'end')
    socket.close()
  })
})

describe('mistakes and limits', () => {
  test('are answered, each with its id', async () => {
    const socket = await open()
    const error = (id) => socket.take(`error ${id}`, (message) => message.id === id && message.type === 'error')
    socket.send('not json')
    await error(0)
    socket.send('[]')
    await error(0)
    socket.send({ op: 'dance', id: 1 })
    await error(1)
    socket.send({ op: 'subscribe', id: 2, topic: 'nothing' })
    assert.match((await error(2)).message, /unknown topic/)
    socket.send({ op: 'subscribe', id: 3, topic: 'processes', container: 'nobody' })
    assert.match((await error(3)).message, /No such container/)
    socket.send({ op: 'subscribe', id: 4, topic: 'events', filters: { type: 'container' } })
    await error(4)
    socket.send({ op: 'unsubscribe', id: 99 })
    await error(99)
    socket.send({ op: 'ping', id: 8 })
    await socket.take('pong', (message) => message.id === 8 && message.type === 'pong')
    socket.close()
  })

  test('64 subscriptions, then no more', async () => {
    const socket = await open()
    for (let id = 1; id <= 65; id++) socket.send({ op: 'subscribe', id, topic: 'stats', interval_ms: 60000 })
    const refused = await socket.take('refusal', (message) => message.type === 'error')
    assert.equal(refused.id, 65)
    socket.close()
  })

  test('floods and huge messages end the connection', async () => {
    const flood = await open()
    for (let i = 0; i < 300; i++) flood.send({ op: 'ping', id: i })
    assert.equal(await flood.closed(), 1008)
    const huge = await open()
    huge.send({ op: 'ping', pad: 'x'.repeat(8000) })
    assert.equal(await huge.closed(), 1009)
  })

  test('a request that is no handshake', async () => {
    assert.equal((await server.request('GET', '/api/v1/stream')).status, 426)
  })
})

describe('terminals', () => {
  async function start(config) {
    const { json, status, text } = await server.request('POST', '/containers/streamed/exec', {
      body: { AttachStdin: true, AttachStdout: true, AttachStderr: true, ...config },
    })
    assert.equal(status, 201, text)
    return json.Id
  }
  const text = (socket) => Buffer.concat(socket.messages.filter(Buffer.isBuffer)).toString()
  const output = (socket, wanted) => until(wanted, () => text(socket).includes(wanted))

  test('a shell: input, size, exit code', async () => {
    const id = await start({ Tty: true, Cmd: ['sh'] })
    const socket = await open(`/api/v1/exec/${id}/ws?rows=30&cols=100`)
    assert.equal(socket.status, 101)
    socket.sendBytes('echo he"ll"o; stty size\n')
    await output(socket, 'hello')
    await output(socket, '30 100')
    socket.send({ resize: [132, 43] })
    await until('the new size', async () => {
      socket.sendBytes('stty size\n')
      return text(socket).includes('43 132')
    })
    socket.sendBytes('exit 7\n')
    assert.deepEqual(await socket.take('exit', (message) => message.exit !== undefined), { exit: 7 })
    assert.equal(await socket.closed(), 1000)
  })

  test('a terminal that lost its connection is joined again: what was missed comes, and only that', async () => {
    const id = await start({ Tty: true, Cmd: ['sh'] })
    const first = await open(`/api/v1/exec/${id}/ws?rows=30&cols=100`)
    first.sendBytes('sleep 2; echo la"te"r; seq 1 5\n')
    await output(first, 'la"te"r')
    const seen = text(first).length
    first.socket.destroy()
    await until('what was missed', async () => {
      const socket = await open(`/api/v1/exec/${id}/ws?rows=31&cols=100&seen=${seen}`)
      const { from, to } = await socket.take('where it goes on', (message) => message.from !== undefined)
      assert.equal(from, seen)
      socket.socket.destroy()
      return to > seen + 10
    })
    const second = await open(`/api/v1/exec/${id}/ws?rows=31&cols=100&seen=${seen}`)
    await output(second, '1\r\n2\r\n3\r\n4\r\n5\r\n')
    assert.ok(text(second).includes('later') && !text(second).includes('la"te"r'))
    second.sendBytes('stty size\n')
    await output(second, '31 100')
    // Whoever comes takes it over; the other is told so, and the shell is the same.
    second.sendBytes('mark=there\n')
    const third = await open(`/api/v1/exec/${id}/ws?seen=0`)
    assert.equal(await second.closed(), 4009)
    third.sendBytes('echo $mark-still\n')
    await output(third, 'there-still')
    // More than is kept: the end of it, and the gap is said.
    third.sendBytes('seq 1 60000; echo al"l"\n')
    await output(third, 'all')
    const all = text(third).length
    const fourth = await open(`/api/v1/exec/${id}/ws?seen=10`)
    const { from, to } = await fourth.take('where it goes on', (message) => message.from !== undefined)
    assert.equal(to - from, 64 * 1024)
    assert.ok(to >= all)
    await output(fourth, '60000\r\nall')
    fourth.send({ hangup: true })
    await fourth.take('exit', (message) => message.exit === 129)
    assert.equal((await open(`/api/v1/exec/${id}/ws?seen=0`)).status, 400, 'it has ended')
    const plain = await start({ Cmd: ['sleep', '30'] })
    const stream = await open(`/api/v1/exec/${plain}/ws`)
    assert.equal((await open(`/api/v1/exec/${plain}/ws?seen=0`)).status, 400, 'it has no terminal')
    assert.equal((await open(`/api/v1/exec/${plain}/ws?seen=-1`)).status, 400)
    stream.close()
  })

  test('a shell outlives the server, and is joined again at the next one', async () => {
    const id = await start({ Tty: true, Cmd: ['sh'] })
    const before = await open(`/api/v1/exec/${id}/ws?rows=30&cols=100`)
    before.sendBytes('kept=over; (sleep 1; echo mean"while") &\n')
    await output(before, 'mean"while"')
    const seen = text(before).length
    await server.halt('SIGKILL')
    await server.spawn()
    const after = await open(`/api/v1/exec/${id}/ws?rows=30&cols=100&seen=${seen}`)
    assert.equal(after.status, 101)
    await output(after, 'meanwhile')
    after.sendBytes('echo $kept-it\n')
    await output(after, 'over-it')
    after.send({ hangup: true })
    await after.closed()
  })

  test('much output arrives whole', async () => {
    const id = await start({ Cmd: ['sh', '-c', 'seq 1 200000'] })
    const socket = await open(`/api/v1/exec/${id}/ws`)
    await socket.take('exit', (message) => message.exit === 0)
    assert.equal(text(socket).trimEnd().split('\n').length, 200000)
    assert.ok(text(socket).endsWith('200000\n'))
  })

  test("Docker's attach over WebSocket", async () => {
    const id = await server.ok('run', '-d', '-i', 'tabique/base', 'cat')
    const socket = await open(`/v1.43/containers/${id}/attach/ws?stream=1&stdin=1&stdout=1`)
    assert.equal(socket.status, 101)
    socket.sendBytes('there and back\n')
    await output(socket, 'there and back')
    socket.close()
    await server.ok('rm', '-f', id)
  })

  test('unknown execs are refused before the handshake', async () => {
    assert.equal((await open(`/api/v1/exec/${'0'.repeat(64)}/ws`)).status, 404)
  })
})
