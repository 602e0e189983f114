// Notifications end to end: real containers that fail, a webhook receiver that
// checks what it gets, and a mail server that takes what it is given.
import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import http from 'node:http'
import net from 'node:net'
import { after, before, describe, test } from 'node:test'
import { Server, until } from './lib/server.mjs'

const listening = (listener) => new Promise((resolve) => listener.listen(0, '127.0.0.1', () => resolve(listener.address().port)))

class Hook {
  static async start() {
    const hook = new Hook()
    hook.requests = []
    hook.answers = [] // statuses to give, then 204
    hook.server = http.createServer((request, response) => {
      let body = ''
      request.on('data', (chunk) => { body += chunk })
      request.on('end', () => {
        hook.requests.push({ method: request.method, url: request.url, headers: request.headers, body })
        const answer = hook.answers.shift() ?? 204
        response.writeHead(answer, answer === 302 ? { Location: `http://127.0.0.1:${hook.port}/elsewhere` } : {})
        response.end(answer === 200 ? 'x'.repeat(200_000) : '')
      })
    })
    hook.port = await listening(hook.server)
    return hook
  }

  stop() {
    this.server.closeAllConnections()
    this.server.close()
  }
}

// As much of SMTP as a client needs to hand over a message.
class MailServer {
  static async start() {
    const mail = new MailServer()
    mail.messages = []
    mail.server = net.createServer((socket) => {
      let buffer = ''
      let message = null
      socket.write('220 sink\r\n')
      socket.on('error', () => {})
      socket.on('data', (chunk) => {
        buffer += chunk
        for (;;) {
          if (message?.data !== undefined) {
            const end = buffer.indexOf('\r\n.\r\n')
            if (end < 0) return
            message.data = buffer.slice(0, end)
            buffer = buffer.slice(end + 5)
            mail.messages.push(message)
            message = null
            socket.write('250 taken\r\n')
          }
          const end = buffer.indexOf('\r\n')
          if (end < 0) return
          const line = buffer.slice(0, end)
          buffer = buffer.slice(end + 2)
          if (/^(EHLO|HELO)/i.test(line)) socket.write('250 sink\r\n')
          else if (/^MAIL FROM:/i.test(line)) { message = { from: line.slice(10), to: [] }; socket.write('250 ok\r\n') }
          else if (/^RCPT TO:/i.test(line)) { message.to.push(line.slice(8)); socket.write('250 ok\r\n') }
          else if (/^DATA/i.test(line)) { message.data = ''; socket.write('354 go on\r\n') }
          else if (/^QUIT/i.test(line)) socket.end('221 bye\r\n')
          else socket.write('502 no\r\n')
        }
      })
    })
    mail.port = await listening(mail.server)
    return mail
  }

  stop() { this.server.close() }
}

let server
let hook
let mail
before(async () => {
  hook = await Hook.start()
  mail = await MailServer.start()
  server = await Server.start({ listen: false })
}, { timeout: 120_000 })
after(async () => {
  await server?.stop()
  hook?.stop()
  mail?.stop()
}, { timeout: 60_000 })

