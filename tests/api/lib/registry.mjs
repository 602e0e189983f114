// Registries for tests: Debian's docker-registry, and one of our own that serves
// what a test made up and lies as it is told.
import { spawn, spawnSync } from 'node:child_process'
import crypto from 'node:crypto'
import fs from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import path from 'node:path'
import zlib from 'node:zlib'
import { until } from './server.mjs'

export const BINARY = process.env.TABIQUE_DOCKER_REGISTRY || '/usr/bin/docker-registry'
export const sha256 = (data) => 'sha256:' + crypto.createHash('sha256').update(data).digest('hex')

const freePort = () => new Promise((resolve, reject) => {
  const probe = net.createServer().on('error', reject)
  probe.listen(0, '127.0.0.1', () => { const { port } = probe.address(); probe.close(() => resolve(port)) })
})

function openssl(...args) {
  const made = spawnSync('openssl', args, { encoding: 'utf8' })
  if (made.status !== 0) throw new Error(`openssl ${args[0]}: ${made.stderr}`)
}

// An authority of its own in dir, and a certificate for the names.
export function makeCertificate(dir, ...names) {
  const file = (name) => path.join(dir, name)
  openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=a private authority',
    '-addext', 'basicConstraints=critical,CA:TRUE', '-keyout', file('ca.key'), '-out', file('ca.crt'))
  openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', `/CN=${names[0]}`, '-keyout', file('key.pem'), '-out', file('csr'))
  fs.writeFileSync(file('ext'), `subjectAltName=${names.map((name) => `DNS:${name}`).join(',')},IP:127.0.0.1\n`)
  openssl('x509', '-req', '-in', file('csr'), '-CA', file('ca.crt'), '-CAkey', file('ca.key'), '-CAcreateserial', '-days', '2', '-extfile', file('ext'), '-out', file('cert.pem'))
  return { authority: file('ca.crt'), certificate: file('cert.pem'), key: file('key.pem') }
}

// Debian's docker-registry. tls: of makeCertificate(); clients: the authority that signs theirs;
// password: alice's is "secret"; tokens: of startTokens(); within: at port 5000 of this process's
// network, and not waited for.
export async function startRegistry(dir, { tls, clients, password, tokens, within } = {}) {
  const port = within ? 5000 : await freePort()
  fs.mkdirSync(dir, { recursive: true })
  const lines = ['version: 0.1', 'log: {level: warn}', `storage: {filesystem: {rootdirectory: ${dir}/data}, delete: {enabled: true}}`]
  lines.push(`http: {addr: '127.0.0.1:${port}'${tls ? `, tls: {certificate: ${tls.certificate}, key: ${tls.key}${clients ? `, clientcas: [${clients}]` : ''}}` : ''}}`)
  if (password) {
    fs.writeFileSync(path.join(dir, 'htpasswd'), 'alice:$2y$05$J83x4152kNPX5Dky84qEhujH9VPwwhgUf0qgNXjaOODgeB/bEhMBC\n')
    lines.push(`auth: {htpasswd: {realm: test, path: ${dir}/htpasswd}}`)
  }
  if (tokens) lines.push(`auth: {token: {realm: '${tokens.realm}', service: shelf, issuer: clerk, rootcertbundle: ${tokens.authority}}}`)
  fs.writeFileSync(path.join(dir, 'config.yml'), lines.join('\n') + '\n')
  const [program, ...prefix] = [...(within ? ['nsenter', '-t', String(within), '--net'] : []), BINARY]
  const child = spawn(program, [...prefix, 'serve', path.join(dir, 'config.yml')], { stdio: ['ignore', 'pipe', 'pipe'] })
  let log = ''
  child.stdout.on('data', (chunk) => { log += chunk })
  child.stderr.on('data', (chunk) => { log += chunk })
  child.on('error', (error) => { log += error })
  if (!within) await until('docker-registry', () => {
    if (child.exitCode !== null) throw new Error(`docker-registry ended: ${log}`)
    return new Promise((resolve) => {
      const probe = net.connect(port, '127.0.0.1', () => { probe.destroy(); resolve(true) })
      probe.on('error', () => resolve(false))
    })
  })
  return { port, log: () => log, stop: () => new Promise((resolve) => { child.once('exit', resolve); child.kill('SIGTERM') }) }
}

