// A whole pass in Spanish: no sentence of the English locale is left anywhere, in
// views, dialogs, menus and messages.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Console } from './lib/console.mjs'

const en = (await import('../../web/locales/en.js')).default
const es = (await import('../../web/locales/es.js')).default
const forms = (text) => (typeof text === 'object' ? Object.values(text) : [text])
const spanish = new Set(Object.values(es).flatMap(forms))
const escape = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
// Whole texts; a hole may hold anything. Those that are Spanish, too ("Hyper-V", "Total"), prove nothing.
const english = Object.values(en).flatMap(forms).filter((text) => /\p{L}{3}/u.test(text.replace(/\{\w+\}/g, '')) && !spanish.has(text))
const whole = new Set(english.filter((text) => !text.includes('{')))
const withHoles = english.filter((text) => text.includes('{') && text.replace(/\{\w+\}/g, '').trim().length > 3).map((text) => new RegExp('^' + text.split(/\{\w+\}/).map(escape).join('.+') + '$'))

let it, page
before(async () => {
  it = await Console.start()
  await it.server.ok('run', '-d', '--name', 'uno', '-p', '127.0.0.1::80', '-v', 'datos:/datos', '--health-cmd', 'true', 'tabique/base', 'ping', 'localhost')
  await it.server.docker('run', '--name', 'roto', 'tabique/base', 'sh', '-c', 'exit 3')
  await it.server.ok('network', 'create', 'red')
  page = await (await it.context({ locale: 'es-ES' })).newPage()
})
after(async () => { await it?.stop() })

async function left() {
  const texts = await page.evaluate(() => {
    const out = []
    // What containers and the engine say is nobody's translation.
    const foreign = '.process-args, .process-name, .event-action, code, pre, .mono, .log, .json, .xterm, .terminals, option[value=""], datalist, script, style'
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    for (let node = walk.nextNode(); node; node = walk.nextNode()) if (!node.parentElement.closest(foreign)) out.push(node.data)
    for (const element of document.querySelectorAll('[aria-label], [title], [placeholder]')) for (const name of ['aria-label', 'title', 'placeholder']) if (element.hasAttribute(name) && !element.closest('td[title]')) out.push(element.getAttribute(name))
    out.push(document.title)
    return out
  })
  return [...new Set(texts.map((text) => text.replace(/\s+/g, ' ').trim()))].filter((text) => whole.has(text) || withHoles.some((form) => form.test(text)))
}

test('the gate', async () => {
  await it.go(page, '/ui/')
  await page.waitForSelector('.gate')
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'es')
  assert.deepEqual(await left(), [])
  await it.signIn(page)
})

const views = ['/', '/containers', '/containers?q=nada-asi', '/containers/new', '/containers/uno', '/containers/uno/processes', '/containers/uno/charts', '/containers/uno/logs', '/containers/uno/terminal', '/containers/uno/files', '/containers/uno/files?path=/etc&file=passwd',
  '/containers/uno/files?view=changes', '/containers/uno/events', '/containers/uno/setup', '/containers/uno/inspect', '/containers/nadie', '/containers/roto/processes', '/containers/roto/terminal', '/compare/uno', '/compare/uno?others=shown', '/compare/uno?with=roto', '/compare/roto', '/compare/uno?q=ping', '/host', '/host?flat=1',
  '/images', '/images/tabique%2Fbase:latest', '/volumes', '/volumes/datos', '/networks', '/networks/red', '/notifications', '/notifications/rules', '/notifications/channels', '/notifications/deliveries', '/events', '/events?view=lives', '/audit', '/users', '/users/me', '/users/tokens', '/users/sessions', '/settings', '/about', '/no-hay']
for (const view of views)
  test('no English on ' + view, async () => {
    await it.go(page, '/ui' + view)
    await page.waitForSelector('main h1, main h2', { state: 'attached' })
    await page.waitForFunction(() => !document.querySelector('main .late'))
    if (/compare\/uno/.test(view)) { await page.waitForSelector('.pane.container tbody tr[aria-rowindex]'); await page.locator('.pane.container tbody tr[aria-rowindex]').first().click() }
    await page.waitForTimeout(400)
    assert.deepEqual(await left(), [])
  })

const button = (name) => page.getByRole('button', { name, exact: true })
const dialogs = [
  ['/images', () => button(es['images.pull']).click()], ['/images', () => button(es['build.go']).click()], ['/volumes', () => button(es['volumes.create']).click()], ['/networks', () => button(es['networks.create']).click()],
  ['/users', () => button(es['users.create']).click()], ['/users/tokens', () => button(es['tokens.create']).click()], ['/containers/uno/setup', () => button(es['limits.change']).click()],
  ['/containers/uno', async () => { await button(es.more).click() }], ['/containers/uno', async () => { await button(es.more).click(); await page.getByRole('menuitem', { name: es['action.remove'] }).click() }],
  ['/containers', () => page.keyboard.press('?')], ['/containers', () => page.keyboard.press('Control+k')], ['/containers', () => button(es.columns).click()], ['/compare/uno', () => button(es.columns).click()],
  ...['/containers', '/images', '/volumes'].map((view) => [view, async () => { await page.locator('tbody input[type=checkbox]').first().check(); await page.locator('.bulk').getByText(es['action.remove']).click() }]),
]
for (const [i, [view, open]] of dialogs.entries())
  test(`no English in the ${i + 1}. dialog or menu, on ${view}`, async () => {
    await it.go(page, '/ui' + view)
    await page.waitForFunction(() => document.querySelector('main h1') && !document.querySelector('main .late'))
    await open()
    await page.locator('dialog[open], [role=menu]').first().waitFor()
    assert.deepEqual(await left(), [])
  })

test('numbers, plurals and dates are Spanish', async () => {
  await it.go(page, '/ui/settings')
  await page.getByText('1234,5').or(page.getByText('1.234,5')).waitFor()
  await it.go(page, '/ui/images')
  await page.getByText(/^1 imagen$/).waitFor()
  await it.go(page, '/ui/containers/uno')
  const month = new Intl.DateTimeFormat('es-ES', { month: 'short' }).format(new Date())
  await page.locator('.fact', { hasText: es['summary.started'] }).getByText(month, { exact: false }).waitFor()
})

test('the browser complained of nothing', () => {
  assert.deepEqual(it.problems, [])
})
