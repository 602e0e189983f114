// Every operation with requests that must fail: status and message as Docker's newer
// engine gave them (bad_requests.json, recorded by tests/parity/run from 20.10 and, where
// it says otherwise, 26.1), or with the difference that stands there with its reason.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { Server } from './lib/server.mjs'
import { answerOf, asker, cases, key, prepare, tidy } from './lib/bad_requests.mjs'

const recorded = JSON.parse(fs.readFileSync(path.join(import.meta.dirname, 'bad_requests.json'), 'utf8'))
const REASONS = ['described', 'later', 'stricter', 'own', 'order']

let server
let ask
let ids
before(async () => {
  server = await Server.start()
  ask = asker(server.socket)
  ids = await prepare(ask)
}, { timeout: 120_000 })
after(async () => { await server?.stop() }, { timeout: 60_000 })

test('each difference from Docker has its reason, and each case was seen at Docker', () => {
  for (const entry of cases) {
    const seen = recorded[key(entry)]
    assert.ok(seen, `not recorded: ${key(entry)}`)
    if (seen.ours) assert.ok(REASONS.includes(seen.why?.split(':')[0]), `no reason: ${key(entry)}`)
  }
  assert.equal(new Set(cases.map(key)).size, Object.keys(recorded).length)
})

describe('bad requests', () => {
  const operations = Map.groupBy ? Map.groupBy(cases, ({ op }) => op)
    : cases.reduce((map, entry) => map.set(entry.op, [...(map.get(entry.op) ?? []), entry]), new Map())
  for (const [op, entries] of operations) {
    test(op, async () => {
      for (const entry of entries) {
        const { docker, newer, ours } = recorded[key(entry)]
        const answer = await answerOf(ask, entry, ids)
        await tidy(ask, entry, answer[0])
        assert.deepEqual(answer, ours ?? newer ?? docker, key(entry))
      }
    })
  }
})

test('and nothing was left behind', async () => {
  const { json: containers } = await ask('GET', '/containers/json?all=1')
  assert.deepEqual(containers.map(({ Names }) => Names[0]).sort(), ['/nolog', '/running', '/stopped'])
  const { json: networks } = await ask('GET', '/networks')
  assert.deepEqual(networks.map(({ Name }) => Name).sort(), ['bridge', 'host', 'net1', 'net2', 'none'])
})
