// What goes wrong around a console, and what a hostile container puts on its screen.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { until } from '../api/lib/server.mjs'
import { Console, PASSWORD } from './lib/console.mjs'

// Control characters, a right-to-left override, markup, an emoji, a line break, a formula.
const EVIL = '\u001b[31m\u202egpj.exe<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>\u{1f4a5}\u0007'
let it, page, context
before(async () => {
  it = await Console.start()
  const { server } = it
  await server.ok('run', '-d', '--stop-timeout', '1', '--name', 'pinger', 'tabique/base', 'ping', 'localhost')
  const made = await server.request('POST', '/containers/create?name=evil', { body: {
    Image: 'tabique/base', Env: ['EVIL=' + EVIL], Labels: { ['evil"<b>' + EVIL]: '<script>window.pwned=1</script>' }, StopTimeout: 1,
    Cmd: ['sh', '-c', 'printf "%s\\n" "$1"; echo "<iframe src=javascript:window.pwned=1>"; printf "#!/bin/sh\\nwhile :; do sleep 1; done\\n" >"/tmp/$2"; chmod +x "/tmp/$2"; exec "/tmp/$2" "$1"', 'sh', EVIL, '\u202e<b>\u001bx\u{1f4a5}'],
  } })
  assert.equal(made.status, 201, made.text)
  await server.ok('start', 'evil')
  context = await it.context()
  page = await context.newPage()
  page.on('dialog', (dialog) => { it.problems.push('a dialog: ' + dialog.message()); dialog.dismiss() })
  await it.signIn(page)
})
after(async () => { await it?.stop() })

const row = (text) => page.locator('tbody tr[aria-rowindex]', { hasText: text })

test('hostile text is shown on every view, and does nothing', async () => {
  for (const view of ['/containers/evil', '/containers/evil/processes', '/containers/evil/logs', '/containers/evil/setup', '/containers/evil/inspect', '/containers/evil/files?path=/tmp', '/compare/evil', '/compare/evil?others=shown', '/host?q=window.pwned', '/events', '/events?view=lives&q=window.pwned']) {
    await it.go(page, '/ui' + view)
    await page.waitForFunction(() => /window\.pwned/.test(document.querySelector('main')?.textContent ?? '') || /evil/.test(document.querySelector('main')?.textContent ?? ''))
    const found = await page.evaluate(() => ({
      pwned: 'pwned' in window,
      elements: document.querySelectorAll('main img, main script, main iframe, main b').length,
      // Nothing that reorders or hides text is left in what is shown.
      raw: [...document.querySelectorAll('main *')].flatMap((e) => [...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data)).filter((text) => /[\u0000-\u0008\u000b-\u001f\u202a-\u202e\u2066-\u2069]/.test(text)),
    }))
    assert.deepEqual(found, { pwned: false, elements: 0, raw: [] }, view)
  }
  // Copied into a ticket it is as harmless.
  await it.go(page, '/ui/compare/evil')
  await page.waitForSelector('.pane.container tbody tr[aria-rowindex]')
  await page.getByRole('button', { name: 'Copy for a ticket' }).click()
  const ticket = await until('the clipboard', async () => { const text = await page.evaluate(() => navigator.clipboard.readText()); return text.includes('evil') && text })
  assert.doesNotMatch(ticket, /[\u0000-\u0008\u000b-\u001f\u202a-\u202e]/)
})

test('the policy: no inline script, no string becomes markup', async () => {
  const response = await page.request.get(it.origin + '/ui/')
  const policy = response.headers()['content-security-policy']
  assert.match(policy, /default-src 'none'/)
  assert.match(policy, /require-trusted-types-for 'script'/)
  assert.doesNotMatch(policy, /unsafe|\*/)
  const refused = await page.evaluate(() => {
    const out = []
    try { document.body.insertAdjacentHTML('beforeend', '<i></i>'); out.push('markup from a string') } catch { /* as it must be */ }
    const script = document.createElement('script')
    script.setAttribute('nonce', '')
    try { script.text = 'window.pwned = 2'; document.body.append(script) } catch { /* Trusted Types */ }
    if (window.pwned) out.push('inline script')
    return out
  })
  assert.deepEqual(refused, [])
  it.problems = it.problems.filter((problem) => !/Content Security Policy|TrustedHTML|TrustedScript/.test(problem))
})

