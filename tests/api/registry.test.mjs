// Pull and push with the stock client against Debian's docker-registry (TLS, password,
// private authority), and against a registry that lies.
import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, afterEach, before, describe, test } from 'node:test'
import zlib from 'node:zlib'
import { LyingRegistry, makeCertificate, makeImage, makeIndex, sha256, startRegistry, tar } from './lib/registry.mjs'
import { Server, sleep, until } from './lib/server.mjs'

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tabique-registry-'))
const json = (lines) => lines.trim().split('\r\n').map((line) => JSON.parse(line))
const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')
const images = (server, part) => path.join(server.dataDir, 'images', part)
const list = (server, part) => fs.readdirSync(images(server, part)).sort()
let tls

before(() => { tls = makeCertificate(dir, 'registry.localhost', 'stranger.localhost', 'insecure.localhost') })
after(() => fs.rmSync(dir, { recursive: true, force: true }))

// --- Debian's -----------------------------------------------------------------------------

describe("Debian's docker-registry", () => {
  let secure, plain, server
  const at = (host, name) => `${host}.localhost:${secure.port}/${name}`

  before(async () => {
    secure = await startRegistry(path.join(dir, 'secure'), { tls, password: true })
    plain = await startRegistry(path.join(dir, 'plain'))
    const certs = path.join(dir, 'certs', `registry.localhost:${secure.port}`)
    fs.mkdirSync(certs, { recursive: true })
    fs.copyFileSync(tls.authority, path.join(certs, 'ca.crt'))
    server = await Server.start({ args: ['--registry-certs', path.join(dir, 'certs'), '--insecure-registry', `insecure.localhost:${secure.port}`, '--registry-mirror', `http://127.0.0.1:${plain.port}`] })
  }, { timeout: 120_000 })
  after(async () => { await server?.stop(); await secure?.stop(); await plain?.stop() })

  test('without a password nothing goes in or out, and a wrong one is refused', async () => {
    await server.ok('tag', 'tabique/base', at('registry', 'team/base:1'))
    const push = await server.docker('push', at('registry', 'team/base:1'))
    assert.equal(push.code, 1)
    assert.equal(push.stderr, 'no basic auth credentials\n')
    const pull = await server.docker('pull', at('registry', 'team/base:1'))
    assert.equal(pull.code, 1)
    assert.match(pull.stderr, /Error response from daemon: Head "https:.*\/manifests\/1": no basic auth credentials/)
    const wrong = await server.docker('login', '-u', 'alice', '--password-stdin', at('registry', '').slice(0, -1), { input: 'guess' })
    assert.equal(wrong.code, 1)
    assert.match(wrong.stderr, /login attempt to https:\/\/registry\.localhost:\d+\/v2\/ failed with status: 401 Unauthorized/)
    const answer = await server.request('POST', '/auth', { body: { username: 'alice', password: 'guess', serveraddress: at('registry', '').slice(0, -1) } })
    assert.equal(answer.status, 500) // as Docker's engine
    const right = await server.docker('login', '-u', 'alice', '--password-stdin', at('registry', '').slice(0, -1), { input: 'secret' })
    assert.equal(right.code, 0, right.stderr)
    assert.match(right.stdout, /Login Succeeded/)
  })

  test('push, again, from beside, pull by tag and digest: the same digests', async () => {
    const name = at('registry', 'team/base')
    const first = await server.ok('push', `${name}:1`)
    assert.match(first, /^The push refers to repository \[registry\.localhost:\d+\/team\/base\]\n[0-9a-f]{12}: Preparing\n[0-9a-f]{12}: Pushed\n1: digest: sha256:[0-9a-f]{64} size: \d+$/)
    const digest = /sha256:[0-9a-f]{64}/.exec(first)[0]
    assert.match(await server.ok('push', `${name}:1`), new RegExp(`Layer already exists\n1: digest: ${digest}`))
    await server.ok('tag', `${name}:1`, at('registry', 'other/base:2'))
    assert.match(await server.ok('push', at('registry', 'other/base:2')), new RegExp(`Mounted from team/base\n2: digest: ${digest}`))
    const { json: before } = await server.request('GET', `/images/${name}:1/json`)
    assert.deepEqual(before.RepoDigests, [`${at('registry', 'other/base')}@${digest}`, `${name}@${digest}`])

    await server.ok('rmi', '-f', before.Id)
    assert.deepEqual(list(server, 'layers'), [])
    const pull = await server.ok('pull', `${name}:1`)
    assert.match(pull, /^1: Pulling from team\/base\n([0-9a-f]{12}): Pulling fs layer\n(\1: .*\n)*\1: Download complete\n(\1: .*\n)*\1: Pull complete\n/)
    assert.ok(pull.endsWith(`Digest: ${digest}\nStatus: Downloaded newer image for ${name}:1\n${name}:1`), pull)
    assert.match(await server.ok('pull', `${name}:1`), new RegExp(`Digest: ${digest}\nStatus: Image is up to date for ${name}:1\n`))
    assert.match(await server.ok('pull', `${name}@${digest}`), new RegExp(`Digest: ${digest}\n`))
    const { json: after } = await server.request('GET', `/images/${name}:1/json`)
    assert.equal(after.Id, before.Id)
    assert.deepEqual(after.RootFS, before.RootFS)
    assert.deepEqual(after.RepoDigests, [`${name}@${digest}`])
    assert.equal(await server.ok('run', '--rm', `${name}:1`, 'echo', 'it runs'), 'it runs')
    await server.ok('tag', `${name}:1`, 'tabique/base')

    // To another registry: the same manifest, although nothing can be mounted there.
    await server.ok('tag', `${name}:1`, `localhost:${plain.port}/library/base:1`)
    assert.match(await server.ok('push', `localhost:${plain.port}/library/base:1`), new RegExp(`Pushed\n1: digest: ${digest}`))
  })

  test('docker run pulls by itself', async () => {
    const result = await server.docker('run', '--rm', at('registry', 'other/base:2'), 'echo', 'pulled')
    assert.equal(result.code, 0, result.stderr)
    assert.equal(result.stdout, 'pulled\n')
    assert.match(result.stderr, /Unable to find image .* locally\n2: Pulling from other\/base/)
  })

  test('an unknown authority is refused, unless the registry is named insecure', async () => {
    const stranger = await server.docker('pull', at('stranger', 'team/base:1'))
    assert.equal(stranger.code, 1)
    assert.match(stranger.stderr, /certificate/)
    const auth = encode({ username: 'alice', password: 'secret' })
    const answer = await server.request('POST', `/images/create?fromImage=${at('insecure', 'team/base')}&tag=1`, { headers: { 'X-Registry-Auth': auth } })
    assert.equal(answer.status, 200, answer.text)
    assert.match(json(answer.text).at(-1).status, /^Status: /)
  })

  test('the mirror of docker.io is asked first', async () => {
    assert.match(await server.ok('pull', 'base:1'), /1: Pulling from library\/base\n/)
    assert.equal((await server.request('GET', '/images/base:1/json')).json.RepoTags.includes('base:1'), true)
    assert.deepEqual((await server.request('GET', '/distribution/base:1/json')).json.Platforms, [{ architecture: 'amd64', os: 'linux' }])
    const info = (await server.request('GET', '/info')).json
    assert.deepEqual(info.RegistryConfig.Mirrors, [`http://127.0.0.1:${plain.port}`])
    assert.equal(info.RegistryConfig.IndexConfigs[`insecure.localhost:${secure.port}`].Secure, false)
  })

  test('all tags, in and out; look without pulling; what is not there', async () => {
    const name = `localhost:${plain.port}/many`
    for (const tag of ['a', 'b', 'c']) await server.ok('tag', 'tabique/base', `${name}:${tag}`)
    const push = await server.ok('push', '-a', name)
    assert.deepEqual([...push.matchAll(/^(\w): digest/gm)].map((match) => match[1]), ['a', 'b', 'c'])
    await server.ok('rmi', `${name}:a`, `${name}:b`, `${name}:c`)
    await server.ok('pull', '-a', name)
    assert.deepEqual((await server.request('GET', `/images/${name}:a/json`)).json.RepoTags.filter((each) => each.startsWith(name)), ['a', 'b', 'c'].map((tag) => `${name}:${tag}`))
    const { status, json: seen } = await server.request('GET', `/distribution/${name}:a/json`)
    assert.equal(status, 200)
    assert.deepEqual(seen.Platforms, [{ architecture: 'amd64', os: 'linux' }])
    assert.match(seen.Descriptor.digest, /^sha256:/)

    assert.equal((await server.request('GET', `/distribution/${name}:none/json`)).status, 404)
    const missing = await server.request('POST', `/images/create?fromImage=${name}&tag=none`)
    assert.equal(missing.status, 404)
    assert.equal(missing.json.message, `manifest for ${name}:none not found: manifest unknown: manifest unknown`)
    const unpushed = await server.docker('push', `${name}:none`)
    assert.equal(unpushed.stderr, `tag does not exist: ${name}:none\n`)
    assert.match((await server.docker('push', `localhost:${plain.port}/nothing`)).stderr, /^An image does not exist locally with the tag: localhost:\d+\/nothing\n$/)
    assert.equal((await server.docker('push', 'UPPER/x')).code, 1)
  })

  test("a push's stream ends with what machines read", async () => {
    const name = `localhost:${plain.port}/aux`
    await server.ok('tag', 'tabique/base', `${name}:1`)
    const lines = json((await server.request('POST', `/images/${name}/push?tag=1`, { headers: { 'X-Registry-Auth': encode({}) } })).text)
    const { aux } = lines.at(-1)
    assert.deepEqual(Object.keys(aux), ['Tag', 'Digest', 'Size'])
    assert.equal(lines.at(-2).status, `1: digest: ${aux.Digest} size: ${aux.Size}`)
  })
})

