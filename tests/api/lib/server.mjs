// A server of one's own for a test file: temporary roots, the real binary, the
// stock docker CLI and plain HTTP over its socket; everything goes at stop().
//
// TABIQUE_BUILD       build tree (server/tabique, libexec/)
// TABIQUE_BASE_IMAGE  tar of the built-in image, as tools/setup makes it (optional:
//                     without it one is made from the host's static busybox)
// TABIQUE_DOCKER      the docker CLI (default: docker in PATH)
import { spawn, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'

export const DOCKER = process.env.TABIQUE_DOCKER || 'docker'
const START_TIMEOUT_MS = 60_000

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

// Polls until fn() gives something truthy; tests wait for facts, not for times.
export async function until(what, fn, timeout = 30_000) {
  const end = Date.now() + timeout
  for (;;) {
    const value = await fn()
    if (value) return value
    if (Date.now() > end) throw new Error(`timed out waiting for ${what}`)
    await sleep(50)
  }
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer()
    probe.on('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address()
      probe.close(() => resolve(port))
    })
  })
}

export function run(command, args, { input, timeout = 60_000, env, cwd } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] })
    const out = []
    const err = []
    const timer = setTimeout(() => child.kill('SIGKILL'), timeout)
    child.stdout.on('data', (chunk) => out.push(chunk))
    child.stderr.on('data', (chunk) => err.push(chunk))
    child.stdin.on('error', () => {})
    child.on('error', (error) => {
      clearTimeout(timer)
      resolve({ code: -1, stdout: '', stderr: String(error), raw: Buffer.alloc(0) })
    })
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      const raw = Buffer.concat(out)
      resolve({ code: code ?? -1, signal, raw, stdout: raw.toString(), stderr: Buffer.concat(err).toString() })
    })
    if (input === undefined) child.stdin.end()
    else child.stdin.end(input)
  })
}

