// The page's walk and the caller's story, in a browser, against the real server.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { after, before, test } from 'node:test'
import { until } from '../api/lib/server.mjs'
import { Console, PASSWORD } from './lib/console.mjs'

let it, page, context
before(async () => {
  it = await Console.start()
  context = await it.context()
  page = await context.newPage()
})
after(async () => { await it?.stop() })

const text = (selector) => page.locator(selector).innerText()
const hostPids = (name) => fs.readdirSync('/proc').filter((pid) => {
  try { return fs.readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === name } catch { return false }
}).map(Number)

test('a wrong password is refused, the first one must be changed', async () => {
  await it.go(page, '/')
  await page.waitForURL('**/ui/**')
  await it.fillSignIn(page, 'admin', 'not the password')
  await page.waitForFunction(() => document.querySelector('#login-error')?.textContent.length > 0)
  await it.signIn(page)
  assert.match(page.url(), /\/ui\/$/)
  await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor()
})

test('a container is created in the form and runs', async () => {
  await it.go(page, '/ui/containers/new')
  await page.getByLabel('Or start from a line').fill('docker run -d --name pinger tabique/base ping localhost')
  assert.equal(await page.getByLabel('Name', { exact: true }).inputValue(), 'pinger')
  await page.getByRole('button', { name: 'Create and start' }).click()
  await page.waitForURL('**/ui/compare/pinger')
  await it.server.waitState('pinger', 'running')
})

test('compare: one process under two numbers, joined across the wall and lit together', async () => {
  const inside = page.locator('.pane.container tbody tr[aria-rowindex="2"]'), outside = page.locator('.pane.host tbody tr[aria-rowindex="2"]')
  await inside.waitFor()
  await outside.waitFor()
  const [, insidePid] = /(\d+)/.exec(await inside.innerText())
  const [, outsidePid] = /(\d+)/.exec(await outside.innerText())
  assert.equal(insidePid, '1')
  assert.ok(hostPids('ping').includes(Number(outsidePid)), 'the number on the right is the host\'s own')
  const top = await it.server.ok('top', 'pinger', '-o', 'pid')
  assert.ok(top.includes(outsidePid), 'docker top says the same')
  assert.match(await text('.sentence'), new RegExp(`number 1 inside and ${outsidePid} outside`))
  assert.equal(await page.locator('.join').count(), 1)
  await inside.hover()
  await page.waitForSelector('.pane.host tr.lit')
  await page.waitForSelector('.join.lit')
  // The line ends at the middle of both rows.
  const [a, b, line] = await Promise.all([inside.boundingBox(), outside.boundingBox(), page.locator('.join path').boundingBox()])
  assert.ok(Math.abs(line.y + line.height / 2 - (a.y + a.height / 2)) <= 3 && Math.abs(a.y - b.y) < 1)
})

test('the host\'s others are shown on wish, and search says what is not there', async () => {
  await page.getByRole('switch', { name: "The host's others" }).check()
  await page.waitForFunction(() => document.querySelectorAll('.pane.host tr.host-only').length > 0)
  assert.match(page.url(), /others=shown/)
  await page.keyboard.press('/')
  await page.keyboard.type('tabique')
  await page.waitForSelector('.found .no')
  assert.match(await text('.found'), /0 inside/)
  assert.match(await text('.pane.container .empty'), /not found inside/)
  await page.getByRole('searchbox').fill('ping')
  await page.waitForFunction(() => /1 inside/.test(document.querySelector('.found')?.textContent ?? ''))
  assert.match(await text('.found'), /1 the same/)
})

test('whose is this: a host process leads to its container', async () => {
  await it.go(page, '/ui/host?q=ping&flat=1')
  const row = page.locator('tbody tr', { hasText: 'pinger' })
  await row.waitFor()
  await row.locator('td').first().click()
  await page.locator('.detail').getByRole('link', { name: 'Compare' }).click()
  await page.waitForURL('**/ui/compare/pinger**')
})

test('a child is born and dies under one\'s eyes', async () => {
  await it.go(page, '/ui/containers/pinger/processes')
  await page.waitForSelector('tbody tr[aria-rowindex]')
  await it.server.ok('exec', '-d', 'pinger', 'sleep', '4242')
  await page.locator('tbody tr', { hasText: '4242' }).waitFor()
  await it.server.ok('exec', 'pinger', 'sh', '-c', 'kill -9 $(pidof sleep)')
  await page.locator('tbody tr', { hasText: '4242' }).waitFor({ state: 'detached' })
})