// --- one that lies ---------------------------------------------------------------------------

describe('a registry that lies', () => {
  let registry, other, secure, server
  const pull = (query, headers = {}) => server.request('POST', `/images/create?${new URLSearchParams(query)}`, { headers })
  const failed = (answer, pattern) => {
    assert.equal(answer.status, 200, answer.text)
    const last = json(answer.text).at(-1)
    assert.match(last.error ?? `no error, but ${answer.text}`, pattern)
    assert.equal(last.errorDetail.message, last.error)
  }
  const arrived = (answer, { digest }) => {
    const lines = json(answer.text)
    assert.equal(lines.at(-2)?.status, `Digest: ${digest}`, answer.text)
    assert.match(lines.at(-1).status, /^Status: (Downloaded newer image|Image is up to date) for /)
  }
  const nothingLeft = () => {
    assert.deepEqual(['layers', 'blobs/sha256', 'tmp'].map((part) => list(server, part)), [[], [], []])
  }
  const trickle = (stream, bytes) => {
    const timer = setInterval(() => stream.write(bytes), 200)
    stream.on('close', () => clearInterval(timer))
  }
  const big = (seed = 7) => makeImage([{ files: { 'data': crypto.createHash('shake256', { outputLength: 3 << 20 }).update(String(seed)).digest() } }])

  before(async () => {
    const certs = path.join(dir, 'certs-of-liars')
    registry = await LyingRegistry.start()
    other = await LyingRegistry.start()
    secure = await LyingRegistry.start({ tls })
    fs.mkdirSync(path.join(certs, `registry.localhost:${secure.port}`), { recursive: true })
    fs.copyFileSync(tls.authority, path.join(certs, `registry.localhost:${secure.port}`, 'ca.crt'))
    server = await Server.start({ noImage: true, args: ['--base-image', '/nonexistent', '--registry-certs', certs, '--registry-timeout', '3s'] })
  }, { timeout: 120_000 })
  afterEach(async () => {
    await server.docker('image', 'prune', '-af')
    for (const each of [registry, other, secure]) each.reset()
    assert.deepEqual(list(server, 'partial'), [])
  })
  after(async () => { await server?.stop(); for (const each of [registry, other, secure]) await each?.stop() })

  test('the truth, first: OCI and Docker manifests, gzip, zstd and plain layers', async () => {
    const packers = { gzip: zlib.gzipSync, plain: (data) => data }
    if (zlib.zstdCompressSync) packers.zstd = zlib.zstdCompressSync
    const image = makeImage(Object.entries(packers).map(([kind, pack]) => ({ files: { [kind]: kind }, pack, type: `application/vnd.oci.image.layer.v1.tar${kind === 'plain' ? '' : `+${kind}`}` })), { oci: true })
    const name = registry.put('honest', '1', image)
    arrived(await pull({ fromImage: name }), image)
    const { json: seen } = await server.request('GET', `/images/${name}/json`)
    assert.equal(seen.Id, image.id)
    assert.deepEqual(seen.RootFS.Layers, image.diffIds)
  })

  test('a wrong digest: of a layer, a config, a manifest', async () => {
    const image = makeImage([{ files: { a: 'true' } }])
    const name = registry.put('wrong', '1', image)
    const flip = (bytes) => Buffer.from(bytes.map((byte, i) => (i === bytes.length - 1 ? byte ^ 1 : byte)))
    registry.blobs.set(image.layers[0].digest, flip(registry.blobs.get(image.layers[0].digest)))
    failed(await pull({ fromImage: name }), /verification failed for digest sha256:/)
    nothingLeft()
    assert.deepEqual(list(server, 'partial'), [])
    registry.put('wrong', '1', image)
    registry.blobs.set(image.id, flip(registry.blobs.get(image.id)))
    failed(await pull({ fromImage: name }), /verification failed for digest sha256:/)
    nothingLeft()
    registry.manifests.set('wrong:1', { ...image, manifest: Buffer.concat([image.manifest, Buffer.from('\n')]) })
    assert.match((await pull({ fromImage: name })).json.message, /manifest verification failed for digest sha256:/)
    registry.manifests.set(`wrong:${image.digest}`, makeImage([{ files: { b: 'other' } }]))
    assert.match((await pull({ fromImage: name.replace(':1', ''), tag: image.digest })).json.message, /manifest verification failed for digest/)
    nothingLeft()
  })

  test('a layer that unpacks to something else than its config says', async () => {
    const image = makeImage([{ files: { a: 'true' } }])
    const mixed = makeImage([{ files: { b: 'other' } }])
    const manifest = Buffer.from(JSON.stringify({ ...JSON.parse(image.manifest), layers: mixed.layers }))
    const name = registry.put('mixed', '1', { type: image.type, manifest, digest: sha256(manifest), blobs: new Map([...image.blobs, ...mixed.blobs]) })
    failed(await pull({ fromImage: name }), /wrong digest: a layer should unpack to sha256:/)
    nothingLeft()
  })

  test('a wrong length: told, sent too long, sent too short', async () => {
    const image = makeImage([{ files: { a: 'true' } }])
    const name = registry.put('length', '1', image)
    const bytes = registry.blobs.get(image.layers[0].digest)
    registry.blobs.set(image.layers[0].digest, Buffer.concat([bytes, bytes]))
    failed(await pull({ fromImage: name }), /wrong length: it should have \d+ bytes, and the registry sends \d+/)
    registry.blobs.set(image.layers[0].digest, bytes)
    registry.lieAbout(/blobs\/sha256/, (request, response, url) => {
      if (!url.pathname.endsWith(image.layers[0].digest)) return false
      response.writeHead(200, { 'Content-Type': 'application/octet-stream' }) // chunked: no length is told
      response.end(Buffer.concat([bytes, Buffer.alloc(100)]))
    })
    failed(await pull({ fromImage: name }), /wrong length: .* sends more/)
    nothingLeft()
    registry.lies = []
    registry.lieAbout(/blobs\/sha256/, (request, response, url) => {
      if (!url.pathname.endsWith(image.id)) return false
      response.end(registry.blobs.get(image.id).subarray(0, 10))
    })
    failed(await pull({ fromImage: name }), /wrong length|unexpected end/)
    nothingLeft()
    const manifest = Buffer.from(image.manifest.toString().replace(/"size":\d+/g, '"size":-5'))
    registry.lies = []
    registry.put('length', '2', { type: image.type, manifest, digest: sha256(manifest) })
    failed(await pull({ fromImage: name.replace(':1', ':2') }), /does not tell the length/)
  })

  test('cut in the middle of a layer, it goes on where it was', async () => {
    const image = big()
    const name = registry.put('cut', '1', image)
    const [{ digest, size }] = image.layers
    let cuts = 0
    registry.lieAbout(new RegExp(`blobs/${digest}`), (request, response) => {
      if (cuts++ > 1) return false
      LyingRegistry.sendBlob(request, response, registry.blobs.get(digest), { cutAfter: 1_000_000 })
    })
    const answer = await pull({ fromImage: name })
    arrived(answer, image)
    const asked = registry.requests.filter((each) => each.path.endsWith(digest)).map((each) => each.headers.range)
    assert.deepEqual(asked, [undefined, 'bytes=1000000-', 'bytes=2000000-'])
    assert.ok(json(answer.text).some((line) => /^Retrying in 1 second$/.test(line.status)))
    assert.ok(size > 3_000_000)
  })

  test('cut for good; the next pull takes up what is there, also from a server that began anew', async () => {
    const image = big(8)
    const name = registry.put('later', '1', image)
    const [{ digest }] = image.layers
    let first = true
    registry.lieAbout(new RegExp(`blobs/${digest}`), (request, response) => {
      if (!first) return LyingRegistry.error(response, 403, 'DENIED', 'no more')
      first = false
      LyingRegistry.sendBlob(request, response, registry.blobs.get(digest), { cutAfter: 1_500_000 })
    })
    failed(await pull({ fromImage: name }), /denied: no more/)
    nothingLeft()
    assert.equal(list(server, 'partial').length, 1)
    await server.halt()
    await server.spawn()
    registry.lies = []
    registry.requests = []
    arrived(await pull({ fromImage: name }), image)
    assert.deepEqual(registry.requests.filter((each) => each.path.endsWith(digest)).map((each) => each.headers.range), ['bytes=1500000-'])
    assert.deepEqual(list(server, 'partial'), [])
  })

  test('a beginning that is wrong is found out, and all of it asked for again', async () => {
    const image = big(9)
    const name = registry.put('poison', '1', image)
    const [{ digest }] = image.layers
    let first = true
    registry.lieAbout(new RegExp(`blobs/${digest}`), (request, response) => {
      if (!first) return LyingRegistry.error(response, 403, 'DENIED', 'no more')
      first = false
      LyingRegistry.sendBlob(request, response, Buffer.alloc(registry.blobs.get(digest).length), { cutAfter: 1_000_000 })
    })
    failed(await pull({ fromImage: name }), /denied: no more/)
    registry.lies = []
    registry.requests = []
    arrived(await pull({ fromImage: name }), image)
    assert.deepEqual(registry.requests.filter((each) => each.path.endsWith(digest)).map((each) => each.headers.range), ['bytes=1000000-', undefined])
  })

  test('a range that was not asked for, and a registry that knows no ranges', async () => {
    const image = big(10)
    const name = registry.put('ranges', '1', image)
    const [{ digest }] = image.layers
    let turn = 0
    registry.lieAbout(new RegExp(`blobs/${digest}`), (request, response) => {
      const bytes = registry.blobs.get(digest)
      if (turn++ === 0) return LyingRegistry.sendBlob(request, response, bytes, { cutAfter: 1_000_000 })
      response.writeHead(200, { 'Content-Length': bytes.length }) // all of it, whatever was asked for
      response.end(bytes)
    })
    arrived(await pull({ fromImage: name }), image)
    await server.docker('image', 'prune', '-af')
    turn = 0
    registry.lies = []
    registry.lieAbout(new RegExp(`blobs/${digest}`), (request, response) => {
      const bytes = registry.blobs.get(digest)
      if (turn++ === 0) return LyingRegistry.sendBlob(request, response, bytes, { cutAfter: 1_000_000 })
      response.writeHead(206, { 'Content-Length': 10, 'Content-Range': `bytes 5-14/${bytes.length}` })
      response.end(bytes.subarray(5, 15))
    })
    failed(await pull({ fromImage: name }), /another part than was asked for/)
    nothingLeft()
  })

  test('one that trickles, and one that says nothing at all', async () => {
    const image = big(11)
    const name = registry.put('slow', '1', image)
    const [{ digest }] = image.layers
    registry.lieAbout(new RegExp(`blobs/${digest}`), (request, response) => {
      response.writeHead(200, { 'Content-Length': image.layers[0].size })
      trickle(response, 'x')
    })
    // Five tries of three seconds each, and the waits between them.
    failed(await pull({ fromImage: name }), /too slow|timed out/i)
    assert.equal(registry.count(new RegExp(digest)), 5)
    nothingLeft()
    registry.lies = []
    registry.lieAbout(/manifests/, () => {})
    assert.match((await pull({ fromImage: name })).json.message, /too slow|timed out/i)
    registry.lies = []
    registry.lieAbout(/manifests/, (request, response) => trickle(response.socket, 'HTTP/1.1 200 OK\r\nX: y\r\n'))
    assert.match((await pull({ fromImage: name })).json.message, /too slow|timed out|Header/i)
  }, { timeout: 180_000 })

  test('secrets go to nobody else, wherever a redirect leads', async () => {
    const image = makeImage([{ files: { a: 'elsewhere' } }])
    const name = registry.put('moved', '1', image)
    other.put('moved', '1', image)
    const basic = (request) => request.headers.authorization === `Basic ${Buffer.from('bob:hush').toString('base64')}`
    registry.lie((request, response, url) => {
      if (!basic(request)) return LyingRegistry.error(response, 401, 'UNAUTHORIZED', 'authentication required', { 'WWW-Authenticate': 'Basic realm="r"' }), true
      if (!/blobs/.test(url.pathname)) return false
      response.writeHead(307, { Location: `http://${other.host}${url.pathname}` })
      return response.end(), true
    })
    const auth = { 'X-Registry-Auth': encode({ username: 'bob', password: 'hush' }) }
    arrived(await pull({ fromImage: name }, auth), image)
    assert.equal(other.requests.length, 2)
    for (const { headers } of other.requests) assert.equal(headers.authorization, undefined)
    await server.docker('image', 'prune', '-af')
    // Nor does a stranger get them by asking.
    other.reset()
    other.lie((request, response) => (LyingRegistry.error(response, 401, 'UNAUTHORIZED', 'give', { 'WWW-Authenticate': `Bearer realm="http://${other.host}/token",service="s"` }), true))
    failed(await pull({ fromImage: name }, auth), /unauthorized: give/)
    assert.equal(other.count(/token/), 0)
    for (const { headers } of other.requests) assert.equal(headers.authorization, undefined)
    nothingLeft()
  })

  test('from TLS nothing leads to plain HTTP: not a redirect, not a token service', async () => {
    const image = makeImage([{ files: { a: 'secure' } }])
    secure.put('down', '1', image)
    const name = `registry.localhost:${secure.port}/down:1`
    secure.lieAbout(/blobs/, (request, response, url) => { response.writeHead(302, { Location: `http://${other.host}${url.pathname}` }); response.end() })
    failed(await pull({ fromImage: name }), /redirects to an unencrypted address/)
    assert.equal(other.requests.length, 0)
    secure.lies = []
    secure.lie((request, response) => (LyingRegistry.error(response, 401, 'UNAUTHORIZED', 'x', { 'WWW-Authenticate': `Bearer realm="http://${other.host}/token",service="s"` }), true))
    const answer = await pull({ fromImage: name }, { 'X-Registry-Auth': encode({ username: 'bob', password: 'hush' }) })
    assert.match(answer.json.message, /unencrypted token service/)
    assert.equal(other.requests.length, 0)
    for (const location of ['file:///etc/passwd', 'gopher://x/', `http://bob:hush@${other.host}/`, 'https://']) {
      secure.lies = []
      secure.lieAbout(/manifests/, (request, response) => { response.writeHead(302, { Location: location }); response.end() })
      const refused = await pull({ fromImage: name })
      assert.equal(refused.status >= 400, true, location)
    }
    assert.equal(other.requests.length, 0)
  })

  test('a redirect without end, a manifest without end, headers without end', async () => {
    const name = registry.put('endless', '1', makeImage([{ files: { a: '1' } }]))
    registry.lieAbout(/manifests/, (request, response, url) => { response.writeHead(302, { Location: `${url.pathname}x` }); response.end() })
    assert.match((await pull({ fromImage: name })).json.message, /stopped after 10 redirects/)
    assert.equal(registry.count(/manifests/), 11)
    registry.lies = []
    registry.lieAbout(/manifests/, (request, response) => {
      response.writeHead(200, { 'Content-Type': 'application/vnd.oci.image.manifest.v1+json' })
      const more = () => { while (!response.destroyed && response.write(Buffer.alloc(65536, 32))) continue }
      response.on('drain', more)
      more()
    })
    assert.match((await pull({ fromImage: name })).json.message, /larger than 4194304 bytes/)
    registry.lies = []
    registry.lieAbout(/manifests/, (request, response) => {
      const socket = response.socket
      socket.write('HTTP/1.1 200 OK\r\n')
      const more = () => { while (!socket.destroyed && socket.write(`X-${Math.random()}: ${'y'.repeat(1000)}\r\n`)) continue }
      socket.on('drain', more)
      more()
    })
    assert.match((await pull({ fromImage: name })).json.message, /larger|Too large/i)
  })

  test('what is no manifest, and what could be two', async () => {
    const image = makeImage([{ files: { a: '1' } }])
    const config = JSON.parse(image.manifest).config
    const cases = [
      ['', /not valid JSON/],
      ['{"schemaVersion":2,', /not valid JSON/],
      ['[]', /not a JSON object|config/],
      [JSON.stringify({ schemaVersion: 2, config: { ...config, digest: 'sha256:../../etc/passwd' }, layers: [] }), /no valid sha256 digest/],
      [JSON.stringify({ schemaVersion: 2, config, layers: [], manifests: [] }), /ambiguous/],
      [JSON.stringify({ schemaVersion: 2, config, layers: Array.from({ length: 200 }, () => image.layers[0]) }), /max depth exceeded/],
      [JSON.stringify({ schemaVersion: 2, config: { ...config, mediaType: 'application/vnd.cncf.helm.config.v1+json' }, layers: [] }), /no image for containers/],
      [JSON.stringify({ schemaVersion: 2, config, layers: [] }), /don't match image configuration/],
      [JSON.stringify({ schemaVersion: 2, config, layers: [{ ...image.layers[0], size: 1e17 }] }), /larger than the limit/],
      [JSON.stringify({ schemaVersion: 1, name: 'x', tag: '1', fsLayers: [] }), /schema 1/],
      ['{"schemaVersion":2,"config":' + '['.repeat(100) + ']'.repeat(100) + '}', /not valid JSON|nested|deep/],
    ]
    for (const [text, pattern] of cases) {
      const manifest = Buffer.from(text)
      const name = registry.put('odd', '1', { blobs: image.blobs, manifest, digest: sha256(manifest), type: image.type })
      failed(await pull({ fromImage: name }), pattern)
    }
    registry.put('odd', '1', { ...image, type: 'application/vnd.oci.image.index.v1+json' })
    failed(await pull({ fromImage: `${registry.host}/odd:1` }), /ambiguous/)
    registry.put('odd', '1', { ...image, type: 'application/vnd.docker.distribution.manifest.v1+prettyjws' })
    failed(await pull({ fromImage: `${registry.host}/odd:1` }), /schema 1/)
    nothingLeft()
  })

  test('401 for ever, 429 for a while and for ever, 5xx', async () => {
    const image = makeImage([{ files: { a: '1' } }])
    const name = registry.put('busy', '1', image)
    const auth = { 'X-Registry-Auth': encode({ username: 'bob', password: 'hush' }) }
    registry.lieAbout(/manifests/, (request, response) => LyingRegistry.error(response, 401, 'UNAUTHORIZED', 'authentication required', { 'WWW-Authenticate': 'Basic realm="r"' }))
    const answer = await pull({ fromImage: name }, auth)
    assert.equal(answer.status, 500)
    assert.match(answer.json.message, /unauthorized: authentication required/)
    assert.equal(registry.count(/manifests/), 2)
    registry.reset()
    registry.put('busy', '1', image)
    let times = 0
    registry.lieAbout(/manifests/, (request, response) => (times++ ? false : LyingRegistry.error(response, 429, 'TOOMANYREQUESTS', 'slow down', { 'Retry-After': '1' })))
    arrived(await pull({ fromImage: name }), image)
    registry.lies = []
    registry.lieAbout(/manifests/, (request, response) => LyingRegistry.error(response, 429, 'TOOMANYREQUESTS', 'slow down', { 'Retry-After': '0' }))
    assert.equal((await pull({ fromImage: name })).json.message, 'toomanyrequests: slow down')
    registry.lies = []
    registry.lieAbout(/manifests/, (request, response) => { response.writeHead(500); response.end('<html>oops') })
    assert.equal((await pull({ fromImage: name })).json.message, 'received unexpected HTTP status: 500 Internal Server Error')
    registry.lies = []
    registry.lieAbout(/manifests/, (request, response) => LyingRegistry.error(response, 403, 'DENIED', 'requested access to the resource is denied'))
    const denied = await pull({ fromImage: name })
    assert.equal(denied.status, 404)
    assert.equal(denied.json.message, `pull access denied for ${registry.host}/busy, repository does not exist or may require authorization: requested access to the resource is denied`)
  })

  test('tokens: scope, password, identity token; a token that is none', async () => {
    const image = makeImage([{ files: { a: 'token' } }])
    const name = registry.put('team/app', '1', image)
    const asked = []
    registry.lie((request, response, url) => {
      if (url.pathname === '/token') {
        let body = ''
        request.on('data', (chunk) => { body += chunk })
        request.on('end', () => {
          asked.push({ method: request.method, query: Object.fromEntries(url.searchParams), form: Object.fromEntries(new URLSearchParams(body)), authorization: request.headers.authorization })
          LyingRegistry.json(response, 200, request.method === 'POST' ? { access_token: 'from-identity' } : { token: url.searchParams.get('account') === 'evil' ? 'x\r\nX-Evil: 1' : 'from-password', refresh_token: 'keep-me' })
        })
        return true
      }
      if (/^Bearer from-(password|identity)$/.test(request.headers.authorization ?? '')) return false
      return LyingRegistry.error(response, 401, 'UNAUTHORIZED', 'authentication required', { 'WWW-Authenticate': `Bearer realm="http://${registry.host}/token",service="the \\"service\\"",scope="ignored"` }), true
    })
    const answer = await pull({ fromImage: name }, { 'X-Registry-Auth': encode({ username: 'bob', password: 'hush' }) })
    arrived(answer, image)
    assert.deepEqual(asked.splice(0), [{ method: 'GET', query: { account: 'bob', scope: 'repository:team/app:pull', service: 'the "service"' }, form: {}, authorization: `Basic ${Buffer.from('bob:hush').toString('base64')}` }])
    arrived(await pull({ fromImage: name }, { 'X-Registry-Auth': encode({ identitytoken: 'mine' }) }), image)
    const [{ method, form }] = asked.splice(0)
    assert.deepEqual([method, form.grant_type, form.refresh_token, form.scope, form.service], ['POST', 'refresh_token', 'mine', 'repository:team/app:pull', 'the "service"'])
    const login = await server.request('POST', '/auth', { body: { username: 'bob', password: 'hush', serveraddress: registry.host } })
    assert.deepEqual([login.status, login.json], [200, { IdentityToken: 'keep-me', Status: 'Login Succeeded' }])
    assert.equal(asked.splice(0)[0].query.offline_token, 'true')
    assert.match((await pull({ fromImage: name }, { 'X-Registry-Auth': encode({ username: 'evil', password: 'x' }) })).json.message, /did not include a token/)
  })

  test('of several platforms the right one; attestations are none of them', async () => {
    const mine = makeImage([{ files: { mine: '1' } }]), arm = makeImage([{ files: { arm: '1' } }], { architecture: 'arm64' })
    const windows = makeImage([{ files: { windows: '1' } }], { os: 'windows' }), attestation = makeImage([{ files: { attestation: '1' } }])
    const index = makeIndex([
      [attestation, { os: 'unknown', architecture: 'unknown' }, { annotations: { 'vnd.docker.reference.type': 'attestation-manifest' } }],
      [arm, { os: 'linux', architecture: 'arm64', variant: 'v8' }], [windows, { os: 'windows', architecture: 'amd64', 'os.version': '10.0.1' }], [mine, { os: 'linux', architecture: 'amd64' }],
    ], { oci: true })
    for (const image of [mine, arm, windows, attestation]) registry.put('multi', null, image)
    const name = registry.put('multi', '1', index)
    await pull({ fromImage: name })
    const { json: seen } = await server.request('GET', `/images/${name}/json`)
    assert.deepEqual([seen.Id, seen.RepoDigests], [mine.id, [`${registry.host}/multi@${index.digest}`]])
    await pull({ fromImage: name, platform: 'linux/arm64' })
    assert.equal((await server.request('GET', `/images/${name}/json`)).json.Architecture, 'arm64')
    failed(await pull({ fromImage: name, platform: 'linux/s390x' }), /^no matching manifest for linux\/s390x in the manifest list entries$/)
    failed(await pull({ fromImage: name, platform: 'windows/amd64' }), /image operating system "windows" cannot be used on this platform/)
    assert.equal((await pull({ fromImage: name, platform: 'a/b/c/d' })).status, 400)
    const { json: looked } = await server.request('GET', `/distribution/${name}/json`)
    assert.deepEqual(looked.Platforms.map((platform) => platform.architecture), ['unknown', 'arm64', 'amd64', 'amd64'])

    const only = registry.put('multi', '2', makeIndex([[windows, { os: 'windows', architecture: 'amd64' }]]))
    failed(await pull({ fromImage: only }), /^no matching manifest for linux\/amd64 in the manifest list entries$/)
    failed(await pull({ fromImage: registry.put('multi', '3', windows) }), /image operating system "windows" cannot be used on this platform/)
    const warned = json((await pull({ fromImage: registry.put('multi', '4', mine), platform: 'linux/arm64' })).text)
    assert.match(warned.map((line) => line.status).join('\n'), /WARNING: image with reference .* was found but its platform \(linux\/amd64\) does not match/)
    const nested = makeIndex([[{ ...makeIndex([[mine, { os: 'linux', architecture: 'amd64' }]]) }, {}]])
    assert.ok(nested)
  })

  test('pulls of one layer at once share one download', async () => {
    const image = big(12)
    const names = ['one', 'two', 'three'].map((repository) => registry.put(repository, '1', image))
    registry.lieAbout(new RegExp(`blobs/${image.layers[0].digest}`), (request, response) => {
      setTimeout(() => LyingRegistry.sendBlob(request, response, registry.blobs.get(image.layers[0].digest)), 1000)
    })
    const answers = await Promise.all(names.map((name) => pull({ fromImage: name })))
    for (const answer of answers) arrived(answer, image)
    assert.equal(registry.count(new RegExp(`blobs/${image.layers[0].digest}`)), 1)
  })

  test('a client that goes away stops its pull, and nobody else\'s', async () => {
    const image = big(13)
    const name = registry.put('left', '1', image), second = registry.put('stays', '1', image)
    const [{ digest }] = image.layers
    let gone = false
    registry.lieAbout(new RegExp(`blobs/${digest}`), (request, response) => {
      if (request.headers.range) return false
      const bytes = registry.blobs.get(digest)
      response.writeHead(200, { 'Content-Length': bytes.length })
      response.write(bytes.subarray(0, 1_000_000))
      response.on('close', () => { gone = true })
    })
    const client = server.dockerSpawn('pull', name)
    await until('the layer to be asked for', () => registry.count(new RegExp(`blobs/${digest}`)) === 1)
    const other = pull({ fromImage: second })
    await until('its beginning to be here', () => list(server, 'partial').some((file) => fs.statSync(path.join(images(server, 'partial'), file)).size === 1_000_000))
    client.kill('SIGINT')
    await until('the server to let go', () => gone)
    const answer = await other
    arrived(answer, image)
    assert.deepEqual(registry.requests.filter((each) => each.path.endsWith(digest)).map((each) => each.headers.range), [undefined, 'bytes=1000000-'])
    assert.equal((await server.request('GET', `/images/${name}/json`)).status, 404)
    assert.deepEqual(list(server, 'tmp'), [])
  })

  test('requests that make no sense', async () => {
    const cases = [
      ['/images/create', 400, /fromImage|fromSrc/],
      ['/images/create?fromImage=Upper', 400, /must be lowercase/],
      ['/images/create?fromImage=a..b/', 400, /invalid reference format/],
      ['/images/create?fromImage=x&tag=bad%20tag', 400, /invalid tag format/],
      ['/images/create?fromImage=scratch', 403, /'scratch' is a reserved name/],
      [`/images/create?fromImage=${'a'.repeat(300)}`, 400, /more than 255/],
      ['/images/create?fromImage=127.0.0.1:1/x&tag=1', 500, /^Get "http:\/\/127\.0\.0\.1:1\/v2\/": dial tcp 127\.0\.0\.1:1: connect: connection refused$/],
      [`/images/create?fromImage=${registry.host}/x&platform=!!`, 400, /"!!" is an invalid component of "!!"/],
      ['/images/Upper/push', 400, /must be lowercase/],
    ]
    for (const [target, status, pattern] of cases) {
      const answer = await server.request('POST', target)
      assert.equal(answer.status, status, `${target}: ${answer.text}`)
      assert.match(answer.json.message, pattern)
    }
    assert.equal((await server.request('GET', '/images/search?term=x&limit=101')).status, 400)
    assert.equal((await server.request('GET', '/images/search?term=x&limit=y')).status, 400)
    assert.equal((await server.request('GET', '/images/search')).status, 400)
    assert.equal((await server.request('POST', '/auth', { body: [] })).status, 400)
    assert.equal((await server.request('POST', '/auth', { body: 'x', headers: { 'Content-Type': 'application/json' } })).status, 400)
  })

  test('search, where the registry has it', async () => {
    registry.lieAbout(/^\/v1\/search$/, (request, response, url) => LyingRegistry.json(response, 200, { results: [
      { name: `${url.searchParams.get('q')}/one`, description: 'first', star_count: 5, is_official: true, is_automated: false },
      { name: 7, description: {}, star_count: 'many', is_official: 'yes' },
    ] }))
    const { json: found } = await server.request('GET', `/images/search?term=${registry.host}/thing`)
    assert.deepEqual(found, [
      { star_count: 5, is_official: true, name: 'thing/one', is_automated: false, description: 'first' },
      { star_count: 0, is_official: false, name: '', is_automated: false, description: '' },
    ])
    assert.match(await server.ok('search', `${registry.host}/thing`), /thing\/one\s+first\s+5\s+\[OK\]/)
    const { json: stars } = await server.request('GET', `/images/search?term=${registry.host}/thing&filters=${encodeURIComponent('{"stars":["3"]}')}`)
    assert.equal(stars.length, 1)
  })
})