const api = (method, path, body) => server.request(method, '/api/v1/' + path, body === undefined ? {} : { body })
async function good(method, path, body) {
  const answer = await api(method, path, body)
  assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${answer.text}`)
  return answer.json
}

const decoded = (text) => text.replace(/=\r\n/g, '').replace(/(=[0-9A-F]{2})+/g, (bytes) => Buffer.from(bytes.replaceAll('=', ''), 'hex').toString())

describe('a container that fails', () => {
  let secret
  let webhook

  test('is told to a webhook, signed', async () => {
    const made = await good('POST', 'notification-channels', { name: 'desk', kind: 'webhook', url: `http://127.0.0.1:${hook.port}/desk`, consoleUrl: 'https://console.test:9543/' })
    secret = made.secret
    webhook = made.id
    assert.match(secret, /^whsec_[A-Za-z0-9+/]{43}=$/)
    await good('PUT', 'notification-rules/exit', { channels: [webhook] })
    await server.docker('run', '--name', 'broken', 'tabique/base', 'sh', '-c', 'exit 7')
    const request = await until('the webhook', () => hook.requests.shift())
    assert.equal(request.method, 'POST')
    assert.equal(request.url, '/desk')
    assert.equal(request.headers['content-type'], 'application/json')
    const signed = `${request.headers['webhook-id']}.${request.headers['webhook-timestamp']}.${request.body}`
    const mac = crypto.createHmac('sha256', Buffer.from(secret.slice(6), 'base64')).update(signed).digest('base64')
    assert.equal(request.headers['webhook-signature'], 'v1,' + mac)
    assert.ok(Math.abs(Date.now() / 1000 - Number(request.headers['webhook-timestamp'])) < 60)
    const body = JSON.parse(request.body)
    assert.equal(body.type, 'notification.raised')
    assert.equal(body.data.kind, 'exit')
    assert.equal(body.data.container.name, 'broken')
    assert.deepEqual(body.data.detail, { exitCode: 7 })
    assert.equal(body.data.text, 'broken ended on its own with exit code 7')
    assert.equal(body.data.url, 'https://console.test:9543/ui/containers/broken')
    const { deliveries } = await until('the delivery', async () => {
      const list = await good('GET', 'notification-deliveries?state=delivered')
      return list.deliveries.length && list
    })
    assert.equal(deliveries[0].channel, webhook)
    assert.equal(deliveries[0].attempts, 1)
    assert.equal(deliveries[0].status, 204)
  })

  test('stands in the list until somebody acknowledges it, and in the events', async () => {
    const { notifications, unacknowledged } = await good('GET', 'notifications')
    assert.equal(unacknowledged, 1)
    assert.equal(notifications[0].container, 'broken')
    assert.equal(notifications[0].acknowledgedAt, null)
    await good('POST', `notifications/${notifications[0].id}/acknowledge`)
    const again = await good('GET', 'notifications')
    assert.equal(again.unacknowledged, 0)
    assert.equal(again.notifications[0].acknowledgedBy, 'socket')
    assert.ok(again.notifications[0].acknowledgedAt)
    assert.equal((await api('POST', 'notifications/999999/acknowledge')).status, 404)
    assert.equal((await api('POST', 'notifications/x/acknowledge')).status, 404)
    const csv = await server.request('GET', '/api/v1/notifications?format=csv')
    assert.match(csv.text, /broken/)
    const events = await good('GET', 'events?type=notification')
    assert.equal(events.events.at(-1).action, 'raised')
  })

  test('one that was stopped is none', async () => {
    await server.ok('run', '-d', '--name', 'stopped', 'tabique/base', 'sh', '-c', 'trap "exit 9" TERM; while :; do sleep 0.1; done')
    await server.ok('stop', 'stopped')
    assert.equal((await server.info('stopped')).State.ExitCode, 9)
    await server.docker('run', '--name', 'killed', 'tabique/base', 'sh', '-c', 'exit 3')
    const request = await until('the next webhook', () => hook.requests.shift())
    assert.equal(JSON.parse(request.body).data.container.name, 'killed')
  })

  test('mail says it in Spanish, with its headers whole', async () => {
    const channel = await good('POST', 'notification-channels', {
      name: 'correo', kind: 'mail', server: `smtp://127.0.0.1:${mail.port}`, tls: 'never', language: 'es',
      from: 'tabique@example.org', to: ['desk@example.org', 'night@example.org'],
    })
    assert.equal(channel.passwordSet, false)
    await good('PUT', 'notification-rules/exit', { channels: [channel.id] })
    await server.docker('run', '--name', 'roto', 'tabique/base', 'sh', '-c', 'exit 5')
    const message = await until('the mail', () => mail.messages.shift())
    assert.match(message.from, /^<tabique@example.org>/)
    assert.deepEqual(message.to.map((line) => line.split(' ')[0]), ['<desk@example.org>', '<night@example.org>'])
    const [head, ...rest] = message.data.split('\r\n\r\n')
    assert.match(head, /^To: desk@example.org, night@example.org$/m)
    assert.match(head, /^Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000$/m)
    assert.match(head, /^Message-ID: <\S+@tabique>$/m)
    const subject = /^Subject: ((?:.|\r\n )*)$/m.exec(head)[1].split('\r\n ')
      .map((word) => { assert.ok(word.length <= 75); return Buffer.from(/^=\?UTF-8\?B\?(.*)\?=$/.exec(word)[1], 'base64').toString() }).join('')
    assert.match(subject, /^\[.+\] roto terminó por sí mismo con el código de salida 5$/)
    assert.match(decoded(rest.join('\r\n\r\n')), /roto terminó por sí mismo con el código de salida 5\r\n[^]*Contenedor: roto/)
  })
})

