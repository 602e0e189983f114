// Notifications as people meet them: the bell, the list, rules, channels, and what
// a helpdesk user sees of it.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Console } from './lib/console.mjs'

let it
let page
before(async () => {
  it = await Console.start()
  page = await (await it.context()).newPage()
  await it.signIn(page)
}, { timeout: 180_000 })
after(async () => { await it?.stop() }, { timeout: 60_000 })

describe('notifications', () => {
  test('a failure rings the bell, stands in the list, and is acknowledged by a key', async () => {
    await it.server.docker('run', '--name', 'broken', 'tabique/base', 'sh', '-c', 'exit 7')
    await page.getByRole('link', { name: 'Notifications: 1 new notification' }).waitFor({ timeout: 20_000 })
    await page.locator('.toast', { hasText: 'broken ended on its own with exit code 7' }).waitFor()
    await page.keyboard.press('g')
    await page.keyboard.press('t')
    const row = page.locator('tbody tr', { hasText: 'broken ended on its own' })
    await row.waitFor()
    await row.click()
    await page.keyboard.press('a')
    await page.getByText('Nothing new.').waitFor({ timeout: 20_000 })
    await page.getByRole('button', { name: 'All', exact: true }).click()
    await row.waitFor()
    assert.match(await row.innerText(), /admin/)
    assert.match(page.url(), /show=all/)
  })

  test('what led to it is one step away', async () => {
    await page.locator('tbody tr', { hasText: 'broken' }).dblclick()
    await page.waitForURL(/\/ui\/compare\/broken\?at=/)
  })

  test('a webhook is added, its key shown once, and a rule sent to it', async () => {
    await it.go(page, '/ui/notifications/channels')
    await page.getByRole('button', { name: 'Add a channel' }).click()
    await page.getByLabel('Name').fill('Desk')
    await page.getByLabel('URL', { exact: false }).first().fill('ftp://wrong')
    await page.getByRole('button', { name: 'Create', exact: true }).click()
    await page.locator('.form-error', { hasText: "'url' must be a URL" }).waitFor()
    await page.getByLabel('URL', { exact: false }).first().fill('http://127.0.0.1:1/hook')
    await page.getByRole('button', { name: 'Create', exact: true }).click()
    assert.match(await page.locator('.secret code').innerText(), /^whsec_/)
    await page.getByRole('dialog').getByRole('button', { name: 'Close' }).last().click()
    await it.go(page, '/ui/notifications/rules')
    await page.locator('tbody tr', { hasText: 'Ended with a failure' }).dblclick()
    await page.getByRole('dialog').getByText('Desk').click()
    await page.getByRole('button', { name: 'Save' }).click()
    await page.locator('tbody tr', { hasText: 'console, Desk' }).waitFor()
    await it.server.docker('run', '--name', 'second', 'tabique/base', 'sh', '-c', 'exit 2')
    await it.go(page, '/ui/notifications/deliveries')
    const row = page.locator('tbody tr', { hasText: 'Desk' })
    await row.waitFor({ timeout: 20_000 })
    await page.locator('tbody tr', { hasText: /refused|connect/i }).waitFor({ timeout: 20_000 })
    assert.match(await row.innerText(), /waiting/)
  })

  test('a rule is switched off where it stands', async () => {
    await it.go(page, '/ui/notifications/rules')
    const toggle = page.getByRole('switch', { name: 'On Out of memory' })
    await toggle.click()
    await page.waitForFunction(() => fetch('/api/v1/notification-rules').then((r) => r.json()).then(({ rules }) => !rules.find((rule) => rule.id === 'oom').enabled))
  })

  test('helpdesk sees rules and notifications, and can change neither', async () => {
    const made = await it.server.request('POST', '/api/v1/users', { body: { name: 'hanna', role: 'helpdesk', password: 'a long enough one', mustChangePassword: false } })
    assert.equal(made.status, 201, made.text)
    const other = await (await it.context()).newPage()
    await it.signIn(other, 'hanna', 'a long enough one')
    await it.go(other, '/ui/notifications?show=all')
    await other.locator('tbody tr', { hasText: 'broken' }).waitFor()
    assert.equal(await other.getByRole('button', { name: 'Acknowledge all' }).count(), 0)
    assert.equal(await other.getByRole('link', { name: 'Channels' }).count(), 0)
    await it.go(other, '/ui/notifications/rules')
    await other.locator('tbody tr', { hasText: 'Out of memory' }).waitFor()
    assert.equal(await other.getByRole('button', { name: 'Make a rule' }).count(), 0)
    assert.equal(await other.getByRole('switch').count(), 0)
    for (const [method, path] of [['GET', 'notification-channels'], ['POST', 'notifications/acknowledge'], ['PUT', 'notification-rules/oom']]) {
      const status = await other.evaluate(([m, p]) => fetch('/api/v1/' + p, { method: m, headers: { 'Content-Type': 'application/json' }, body: m === 'GET' ? undefined : '{}' }).then((r) => r.status), [method, path])
      assert.equal(status, 403, `${method} ${path}`)
    }
    await other.context().close()
  })

  test('the page has complained of nothing', () => { assert.deepEqual(it.problems, []) })
})