test('the caller at ten past two: find a name, look at that moment, take it to the ticket', async () => {
  await it.go(page, '/ui/events?view=lives')
  await page.getByRole('searchbox').fill('sleep 4242')
  const row = page.locator('tbody tr').filter({ has: page.getByRole('link', { name: 'pinger' }) }).first()
  await row.waitFor()
  await row.getByRole('link').click()
  await page.waitForURL('**/ui/compare/pinger?at=**')
  await page.locator('.pane.container tbody tr[aria-rowindex]', { hasText: 'sleep' }).waitFor()
  assert.ok(!(await text('.moment')).includes('Live'))
  await page.getByRole('button', { name: 'Copy for a ticket' }).click()
  const ticket = await until('the clipboard', async () => { const clip = await page.evaluate(() => navigator.clipboard.readText()); return clip.includes('pinger') && clip })
  assert.match(ticket, /sleep 4242/)
  const address = /https:\S+/.exec(ticket)[0]
  // The link reopens that moment for somebody else who signs in.
  const other = await context.newPage()
  await other.goto(address)
  await other.locator('.pane.container tbody tr[aria-rowindex]', { hasText: 'sleep' }).waitFor()
  await other.close()
  await page.getByRole('button', { name: 'Go live' }).click()
  await page.locator('.pane.container tbody tr[aria-rowindex]', { hasText: 'sleep' }).waitFor({ state: 'detached' })
  await page.getByRole('searchbox').fill('')
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Export' }).click().then(() => page.getByRole('menuitem', { name: 'CSV' }).click())])
  assert.match(fs.readFileSync(await download.path(), 'utf8'), /^container,relation,containerPid,hostPid[^]*pinger,same,1,\d+,ping/)
})

test('two moments: what was born since', async () => {
  await it.go(page, '/ui/compare/pinger')
  await page.waitForSelector('.pane.container tbody tr[aria-rowindex]')
  await page.getByRole('button', { name: 'Compare with this moment' }).click()
  await page.getByText('0 born').waitFor()
  await it.server.ok('exec', '-d', 'pinger', 'sleep', '777')
  await page.getByText('1 born').waitFor()
})

test('the thick wall: the host finds no ping, and the worker stands in the wall', async (t) => {
  const { json } = await it.server.request('GET', '/api/v1/info')
  const wall = json.walls.find((one) => one.name === 'hyperv')
  if (!wall.available) return t.diagnostic(`no thick wall here: ${wall.reason}`)
  await it.server.ok('run', '-d', '--isolation=hyperv', '--name', 'vault', 'tabique/base', 'ping', 'localhost', { timeout: 120_000 })
  await it.go(page, '/ui/compare/vault?q=ping')
  await page.waitForFunction(() => /1 inside/.test(document.querySelector('.found')?.textContent ?? ''), null, { timeout: 60_000 })
  assert.match(await text('.found'), /0 on the host/)
  assert.match(await text('.pane.host .empty'), /not found on the host/)
  assert.match(await text('.the-wall .worker'), /vmwp/)
  assert.equal(await page.locator('.join').count(), 0)
  await it.go(page, '/ui/compare/pinger?with=vault')
  await page.waitForSelector('.compare-grid.three .the-wall.thick')
})