describe('a receiver that does not take it', () => {
  test('is asked again, and never at another place', async () => {
    await good('PUT', 'notification-rules/exit', { channels: [] })
    const channel = await good('POST', 'notification-channels', { name: 'shaky', kind: 'webhook', url: `http://127.0.0.1:${hook.port}/shaky` })
    hook.answers.push(503)
    const { delivery } = await good('POST', `notification-channels/${channel.id}/test`)
    const first = await until('the first attempt', () => hook.requests.shift())
    const state = async () => (await good('GET', 'notification-deliveries')).deliveries.find((row) => row.id === delivery)
    const failed = await until('its failure to be written down', async () => { const row = await state(); return row.attempts === 1 && row })
    assert.equal(failed.state, 'pending')
    assert.equal(failed.status, 503)
    assert.equal(failed.error, 'the receiver answered 503')
    assert.ok(Date.parse(failed.nextAt) > Date.parse(failed.lastAt))
    // At once, not in ten seconds; a redirect is no acceptance and is not followed.
    hook.answers.push(302)
    await good('POST', `notification-deliveries/${delivery}/retry`)
    const second = await until('the second attempt', () => hook.requests.shift())
    assert.equal(second.headers['webhook-id'], first.headers['webhook-id'])
    await until('the redirect to count as a failure', async () => (await state()).status === 302)
    await good('POST', `notification-deliveries/${delivery}/retry`)
    await until('the delivery', async () => (await state()).state === 'delivered')
    assert.equal((await until('the third attempt', () => hook.requests.shift())).url, '/shaky')
    assert.equal((await api('POST', `notification-deliveries/${delivery}/retry`)).status, 304)
    assert.equal((await api('POST', 'notification-deliveries/999999/retry')).status, 404)
    assert.equal(hook.requests.length, 0)
  })

  test('an answer without an end is cut', async () => {
    const channel = await good('POST', 'notification-channels', { name: 'chatty', kind: 'webhook', url: `http://127.0.0.1:${hook.port}/` })
    hook.answers.push(200)
    const { delivery } = await good('POST', `notification-channels/${channel.id}/test`)
    const row = await until('the attempt', async () => (await good('GET', 'notification-deliveries')).deliveries.find((d) => d.id === delivery && d.attempts))
    assert.equal(row.state, 'pending')
    assert.ok(row.error)
    hook.requests.length = 0
  })

  test('what is under way outlives the server', async () => {
    const channel = await good('POST', 'notification-channels', { name: 'away', kind: 'webhook', url: 'http://127.0.0.1:1/' })
    const { delivery } = await good('POST', `notification-channels/${channel.id}/test`)
    await server.halt('SIGKILL')
    await server.spawn()
    await good('PUT', `notification-channels/${channel.id}`, { url: `http://127.0.0.1:${hook.port}/back` })
    await good('POST', `notification-deliveries/${delivery}/retry`)
    const request = await until('the webhook', () => hook.requests.find((r) => r.url === '/back'))
    assert.equal(JSON.parse(request.body).data.kind, 'test')
  })

  test('a first rule is known by its id until somebody renames it', async () => {
    const first = async () => (await good('GET', 'notification-rules')).rules.find(({ id }) => id === 'oom')
    const { name, firstName } = await first()
    assert.equal(firstName, true)
    await good('PUT', 'notification-rules/oom', { name: 'Memory is gone' })
    assert.equal((await first()).firstName, false)
    await good('PUT', 'notification-rules/oom', { name, firstName: false })
    assert.equal((await first()).firstName, true, 'it is read, not written')
    const own = await good('POST', 'notification-rules', { name: 'Ended', kind: 'exit' })
    assert.equal(own.firstName, false)
    await good('DELETE', 'notification-rules/' + own.id)
  })

  test('bad requests', async () => {
    const { id } = await good('POST', 'notification-channels', { name: 'twice', kind: 'webhook', url: 'http://127.0.0.1:1/' })
    const cases = [
      ['POST', 'notification-channels', { name: 'x', kind: 'webhook', url: 'file:///etc/passwd' }, 400, /'url' must be a URL that begins with https or http/],
      ['POST', 'notification-channels', { name: 'twice', kind: 'webhook', url: 'http://x/' }, 409, /there is a channel 'twice' already/],
      ['PUT', 'notification-channels/none', { name: 'x' }, 404, /No such channel: none/],
      ['DELETE', 'notification-channels/none', undefined, 404, /No such channel: none/],
      ['POST', 'notification-channels/none/test', undefined, 404, /No such channel: none/],
      ['POST', 'notification-rules', { name: 'x', kind: 'cpu', above: 'high' }, 400, /'above' must be a percentage/],
      ['PUT', 'notification-rules/none', {}, 404, /No such rule: none/],
      ['DELETE', 'notification-rules/none', undefined, 404, /No such rule: none/],
      ['GET', 'notification-deliveries?state=lost', undefined, 400, /state must be pending, delivered or failed/],
      ['GET', 'notifications?limit=-1', undefined, 400, /limit/],
      ['GET', 'notifications?before=x', undefined, 400, /before|strconv|invalid/],
    ]
    for (const [method, path, body, status, message] of cases) {
      const answer = await api(method, path, body)
      assert.equal(answer.status, status, `${method} ${path}: ${answer.text}`)
      assert.match(answer.json.message, message)
    }
    await good('DELETE', 'notification-channels/' + id)
  })
})
