// The console's JSDoc is true: the compiler finds nothing.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const at = (path) => fileURLToPath(new URL(path, import.meta.url))
test('tsc --checkJs', () => {
  const { status, stdout } = spawnSync(process.execPath, [at('../../node_modules/typescript/bin/tsc'), '-p', at('../../../web/jsconfig.json')], { encoding: 'utf8' })
  assert.equal(status, 0, stdout)
})
