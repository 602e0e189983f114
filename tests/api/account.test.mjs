// Signing in over TLS, roles, cross-site requests, and clients that are not nice:
// the real server as a browser or an attacker meets it.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import https from 'node:https'
import path from 'node:path'
import tls from 'node:tls'
import { after, before, describe, test } from 'node:test'
import { Server, sleep } from './lib/server.mjs'
import { WebSocketClient } from './lib/websocket.mjs'

let server
let admin
before(async () => { server = await Server.start({ noImage: true }) }, { timeout: 120_000 })
after(async () => { await server?.stop() }, { timeout: 60_000 })

function ask(method, target, { body, headers = {}, who } = {}) {
  return new Promise((resolve, reject) => {
    const data = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body)
    const request = https.request({
      host: '127.0.0.1', port: server.port, method, path: target, agent: false, rejectUnauthorized: false,
      headers: {
        Host: `localhost:${server.port}`,
        ...(data === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(data) }),
        ...(who ? { Cookie: who.cookie, 'X-Tabique-CSRF': who.csrf } : {}), ...headers,
      },
    }, (response) => {
      const chunks = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString()
        let json
        try { json = JSON.parse(text) } catch { /* text will do */ }
        resolve({ status: response.statusCode, headers: response.headers, text, json })
      })
    })
    request.on('error', reject)
    request.end(data)
  })
}

async function signIn(user, password) {
  const answer = await ask('POST', '/api/v1/session', { body: { user, password } })
  if (answer.status !== 200) return answer
  return { status: 200, cookie: answer.headers['set-cookie'][0].split(';')[0], set: answer.headers['set-cookie'][0], ...answer.json }
}

const raw = (text, wait = 3000) => new Promise((resolve) => {
  const socket = tls.connect({ host: '127.0.0.1', port: server.port, rejectUnauthorized: false }, () => socket.write(text))
  let out = ''
  const timer = setTimeout(() => socket.destroy(), wait)
  socket.on('data', (chunk) => { out += chunk })
  socket.on('error', () => {})
  socket.on('close', () => { clearTimeout(timer); resolve(out) })
})

describe('first sign-in', () => {
  test('the first password stands in a file for root, and must be changed', async () => {
    const file = path.join(server.dataDir, 'admin-password')
    assert.equal(fs.statSync(file).mode & 0o777, 0o600)
    const password = fs.readFileSync(file, 'utf8').trim()
    assert.ok(!server.log.includes(password), 'it is named, not printed')
    admin = await signIn('admin', password)
    assert.equal(admin.status, 200)
    assert.match(admin.set, /^__Host-tabique=[0-9a-f]{64}; Path=\/; Secure; HttpOnly; SameSite=Strict/)
    assert.equal(admin.mustChangePassword, true)
    assert.equal((await ask('GET', '/containers/json', { who: admin })).status, 403)
    const changed = await ask('PUT', '/api/v1/account/password', { who: admin, body: { oldPassword: password, newPassword: 'correct horse 1' } })
    assert.equal(changed.status, 204)
    assert.equal((await ask('GET', '/containers/json', { who: admin })).status, 200)
    assert.ok(!fs.existsSync(file))
  })

  test('security headers', async () => {
    const { headers } = await ask('GET', '/_ping')
    assert.match(headers['content-security-policy'], /default-src 'none'; script-src 'self'/)
    assert.match(headers['content-security-policy'], /frame-ancestors 'none'/)
    assert.equal(headers['x-content-type-options'], 'nosniff')
    assert.equal(headers['x-frame-options'], 'DENY')
  })
})

describe('who may what', () => {
  const users = {}
  before(async () => {
    for (const role of ['helpdesk', 'operator']) {
      const made = await ask('POST', '/api/v1/users', { who: admin, body: { name: role, role, password: `of the ${role === 'operator' ? 'runner' : 'looker'} 1`, mustChangePassword: false } })
      assert.equal(made.status, 201, made.text)
      users[role] = await signIn(role, `of the ${role === 'operator' ? 'runner' : 'looker'} 1`)
      assert.equal(users[role].status, 200)
    }
  })

  const cases = [
    // method, path, statuses that are not a refusal for: nobody, helpdesk, operator
    ['GET', '/containers/json', false, true, true],
    ['GET', '/api/v1/host/processes', false, true, true],
    ['POST', '/containers/nothing/start', false, false, true],
    ['POST', '/containers/nothing/exec', false, false, true],
    ['GET', '/containers/nothing/logs?stdout=1', false, false, true],
    ['POST', '/images/load', false, false, true],
    ['GET', '/api/v1/users', false, false, false],
    ['GET', '/api/v1/audit', false, false, false],
    ['GET', '/_ping', true, true, true],
  ]
  for (const [method, target, nobody, helpdesk, operator] of cases)
    test(`${method} ${target}`, async () => {
      for (const [who, may] of [[undefined, nobody], [users.helpdesk, helpdesk], [users.operator, operator], [admin, true]]) {
        const { status, text } = await ask(method, target, { who, body: method === 'POST' ? {} : undefined })
        const refused = status === 401 || (status === 403 && /permission denied/.test(text))
        assert.equal(!refused, may, `${who?.user ?? 'nobody'}: ${status} ${text}`)
      }
    })

  test('tokens serve machines and can be taken back', async () => {
    const made = await ask('POST', '/api/v1/tokens', { who: users.operator, body: { label: 'ci', expiresIn: '1h' } })
    assert.equal(made.status, 201, made.text)
    const headers = { Authorization: `Bearer ${made.json.token}` }
    assert.equal((await ask('GET', '/containers/json', { headers })).status, 200)
    assert.equal((await ask('GET', '/api/v1/users', { headers })).status, 403)
    assert.equal((await ask('DELETE', `/api/v1/tokens/${made.json.id}`, { who: users.operator })).status, 204)
    assert.equal((await ask('GET', '/containers/json', { headers })).status, 401)
  })

  test('every attempt is in the audit trail', async () => {
    await ask('POST', '/containers/audited/start', { who: users.helpdesk, body: {} })
    const { json } = await ask('GET', '/api/v1/audit?target=audited', { who: admin })
    assert.equal(json.entries.length, 1)
    assert.deepEqual([json.entries[0].who, json.entries[0].what, json.entries[0].result], ['helpdesk', 'container.start', 403])
  })
})

