// Images are built from what is chosen or dropped, with what the engine says of it on
// the screen, also behind another view.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { Console } from './lib/console.mjs'

let it, page, dir
before(async () => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tabique-web-images-'))
  it = await Console.start()
  page = await (await it.context()).newPage()
  await it.signIn(page)
})
after(async () => {
  await it?.stop()
  if (dir) fs.rmSync(dir, { recursive: true, force: true })
})

const dialog = () => page.locator('dialog[open]')
const images = async () => (await it.server.request('GET', '/images/json')).json.flatMap((image) => image.RepoTags)

// What a file manager would hand over.
const drop = async (target, files) => {
  const transfer = await page.evaluateHandle((list) => {
    const made = new DataTransfer()
    for (const [name, text] of list) made.items.add(new File([text], name))
    return made
  }, files)
  await target.dispatchEvent('drop', { dataTransfer: transfer })
}

test('a build from a folder that is chosen: .dockerignore is obeyed, the steps are seen, the image runs', async () => {
  const context = path.join(dir, 'context')
  fs.mkdirSync(path.join(context, 'sub'), { recursive: true })
  fs.writeFileSync(path.join(context, 'Dockerfile'), 'FROM tabique/base\nARG GREETING\nCOPY . /srv/\nRUN echo "step speaks: $GREETING"; ls -R /srv\nCMD ["cat", "/srv/sub/word"]\n')
  fs.writeFileSync(path.join(context, '.dockerignore'), '*.log\n')
  fs.writeFileSync(path.join(context, 'noise.log'), 'x')
  fs.writeFileSync(path.join(context, 'sub/word'), 'from the folder')
  await it.go(page, '/ui/images')
  await page.getByRole('button', { name: 'Build' }).click()
  await dialog().getByLabel('Name of the image').fill('desk/built:1')
  await dialog().locator('input[type=file]').first().setInputFiles(context)
  await dialog().getByText('4 files').waitFor()
  await dialog().getByText('Arguments, stage, cache').click()
  await dialog().getByLabel('Build arguments').fill('GREETING=hello desk')
  await dialog().getByRole('button', { name: 'Build' }).click()
  await dialog().locator('.build-output', { hasText: 'step speaks: hello desk' }).waitFor({ timeout: 120_000 })
  await dialog().getByText('Done.').waitFor({ timeout: 120_000 })
  const output = await dialog().locator('.build-output').innerText()
  assert.match(output, /Step 1\/5 : FROM tabique\/base/)
  assert.doesNotMatch(output, /noise\.log/)
  await dialog().getByRole('button', { name: 'Close' }).last().click()
  await page.locator('tbody tr', { hasText: 'desk/built:1' }).waitFor()
  assert.equal(await it.server.ok('run', '--rm', 'desk/built:1'), 'from the folder')
})

test('a Dockerfile that is dropped opens the form; one that fails says at which step', async () => {
  await it.go(page, '/ui/images')
  await page.waitForSelector('main .table')
  await drop(page.locator('main .view'), [['Dockerfile', 'FROM tabique/base\nRUN echo so far; exit 7\n']])
  await dialog().getByText('1 file').waitFor()
  await dialog().getByRole('button', { name: 'Build' }).click()
  await dialog().locator('.job-state .bad-text').waitFor({ timeout: 120_000 })
  assert.match(await dialog().locator('.job-state').innerText(), /7/)
  await dialog().locator('.build-output', { hasText: 'so far' }).waitFor()
  await page.keyboard.press('Escape')
  await dialog().waitFor({ state: 'detached' })
})

test('a Dockerfile written by hand, and a build that goes on behind another view', async () => {
  await it.go(page, '/ui/images')
  await page.getByRole('button', { name: 'Build' }).click()
  await dialog().getByRole('button', { name: 'Only a Dockerfile' }).click()
  await dialog().getByRole('textbox', { name: 'Only a Dockerfile' }).fill('FROM tabique/base\nRUN sleep 3; head -c 3000000 /dev/urandom >/big\n')
  await dialog().getByLabel('Name of the image').fill('desk/slow')
  await dialog().getByRole('button', { name: 'Build' }).click()
  await dialog().getByRole('button', { name: 'Go on in the background' }).click()
  await page.getByRole('link', { name: 'Volumes' }).click()
  await page.getByRole('button', { name: 'Under way' }).waitFor()
  await page.locator('.toast', { hasText: 'Building desk/slow: done' }).waitFor({ timeout: 120_000 })
  await page.locator('.toast').getByRole('button', { name: 'Look' }).click()
  await dialog().getByText('Done.').waitFor()
  await page.keyboard.press('Escape')
  await page.getByRole('button', { name: 'Under way' }).waitFor({ state: 'detached' })
})

test('the browser complained of nothing', () => {
  assert.deepEqual(it.problems, [])
})
