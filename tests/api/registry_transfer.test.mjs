// Between this engine and Debian's docker-registry: wires that break, certificates of clients,
// tokens, zstd, indexes. What passed is counted on the wire.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import crypto from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { LyingRegistry, makeCertificate, makeImage, makeIndex, putImage, startRegistry, startTokens, startWire, tar } from './lib/registry.mjs'
import { Server, until } from './lib/server.mjs'

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'tabique-transfer-'))
const noise = (seed, length) => crypto.createHash('shake256', { outputLength: length }).update(seed).digest()
const partial = () => path.join(server.dataDir, 'images/partial')
const inspect = async (name) => (await server.request('GET', `/images/${name}/json`)).json
const MORE = 100_000 // requests, heads and manifests beside a layer
let server, registry, wire, tls

before(async () => {
  tls = makeCertificate(dir, 'registry.localhost')
  registry = await startRegistry(path.join(dir, 'plain'))
  wire = await startWire(registry.port)
  server = await Server.start({ args: ['--registry-certs', path.join(dir, 'certs')] })
}, { timeout: 120_000 })
after(async () => {
  await server?.stop()
  await wire?.stop()
  await registry?.stop()
  fs.rmSync(dir, { recursive: true, force: true })
}, { timeout: 60_000 })

describe('a wire that breaks', () => {
  const size = 4 << 20
  const image = makeImage([{ files: { data: noise('pulled', size) } }], { oci: true })
  const name = () => `127.0.0.1:${wire.port}/broken:1`
  before(() => putImage(registry.port, 'broken', '1', image))

  test('cut in mid-layer, the pull goes on by itself and fetches nothing twice', async () => {
    wire.count()
    wire.fault = { way: 'down', after: 1 << 20, then: 'cut', times: 2 }
    const { stdout, stderr, code } = await server.docker('pull', name())
    assert.equal(code, 0, stderr)
    assert.match(stdout, new RegExp(`Retrying in 1 second[^]*Digest: ${image.digest}`))
    assert.equal(wire.met, 2)
    assert.ok(wire.down > size && wire.down < size + MORE, `${wire.down} bytes for ${size}`)
    await server.ok('rmi', name())
  })

  test('given up in mid-layer, the next pull fetches the rest alone, also of another server process', async () => {
    wire.count()
    wire.fault = { way: 'down', after: 3 << 20, then: 'clog', times: 1 }
    const client = server.dockerSpawn('pull', name())
    await until('most of it to be here', () => fs.readdirSync(partial()).some((file) => fs.statSync(path.join(partial(), file)).size > (3 << 20) - MORE))
    client.kill('SIGINT')
    await server.halt()
    await server.spawn()
    wire.fault = null
    wire.count()
    assert.match(await server.ok('pull', name()), /Status: Downloaded newer image/)
    assert.ok(wire.down < size - (3 << 20) + 2 * MORE, `${wire.down} bytes once more`)
    assert.equal((await inspect(name())).Id, image.id)
    assert.deepEqual(fs.readdirSync(partial()), [])
    const kept = path.join(server.dataDir, 'images/layers'), blobs = fs.readdirSync(kept).filter((file) => file.endsWith('.blob'))
    assert.ok(blobs.length > 0)
    assert.equal((await server.request('GET', '/api/v1/info')).json.images.compressedBytes, blobs.reduce((sum, file) => sum + fs.statSync(path.join(kept, file)).size, 0))
    await server.ok('rmi', name())
  })

  test('a push that is cut sends its layer again, and what arrives is whole', async () => {
    await server.docker('import', '-', 'pushed', { input: tar({ data: noise('pushed', size) }) })
    const target = `127.0.0.1:${wire.port}/pushed:1`
    await server.ok('tag', 'pushed', target)
    wire.count()
    wire.fault = { way: 'up', after: 1 << 20, then: 'cut', times: 1 }
    assert.match(await server.ok('push', target), /Pushed\n1: digest: sha256:/)
    assert.equal(wire.met, 1)
    assert.ok(wire.up > size + (1 << 20) && wire.up < size + (1 << 20) + MORE, `${wire.up} bytes for ${size}`)
    const { Id } = await inspect('pushed')
    await server.ok('rmi', '-f', Id)
    await server.ok('pull', target)
    assert.equal((await inspect(target)).Id, Id)
    await server.ok('rmi', target)
  })

  test('a push that was given up leaves in the registry what had arrived', async () => {
    await server.docker('import', '-', 'lower', { input: tar({ small: noise('small', 50_000) }) })
    fs.mkdirSync(path.join(dir, 'context'))
    fs.writeFileSync(path.join(dir, 'context/large'), noise('large', size))
    fs.writeFileSync(path.join(dir, 'context/Dockerfile'), 'FROM lower\nCOPY large /\n')
    const target = `127.0.0.1:${wire.port}/two:1`
    await server.ok('build', '-q', '-t', target, path.join(dir, 'context'), { env: { DOCKER_BUILDKIT: '0' } })
    wire.fault = { way: 'up', after: 1 << 20, then: 'clog', times: 1 }
    const client = server.dockerSpawn('push', target)
    let said = ''
    client.stdout.on('data', (chunk) => { said += chunk })
    await until('one layer to be there and the other to hang', () => wire.met === 1 && /: Pushed/.test(said))
    client.kill('SIGINT')
    await new Promise((resolve) => client.on('exit', resolve))
    wire.fault = null
    wire.count()
    const again = await server.ok('push', target)
    assert.match(again, /: Layer already exists\n[^]*1: digest:/)
    assert.ok(wire.up < size + MORE, `${wire.up} bytes for ${size}`)
    await server.ok('rmi', target, 'lower')
  })
})

