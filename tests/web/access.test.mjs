// Accessibility by axe-core on every view and dialog, in light, dark, high contrast,
// on a phone and in Spanish; that nothing jumps; and what the first view weighs.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Console } from './lib/console.mjs'

const axe = fs.readFileSync(fileURLToPath(new URL('../node_modules/axe-core/axe.min.js', import.meta.url)), 'utf8')
let it
before(async () => {
  it = await Console.start()
  await it.server.ok('run', '-d', '--name', 'pinger', '-p', '127.0.0.1::80', 'tabique/base', 'ping', 'localhost')
  await it.server.docker('run', '--name', 'failed', 'tabique/base', 'sh', '-c', 'exit 3')
  await it.server.ok('volume', 'create', 'data')
  // Something to see in every view of the notifications: a channel that nobody answers at.
  const { json } = await it.server.request('POST', '/api/v1/notification-channels', { body: { name: 'board', kind: 'webhook', url: 'http://127.0.0.1:1/' } })
  await it.server.request('POST', `/api/v1/notification-channels/${json.id}/test`)
})
after(async () => { await it?.stop() })

const views = ['/', '/containers', '/containers?q=nothing-like-it', '/containers/new', '/containers/pinger', '/containers/pinger/processes', '/containers/pinger/charts', '/containers/pinger/logs',
  '/containers/pinger/terminal', '/containers/pinger/files', '/containers/pinger/files?path=/etc&file=passwd', '/containers/pinger/files?view=changes', '/containers/pinger/setup', '/containers/pinger/events', '/containers/pinger/inspect', '/containers/nobody', '/compare/pinger', '/compare/pinger?others=shown', '/compare/pinger?with=failed', '/host',
  '/images', '/images/tabique%2Fbase:latest', '/volumes', '/volumes/data', '/networks', '/networks/bridge', '/events', '/events?view=lives', '/notifications', '/notifications?show=all', '/notifications/rules', '/notifications/channels', '/notifications/deliveries', '/audit', '/users', '/users/me', '/users/tokens', '/users/sessions', '/settings', '/about', '/nowhere']

async function violations(page) {
  const { violations } = await page.evaluate(async (source) => {
    // The policy forbids scripts from strings; the debugger's own evaluation is not bound by it.
    if (!window.axe) (0, eval)(source)
    return window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })
  }, axe)
  return violations.map((one) => `${page.url().replace(/^https:\/\/[^/]+/, '')} ${one.id}: ${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160) + ' ' + (node.any[0]?.message ?? '')).join(' | ')}`)
}