describe('other sites', () => {
  test('a name that is not ours is refused (DNS rebinding)', async () => {
    for (const host of ['evil.example', `evil.example:${server.port}`, 'localhost.evil.example'])
      assert.equal((await ask('GET', '/_ping', { headers: { Host: host } })).status, 403, host)
    assert.equal((await ask('GET', '/_ping', { headers: { Host: `127.0.0.1:${server.port}` } })).status, 200)
  })

  test('requests and sockets from other origins are refused', async () => {
    for (const origin of ['https://evil.example', 'null', `http://localhost:${server.port}`])
      assert.equal((await ask('POST', '/containers/x/start', { who: admin, headers: { Origin: origin } })).status, 403, origin)
    const headers = { Host: `localhost:${server.port}`, Cookie: admin.cookie }
    const target = { host: '127.0.0.1', port: server.port, tls: true }
    assert.equal((await WebSocketClient.connect(target, '/api/v1/stream', { ...headers, Origin: 'https://evil.example' })).status, 403)
    assert.equal((await WebSocketClient.connect(target, '/api/v1/stream', headers)).status, 403)
    const own = await WebSocketClient.connect(target, '/api/v1/stream', { ...headers, Origin: `https://localhost:${server.port}` })
    assert.equal(own.status, 101)
    own.close()
  })

  test('a cookie alone changes nothing', async () => {
    const { status } = await ask('POST', '/containers/x/start', { headers: { Cookie: admin.cookie } })
    assert.equal(status, 403)
  })
})

describe('hostile clients', () => {
  test('ambiguous requests are refused', async () => {
    const host = `Host: localhost:${server.port}\r\n`
    const cases = [
      `POST /auth HTTP/1.1\r\n${host}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /_ping HTTP/1.1\r\n${host}\r\n`,
      `POST /auth HTTP/1.1\r\n${host}Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde`,
      `GET /_ping HTTP/1.1\r\n${host}Transfer-Encoding : chunked\r\n\r\n`,
      `GET /_ping HTTP/1.1\r\n${host}X: a\r\n b\r\n\r\n`,
      `GET /_ping HTTP/1.1\r\n\r\n`,
      `GET /../../etc/passwd HTTP/1.1\r\n${host}\r\n`,
      `GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\n${host}\r\n`,
    ]
    for (const text of cases) {
      const answer = await raw(text)
      assert.match(answer, /^HTTP\/1\.1 400 /, text)
      assert.equal(answer.split('HTTP/1.1 ').length, 2, `one answer only: ${answer}`)
    }
  })

  test('long heads are refused', async () => {
    assert.match(await raw(`GET /${'a'.repeat(20000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`), /^HTTP\/1\.1 414 /)
    assert.match(await raw(`GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'a'.repeat(60000)}\r\n\r\n`), /^HTTP\/1\.1 431 /)
  })

  test('slow and silent clients hold nobody up', async () => {
    const sockets = Array.from({ length: 120 }, (_, i) => {
      const socket = i % 2 ? tls.connect({ host: '127.0.0.1', port: server.port, rejectUnauthorized: false }, () => socket.write('GET / HT'))
        : tls.connect({ host: '127.0.0.1', port: server.port, rejectUnauthorized: false })
      socket.on('error', () => {})
      return socket
    })
    await sleep(300)
    for (let i = 0; i < 10; i++) assert.equal((await ask('GET', '/_ping')).status, 200)
    assert.equal((await server.request('GET', '/_ping')).status, 200)
    for (const socket of sockets) socket.destroy()
  })

  test('guessing passwords gets slower and slower', async () => {
    const statuses = []
    for (let i = 0; i < 6; i++) statuses.push((await signIn('victim', `guess number ${i}`)).status)
    assert.ok(statuses.includes(429), statuses.join())
  })
})