// A token service. may(account, name, action) says who may what; asked: the scopes of each request.
export async function startTokens({ authority, certificate, key }, may) {
  const asked = []
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const chain = fs.readFileSync(certificate, 'utf8').replace(/-----[^-]+-----|\s/g, '')
  const server = http.createServer((request, response) => {
    const query = new URL(request.url, 'http://x').searchParams
    const account = /^Basic /.test(request.headers.authorization ?? '') ? Buffer.from(request.headers.authorization.slice(6), 'base64').toString().split(':')[0] : ''
    const now = Math.floor(Date.now() / 1000)
    const scopes = query.getAll('scope').flatMap((scope) => scope.split(' '))
    asked.push(scopes)
    const access = scopes.map((scope) => scope.split(':')).map(([type, name, actions]) => ({ type, name, actions: actions.split(',').filter((action) => may(account, name, action)) }))
    const text = `${part({ typ: 'JWT', alg: 'ES256', x5c: [chain] })}.${part({ iss: 'clerk', sub: account, aud: 'shelf', exp: now + 300, nbf: now - 60, iat: now, jti: crypto.randomUUID(), access })}`
    const signature = crypto.sign('sha256', Buffer.from(text), { key: fs.readFileSync(key), dsaEncoding: 'ieee-p1363' }).toString('base64url')
    LyingRegistry.json(response, 200, { token: `${text}.${signature}` })
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { authority, asked, realm: `http://127.0.0.1:${server.address().port}/token`, stop: () => new Promise((resolve) => { server.closeAllConnections(); server.close(resolve) }) }
}

// A wire to a port of this machine that counts what passes. fault {way: 'up' | 'down', after,
// then: 'cut' | 'clog', times}: the next connections that would carry more than `after` bytes that
// way carry no more; `met` counts them.
export async function startWire(port) {
  const wire = { up: 0, down: 0, met: 0, fault: null }
  const sockets = new Set()
  const server = net.createServer((client) => {
    const far = net.connect(port, '127.0.0.1')
    const end = () => { client.destroy(); far.destroy() }
    for (const socket of [client, far]) { sockets.add(socket); socket.on('error', end); socket.on('close', () => { sockets.delete(socket); end() }) }
    const carry = (way, from, to) => {
      let passed = 0
      from.on('data', (chunk) => {
        const { fault } = wire
        const met = fault?.way === way && fault.times > 0 && passed + chunk.length > fault.after
        const part = met ? chunk.subarray(0, Math.max(0, fault.after - passed)) : chunk
        passed += part.length
        wire[way] += part.length
        if (!met) { if (!to.write(part)) { from.pause(); to.once('drain', () => from.resume()) } return }
        fault.times--
        wire.met++
        from.pause()
        to.write(part, () => { if (fault.then === 'cut') end() })
      })
      from.on('end', () => to.end())
    }
    carry('up', client, far)
    carry('down', far, client)
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  wire.port = server.address().port
  wire.count = () => { wire.up = wire.down = wire.met = 0 }
  wire.stop = () => new Promise((resolve) => { for (const socket of sockets) socket.destroy(); server.close(resolve) })
  return wire
}

// An image (makeImage) or index (makeIndex) into an open registry, by hand. tag null: by digest alone.
export async function putImage(port, name, tag, image) {
  const base = `http://127.0.0.1:${port}/v2/${name}`
  const sent = async (what, answer) => { if (!answer.ok) throw new Error(`${what}: ${answer.status} ${await answer.text()}`); return answer }
  for (const [digest, bytes] of image.blobs ?? []) {
    const at = new URL((await sent('upload', await fetch(`${base}/blobs/uploads/`, { method: 'POST' }))).headers.get('location'), base)
    at.searchParams.set('digest', digest)
    await sent('blob', await fetch(at, { method: 'PUT', body: bytes, headers: { 'Content-Type': 'application/octet-stream' } }))
  }
  await sent('manifest', await fetch(`${base}/manifests/${tag ?? image.digest}`, { method: 'PUT', body: image.manifest, headers: { 'Content-Type': image.type } }))
}

// --- an image made here ---------------------------------------------------------------

function tarHeader(name, size, type = '0') {
  const block = Buffer.alloc(512)
  block.write(name, 0)
  block.write(type === '5' ? '0000755\0' : '0000644\0', 100)
  block.write('0000000\0', 108); block.write('0000000\0', 116)
  block.write(size.toString(8).padStart(11, '0') + '\0', 124)
  block.write('00000000000\0', 136); block.write('        ', 148); block.write(type, 156)
  block.write('ustar\0' + '00', 257)
  block.write(block.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, '0') + '\0 ', 148)
  return block
}

export function tar(files) {
  const parts = []
  for (const [name, data] of Object.entries(files)) {
    const bytes = Buffer.from(data)
    parts.push(tarHeader(name, bytes.length), bytes, Buffer.alloc((512 - bytes.length % 512) % 512))
  }
  return Buffer.concat([...parts, Buffer.alloc(1024)])
}

const DOCKER = { manifest: 'application/vnd.docker.distribution.manifest.v2+json', config: 'application/vnd.docker.container.image.v1+json', layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip' }
const OCI = { manifest: 'application/vnd.oci.image.manifest.v1+json', config: 'application/vnd.oci.image.config.v1+json', layer: 'application/vnd.oci.image.layer.v1.tar+gzip' }

// layers: [{files | tar, type?, pack?}]; gives {blobs, manifest, digest, config, ...}.
export function makeImage(layers, { oci = false, os = 'linux', architecture = 'amd64', config = {} } = {}) {
  const types = oci ? OCI : DOCKER
  const blobs = new Map()
  const packed = layers.map((layer) => {
    const plain = layer.tar ?? tar(layer.files)
    const bytes = layer.pack ? layer.pack(plain) : zlib.gzipSync(plain)
    blobs.set(sha256(bytes), bytes)
    return { diffId: sha256(plain), descriptor: { mediaType: layer.type ?? types.layer, size: bytes.length, digest: sha256(bytes) } }
  })
  const text = Buffer.from(JSON.stringify({ architecture, os, created: '2024-05-06T07:08:09Z', config: { Cmd: ['true'], ...config }, rootfs: { type: 'layers', diff_ids: packed.map((layer) => layer.diffId) }, history: [] }))
  blobs.set(sha256(text), text)
  const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: types.manifest, config: { mediaType: types.config, size: text.length, digest: sha256(text) }, layers: packed.map((layer) => layer.descriptor) }))
  return { blobs, manifest, type: types.manifest, digest: sha256(manifest), id: sha256(text), layers: packed.map((layer) => layer.descriptor), diffIds: packed.map((layer) => layer.diffId) }
}

// entries: [[image or {digest, manifest, type}, platform, more?]]
export function makeIndex(entries, { oci = false } = {}) {
  const type = oci ? 'application/vnd.oci.image.index.v1+json' : 'application/vnd.docker.distribution.manifest.list.v2+json'
  const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: type, manifests: entries.map(([image, platform, more]) => ({ mediaType: image.type, digest: image.digest, size: image.manifest.length, platform, ...more })) }))
  return { manifest, type, digest: sha256(manifest) }
}

