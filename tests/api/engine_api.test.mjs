// docs/ENGINE-API.md against the route table, and the API's versions by path.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { before, describe, test } from 'node:test'
import { execFileSync } from 'node:child_process'
import net from 'node:net'
import { cases } from './lib/bad_requests.mjs'
import { ask, server } from './lib/own.mjs'

const top = path.join(import.meta.dirname, '../..')
const plain = (text) => text.replace(/\{[^}]*\}/g, '{}')

// The table's rows, each with its heading.
function table() {
  const rows = []
  let section = ''
  for (const line of fs.readFileSync(path.join(top, 'docs/ENGINE-API.md'), 'utf8').split('\n')) {
    section = /^## (.*)/.exec(line)?.[1] ?? section
    const [, operation, state, tests, notes] = /^\| `(\S+ \S+)` \| ([^|]+) \| ([^|]+) \| ([^|]*)\|$/.exec(line) ?? []
    if (operation) rows.push({ section, operation, state, tests: tests.split(', '), notes })
  }
  return rows
}

test('the table has every operation of the route table and of openapi.json, and no other', () => {
  const rows = table().map(({ operation }) => plain(operation)).sort()
  const routes = execFileSync(server.binary, ['--list-routes'], { encoding: 'utf8' }).trim().split('\n').map((line) => line.split(' '))
  const served = routes.filter(([, , , whose]) => whose === 'docker').map(([method, pattern]) => plain(`${method} ${pattern}`))
  assert.deepEqual(rows, served.sort())
  const { paths } = JSON.parse(fs.readFileSync(path.join(top, 'server/openapi.json'), 'utf8'))
  const described = Object.entries(paths).flatMap(([target, item]) => Object.entries(item).filter(([, operation]) => operation.tags?.includes('docker'))
    .map(([method]) => plain(`${method.toUpperCase()} ${target}`)))
  const own = routes.map(([method, pattern]) => plain(`${method} ${pattern}`)).filter((operation) => !served.includes(operation))
  assert.deepEqual(rows, described.filter((operation) => !own.includes(operation)).sort())
})

// Docker's own description of 1.51 has 107 operations; its /session is BuildKit's, and no route here.
test('it has all operations of 1.51, and says which are older', () => {
  const older = ['DELETE /containers/{}/checkpoints/{}', 'DELETE /containers/{}/{}', 'GET /containers/{}/checkpoints', 'POST /build/cancel', 'POST /containers/{}/checkpoints']
  const rows = table().map(({ operation }) => plain(operation))
  assert.deepEqual(older.filter((operation) => !rows.includes(operation)), [])
  assert.equal(new Set(rows).size - older.length, 106)
})

// What a test of an operation says at least: the last word of its path, or what the CLI calls it.
const spoken = { archive: "archive|'cp'", attach: "attach|'-i'", auth: 'auth|login', changes: "changes|'diff'", containers: "containers|'rm'|'ps'", create: "create|'pull'|'import'|'run'",
  df: "df|'df'", get: "get|'save'", images: "images|'rmi'", start: "start|'exec'|'run'", stats: "stats|'stats'" }
const ofTables = ['bad_requests', 'openapi'] // these go through all of them

test('each row names tests that are there, speak of it, and put its operation to the server', () => {
  const text = {}
  for (const { operation, state, tests } of table()) {
    const words = operation.split(/[ /]/).slice(1).filter((word) => word && !word.startsWith('{'))
    const word = words.at(-1) === 'json' && words.length > 1 ? words.at(-2) : words.at(-1)
    assert.match(state, /^(works|works, differs|refused)$/, operation)
    for (const name of tests) {
      const file = path.join(import.meta.dirname, name === 'clients' ? '../clients/cli.mjs' : `${name}.test.mjs`)
      assert.ok(fs.existsSync(file), `${operation}: ${name}`)
      text[name] ??= [file, ...(name === 'clients' ? [path.join(import.meta.dirname, '../clients/dockerpy.py')] : [])].map((each) => fs.readFileSync(each, 'utf8')).join('')
      if (!ofTables.includes(name)) assert.match(text[name], new RegExp(`(^|[^a-z])(${spoken[word] ?? word})(?![a-z])`, 'm'), `${operation}: ${name} does not speak of it`)
    }
  }
  // Every operation at least once among the bad requests, which are put to all engines.
  const asked = new Set(cases.map(({ op }) => plain(op)))
  const cannotFail = ['GET /_ping', 'HEAD /_ping', 'GET /version', 'GET /info']
  assert.deepEqual(table().map(({ operation }) => plain(operation)).filter((operation) => !asked.has(operation) && !cannotFail.includes(operation)), [])
})

