// A whole pass without a mouse: everything is reached, nothing holds one fast.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Console, PASSWORD } from './lib/console.mjs'

let it, page
before(async () => {
  it = await Console.start()
  await it.server.ok('run', '-d', '--stop-timeout', '1', '--name', 'pinger', 'tabique/base', 'ping', 'localhost')
  page = await (await it.context()).newPage()
  await it.go(page, '/ui/')
})
after(async () => { await it?.stop() })

const press = async (...keys) => { for (const key of keys) await page.keyboard.press(key) }
const focused = () => page.evaluate(() => { const e = document.activeElement; return e.getAttribute('aria-label') || e.textContent?.trim() || e.tagName })
const tabTo = async (name) => {
  for (let i = 0; i < 80; i++) {
    if ((await focused()) === name) return
    await press('Tab')
  }
  assert.fail('Tab does not lead to ' + name)
}

test('signing in, the first password, and the skip link', async () => {
  await page.waitForFunction(() => document.activeElement?.getAttribute('name') === 'user')
  await page.keyboard.type('admin')
  await press('Tab')
  await page.keyboard.type(it.firstPassword())
  await press('Enter')
  await page.waitForFunction(() => document.activeElement?.getAttribute('name') === 'old')
  await page.keyboard.type(it.firstPassword())
  await press('Tab')
  await page.keyboard.type(PASSWORD)
  await press('Tab')
  await page.keyboard.type(PASSWORD)
  await press('Enter')
  await page.waitForSelector('.shell')
  await press('Tab')
  assert.equal(await focused(), 'Skip to the content')
  await press('Enter')
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main')
})

test('every focus is seen, and Tab goes all the way round', async () => {
  await page.evaluate(() => document.activeElement?.blur())
  const seen = new Set()
  for (let i = 0; i < 60; i++) {
    await press('Tab')
    const { name, outline } = await page.evaluate(() => {
      const e = document.activeElement
      if (e === document.body) return { name: '', outline: true }
      const style = getComputedStyle(e)
      return { name: (e.getAttribute('href') ?? '') + (e.getAttribute('aria-label') ?? e.textContent), outline: style.outlineStyle !== 'none' || e.id === 'main' || !!e.closest('.table') }
    })
    assert.ok(outline, name + ' has the focus and does not show it')
    if (seen.has(name) && seen.size > 10) break
    seen.add(name)
  }
  assert.ok([...seen].some((name) => name.includes('/ui/about')) && [...seen].some((name) => name.includes('Create a container')))
})

test('a container is made: c, fields, a wall, Enter', async () => {
  await press('c')
  await page.waitForURL('**/containers/new')
  await page.waitForFunction(() => document.querySelector('input[list=images]')?.value)
  await page.locator('input[list=images]').focus()
  await press('Tab')
  await page.keyboard.type('typed')
  await press('Tab')
  await page.keyboard.type('sleep 4711')
  await press('Tab')
  assert.equal(await page.evaluate(() => document.activeElement.type), 'radio')
  await page.locator('input[list=images]').focus()
  await press('Enter')
  await page.waitForURL('**/compare/typed')
  await it.server.waitState('typed', 'running')
})

test('the list: search, arrows, select, stop, open, tabs by number', async () => {
  await press('g', 'c')
  await page.waitForURL('**/ui/containers')
  await page.waitForSelector('tbody tr[aria-rowindex]')
  await press('/')
  await page.keyboard.type('typed')
  await page.waitForURL('**q=typed')
  await press('Enter')
  await page.waitForFunction(() => document.activeElement?.getAttribute('role') === 'grid')
  await press('Home', 'x')
  await page.getByText('1 selected').waitFor()
  await press('S')
  await it.server.waitState('typed', 'exited')
  await page.locator('tbody tr', { hasText: 'Exited' }).waitFor()
  await press('s')
  await it.server.waitState('typed', 'running')
  await page.locator('main table').focus()
  await press('Enter')
  await page.waitForURL('**/containers/typed')
  await page.waitForSelector('.tabs')
  await press('2')
  await page.waitForURL('**/containers/typed/processes')
  await press('4')
  await page.waitForURL('**/containers/typed/logs')
})

test('files: down, in, and back', async () => {
  await press('6')
  await page.waitForURL('**/containers/typed/files')
  await page.locator('tbody tr', { hasText: 'etc' }).waitFor()
  await page.locator('main table').focus()
  await press('Home', 'j', 'j', 'Enter')
  await page.waitForURL('**path=%2Fetc')
  await page.locator('tbody tr', { hasText: 'passwd' }).waitFor()
  await page.goBack() // the browser's own key
  await page.waitForFunction(() => !location.search.includes('path='))
})

test('a menu and a dialog: opened, walked, left; the focus comes back', async () => {
  await page.getByRole('button', { name: 'More' }).focus()
  await press('Enter')
  await page.getByRole('menu').waitFor()
  await press('ArrowDown', 'End')
  assert.equal(await focused(), 'Remove')
  await press('Escape')
  assert.equal(await focused(), 'More')
  await press('Enter')
  await press('ArrowDown', 'ArrowDown', 'ArrowDown')
  await press('Escape', '?')
  await page.getByRole('dialog').waitFor()
  for (let i = 0; i < 6; i++) await press('Tab')
  assert.equal(await page.evaluate(() => !!document.activeElement.closest('dialog') || document.activeElement === document.body), true)
  await press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  assert.equal(await focused(), 'More')
})

test('compare: sides, others, layout, a pinned moment, time', async () => {
  await press('Control+k')
  await page.keyboard.type('compare typed')
  await page.locator('[role=option][aria-selected=true]', { hasText: 'Compare typed' }).waitFor()
  await press('Enter')
  await page.waitForURL('**/compare/typed')
  await page.waitForSelector('.pane.container tbody tr[aria-rowindex]')
  await press('[', 'j')
  await page.waitForSelector('.detail.same')
  await press(']', 'j', 'o')
  await page.waitForURL('**others=shown**')
  await press('t')
  await page.waitForURL('**flat=1**')
  await press('d')
  await page.waitForURL('**pin=**')
  await page.getByText('0 born').waitFor()
  await press('d', 'y')
  await page.getByText('The comparison is in the clipboard').waitFor()
  await page.getByRole('slider').focus()
  await press('ArrowLeft', 'ArrowLeft', 'ArrowLeft')
  await page.waitForURL(/[?&]at=/)
  await press('Escape', 'l')
  await page.waitForFunction(() => !/[?&]at=/.test(location.search))
})

test('removing asks, and takes no for an answer', async () => {
  await press('g', 'c')
  await page.waitForURL('**/ui/containers')
  await page.locator('tbody tr', { hasText: 'typed' }).waitFor()
  await press('/')
  await page.keyboard.type('typed')
  await page.waitForURL('**q=typed')
  await press('Enter', 'Home', 'Delete')
  await page.getByRole('dialog', { name: /Remove typed/ }).waitFor()
  await press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  await page.locator('main table').focus()
  await press('Home', 'Delete')
  await page.getByRole('dialog').waitFor()
  await tabTo('Remove')
  await press('Enter')
  await page.getByText('No container matches').waitFor()
})

test('signing out by the palette', async () => {
  await press('Control+k')
  await page.keyboard.type('sign out')
  await page.locator('[role=option][aria-selected=true]', { hasText: 'Sign out' }).waitFor()
  await press('Enter')
  await page.waitForSelector('.gate')
})

test('the browser complained of nothing', () => {
  assert.deepEqual(it.problems, [])
})