// --- a registry that does as it is told --------------------------------------------------

export class LyingRegistry {
  requests = []   // {method, path, headers}
  blobs = new Map()
  manifests = new Map() // "name:reference" -> {manifest, type}
  lies = []       // (request, response, url) -> true: handled

  static async start({ tls, port } = {}) {
    const registry = new LyingRegistry()
    const serve = (request, response) => registry.#serve(request, response)
    registry.server = tls ? https.createServer({ cert: fs.readFileSync(tls.certificate), key: fs.readFileSync(tls.key) }, serve) : http.createServer(serve)
    registry.sockets = new Set()
    registry.server.on('connection', (socket) => { registry.sockets.add(socket); socket.on('close', () => registry.sockets.delete(socket)); socket.on('error', () => {}) })
    registry.server.on('tlsClientError', () => {})
    await new Promise((resolve) => registry.server.listen(port ?? 0, '127.0.0.1', resolve))
    registry.port = registry.server.address().port
    registry.host = `127.0.0.1:${registry.port}`
    return registry
  }

  // A fresh start for the next test.
  reset() { this.requests = []; this.blobs.clear(); this.manifests.clear(); this.lies = [] }
  lie(fn) { this.lies.push(fn) }
  // A lie about what a path matches.
  lieAbout(pattern, fn) { this.lie((request, response, url) => pattern.test(url.pathname) && (fn(request, response, url) ?? true)) }