describe('what registries hold', () => {
  const zstd = (data) => {
    const { stdout, status } = spawnSync('zstd', ['-q', '-c'], { input: data, maxBuffer: 1 << 26 })
    assert.equal(status, 0)
    return stdout
  }

  test('layers in zstd are pulled, and pushed on as they came', async () => {
    const image = makeImage([{ files: { word: 'packed with zstd\n' }, pack: zstd, type: 'application/vnd.oci.image.layer.v1.tar+zstd' }], { oci: true })
    await putImage(registry.port, 'packed', '1', image)
    const name = `localhost:${registry.port}/packed`
    assert.match(await server.ok('pull', `${name}:1`), new RegExp(`Digest: ${image.digest}`))
    await server.ok('create', '--name', 'packed', `${name}:1`)
    assert.match(await server.ok('cp', 'packed:/word', '-'), /packed with zstd/)
    await server.ok('rm', 'packed')
    await server.ok('tag', `${name}:1`, `localhost:${registry.port}/onward:1`)
    assert.match(await server.ok('push', `localhost:${registry.port}/onward:1`), new RegExp(`1: digest: ${image.digest}`))
    assert.deepEqual((await inspect(`${name}:1`)).RepoDigests, [`localhost:${registry.port}/onward@${image.digest}`, `${name}@${image.digest}`])
  })

  for (const oci of [true, false]) {
    test(`of ${oci ? 'an OCI index' : 'a manifest list'} the platform that was asked for, by tag and by digest`, async () => {
      const name = `localhost:${registry.port}/${oci ? 'index' : 'list'}`
      const images = ['amd64', 'arm64', 's390x'].map((architecture) => [makeImage([{ files: { architecture } }], { oci, architecture }), { os: 'linux', architecture }])
      const index = makeIndex(images, { oci })
      for (const [image] of images) await putImage(registry.port, oci ? 'index' : 'list', null, image)
      await putImage(registry.port, oci ? 'index' : 'list', '1', index)
      for (const [image, { architecture }] of images) {
        for (const reference of [`${name}:1`, `${name}@${index.digest}`]) {
          await server.ok('pull', '-q', '--platform', `linux/${architecture}`, reference)
          const seen = await inspect(reference)
          assert.deepEqual([seen.Id, seen.Architecture, seen.RepoDigests], [image.id, architecture, [`${name}@${index.digest}`]])
        }
        await server.ok('rmi', '-f', image.id)
      }
      await server.ok('pull', '-q', `${name}:1`)
      assert.equal((await inspect(`${name}:1`)).Architecture, 'amd64')
      const none = await server.docker('pull', '--platform', 'windows/amd64', `${name}:1`)
      assert.equal(none.code, 1)
      assert.match(none.stderr, /no matching manifest for windows\/amd64 in the manifest list entries|image operating system "windows" cannot be used on this platform/)
      await server.ok('rmi', `${name}:1`)
    })
  }

  test('shared-size is what other images stand on, too', async () => {
    const shared = { files: { a: noise('a', 300_000) } }
    const one = makeImage([shared, { files: { b: noise('b', 100_000) } }]), two = makeImage([shared, { files: { c: noise('c', 200_000) } }])
    const names = ['one', 'two'].map((name) => `localhost:${registry.port}/${name}:1`)
    await putImage(registry.port, 'one', '1', one)
    await putImage(registry.port, 'two', '1', two)
    for (const name of names) await server.ok('pull', '-q', name)
    const sizes = async (query) => {
      const { json } = await server.request('GET', `/images/json${query}`)
      return names.map((name) => json.find((image) => image.RepoTags.includes(name))).map(({ Size, SharedSize }) => [Size, SharedSize])
    }
    assert.deepEqual(await sizes('?shared-size=1'), [[400_000, 300_000], [500_000, 300_000]])
    assert.deepEqual(await sizes(''), [[400_000, -1], [500_000, -1]])
    await server.ok('rmi', names[1])
    const { json } = await server.request('GET', '/images/json?shared-size=true')
    assert.equal(json.find((image) => image.RepoTags.includes(names[0])).SharedSize, 0)
  })
})

