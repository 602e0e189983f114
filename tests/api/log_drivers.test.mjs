// Log drivers: what each writes, what of it `docker logs` reads back, and what is
// sent on to a syslog or the journal, byte by byte.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import dgram from 'node:dgram'
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import tls from 'node:tls'
import { after, before, describe, test } from 'node:test'
import { until } from './lib/server.mjs'
import { ask, server } from './lib/own.mjs'

async function run(name, LogConfig, more = {}) {
  const made = await ask('POST', `/containers/create?name=${name}`, { body: {
    Image: 'tabique/base', Cmd: ['sh', '-c', 'echo out; echo err >&2; printf half'], HostConfig: { LogConfig }, ...more } })
  assert.equal(made.status, 201, made.text)
  const started = await ask('POST', `/containers/${name}/start`)
  if (started.status !== 204) return { started, id: made.json.Id }
  await ask('POST', `/containers/${name}/wait`)
  return { started, id: made.json.Id }
}
// stdout frames of a multiplexed answer, as one text
const logs = async (name, query = '') => (await ask('GET', `/containers/${name}/logs?stdout=1${query}`)).text.replace(/[\x00-\x02]\0\0\0[\s\S]{4}/g, '')

async function listen() {
  const socket = dgram.createSocket('udp4')
  const lines = []
  socket.on('message', (message) => lines.push(message.toString()))
  await new Promise((resolve) => socket.bind(0, '127.0.0.1', resolve))
  return { socket, lines, address: `udp://127.0.0.1:${socket.address().port}` }
}