test('nothing of containers, images, volumes, networks, exec and system is left out', () => {
  // By design: experimental only, and cluster volumes.
  const refused = table().filter(({ section, state }) => /^(Containers|Exec|Images|Build|Networks|Volumes|System)$/.test(section) && state === 'refused').map(({ operation }) => operation)
  assert.deepEqual(refused.sort(), ['DELETE /containers/{id}/checkpoints/{checkpoint}', 'GET /containers/{id}/checkpoints', 'POST /containers/{id}/checkpoints', 'PUT /volumes/{name}'])
  for (const { operation, notes } of table()) assert.doesNotMatch(notes, /not implemented|todo/i, operation)
})

describe('versions', () => {
  test('too new, too old, no number, as Docker says it', async () => {
    const said = async (version) => { const { status, json, text } = await ask('GET', `/${version}/version`); return [status, json?.message ?? text] }
    assert.deepEqual(await said('v1.99'), [400, 'client version 1.99 is too new. Maximum supported API version is 1.51'])
    assert.deepEqual(await said('v2.0'), [400, 'client version 2.0 is too new. Maximum supported API version is 1.51'])
    assert.deepEqual(await said('v1.23'), [400, 'client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version'])
    assert.deepEqual(await said('vx'), [404, 'page not found'])
  })

  test('ping: headers by GET and HEAD, with and without a version', async () => {
    for (const method of ['GET', 'HEAD']) {
      for (const prefix of ['', '/v1.24', '/v1.51']) {
        const { status, headers, text } = await ask(method, `${prefix}/_ping`)
        assert.equal(status, 200)
        assert.equal(headers['api-version'], '1.51')
        assert.equal(headers.ostype, 'linux')
        assert.equal(headers['docker-experimental'], 'false')
        assert.ok('builder-version' in headers)
        assert.equal(headers.swarm, 'inactive')
        assert.match(headers['cache-control'], /no-store/)
        assert.equal(headers.pragma, 'no-cache')
        assert.match(headers.server, /linux/)
        assert.equal(text, method === 'GET' ? 'OK' : '')
      }
    }
  })

  test('fields that came and went', async () => {
    assert.equal((await ask('POST', '/containers/create?name=versions', { body: { Image: 'tabique/base', Cmd: ['true'] } })).status, 201)
    const seen = async (version, target, field) => {
      const { json } = await ask('GET', `/v1.${version}${target}`)
      return field.split('.').reduce((value, name) => (value === undefined ? undefined : value?.[name] ?? (value && name in value ? null : undefined)), Array.isArray(json) ? json[0] : json) !== undefined
    }
    for (const [target, field, since, until] of [
      ['/info', 'KernelMemory', 24, 41], ['/info', 'BridgeNfIptables', 24, 49], ['/info', 'FirewallBackend', 49, 51], ['/info', 'DiscoveredDevices', 50, 51],
      ['/images/json', 'VirtualSize', 24, 43], ['/containers/json?all=1', 'NetworkSettings', 24, 51], ['/containers/json?all=1', 'ImageManifestDescriptor', 99, 99],
    ]) {
      for (const version of [24, 41, 43, 44, 48, 49, 50, 51])
        assert.equal(await seen(version, target, field), version >= since && version <= until, `${field} in 1.${version}`)
    }
  })

  test('an image\'s Config has all its fields, and more of them before 1.50', async () => {
    for (const [version, more] of [['1.41', true], ['1.49', true], ['1.50', false], ['1.51', false]]) {
      const { json } = await ask('GET', `/v${version}/images/tabique/base/json`)
      for (const name of ['Cmd', 'Entrypoint', 'Env', 'Labels', 'OnBuild', 'User', 'Volumes', 'WorkingDir']) assert.ok(name in json.Config, `${name} in ${version}`)
      for (const name of ['AttachStdin', 'Domainname', 'Hostname', 'Image', 'Tty']) assert.equal(name in json.Config, more, `${name} in ${version}`)
    }
  })

  test('options of later versions: left out for older clients, or refused where that would weaken them', async () => {
    const make = async (version, HostConfig, more = {}) => {
      const { status, json } = await ask('POST', `/v${version}/containers/create`, { body: { Image: 'tabique/base', Cmd: ['true'], HostConfig, ...more } })
      if (status !== 201) return json.message
      const made = (await ask('GET', `/containers/${json.Id}/json`)).json
      await ask('DELETE', `/containers/${json.Id}?v=1`)
      return made
    }
    const subpath = { Mounts: [{ Type: 'volume', Source: 'v', Target: '/v', VolumeOptions: { Subpath: 'a' } }] }
    assert.equal(await make('1.44', subpath), 'VolumeOptions.Subpath needs API v1.45 or newer')
    assert.equal(await make('1.43', { Mounts: [{ Type: 'bind', Source: '/tmp', Target: '/t', BindOptions: { ReadOnlyForceRecursive: true } }] }), 'BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer')
    assert.equal(await make('1.47', { Mounts: [{ Type: 'image', Source: 'tabique/base', Target: '/i' }] }), 'Mount type "Image" needs API v1.48 or newer')
    const mixed = { Mounts: [{ Type: 'tmpfs', Target: '/t', VolumeOptions: { NoCopy: true } }] }
    assert.equal(await make('1.42', mixed), 'VolumeOptions must not be specified on mount type "tmpfs"')
    const health = { Healthcheck: { Test: ['CMD', 'true'], StartInterval: 1e9 } }
    assert.equal((await make('1.43', {}, health)).Config.Healthcheck.StartInterval, undefined)
    assert.equal((await make('1.44', {}, health)).Config.Healthcheck.StartInterval, 1e9)
    assert.equal((await make('1.39', {})).HostConfig.IpcMode, 'shareable')
    assert.equal((await make('1.40', {})).HostConfig.IpcMode, 'private')
  })

  test('the type of a log stream', async () => {
    for (const [version, type] of [['1.41', 'application/vnd.docker.raw-stream'], ['1.42', 'application/vnd.docker.multiplexed-stream']]) {
      const { headers } = await ask('GET', `/v${version}/containers/versions/logs?stdout=1`)
      assert.equal(headers['content-type'], type)
    }
  })
})

// docker-py loses what it reads together with the head of the answer.
test('an attachment\'s head comes alone, its stream behind it', async () => {
  const { json: { Id } } = await ask('POST', '/containers/create', { body: { Image: 'tabique/base', Cmd: ['echo', 'hello'] } })
  await ask('POST', `/containers/${Id}/start`)
  await ask('POST', `/containers/${Id}/wait`)
  for (let i = 0; i < 20; i++) {
    const pieces = await new Promise((resolve, reject) => {
      const got = []
      const socket = net.connect(server.socket, () => socket.write(`POST /containers/${Id}/attach?logs=1&stdout=1&stderr=1&stream=0 HTTP/1.1\r\n`
        + 'Host: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n'))
      socket.on('data', (piece) => got.push(piece.toString('latin1')))
      socket.on('end', () => { socket.end(); resolve(got) })
      socket.on('error', reject)
    })
    assert.match(pieces[0], /^HTTP\/1\.1 101 [^]*\r\n\r\n$/)
    assert.equal(pieces.slice(1).join(''), '\x01\0\0\0\0\0\0\x06hello\n')
  }
})
