// The OpenAPI document against the server: its routes in both directions, and the
// answers of Docker's operations field by field.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { after, before, describe, test } from 'node:test'
import { Server } from './lib/server.mjs'
import { asker } from './lib/bad_requests.mjs'
import { dockerSamples } from './lib/openapi_samples.mjs'
import { check, described } from './lib/schema.mjs'

const plain = (text) => text.replace(/\{([^}.]*)(\.\.\.)?\}/g, '{}')

let server
let ask
let document
let samples
before(async () => {
  server = await Server.start({ args: ['--address-pools', '10.214.0.0/16:24'] })
  ask = asker(server.socket)
  document = (await ask('GET', '/api/openapi.json')).json
  samples = await dockerSamples(ask)
}, { timeout: 180_000 })
after(async () => { await server?.stop() }, { timeout: 60_000 })

const operations = () => Object.entries(document.paths).flatMap(([target, item]) =>
  Object.entries(item).filter(([method]) => method !== 'parameters').map(([method, operation]) => [`${method.toUpperCase()} ${target}`, operation]))
const answerSchema = (operation) => Object.entries(operation.responses).find(([status]) => status.startsWith('2'))?.[1].content?.['application/json']?.schema

test('every route is described with its permission, and every description is a route', () => {
  const routes = execFileSync(server.binary, ['--list-routes'], { encoding: 'utf8' }).trim().split('\n').map((line) => line.split(' '))
  assert.deepEqual(
    operations().map(([name, operation]) => `${plain(name)} ${operation['x-permission']}`).sort(),
    routes.map(([method, pattern, permission]) => `${plain(`${method} ${pattern}`)} ${permission}`).sort())
})

test('names of operations are unique, and every reference leads somewhere', () => {
  const names = operations().map(([, operation]) => operation.operationId)
  assert.equal(new Set(names).size, names.length)
  for (const [, ref] of JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g))
    assert.ok(ref.split('/').reduce((at, name) => at?.[name], document), ref)
})

describe('real answers', () => {
  test('each has all its fields, of their types, and no other', () => {
    for (const [name, answers] of Object.entries(samples)) {
      const found = operations().find(([operation]) => plain(operation) === plain(name))
      assert.ok(found, name)
      const schema = answerSchema(found[1])
      assert.ok(schema, `${name}: no schema`)
      for (const answer of answers) {
        const errors = []
        check(document, schema, answer, name, errors)
        assert.deepEqual(errors, [], name)
      }
    }
  })

  test('each field that is described was seen', () => {
    const wanted = new Set()
    const seen = new Set()
    for (const [name, answers] of Object.entries(samples)) {
      const schema = answerSchema(operations().find(([operation]) => plain(operation) === plain(name))[1])
      described(document, schema, name, wanted)
      for (const answer of answers) check(document, schema, answer, name, [], seen)
    }
    assert.deepEqual([...wanted].filter((field) => !seen.has(field)), [])
  })

  test('an answer with one field more, less, or other is told apart', () => {
    const [image] = samples['GET /images/json'][0]
    const schema = { $ref: '#/components/schemas/ImageSummary' }
    const errors = (value) => { const found = []; check(document, schema, value, '', found); return found }
    assert.deepEqual(errors(image), [])
    assert.deepEqual(errors({ ...image, Extra: 1 }), ['ImageSummary.Extra: not described'])
    assert.deepEqual(errors({ ...image, Size: '1' }), ['ImageSummary.Size: string, not integer'])
    const { Size, ...less } = image
    assert.deepEqual(errors(less), ['ImageSummary.Size: missing'])
  })
})