  put(name, reference, image) {
    for (const [digest, bytes] of image.blobs ?? []) this.blobs.set(digest, bytes)
    for (const key of [reference, image.digest]) if (key) this.manifests.set(`${name}:${key}`, image)
    return `${this.host}/${name}:${reference}`
  }

  count(pattern, method) { return this.requests.filter((each) => pattern.test(each.path) && (!method || each.method === method)).length }

  static json(response, status, value, headers = {}) {
    response.writeHead(status, { 'Content-Type': 'application/json', ...headers })
    response.end(JSON.stringify(value))
  }

  static error(response, status, code, message, headers) {
    LyingRegistry.json(response, status, { errors: [{ code, message }] }, headers)
  }

  #serve(request, response) {
    const url = new URL(request.url, 'http://x')
    this.requests.push({ method: request.method, path: url.pathname, query: url.searchParams, headers: request.headers })
    for (const lie of this.lies) if (lie(request, response, url)) return
    this.honest(request, response, url)
  }

  honest(request, response, url) {
    let match
    if (url.pathname === '/v2/') return LyingRegistry.json(response, 200, {})
    if ((match = /^\/v2\/(.+)\/manifests\/(.+)$/.exec(url.pathname))) {
      const found = this.manifests.get(`${match[1]}:${match[2]}`)
      if (!found) return LyingRegistry.error(response, 404, 'MANIFEST_UNKNOWN', 'manifest unknown')
      response.writeHead(200, { 'Content-Type': found.type, 'Content-Length': found.manifest.length, 'Docker-Content-Digest': found.digest })
      return response.end(request.method === 'HEAD' ? undefined : found.manifest)
    }
    if ((match = /^\/v2\/(.+)\/blobs\/(sha256:[0-9a-f]+)$/.exec(url.pathname))) {
      const bytes = this.blobs.get(match[2])
      if (!bytes) return LyingRegistry.error(response, 404, 'BLOB_UNKNOWN', 'blob unknown to registry')
      return LyingRegistry.sendBlob(request, response, bytes)
    }
    LyingRegistry.error(response, 404, 'UNSUPPORTED', 'no such route')
  }

  static sendBlob(request, response, bytes, { cutAfter } = {}) {
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
    const part = bytes.subarray(from)
    response.writeHead(from ? 206 : 200, {
      'Content-Type': 'application/octet-stream', 'Content-Length': part.length,
      ...(from ? { 'Content-Range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {}),
    })
    if (cutAfter === undefined) return response.end(part)
    response.write(part.subarray(0, cutAfter), () => setTimeout(() => response.destroy(), 100))
  }

  stop() {
    for (const socket of this.sockets) socket.destroy()
    return new Promise((resolve) => this.server.close(resolve))
  }
}
