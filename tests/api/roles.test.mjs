// One table says who may do what (server/routes): here the real server is asked for every
// route by every role, and answers as the table says. What is not denied by the role may
// fail otherwise: nothing asked for exists.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import https from 'node:https'
import { after, before, test } from 'node:test'
import { Server } from './lib/server.mjs'

let server
before(async () => { server = await Server.start({ noImage: true }) }, { timeout: 120_000 })
after(async () => { await server?.stop() }, { timeout: 60_000 })

// Only the head is waited for: some answers have no end.
function ask(method, target, token) {
  return new Promise((resolve, reject) => {
    const request = https.request({
      host: '127.0.0.1', port: server.port, method, path: target, agent: false, rejectUnauthorized: false,
      headers: { Host: `localhost:${server.port}`, 'Content-Length': 0, ...(token ? { Authorization: `Bearer ${token}` } : {}) },
    }, (response) => {
      const denied = response.statusCode === 401 || response.statusCode === 403
      if (!denied) { resolve({ status: response.statusCode }); response.destroy(); return }
      let text = ''
      response.on('data', (chunk) => { text += chunk })
      response.on('end', () => resolve({ status: response.statusCode, message: text ? JSON.parse(text).message : null }))
    })
    request.on('error', reject)
    request.end()
  })
}

const PASSWORD = 'correct horse 1'

async function tokenOf(name, role, mayReadLogs = false) {
  const made = await server.request('POST', '/api/v1/users', { body: { name, role, password: PASSWORD, mustChangePassword: false, mayReadLogs } })
  assert.equal(made.status, 201, made.text)
  const body = JSON.stringify({ user: name, password: PASSWORD })
  const session = await new Promise((resolve, reject) => {
    const request = https.request({
      host: '127.0.0.1', port: server.port, method: 'POST', path: '/api/v1/session', agent: false, rejectUnauthorized: false,
      headers: { Host: `localhost:${server.port}`, 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) },
    }, (response) => {
      let text = ''
      response.on('data', (chunk) => { text += chunk })
      response.on('end', () => resolve({ cookie: response.headers['set-cookie'][0].split(';')[0], ...JSON.parse(text) }))
    })
    request.on('error', reject)
    request.end(body)
  })
  const wanted = JSON.stringify({ label: 'walk' })
  return new Promise((resolve, reject) => {
    const request = https.request({
      host: '127.0.0.1', port: server.port, method: 'POST', path: '/api/v1/tokens', agent: false, rejectUnauthorized: false,
      headers: {
        Host: `localhost:${server.port}`, 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(wanted),
        Cookie: session.cookie, 'X-Tabique-CSRF': session.csrf,
      },
    }, (response) => {
      let text = ''
      response.on('data', (chunk) => { text += chunk })
      response.on('end', () => resolve(JSON.parse(text).token))
    })
    request.on('error', reject)
    request.end(wanted)
  })
}

const says = (message, words) => message === null || words.test(message) // HEAD has no words

// What each role may, in words of the table; nothing else.
const MAY = {
  nobody: ['public'],
  helpdesk: ['public', 'self', 'view'],
  reader: ['public', 'self', 'view', 'logs'],
  operator: ['public', 'self', 'view', 'logs', 'operate', 'exec'],
  admin: ['public', 'self', 'view', 'logs', 'operate', 'exec', 'admin'],
}

test('every route, every role', { timeout: 300_000 }, async () => {
  const tokens = {
    nobody: null,
    helpdesk: await tokenOf('w-helpdesk', 'helpdesk'),
    reader: await tokenOf('w-reader', 'helpdesk', true),
    operator: await tokenOf('w-operator', 'operator'),
    admin: await tokenOf('w-admin', 'admin'),
  }
  const routes = execFileSync(server.binary, ['--list-routes'], { encoding: 'utf8' }).trim().split('\n').map((line) => line.split(' '))
  assert.ok(routes.length > 150, `${routes.length} routes`)
  const wrong = []
  for (const [method, pattern, permission] of routes) {
    assert.ok(MAY.admin.includes(permission), `${method} ${pattern}: ${permission}`)
    const target = pattern.replace(/\{[^}]*\}/g, 'nosuch')
    for (const [role, token] of Object.entries(tokens)) {
      const { status, message } = await ask(method, target, token)
      const expected = MAY[role].includes(permission)
      const denied = role === 'nobody' ? status === 401 && says(message, /^authentication required/) : status === 403 && says(message, /^permission denied: the role/)
      if (denied === expected) wrong.push(`${role}: ${method} ${pattern} (${permission}) gave ${status} ${message}`)
    }
  }
  assert.deepEqual(wrong, [])
})
