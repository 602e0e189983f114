// screenshots.mjs DIR [VIEW,...|all] [light,dark,phone,es,contrast] - pictures of the views, to be looked at.
// Environment as for the tests: TABIQUE_BUILD, TABIQUE_WEB.
import fs from 'node:fs'
import path from 'node:path'
import { Console } from './console.mjs'

const [out, views = 'all', looks = 'light,dark,phone'] = process.argv.slice(2)
if (!out) { console.error('usage: screenshots.mjs DIR [VIEW,...|all] [light,dark,phone,es,contrast]'); process.exit(2) }
fs.mkdirSync(out, { recursive: true })
const places = {
  overview: '/', containers: '/containers', create: '/containers/new', summary: '/containers/shop', processes: '/containers/shop/processes', charts: '/containers/shop/charts',
  logs: '/containers/shop/logs', terminal: '/containers/shop/terminal', files: '/containers/shop/files', 'files-view': '/containers/shop/files?path=/etc&file=passwd', changes: '/containers/shop/files?view=changes', setup: '/containers/shop/setup', happened: '/containers/shop/events', inspect: '/containers/shop/inspect',
  compare: '/compare/pinger', 'compare-host': '/compare/pinger?others=shown', 'compare-thick': '/compare/vault', 'compare-two': '/compare/pinger?with=vault', 'compare-search': '/compare/vault?q=ping',
  host: '/host', images: '/images', image: '/images/tabique%2Fbase:latest', build: '/images', volumes: '/volumes', volume: '/volumes/goods', networks: '/networks', network: '/networks/front', palette: '/', notifications: '/notifications?show=all', rules: '/notifications/rules', channels: '/notifications/channels', deliveries: '/notifications/deliveries', events: '/events', lives: '/events?view=lives', audit: '/audit', users: '/users', me: '/users/me', tokens: '/users/tokens',
  sessions: '/users/sessions', settings: '/settings', about: '/about', nowhere: '/nowhere',
}
const contexts = { light: {}, dark: { colorScheme: 'dark' }, phone: { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 }, es: { locale: 'es-ES' }, contrast: { contrast: 'more' } }
const wanted = views === 'all' ? Object.keys(places) : views.split(',')
const it = await Console.start()
try {
  const { server } = it
  await server.ok('run', '-d', '--name', 'pinger', 'tabique/base', 'ping', 'localhost')
  await server.ok('run', '-d', '--name', 'shop', '-e', 'COLOUR=red', '-v', 'goods:/goods', '-p', '127.0.0.1::80', 'tabique/base', 'sh', '-c', 'echo "info: open"; echo "error: no luck" >&2; while true; do sleep 2; ls / >/dev/null; date > /goods/last; echo tick; done')
  const hook = (await server.request('POST', '/api/v1/notification-channels', { body: { name: 'Helpdesk board', kind: 'webhook', url: 'http://127.0.0.1:1/tabique' } })).json
  await server.request('PUT', '/api/v1/notification-rules/exit', { body: { channels: [hook.id] } })
  await server.docker('run', '--name', 'failed', 'tabique/base', 'sh', '-c', 'exit 3')
  await server.docker('run', '-d', '--isolation=hyperv', '--name', 'vault', 'tabique/base', 'ping', 'localhost', { timeout: 120_000 })
  await server.ok('network', 'create', '--subnet', '10.77.1.0/24', 'front')
  await server.ok('network', 'create', '--subnet', '10.77.2.0/24', '--internal', 'back')
  for (const [network, name] of [['front', 'shop'], ['back', 'shop'], ['back', 'pinger']]) await server.ok('network', 'connect', network, name)
  await server.ok('volume', 'create', 'idle')
  for (let i = 0; i < 6; i++) await server.docker('create', '--name', 'batch-' + i, 'tabique/base', 'true')
  for (const look of looks.split(',')) {
    const context = await it.context(contexts[look])
    const page = await context.newPage()
    await it.go(page, '/ui/')
    await page.screenshot({ path: path.join(out, `sign-in-${look}.png`) })
    await it.signIn(page)
    for (const view of wanted) {
      await it.go(page, '/ui' + places[view])
      await page.waitForTimeout(view === 'charts' ? 3000 : 1500)
      if (/^compare/.test(view)) await page.locator('.pane.container tbody tr[aria-rowindex]').first().click().catch(() => {})
      if (view === 'build') await page.locator('.view-actions button').nth(-2).click()
      if (view === 'palette') { await page.keyboard.press('Control+k'); await page.keyboard.type('pi') }
      await page.waitForTimeout(300)
      await page.screenshot({ path: path.join(out, `${view}-${look}.png`) })
    }
    await context.close()
  }
  if (it.problems.length) console.error(it.problems.join('\n'))
} finally { await it.stop() }