test('logs, search and a terminal', async () => {
  await it.server.ok('run', '-d', '--stop-timeout', '1', '--name', 'talker', 'tabique/base', 'sh', '-c', 'echo "first <b>line</b>"; echo "ERROR bad" >&2; exec sleep 9999')
  await it.go(page, '/ui/containers/talker/logs')
  await page.getByText('first <b>line</b>').waitFor()
  await page.locator('.log-line.error.stderr').waitFor()
  await it.go(page, '/ui/containers/talker/terminal')
  await page.waitForSelector('.xterm-screen')
  await page.waitForFunction(() => /#/.test(document.querySelector('.xterm-rows')?.textContent ?? ''))
  await page.locator('.xterm-helper-textarea').focus()
  await page.keyboard.type('echo $((6*7))-seen; stty size\n')
  await page.waitForFunction(() => /42-seen/.test(document.querySelector('.xterm-rows').textContent))
})

test('actions: stop with undo, remove with a question', async () => {
  await it.go(page, '/ui/containers')
  const row = page.locator('tbody tr', { hasText: 'talker' })
  await row.getByRole('button', { name: 'Stop talker' }).click()
  await it.server.waitState('talker', 'exited')
  await page.getByRole('button', { name: 'Undo' }).click()
  await it.server.waitState('talker', 'running')
  await row.getByRole('button', { name: 'More' }).click()
  await page.getByRole('menuitem', { name: 'Remove' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click()
  await row.waitFor({ state: 'detached' })
})

test('the server goes away and comes back: nothing is lost on the screen', async () => {
  await it.go(page, '/ui/compare/pinger')
  await page.waitForSelector('.pane.container tbody tr[aria-rowindex]')
  await it.server.halt('SIGKILL')
  await page.waitForSelector('.connection.bad', { timeout: 30_000 })
  assert.ok(await page.locator('.pane.container tbody tr[aria-rowindex]').count() > 0, 'what was known stays')
  await it.server.spawn()
  await page.waitForSelector('.connection.good', { timeout: 40_000 })
  await it.server.ok('exec', '-d', 'pinger', 'sleep', '31337')
  await page.locator('.pane.container tbody tr', { hasText: '31337' }).waitFor()
})

test('a session that ends keeps the view and asks again', async () => {
  await it.go(page, '/ui/compare/pinger?q=ping')
  await page.waitForSelector('.pane.container tbody tr[aria-rowindex]')
  const sessions = await page.evaluate(() => fetch('/api/v1/sessions').then((answer) => answer.json()))
  for (const one of sessions) await it.server.request('DELETE', '/api/v1/sessions/' + one.id)
  await page.locator('dialog[open]').waitFor({ timeout: 60_000 })
  await page.fill('dialog input[name=password]', PASSWORD)
  await page.keyboard.press('Enter')
  await page.locator('dialog[open]').waitFor({ state: 'detached' })
  assert.match(page.url(), /q=ping/)
})

test('helpdesk sees everything and is offered nothing that changes', async () => {
  const made = await it.server.request('POST', '/api/v1/users', { body: { name: 'desk', role: 'helpdesk', password: PASSWORD, mustChangePassword: false } })
  assert.equal(made.status, 201)
  const own = await it.context()
  const desk = await own.newPage()
  await it.signIn(desk, 'desk', PASSWORD)
  await it.go(desk, '/ui/containers')
  await desk.locator('tbody tr', { hasText: 'pinger' }).waitFor()
  assert.equal(await desk.getByRole('button', { name: /^(Stop|Start)/ }).count(), 0)
  assert.equal(await desk.getByRole('link', { name: 'Create' }).count(), 0)
  assert.equal(await desk.getByRole('link', { name: 'Audit' }).count(), 0)
  await it.go(desk, '/ui/containers/pinger')
  await desk.waitForSelector('.tabs')
  assert.equal(await desk.getByRole('link', { name: 'Logs' }).count(), 0)
  assert.equal(await desk.getByRole('link', { name: 'Terminal' }).count(), 0)
  const status = await desk.evaluate(async () => {
    const session = await (await fetch('/api/v1/session')).json()
    return (await fetch('/v1.51/containers/pinger/stop', { method: 'POST', headers: { 'X-Tabique-CSRF': session.csrf } })).status
  })
  assert.equal(status, 403)
  await it.go(desk, '/ui/compare/pinger')
  await desk.locator('.pane.container tbody tr', { hasText: 'ping' }).first().waitFor()
  await own.close()
})

test('a whole pass by keyboard alone', async () => {
  await it.go(page, '/ui/')
  await page.waitForSelector('.shell')
  await page.keyboard.press('Control+k')
  await page.keyboard.type('compare pinger')
  await page.keyboard.press('Enter')
  await page.waitForURL('**/ui/compare/pinger')
  await page.waitForSelector('.pane.container tbody tr[aria-rowindex]')
  await page.keyboard.press('[')
  await page.keyboard.press('j')
  await page.waitForSelector('.detail.same')
  await page.keyboard.press('o')
  await page.waitForURL('**others=shown**')
  await page.keyboard.press('g')
  await page.keyboard.press('c')
  await page.waitForURL('**/ui/containers')
  await page.waitForSelector('tbody tr[aria-rowindex]')
  await page.locator('main table').focus()
  await page.keyboard.press('Home')
  await page.keyboard.press('Enter')
  await page.waitForURL('**/ui/containers/*')
  await page.keyboard.press('?')
  await page.getByRole('dialog').waitFor()
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
})

test('the browser complained of nothing', () => {
  assert.deepEqual(it.problems, [])
})