// A root file system of busybox and its applets, as a tar on disk.
function makeBaseImage(dir) {
  const busybox = ['/bin/busybox', '/usr/bin/busybox'].find((file) => fs.existsSync(file))
  if (!busybox) throw new Error('busybox-static is not installed, and TABIQUE_BASE_IMAGE is not set')
  const root = path.join(dir, 'rootfs')
  for (const sub of ['bin', 'etc', 'tmp', 'root', 'proc', 'sys', 'dev', 'var', 'home'])
    fs.mkdirSync(path.join(root, sub), { recursive: true })
  fs.chmodSync(path.join(root, 'tmp'), 0o1777)
  fs.copyFileSync(busybox, path.join(root, 'bin/busybox'))
  const applets = spawnSync(busybox, ['--list'], { encoding: 'utf8' }).stdout.trim().split('\n')
  for (const applet of applets)
    if (applet !== 'busybox') fs.symlinkSync('busybox', path.join(root, 'bin', applet))
  fs.writeFileSync(path.join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n')
  fs.writeFileSync(path.join(root, 'etc/group'), 'root:x:0:\nnogroup:x:65534:\n')
  const tar = path.join(dir, 'rootfs.tar')
  const made = spawnSync('tar', ['-C', root, '--owner=0', '--group=0', '--numeric-owner', '-cf', tar, '.'])
  if (made.status !== 0) throw new Error(`tar: ${made.stderr}`)
  fs.rmSync(root, { recursive: true })
  return tar
}

export class Server {
  // options: args (more flags), listen (false: socket only), root (an old one's, to start again
  // on), wrap (a command before the server's own)
  static async start(options = {}) {
    const server = new Server()
    try {
      await server.#prepare(options)
      await server.spawn()
      if (!options.root && !options.noImage) await server.#baseImage()
    } catch (error) {
      await server.stop()
      throw error
    }
    return server
  }

  async #prepare({ args = [], listen = true, root, wrap = [] }) {
    this.wrap = wrap
    const build = process.env.TABIQUE_BUILD
    if (!build) throw new Error('TABIQUE_BUILD is not set: run tools/test, or name a build tree')
    this.binary = path.join(build, 'server/tabique')
    this.root = root || fs.mkdtempSync(path.join(os.tmpdir(), 'tabique-api-'))
    this.dataDir = path.join(this.root, 'data')
    this.runDir = path.join(this.root, 'run')
    this.socket = path.join(this.root, 'tabique.sock')
    this.configDir = path.join(this.root, 'docker-config')
    fs.mkdirSync(this.configDir, { recursive: true })
    this.port = listen ? await freePort() : 0
    this.args = [
      '--data-dir', this.dataDir, '--run-dir', this.runDir, '--socket', this.socket,
      '--listen', `127.0.0.1:${this.port || (await freePort())}`,
      '--libexec-dir', path.join(build, 'libexec'), ...args,
    ]
    if (process.env.TABIQUE_BASE_IMAGE && !args.includes('--base-image'))
      this.args.push('--base-image', process.env.TABIQUE_BASE_IMAGE)
    this.log = ''
  }

  async spawn() {
    const [program, ...args] = [...this.wrap, this.binary, ...this.args]
    this.child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    const keep = (chunk) => { this.log = (this.log + chunk).slice(-200_000) }
    this.child.stdout.on('data', keep)
    this.child.stderr.on('data', keep)
    this.ended = new Promise((resolve) => this.child.on('exit', (code, signal) => resolve({ code, signal })))
    let gone = null
    this.child.on('error', (error) => { gone = error })
    this.ended.then((how) => { gone ??= new Error(`the server ended: ${JSON.stringify(how)}\n${this.log}`) })
    await until('the server', async () => {
      if (gone) throw gone
      return fs.existsSync(this.socket) && (await this.request('GET', '/_ping').catch(() => null))?.status === 200
    }, START_TIMEOUT_MS)
  }

  async #baseImage() {
    const { json } = await this.request('GET', '/images/json')
    if (json.some((image) => image.RepoTags.includes('tabique/base:latest'))) return
    const tar = makeBaseImage(this.root)
    const changes = ['CMD ["sh"]', 'ENV PATH=/bin'].flatMap((change) => ['--change', change])
    const made = await this.docker('import', ...changes, tar, 'tabique/base:latest')
    if (made.code !== 0) throw new Error(`import of the base image: ${made.stderr}`)
    fs.rmSync(tar)
  }

  // The stock CLI. Last argument may be {input, timeout, env}.
  docker(...args) {
    const options = typeof args.at(-1) === 'object' ? args.pop() : {}
    return run(DOCKER, ['-H', `unix://${this.socket}`, ...args], {
      ...options, env: { DOCKER_CONFIG: this.configDir, DOCKER_CLI_HINTS: 'false', ...options.env },
    })
  }

  // As docker(), but a failure is the test's, too. Gives trimmed standard output.
  async ok(...args) {
    const result = await this.docker(...args)
    if (result.code !== 0)
      throw new Error(`docker ${args.filter((arg) => typeof arg === 'string').join(' ')}: exit ${result.code}\n${result.stderr}${result.stdout}`)
    return result.stdout.trim()
  }

  // The CLI under a terminal of its own (script(1) from util-linux).
  dockerTty(command, options = {}) {
    return run('script', ['-qec', `${DOCKER} -H unix://${this.socket} ${command}`, '/dev/null'], {
      ...options, env: { DOCKER_CONFIG: this.configDir, DOCKER_CLI_HINTS: 'false', ...options.env },
    })
  }

  dockerSpawn(...args) {
    const child = spawn(DOCKER, ['-H', `unix://${this.socket}`, ...args],
      { env: { ...process.env, DOCKER_CONFIG: this.configDir }, stdio: ['pipe', 'pipe', 'pipe'] })
    // A client that a failed test forgot would keep the whole run waiting.
    this.clients = [...(this.clients ?? []), child]
    return child
  }

  // Plain HTTP over the socket. body: object (JSON), string or Buffer.
  request(method, target, { body, headers = {}, onHead } = {}) {
    return new Promise((resolve, reject) => {
      const json = body !== undefined && typeof body === 'object' && !Buffer.isBuffer(body)
      const data = json ? JSON.stringify(body) : body
      const request = http.request({
        socketPath: this.socket, method, path: target, agent: false,
        headers: { ...(json ? { 'Content-Type': 'application/json' } : {}), ...(data !== undefined ? { 'Content-Length': Buffer.byteLength(data) } : {}), ...headers },
      }, (response) => {
        onHead?.(response, request)
        const chunks = []
        response.on('data', (chunk) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () => {
          const raw = Buffer.concat(chunks)
          let parsed
          try { parsed = JSON.parse(raw.toString()) } catch { /* not JSON: text will do */ }
          resolve({ status: response.statusCode, headers: response.headers, raw, text: raw.toString(), json: parsed })
        })
      })
      request.on('error', reject)
      request.end(data)
    })
  }

  async info(id) {
    const { json, status, text } = await this.request('GET', `/containers/${id}/json`)
    if (status !== 200) throw new Error(text)
    return json
  }

  async waitState(id, state) {
    return until(`${id} to be ${state}`, async () => {
      const info = await this.info(id)
      return info.State.Status === state && info
    })
  }

  // SIGTERM or what is said; the containers go on.
  async halt(signal = 'SIGTERM') {
    if (!this.child || this.child.exitCode !== null || this.child.signalCode !== null) return
    this.child.kill(signal)
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 20_000)
    await this.ended
    clearTimeout(timer)
  }

  // Removes containers, stops the server, and takes away what is left of its roots.
  async stop() {
    for (const client of this.clients ?? []) client.kill('SIGKILL')
    if (this.child && this.child.exitCode === null && this.child.signalCode === null) {
      const list = await this.request('GET', '/containers/json?all=1').catch(() => null)
      await Promise.all((list?.json ?? []).map((container) =>
        this.request('DELETE', `/containers/${container.Id}?force=1&v=1`).catch(() => null)))
      const networks = await this.request('GET', '/networks').catch(() => null)
      for (const network of networks?.json ?? []) {
        if (!['bridge', 'host', 'none'].includes(network.Name))
          await this.request('DELETE', `/networks/${network.Id}`).catch(() => null)
        if (network.Name === 'bridge') this.bridge = network.Options['com.docker.network.bridge.name']
      }
      await this.halt()
    }
    if (this.bridge) {
      // A server takes these with it unless containers run on, or it was killed.
      spawnSync('ip', ['link', 'delete', this.bridge])
      spawnSync('nft', ['delete', 'table', 'inet', `tabique-${this.bridge}`])
      this.bridge = undefined
    }
    if (!this.root || !fs.existsSync(this.root)) return
    // Deepest first; only what lies below our own temporary root.
    const mounts = fs.readFileSync('/proc/self/mounts', 'utf8').split('\n').map((line) => line.split(' ')[1])
      .filter((point) => point?.startsWith(this.root + '/')).sort((a, b) => b.length - a.length)
    for (const point of mounts) spawnSync('umount', ['-l', point])
    fs.rmSync(this.root, { recursive: true, force: true })
  }
}