test('the network is cut and comes back: what was known stays, what happened meanwhile is there', async () => {
  await it.go(page, '/ui/compare/pinger')
  await page.waitForSelector('.pane.container tbody tr[aria-rowindex]')
  await context.setOffline(true)
  // A socket that is open already is not cut by the browser's switch: the server does that.
  const sessions = await it.server.request('GET', '/api/v1/sessions')
  assert.equal(sessions.status, 200)
  await it.server.halt('SIGKILL')
  await page.waitForSelector('.connection.bad', { timeout: 30_000 })
  assert.ok(await page.locator('.pane.container tbody tr[aria-rowindex]').count() > 0)
  await it.server.spawn()
  await it.server.ok('exec', '-d', 'pinger', 'sleep', '24680')
  await context.setOffline(false)
  await page.locator('.pane.container tbody tr', { hasText: '24680' }).waitFor({ timeout: 40_000 })
  await page.waitForSelector('.connection.good')
})

test('a clock that is wrong is said, and ages stay right', async () => {
  const own = await it.context()
  await own.addInitScript(() => {
    const real = Date.now.bind(Date), Old = Date, off = 3 * 60_000
    globalThis.Date = class extends Old { constructor(...args) { if (args.length) super(...args); else super(real() + off) } static now() { return real() + off } }
  })
  const late = await own.newPage()
  await it.signIn(late, 'admin', PASSWORD)
  await it.go(late, '/ui/containers')
  await late.locator('.skew', { hasText: '3 min ahead' }).waitFor()
  await it.server.ok('run', '-d', '--stop-timeout', '1', '--name', 'fresh', 'tabique/base', 'sleep', '999')
  const age = late.locator('tbody tr', { hasText: 'fresh' }).locator('time')
  await age.waitFor()
  assert.match(await age.innerText(), /^\d+ s$/, 'not three minutes old')
  await it.go(late, '/ui/about')
  await late.locator('.health li.warn', { hasText: 'ahead' }).waitFor()
  await own.close()
})

test('two tabs: signed out in one, the other asks; signed in again in one, both go on', async () => {
  const other = await context.newPage()
  await it.go(other, '/ui/containers?q=ping')
  await other.locator('tbody tr', { hasText: 'pinger' }).waitFor()
  await it.go(page, '/ui/containers')
  await page.getByRole('button', { name: 'Account' }).click()
  await page.getByRole('menuitem', { name: 'Sign out' }).click()
  await page.waitForSelector('.gate')
  await other.locator('dialog[open]', { hasText: 'Sign in again' }).waitFor()
  await it.fillSignIn(page, 'admin', PASSWORD)
  await page.waitForSelector('.shell')
  await other.locator('dialog[open]').waitFor({ state: 'detached' })
  assert.match(other.url(), /q=ping/)
  await it.server.ok('stop', 'pinger')
  await other.locator('tbody tr', { hasText: 'Exited' }).waitFor()
  await it.server.ok('start', 'pinger')
  await other.close()
})

test('a slow link: the page comes, deltas resume where they stood', async () => {
  const own = await it.context()
  const slow = await own.newPage()
  const wire = await own.newCDPSession(slow)
  await wire.send('Network.enable')
  await wire.send('Network.emulateNetworkConditions', { offline: false, latency: 200, downloadThroughput: 125_000, uploadThroughput: 125_000 })
  await it.signIn(slow, 'admin', PASSWORD)
  const messages = []
  slow.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => { try { messages.push(JSON.parse(String(payload))) } catch { /* binary */ } }))
  await it.go(slow, '/ui/containers/pinger/processes')
  await slow.locator('tbody tr', { hasText: 'ping' }).waitFor()
  await it.server.ok('exec', '-d', 'pinger', 'sleep', '13579')
  await slow.locator('tbody tr', { hasText: '13579' }).waitFor()
  const mine = messages.filter((message) => message.topic === 'processes')
  assert.equal(mine.filter((message) => message.type === 'state').length, 1, 'one whole state, then what changed')
  assert.ok(mine.some((message) => message.type === 'delta'))
  await own.close()
})

test('a process that ends while it is looked at; a container that is removed', async () => {
  await it.go(page, '/ui/containers/fresh/processes')
  await row('sleep').click()
  await it.server.ok('rm', '-f', 'fresh')
  await page.getByText('This container is gone').waitFor()
  await it.go(page, '/ui/compare/fresh')
  await page.getByText('What its processes did is still in the history').waitFor()
})

test('the server refuses: its words are shown, nothing is lost', async () => {
  await it.go(page, '/ui/containers/new')
  await page.getByLabel('Or start from a line').fill('docker run -d --name pinger -m 512m tabique/base true')
  await page.getByRole('button', { name: 'Create and start' }).click()
  await page.getByRole('alert').filter({ hasText: /already in use/ }).waitFor()
  assert.equal(await page.getByLabel('Name', { exact: true }).inputValue(), 'pinger')
  await page.getByLabel('Or start from a line').fill('podman run x')
  await page.getByRole('alert').filter({ hasText: 'not a docker run line' }).waitFor()
})

test('the browser complained of nothing', () => {
  assert.deepEqual(it.problems, [])
})
