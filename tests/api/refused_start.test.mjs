// A server that cannot serve says in one line why and what to do, and leaves nothing made.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'

const build = process.env.TABIQUE_BUILD
const binary = path.join(build, 'server/tabique')
let root
before(() => { root = fs.mkdtempSync(path.join(os.tmpdir(), 'tabique-refused-')); fs.chmodSync(root, 0o755) })
after(() => fs.rmSync(root, { recursive: true, force: true }))

function start(name, args = [], wrap = []) {
  const dir = path.join(root, name)
  const [program, ...rest] = [...wrap, binary, '--data-dir', `${dir}/data`, '--run-dir', `${dir}/run`, '--socket', `${dir}/run/s.sock`,
    '--listen', '127.0.0.1:0', '--libexec-dir', path.join(build, 'libexec'), ...args]
  const { status, stderr, signal } = spawnSync(program, rest, { encoding: 'utf8', timeout: 60_000 })
  return { status, signal, said: stderr, dir }
}

test('without its shim', () => {
  const { status, said, dir } = start('shim', ['--libexec-dir', '/nowhere'])
  assert.notEqual(status, 0)
  assert.match(said, /^tabique: \/nowhere\/tabique-shim is missing .* --libexec-dir.*\n$/)
  assert.equal(fs.existsSync(dir), false)
})

test('as somebody who is not root', () => {
  const { status, said, dir } = start('user', [], ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'])
  assert.notEqual(status, 0)
  assert.match(said, /must run as root.*sudo/)
  assert.equal(fs.existsSync(dir), false)
})

test('with its port taken', async () => {
  const taken = net.createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => taken.once('listening', resolve))
  const address = `127.0.0.1:${taken.address().port}`
  const { status, said } = start('port', ['--listen', address, '--vm-pool', '0'])
  taken.close()
  assert.notEqual(status, 0)
  assert.match(said, new RegExp(`port ${address.split(':')[1]} is taken .*--listen`))
})
