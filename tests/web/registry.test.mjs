// Images go to a registry and come from one, layer by layer on the screen.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { startRegistry } from '../api/lib/registry.mjs'
import { Console } from './lib/console.mjs'

let it, page, registry, dir
before(async () => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tabique-web-images-'))
  registry = await startRegistry(path.join(dir, 'registry'), { password: true })
  it = await Console.start({ args: ['--insecure-registry', `127.0.0.1:${registry.port}`] })
  await it.server.ok('run', '--name', 'big', 'tabique/base', 'sh', '-c', 'head -c 3000000 /dev/urandom >/big')
  await it.server.ok('commit', 'big', 'desk/slow')
  page = await (await it.context()).newPage()
  await it.signIn(page)
})
after(async () => {
  await it?.stop()
  await registry?.stop()
  if (dir) fs.rmSync(dir, { recursive: true, force: true })
})

const dialog = () => page.locator('dialog[open]')
const images = async () => (await it.server.request('GET', '/images/json')).json.flatMap((image) => image.RepoTags)

test('push to a registry that wants a password, and pull again, layer by layer', async () => {
  const name = `127.0.0.1:${registry.port}/desk/slow:2`
  const open = async () => {
    await it.go(page, '/ui/images')
    await page.locator('tbody tr', { hasText: 'desk/slow' }).first().getByRole('button', { name: 'More' }).click()
    await page.getByRole('menuitem', { name: 'Push' }).click()
    await dialog().getByLabel('Name to push under').fill(name)
  }
  await open()
  await dialog().getByRole('button', { name: 'Push' }).click()
  await dialog().locator('.job-state .bad-text').waitFor({ timeout: 60_000 })
  await page.keyboard.press('Escape')
  const credentials = async () => {
    await dialog().getByText('User and password for the registry').click()
    await dialog().getByLabel('User', { exact: true }).fill('alice')
    await dialog().getByLabel('Password', { exact: true }).fill('secret')
  }
  await open()
  await credentials()
  await dialog().getByRole('button', { name: 'Push' }).click()
  await dialog().getByText('Done.').waitFor({ timeout: 120_000 })
  assert.ok(await dialog().locator('.layers li').count() >= 2)
  await page.keyboard.press('Escape')
  for (const one of ['desk/slow', name]) await it.server.ok('rmi', one)
  assert.ok(!(await images()).includes(name))
  await page.getByRole('button', { name: 'Pull' }).click()
  await dialog().getByLabel('Image').fill(name)
  await credentials()
  await dialog().getByRole('button', { name: 'Pull' }).click()
  await dialog().getByText('Done.').waitFor({ timeout: 120_000 })
  await dialog().locator('.layers li', { hasText: /complete|exists/i }).first().waitFor()
  await page.keyboard.press('Escape')
  assert.ok((await images()).includes(name))
  await page.locator('tbody tr', { hasText: name }).waitFor()
  // The password is nowhere in the browser's keeping.
  assert.equal(await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }).includes('secret')), false)
})

test('the browser complained of nothing', () => {
  assert.deepEqual(it.problems, [])
})