for (const [name, options, chosen] of [
  ['light', {}],
  ['dark', { colorScheme: 'dark' }],
  ['more contrast', { contrast: 'more' }],
  ['dark and more contrast, as chosen in the settings', {}, { theme: 'dark', contrast: 'more' }],
  ['more contrast, phone, Spanish', { contrast: 'more', locale: 'es-ES', viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true }],
]) {
  test(`no violation: ${name}`, async () => {
    const context = await it.context({ ...options, bypassCSP: true })
    // The empty page before the first has no storage.
    if (chosen) await context.addInitScript((settings) => { if (location.origin !== 'null') localStorage.setItem('tabique.settings', JSON.stringify(settings)) }, chosen)
    const page = await context.newPage()
    await it.go(page, '/ui/')
    await page.waitForSelector('.gate')
    const found = await violations(page)
    await it.signIn(page)
    for (const view of views) {
      await it.go(page, '/ui' + view)
      await page.waitForSelector('main h1, main h2', { state: 'attached' })
      await page.waitForFunction(() => !document.querySelector('main .late'))
      await page.waitForTimeout(300)
      found.push(...await violations(page))
      // Nothing wider than the screen, nor than the card or the list it stands in.
      const wide = await page.evaluate(() => [document.scrollingElement, ...document.querySelectorAll('.card, main .table')].filter((box) => box.scrollWidth > box.clientWidth).map((box) => `${box.getAttribute('aria-labelledby') ?? box.querySelector('h2, table')?.ariaLabel ?? box.querySelector('h2')?.textContent ?? box.tagName} by ${box.scrollWidth - box.clientWidth} px`))
      if (wide.length) found.push(`${view} is too wide: ${wide}`)
    }
    const layers = [['/containers', () => page.keyboard.press('Control+k')], ['/containers', () => page.keyboard.press('?')], ['/images', () => page.locator('.view-actions button').nth(-2).click()], ['/images', () => page.locator('.view-actions button').last().click()],
      ['/networks', () => page.locator('.view-actions button').last().click()], ['/containers/pinger/setup', () => page.locator('.card-head button').first().click()], ['/containers', () => page.locator('.view-actions button').first().click()],
      ['/volumes', async () => { await page.locator('tbody input[type=checkbox]').first().check(); found.push(...await violations(page)); await page.locator('.bulk .danger-text').click() }]]
    for (const [view, open] of layers) {
      await it.go(page, '/ui' + view)
      await page.waitForFunction(() => document.querySelector('main h1') && !document.querySelector('main .late'))
      await open()
      await page.locator('dialog[open], [role=menu]').first().waitFor()
      found.push(...await violations(page))
    }
    await context.close()
    assert.deepEqual(found, [])
  })
}

test('nothing jumps while a view fills', async () => {
  const context = await it.context()
  await context.addInitScript(() => {
    globalThis.jumped = { all: 0, around: 0 }
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) if (!entry.hadRecentInput) {
        globalThis.jumped.all += entry.value
        const row = (node) => (node instanceof Element ? node : node?.parentElement)?.closest('main tbody tr, .joins')
        if (entry.sources.some(({ node }) => node && !row(node))) globalThis.jumped.around += entry.value
      }
    }).observe({ type: 'layout-shift', buffered: true })
  })
  const page = await context.newPage()
  await it.signIn(page)
  const found = []
  for (const view of views) {
    await it.go(page, '/ui' + view)
    await page.waitForFunction(() => document.querySelector('main h1, main h2') && !document.querySelector('main .late'))
    await page.waitForTimeout(1500)
    // 0.1 is what web.dev calls good. In lists of live processes rows are born and die while one looks, and do move: what stands around them must not.
    const sum = await page.evaluate((live) => globalThis.jumped[live ? 'around' : 'all'], /^\/(host|compare)/.test(view))
    if (sum > 0.1) found.push(`${view} ${sum.toFixed(3)}`)
  }
  await context.close()
  assert.deepEqual(found, [])
})

test('the first view: its weight, its policy, its caching', async () => {
  const context = await it.context()
  const page = await context.newPage()
  let bytes = 0
  const sizes = []
  page.on('requestfinished', async (request) => {
    if (!request.url().includes('/assets/') && !request.url().endsWith('/ui/')) return
    sizes.push(request.sizes().then(({ responseBodySize, responseHeadersSize }) => { bytes += responseBodySize + responseHeadersSize }))
  })
  const response = await page.goto(it.origin + '/ui/')
  await page.waitForSelector('.gate')
  await page.waitForLoadState('networkidle')
  await Promise.all(sizes)
  assert.ok(bytes < 150 * 1024, `${bytes} bytes`)
  const policy = response.headers()['content-security-policy']
  assert.match(policy, /default-src 'none'/)
  assert.doesNotMatch(policy, /unsafe/)
  const asset = await page.evaluate(() => document.querySelector('script[type=module]').src)
  const answer = await page.request.get(asset, { headers: { 'Accept-Encoding': 'gzip' } })
  assert.match(answer.headers()['cache-control'], /immutable/)
  assert.equal(answer.headers()['content-encoding'], 'gzip')
  await context.close()
})

test('the browser complained of nothing', () => {
  assert.deepEqual(it.problems, [])
})