describe('who is let in', () => {
  test('a registry that wants a certificate of its client gets the one in certs.d', async () => {
    fs.mkdirSync(path.join(dir, 'client'))
    const ours = makeCertificate(path.join(dir, 'client'), 'a client')
    const mutual = await startRegistry(path.join(dir, 'mutual'), { tls, clients: ours.authority })
    try {
      const certs = path.join(dir, 'certs', `registry.localhost:${mutual.port}`)
      const name = `registry.localhost:${mutual.port}/base:1`
      fs.mkdirSync(certs, { recursive: true })
      fs.copyFileSync(tls.authority, path.join(certs, 'ca.crt'))
      await server.ok('tag', 'tabique/base', name)
      const stranger = await server.docker('push', name)
      assert.equal(stranger.code, 1)
      assert.match(stranger.stderr, /^[^\n]*(?:Get|Head) "https:[^"]*": remote error: tls: (?:certificate required|bad certificate)\n$/)

      fs.copyFileSync(ours.certificate, path.join(certs, 'client.cert'))
      const keyless = await server.docker('push', name)
      assert.equal(keyless.code, 1)
      assert.match(keyless.stderr, /missing key client\.key for client certificate client\.cert\. CA certificates must use the extension \.crt/)

      fs.copyFileSync(ours.key, path.join(certs, 'client.key'))
      assert.match(await server.ok('push', name), /1: digest: sha256:/)
      await server.ok('rmi', name)
      assert.match(await server.ok('pull', name), /Status: Downloaded newer image|Image is up to date/)

      fs.rmSync(path.join(certs, 'client.cert'))
      const certless = await server.docker('pull', name)
      assert.equal(certless.code, 1)
      assert.match(certless.stderr, /missing client certificate client\.cert for key client\.key/)
      await server.ok('rmi', name)
    } finally {
      await mutual.stop()
    }
  })

  test('where an upload\'s place is on another host, nothing secret goes there', async () => {
    const [asked, other] = [await LyingRegistry.start(), await LyingRegistry.start()]
    const secret = `Basic ${Buffer.from('bob:hush').toString('base64')}`
    try {
      asked.lie((request, response, url) => {
        if (request.headers.authorization !== secret)
          return LyingRegistry.error(response, 401, 'UNAUTHORIZED', 'authentication required', { 'WWW-Authenticate': 'Basic realm="r"' }), true
        if (request.method !== 'POST') return false
        response.writeHead(202, { Location: `http://${other.host}${url.pathname}somewhere`, 'Content-Length': 0 })
        return response.end(), true
      })
      // It takes what comes, and then asks to be shown who it is.
      other.lie((request, response, url) => {
        request.resume().on('end', () => (request.method === 'PATCH'
          ? response.writeHead(202, { Location: `http://${other.host}${url.pathname}`, 'Content-Length': 0 }).end()
          : LyingRegistry.error(response, 401, 'UNAUTHORIZED', 'give', { 'WWW-Authenticate': 'Basic realm="r"' })))
        return true
      })
      const name = `${asked.host}/moved`
      await server.ok('tag', 'tabique/base', `${name}:1`)
      const { text } = await server.request('POST', `/images/${name}/push?tag=1`, { headers: { 'X-Registry-Auth': Buffer.from('{"username":"bob","password":"hush"}').toString('base64url') } })
      assert.match(text, /"error":"[^"]*(?:give|unauthorized|authentication)/)
      assert.ok(asked.requests.some(({ method, headers }) => method === 'POST' && headers.authorization === secret))
      assert.ok(other.count(/./) > 0)
      for (const { headers } of other.requests) {
        assert.equal(headers.authorization, undefined)
        assert.doesNotMatch(JSON.stringify(headers), /hush|Ym9iOmh1c2g/)
      }
      await server.ok('rmi', `${name}:1`)
    } finally {
      await asked.stop()
      await other.stop()
    }
  })

  test('tokens: a push asks for what it needs, mounts from where it may read, and sends where it may not', async () => {
    const tokens = await startTokens(tls, (account, name, action) => account === 'alice' && (!name.startsWith('private/') || action === 'push' || allowed))
    const guarded = await startRegistry(path.join(dir, 'guarded'), { tokens })
    let allowed = true
    try {
      const at = (name) => `127.0.0.1:${guarded.port}/${name}`
      await server.ok('login', '-u', 'alice', '--password-stdin', `127.0.0.1:${guarded.port}`, { input: 'secret' })
      await server.docker('import', '-', at('team/base:1'), { input: tar({ data: noise('guarded', 50_000) }) })
      tokens.asked.length = 0
      const first = await server.ok('push', at('team/base:1'))
      assert.match(first, /: Pushed\n/)
      assert.deepEqual([...new Set(tokens.asked.flat())], ['repository:team/base:pull,push'])

      tokens.asked.length = 0
      await server.ok('tag', at('team/base:1'), at('other/base:1'))
      assert.match(await server.ok('push', at('other/base:1')), /: Mounted from team\/base\n/)
      assert.deepEqual([...new Set(tokens.asked.flat())].sort(), ['repository:other/base:pull,push', 'repository:team/base:pull'])

      await server.docker('import', '-', at('private/base:1'), { input: tar({ data: noise('private', 50_000) }) })
      await server.ok('push', at('private/base:1'))
      allowed = false
      await server.ok('tag', at('private/base:1'), at('open/base:1'))
      assert.match(await server.ok('push', at('open/base:1')), /: Pushed\n1: digest: sha256:/)
      await server.ok('rmi', '-f', (await inspect(at('open/base:1'))).Id)
      await server.ok('pull', '-q', at('open/base:1'))
      const denied = await server.docker('pull', at('private/base:1'))
      assert.equal(denied.code, 1)
      assert.match(denied.stderr, /pull access denied for .*private\/base, repository does not exist or may require 'docker login'|unauthorized: authentication required/)
      await server.ok('logout', `127.0.0.1:${guarded.port}`)
      assert.equal((await server.docker('push', at('team/base:1'))).code, 1)
    } finally {
      await guarded.stop()
      await tokens.stop()
    }
  })
})
