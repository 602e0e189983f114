// Names that are nobody's here: passed on by 127.0.0.11 to the servers of --dns, from behind
// either wall, over UDP and TCP. (Truncation, forgers, hostile questions: tests/unit/network.)
import assert from 'node:assert/strict'
import dgram from 'node:dgram'
import net from 'node:net'
import { after, before, describe, test } from 'node:test'
import { Server, until } from './lib/server.mjs'

const IMAGE = 'tabique/base'
const GOOD = '127.91.0.1', SILENT = '127.91.0.2', GONE = '127.91.0.3'
let server
const sockets = [], asked = []

const read = (query) => {
  const labels = []
  let at = 12
  for (; query[at]; at += query[at] + 1) labels.push(query.subarray(at + 1, at + 1 + query[at]).toString())
  return { name: labels.join('.').toLowerCase(), type: query.readUInt16BE(at + 1), end: at + 5 }
}
// One small zone, as a server would answer; what does not fit a datagram comes cut.
function answer(query, tcp) {
  const { name, type, end } = read(query)
  const addresses = { 'plain.example': ['192.0.2.1'], 'many.example': Array.from({ length: 100 }, (_, i) => `192.0.2.${i + 1}`) }[name]
  asked.push(`${name} ${type} ${tcp ? 'tcp' : 'udp'}`)
  const records = (type === 1 ? addresses ?? [] : []).map((address) => Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...address.split('.').map(Number)]))
  const cut = !tcp && records.length > 20
  const head = Buffer.from(query.subarray(0, 12))
  head.writeUInt16BE(0x8180 | (cut ? 0x200 : 0) | (addresses ? 0 : 3), 2)
  for (const [at, count] of [[4, 1], [6, cut ? 0 : records.length], [8, 0], [10, 0]]) head.writeUInt16BE(count, at)
  return Buffer.concat([head, query.subarray(12, end), ...(cut ? [] : records)])
}
const listening = (socket) => new Promise((resolve, reject) => socket.once('listening', resolve).once('error', reject))

before(async () => {
  for (const address of [GOOD, SILENT]) {
    const udp = dgram.createSocket('udp4')
    udp.on('message', (query, from) => { if (address === GOOD) udp.send(answer(query, false), from.port, from.address); else asked.push('silent') })
    sockets.push(udp)
    udp.bind(53, address)
    await listening(udp)
  }
  const tcp = net.createServer((socket) => {
    let got = Buffer.alloc(0)
    socket.on('error', () => {}).on('data', (data) => {
      got = Buffer.concat([got, data])
      if (got.length < 2 || got.length < 2 + got.readUInt16BE()) return
      const said = answer(got.subarray(2), true), length = Buffer.alloc(2)
      length.writeUInt16BE(said.length)
      socket.write(Buffer.concat([length, said]))
    })
  })
  sockets.push(tcp)
  tcp.listen(53, GOOD)
  await listening(tcp)
  server = await Server.start()
  await server.ok('network', 'create', 'named')
}, { timeout: 120_000 })
after(async () => { for (const socket of sockets) socket.close(); await server?.stop() }, { timeout: 60_000 })

for (const wall of ['process', 'hyperv']) {
  describe(`behind the wall ${wall}`, () => {
    const run = (name, ...servers) => server.ok('run', '-d', '--name', `${name}-${wall}`, `--isolation=${wall}`, '--network', 'named', ...servers.flatMap((address) => ['--dns', address]), IMAGE, 'sleep', '600')
    const look = (name, ...words) => server.docker('exec', `${name}-${wall}`, 'nslookup', ...words)
    before(() => run('good', GOOD), { timeout: 240_000 })

    test('an answer, and that there is no such name', { timeout: 120_000 }, async () => {
      assert.match(await server.ok('exec', `good-${wall}`, 'cat', '/etc/resolv.conf'), /^nameserver 127\.0\.0\.11$/m)
      assert.match((await look('good', '-type=a', 'plain.example.')).stdout, /Address(?: 1)?: 192\.0\.2\.1$/m)
      const none = await look('good', '-type=a', 'none.example.')
      assert.match(none.stdout + none.stderr, /can't find none\.example\.?: NXDOMAIN/)
    })

    test('over TCP, what is too long for a datagram', { timeout: 120_000 }, async () => {
      const query = Buffer.from('\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04many\x07example\x00\x00\x01\x00\x01', 'latin1')
      const words = [0, query.length, ...query].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('')
      const said = await until('the answer', async () => {
        const text = (await server.ok('exec', `good-${wall}`, 'sh', '-c', `(printf '${words}'; sleep 3) | nc 127.0.0.11 53 | od -An -v -tx1`)).replace(/\s/g, '')
        return text && Buffer.from(text, 'hex')
      })
      assert.equal(said.readUInt16BE(), said.length - 2)
      assert.deepEqual([said.readUInt16BE(2), said[5] & 15, said.readUInt16BE(8)], [0x1234, 0, 100])
      assert.ok(said.includes(Buffer.from([192, 0, 2, 100])))
      assert.ok(asked.includes('many.example 1 tcp'))
    })

    test('a server that does not answer, or is not there, gives way to the next; none at all is said', { timeout: 240_000 }, async () => {
      await run('second', SILENT, GONE, GOOD)
      await until('an answer', async () => /192\.0\.2\.1$/m.test((await look('second', '-type=a', 'plain.example.')).stdout))
      assert.ok(asked.includes('silent'))
      await run('none', GONE)
      const none = await look('none', '-type=a', 'plain.example.')
      assert.match(none.stdout + none.stderr, /SERVFAIL/)
    })

    test('names of neighbours are told to nobody', { timeout: 120_000 }, async () => {
      const mine = asked.length
      assert.match((await look('good', '-type=a', `good-${wall}.`)).stdout, /Address(?: 1)?: (172|192\.168|10)\./)
      await look('good', '-type=aaaa', `good-${wall}.`)
      assert.deepEqual(asked.slice(mine).filter((line) => line.includes('good')), [])
    })
  })
}