describe('files', () => {
  test('json-file with labels, env and tag: attributes in each line, shown with details', async () => {
    const { id } = await run('attrs', { Type: 'json-file', Config: { labels: 'tier', env: 'STAGE', tag: '{{.Name}}/{{ .ID }}' } },
      { Labels: { tier: 'front', other: 'x' }, Env: ['STAGE=a b', 'SECRET=x'] })
    assert.equal(await logs('attrs', '&details=1'), `STAGE=a+b,tag=attrs%2F${id.slice(0, 12)},tier=front out\nSTAGE=a+b,tag=attrs%2F${id.slice(0, 12)},tier=front half`)
    assert.equal(await logs('attrs'), 'out\nhalf')
    const { json } = await ask('GET', '/containers/attrs/json')
    const first = JSON.parse(fs.readFileSync(json.LogPath, 'utf8').split('\n')[0])
    assert.deepEqual(first.attrs, { tier: 'front', STAGE: 'a b', tag: `attrs/${id.slice(0, 12)}` })
  })

  test('local reads back; none does not, with the status before the body', async () => {
    await run('local', { Type: 'local', Config: { 'max-size': '1m', 'max-file': '2' } })
    assert.equal(await logs('local'), 'out\nhalf')
    await run('none', { Type: 'none' })
    const answer = await ask('GET', '/containers/none/logs?stdout=1')
    assert.deepEqual([answer.status, answer.json.message], [501, 'configured logging driver does not support reading'])
  })

  for (const wall of ['process', 'hyperv']) {
    test(`rotated files are compressed, and read back whole, in part and while they turn (${wall})`, { timeout: 240_000 }, async () => {
      const name = `packed-${wall}`, lines = 3000
      await server.ok('run', '-d', '--name', name, `--isolation=${wall}`, '--log-opt', 'max-size=20k', '--log-opt', 'max-file=40', '--log-opt', 'compress=true', 'tabique/base',
        'sh', '-c', `while [ ! -e /go ]; do sleep 0.1; done; i=0; while [ $i -lt ${lines} ]; do echo line $i; i=$((i+1)); done; sleep 600`)
      const { LogPath } = (await ask('GET', `/containers/${name}/json`)).json
      const following = server.docker('logs', '-f', name)
      await server.ok('exec', name, 'touch', '/go')
      await until('the last line', async () => (await server.ok('logs', '-n', '1', name)) === `line ${lines - 1}`)
      await until('compressed files only', () => !fs.existsSync(`${LogPath}.1`) && !fs.existsSync(`${LogPath}.1.gz.tmp`))
      const files = fs.readdirSync(path.dirname(LogPath)).filter((file) => file.startsWith(path.basename(LogPath)))
      assert.ok(files.length > 5 && files.every((file) => file === path.basename(LogPath) || file.endsWith('.gz')), files.join(' '))
      const all = Array.from({ length: lines }, (_, i) => `line ${i}`)
      assert.deepEqual((await server.ok('logs', name)).split('\n'), all)
      assert.deepEqual((await server.ok('logs', '-n', '700', name)).split('\n'), all.slice(-700))
      assert.match(execFileSync('zcat', [`${LogPath}.1.gz`], { encoding: 'utf8' }), /^\{"log":"line \d+\\n"/)
      await server.ok('rm', '-f', name)
      assert.deepEqual((await following).stdout.trim().split('\n'), all)
    })
  }

  test('compress wants files to compress; a word is no size and no number', async () => {
    const { started } = await run('alone', { Type: 'json-file', Config: { compress: 'true' } })
    assert.equal(started.status, 500)
    assert.match(started.json.message, /failed to initialize logging driver: compress cannot be true when max-file is less than 2 or max-size is not set$/)
    for (const [Config, message] of [[{ 'max-size': 'big' }, /invalid size: 'big'/], [{ nonsense: '1' }, /unknown log opt 'nonsense' for json-file log driver/],
      [{ 'max-buffer-size': '1m' }, /max-buffer-size option is only supported with 'mode=non-blocking'/], [{ mode: 'sideways' }, /logging mode not supported: sideways/]]) {
      const { status, json } = await ask('POST', '/containers/create', { body: { Image: 'tabique/base', HostConfig: { LogConfig: { Type: 'json-file', Config } } } })
      assert.equal(status, 400)
      assert.match(json.message, message)
    }
  })

  test('info names the drivers', async () => {
    const { json } = await ask('GET', '/info')
    assert.deepEqual(json.Plugins.Log, ['journald', 'json-file', 'local', 'none', 'syslog'])
  })
})

describe('syslog', () => {
  for (const [format, expected] of [
    ['', /^<30>\w{3} [ \d]\d \d\d:\d\d:\d\d mytag\[\d+\]: out\n$/],
    ['rfc3164', /^<30>\w{3} [ \d]\d \d\d:\d\d:\d\d \S+ mytag\[\d+\]: out\n$/],
    ['rfc5424', /^<30>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \S+ mytag \d+ mytag - out\n$/],
    ['rfc5424micro', /^<30>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z \S+ mytag \d+ mytag - out\n$/],
  ]) {
    test(`format '${format}' over UDP, and readable all the same`, async () => {
      const receiver = await listen()
      try {
        const name = `syslog${format}`
        const { started } = await run(name, { Type: 'syslog', Config: { 'syslog-address': receiver.address, 'syslog-format': format, tag: 'mytag' } })
        assert.equal(started.status, 204, started.text)
        await until('three lines', () => receiver.lines.length >= 3)
        assert.ok(receiver.lines.some((line) => expected.test(line)), receiver.lines.join(''))
        assert.ok(receiver.lines.some((line) => /^<27>.*err\n$/.test(line)), receiver.lines.join(''))
        assert.equal(await logs(name), 'out\nhalf')
      } finally {
        receiver.socket.close()
      }
    })
  }

  for (const wall of ['process', 'hyperv']) {
    test(`over TCP, in whole lines, also to a receiver that was started anew (${wall})`, { timeout: 120_000 }, async () => {
      let got = '', connections = []
      const receiver = net.createServer((socket) => { connections.push(socket); socket.on('data', (data) => { got += data }).on('error', () => {}) })
      await new Promise((resolve) => receiver.listen(0, '127.0.0.1', resolve))
      const { port } = receiver.address(), name = `tcp-${wall}`
      try {
        await server.ok('run', '-d', '--name', name, `--isolation=${wall}`, '--log-driver', 'syslog', '--log-opt', `syslog-address=tcp://localhost:${port}`,
          '--log-opt', 'syslog-format=rfc5424', '--log-opt', 'tag={{.Name}}', 'tabique/base', 'sh', '-c', 'i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; cat /dev/zero | head -c 20000 | tr "\\0" x; echo; sleep 600')
        await until('all lines', () => got.includes('line 1999\n') && got.split('x').length > 20000)
        const lines = got.split('\n')
        for (let i = 0; i < 2000; i++) assert.match(lines[i], new RegExp(`^<30>1 \\S+Z \\S+ ${name} \\d+ ${name} - line ${i}$`))
        assert.equal(lines.slice(2000).map((line) => line.replace(/^.* - /, '')).join('').length, 20000)
        for (const socket of connections) socket.destroy()
        got = ''
        await until('the next receiver', async () => { await server.ok('exec', name, 'sh', '-c', 'echo again > /proc/1/fd/1'); return /- again\n/.test(got) })
        assert.match(await logs(name, '&tail=1'), /again/)
      } finally {
        await server.docker('rm', '-f', name)
        for (const socket of connections) socket.destroy()
        receiver.close()
      }
    })
  }

  test('a TCP receiver that is not there is told at the start; what is no protocol at create', async () => {
    const receiver = net.createServer()
    await new Promise((resolve) => receiver.listen(0, '127.0.0.1', resolve))
    const { port } = receiver.address()
    await new Promise((resolve) => receiver.close(resolve))
    const { started } = await run('undialled', { Type: 'syslog', Config: { 'syslog-address': `tcp://127.0.0.1:${port}` } })
    assert.equal(started.status, 500)
    assert.match(started.json.message, new RegExp(`failed to initialize logging driver: dial tcp 127\\.0\\.0\\.1:${port}: connect: connection refused$`))
    for (const [address, message] of [['smoke://x', /unsupported scheme: 'smoke'/]]) {
      const { status, json } = await ask('POST', '/containers/create', { body: { Image: 'tabique/base', HostConfig: { LogConfig: { Type: 'syslog', Config: { 'syslog-address': address } } } } })
      assert.equal(status, 400)
      assert.match(json.message, message)
    }
  })

  describe('over TLS', () => {
    let receiver, port, got = '', peers = 0
    const file = (name) => path.join(server.root, name)
    const openssl = (...words) => execFileSync('openssl', words, { cwd: server.root, stdio: 'ignore' })
    const connections = []
    before(async () => {
      const key = (name) => ['-newkey', 'rsa:2048', '-nodes', '-keyout', `${name}.key`]
      openssl('req', '-x509', ...key('ca'), '-out', 'ca.pem', '-days', '2', '-subj', '/CN=logs')
      for (const name of ['receiver', 'client']) {
        openssl('req', ...key(name), '-out', `${name}.csr`, '-subj', `/CN=${name}`)
        fs.writeFileSync(file('names'), 'subjectAltName=DNS:localhost,IP:127.0.0.1')
        openssl('x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-out', `${name}.pem`, '-extfile', 'names')
      }
      const [keyText, cert, ca] = ['receiver.key', 'receiver.pem', 'ca.pem'].map((name) => fs.readFileSync(file(name)))
      receiver = tls.createServer({ key: keyText, cert, ca, requestCert: true, rejectUnauthorized: true }, (socket) => {
        peers++
        connections.push(socket)
        socket.on('data', (data) => { got += data }).on('error', () => {})
      }).on('tlsClientError', () => {})
      await new Promise((resolve) => receiver.listen(0, '127.0.0.1', resolve))
      port = receiver.address().port
    }, { timeout: 120_000 })
    after(() => { for (const socket of connections) socket.destroy(); receiver?.close() })
    const options = (more = {}) => ({ 'syslog-address': `tcp+tls://localhost:${port}`, 'syslog-format': 'rfc5424', tag: 'safe', 'syslog-tls-ca-cert': file('ca.pem'), 'syslog-tls-cert': file('client.pem'), 'syslog-tls-key': file('client.key'), ...more })

    for (const wall of ['process', 'hyperv']) {
      test(`with both certificates, each message after its length, and anew after a cut (${wall})`, { timeout: 240_000 }, async () => {
        const name = `tls-${wall}`
        got = ''
        const flags = Object.entries(options()).flatMap(([key, value]) => ['--log-opt', `${key}=${value}`])
        await server.ok('run', '-d', '--name', name, `--isolation=${wall}`, '--log-driver', 'syslog', ...flags, 'tabique/base', 'sh', '-c', 'i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done; sleep 600')
        await until('all lines', () => got.includes('line 499\n'))
        let rest = got
        for (let i = 0; i < 500; i++) {
          const [, length] = /^(\d+) /.exec(rest)
          const message = rest.slice(length.length + 1, length.length + 1 + Number(length))
          assert.match(message, new RegExp(`^<30>1 \\S+Z \\S+ safe \\d+ safe - line ${i}\n$`))
          rest = rest.slice(length.length + 1 + Number(length))
        }
        const before = peers
        for (const socket of connections.splice(0)) socket.destroy()
        await until('the next connection', async () => { await server.ok('exec', name, 'sh', '-c', 'echo again > /proc/1/fd/1'); return peers > before && /safe - again\n/.test(got) })
        const helpers = () => fs.readdirSync('/proc').filter((pid) => { try { return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(`localhost:${port}`) } catch { return false } })
        assert.equal(helpers().length, 1)
        assert.match(fs.readFileSync(`/proc/${helpers()[0]}/status`, 'utf8'), /^Uid:\t65534\t65534\t65534\t65534$[^]*^CapEff:\t0+$[^]*^NoNewPrivs:\t1$/m)
        await server.ok('rm', '-f', name)
        await until('no helper', () => helpers().length === 0)
      })
    }

    test('who is not trusted, or does not trust us, or has no file, is told at the start', { timeout: 120_000 }, async () => {
      for (const [name, more, message] of [
        ['strange', { 'syslog-tls-ca-cert': file('client.pem') }, /failed to initialize logging driver: dial tcp\+tls localhost:\d+: SSL certificate problem/],
        ['nofile', { 'syslog-tls-ca-cert': '/no/such.pem' }, /failed to initialize logging driver: could not read CA certificate "\/no\/such\.pem": open \/no\/such\.pem: no such file or directory$/]]) {
        const { started } = await run(name, { Type: 'syslog', Config: options(more) })
        assert.equal(started.status, 500, started.text)
        assert.match(started.json.message, message)
      }
      got = ''
      const { started } = await run('unverified', { Type: 'syslog', Config: options({ 'syslog-tls-ca-cert': file('client.pem'), 'syslog-tls-skip-verify': 'true' }) })
      assert.equal(started.status, 204, started.text)
      await until('lines of one that ended at once', () => /safe - out\n[^]*safe - half\n/.test(got))
    })
  })

  test('facility by name; with cache-disabled nothing is kept', async () => {
    const receiver = await listen()
    try {
      await run('facility', { Type: 'syslog', Config: { 'syslog-address': receiver.address, 'syslog-facility': 'local3', 'cache-disabled': 'true' } })
      await until('lines', () => receiver.lines.length >= 3)
      assert.ok(receiver.lines.every((line) => /^<15[48-9]>|^<155>/.test(line)), receiver.lines.join(''))
      const answer = await ask('GET', '/containers/facility/logs?stdout=1')
      assert.equal(answer.status, 501)
    } finally {
      receiver.socket.close()
    }
  })

  test('a receiver that is not there stops nobody', async () => {
    const receiver = await listen()
    receiver.socket.close()
    const { started } = await run('nobody', { Type: 'syslog', Config: { 'syslog-address': receiver.address } })
    assert.equal(started.status, 204)
    assert.equal(await logs('nobody'), 'out\nhalf')
  })
})

describe('journald', () => {
  // What is sent stands in tests/unit/shim, on a socket of its own.
  test('where the host has no journal the start says so; where it has one, logs read back', async () => {
    const { started } = await run('journal', { Type: 'journald' })
    if (fs.existsSync('/run/systemd/journal/socket')) {
      assert.equal(started.status, 204, started.text)
      assert.equal(await logs('journal'), 'out\nhalf')
      return
    }
    assert.equal(started.status, 500)
    assert.match(started.json.message, /failed to initialize logging driver: journald is not enabled on this host/)
  })
})
