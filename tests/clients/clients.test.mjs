// clients.test.mjs - the stock clients against Docker's engine and against Tabique, in one
// run; see run. Every client drives every engine by itself and in its own time, and what
// they answered is compared afterwards, scenario by scenario: the same, but for what
// differences.mjs states. Where ours differs Docker is asked twice more: it has races of its
// own. Ours is there twice, the second time with every container behind the thick wall.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { startRegistry } from '../api/lib/registry.mjs'
import { Engine } from '../bench/engines.mjs'
import { scenarios as cli, words } from './cli.mjs'
import { projects } from './compose.mjs'
import { scenarios as dockerode } from './dockerode.mjs'
import { judge } from './judge.mjs'

const top = process.cwd()
const root = fs.mkdtempSync('/var/tmp/tabique-clients-')
const peer = path.join(top, 'build/bench/docker')
const build = process.env.TABIQUE_BUILD || path.join(top, 'build/release')
const docker = process.env.CLIENTS_DOCKER || path.join(peer, 'usr/bin/docker')
const wanted = (process.env.CLIENTS || '').split(' ').filter(Boolean)
const engines = {}
const registries = []
const controls = path.basename(root) // Docker's control group
let all // clients that are asked

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

before(async () => {
  const libraries = ['usr/lib/x86_64-linux-gnu', 'lib/x86_64-linux-gnu'].map((dir) => path.join(peer, dir)).join(':')
  const ours = (name, ...more) => {
    const dir = path.join(root, name)
    return new Engine(name, dir, path.join(build, 'server/tabique'), [
      '--data-dir', path.join(dir, 'data'), '--run-dir', path.join(dir, 'run'), '--socket', path.join(dir, 'engine.sock'),
      '--listen', '127.0.0.1:9643', '--libexec-dir', path.join(build, 'libexec'), '--base-image', path.join(top, 'build/base-image.tar'), ...more])
  }
  const dir = path.join(root, 'docker')
  fs.mkdirSync(dir)
  fs.writeFileSync(path.join(dir, 'config.json'), JSON.stringify({ 'deprecated-key-path': path.join(dir, 'key.json') }))
  engines.docker = new Engine('docker', dir, path.join(peer, 'usr/sbin/dockerd'), [
    '--config-file', path.join(dir, 'config.json'), '--cgroup-parent', controls, '--data-root', path.join(dir, 'data'), '--exec-root', path.join(dir, 'run'), '--pidfile', path.join(dir, 'pid'),
    '-H', `unix://${path.join(dir, 'engine.sock')}`, '--init-path', path.join(peer, 'usr/bin/tini-static')], {
    LD_LIBRARY_PATH: libraries, XTABLES_LIBDIR: path.join(peer, 'usr/lib/x86_64-linux-gnu/xtables'),
    PATH: `${peer}/usr/sbin:${peer}/usr/bin:${process.env.PATH}` })
  engines.process = ours('process')
  engines.hyperv = ours('hyperv', '--default-isolation', 'hyperv')
  await Promise.all(Object.values(engines).map((engine) => engine.ready()))
  const loaded = await command(engines.docker, [docker, 'load', '-q', '-i', path.join(top, 'build/base-image.tar')])
  assert.equal(loaded.code, 0, loaded.stderr)
  for (const engine of Object.values(engines))
    registries.push(await startRegistry(path.join(engine.root, 'registry'), { password: true, within: engine.child.pid }))
  all = askAll()
}, { timeout: 120_000 })

after(async () => {
  for (const engine of Object.values(engines)) if (engine.child.exitCode === null) await engine.stop().catch(() => {})
  for (const registry of registries) await registry.stop()
  for (const mount of fs.readFileSync('/proc/self/mounts', 'utf8').matchAll(/^\S+ (\S+) cgroup2? /gm)) try { fs.rmdirSync(path.join(mount[1], controls)) } catch { /* not there */ }
  // dockerd leaves its root a mount of its own where the host's are not shared.
  for (const [, at] of [...fs.readFileSync('/proc/self/mounts', 'utf8').matchAll(/^\S+ (\S+) /gm)].reverse())
    if (at.startsWith(root)) spawnSync('umount', ['-l', at])
  fs.rmSync(root, { recursive: true, force: true })
}, { timeout: 120_000 })

// A program as its user runs it: DOCKER_HOST says which engine.
function command(engine, argv, { input, cwd, timeout = 60_000 } = {}) {
  const home = path.join(engine.root, 'home')
  fs.mkdirSync(home, { recursive: true })
  return new Promise((resolve) => {
    const child = spawn(argv[0], argv.slice(1), { cwd, stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, PATH: `${path.dirname(docker)}:${process.env.PATH}`, HOME: home, // docker-compose calls docker
        DOCKER_HOST: `unix://${engine.socket}`, DOCKER_CLI_HINTS: 'false', DOCKER_BUILDKIT: '0', DOCKER_API_VERSION: '1.41' } })
    const out = [], err = []
    const timer = setTimeout(() => child.kill('SIGKILL'), timeout)
    child.stdout.on('data', (chunk) => out.push(chunk))
    child.stderr.on('data', (chunk) => err.push(chunk))
    child.stdin.on('error', () => {})
    child.on('error', (error) => err.push(Buffer.from(String(error))))
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      resolve({ code: code ?? signal, stdout: Buffer.concat(out).toString('latin1'), stderr: Buffer.concat(err).toString() })
    })
    child.stdin.end(input ?? '')
  })
}

// Command lines in order; of each, exit code and both outputs.
async function session(engine, lines, dir, program) {
  const answers = {}
  fs.mkdirSync(dir, { recursive: true })
  for (const [index, step] of lines.entries()) {
    const { line, files = {}, input, until, binary, sorted } = typeof step === 'string' ? { line: step } : step
    for (const [file, text] of Object.entries(files)) fs.writeFileSync(path.join(dir, file), text)
    const argv = [...program, ...words(line).map((word) => word.replaceAll('<dir>', dir).replaceAll('<soon>', Math.floor(Date.now() / 1000) + 2))]
    let answer = await command(engine, argv, { input, cwd: dir })
    const reached = () => (until instanceof RegExp ? until.test(answer.stderr) : answer.stdout.includes(until))
    for (let i = 0; until && !reached() && i < 300; i++) {
      await sleep(100)
      answer = await command(engine, argv, { input, cwd: dir })
    }
    if (binary) answer.stdout = answer.stdout.length > 0 ? 'something' : ''
    if (sorted) for (const stream of ['stdout', 'stderr']) answer[stream] = answer[stream].split('\n').sort().join('\n')
    answers[`${index + 1} ${line}`] = answer
  }
  fs.rmSync(dir, { recursive: true, force: true })
  return answers
}

async function each(table, fn) {
  const answers = {}
  for (const [name, entry] of Object.entries(table)) answers[name] = await fn(entry)
  return answers
}

// What each client does to one engine: the answers by scenario; all of them, or one.
const table = (all, name) => (name === undefined ? all : { [name]: all[name] })
const clients = {
  cli: (engine, name) => each(table(cli, name), (lines) => session(engine, lines, path.join(engine.root, 'dir'), [docker])),
  compose: (engine, name) => each(table(projects, name), ({ files, steps }) => {
    const lines = steps.map((step) => ({ sorted: true, ...(typeof step === 'string' ? { line: step } : step) }))
    lines[0] = { ...lines[0], files: { ...files, ...lines[0].files } }
    return session(engine, lines, path.join(engine.root, 'project'), ['docker-compose', '--no-ansi'])
  }),
  dockerpy: async (engine, name) => {
    const script = path.join(top, 'tests/clients/dockerpy.py')
    const answer = await command(engine, ['/usr/bin/python3', script, engine.socket, '1.41', ...(name === undefined ? [] : [name])], { timeout: 500_000 })
    assert.equal(answer.code, 0, answer.stderr)
    return Object.fromEntries(answer.stdout.trim().split('\n').map((line) => JSON.parse(line)).map(({ name: scenario, ...entry }) => [scenario, entry]))
  },
  dockerode: (engine, name) => each(table(dockerode, name), (fn) => fn(engine.socket).then((result) => ({ result: result ?? null }),
    (error) => ({ error: [error.statusCode, error.reason, error.json?.message ?? String(error)] }))),
}

// --- all of it, and the judgement ---------------------------------------------------------------

const asked = {} // client -> promise of { docker, process, ... }: the answers of each engine
const time = (fn) => { const begun = Date.now(); return fn().then((answers) => ({ answers, seconds: (Date.now() - begun) / 1000 })) }
async function ask(client) {
  const names = Object.keys(engines)
  const found = await Promise.all(names.map((name) => time(() => clients[client](engines[name]))))
  return Object.fromEntries(names.map((name, i) => [name, found[i]]))
}

// The CLI in one lane and the rest in another: most of the time is the engines' waiting.
function askAll() {
  const all = Object.keys(clients).filter((client) => wanted.length === 0 || wanted.includes(client))
  let last = Promise.resolve()
  for (const client of all) {
    asked[client] = client === 'cli' ? ask(client) : (last = last.then(() => ask(client)))
    asked[client].catch(() => {}) // told by its test
  }
  return all
}

for (const client of Object.keys(clients)) {
  test(client, { timeout: 1_200_000 }, async (t) => {
    if (!all.includes(client)) return
    const { docker, ...walls } = await asked[client]
    const roots = Object.values(engines).map((engine) => engine.root)
    t.diagnostic(`seconds: docker ${docker.seconds}, ${Object.entries(walls).map(([wall, { seconds }]) => `${wall} ${seconds}`).join(', ')}`)
    for (const [wall, { answers }] of Object.entries(walls))
      for (const name of new Set([...Object.keys(docker.answers), ...Object.keys(answers)]))
        await t.test(`${wall}: ${name}`, async () => {
          let found = judge.differences(`${client}, ${wall}: ${name}`, docker.answers[name], answers[name], roots)
          for (let i = 0; found.length > 0 && i < 2; i++) {
            t.diagnostic(`${wall}: ${name}: Docker is asked again\n${found.join('\n')}`)
            found = judge.differences(`${client}, ${wall}: ${name}`, (await clients[client](engines.docker, name))[name], answers[name], roots)
          }
          assert.equal(found.length, 0, `\n${found.join('\n')}`)
        })
  })
}

// A difference that is no more must leave the list, or it would hide its return.
if (wanted.length === 0)
  test('every stated difference was seen', () => { assert.deepEqual(judge.unseen(), []) })

test('no engine leaves a process behind', async () => {
  for (const registry of registries.splice(0)) await registry.stop()
  await Promise.all(Object.values(engines).map((engine) => engine.stop()))
  const left = fs.readdirSync('/proc').filter((entry) => /^\d+$/.test(entry)).map((pid) => {
    try { return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ') } catch { return '' }
  }).filter((line) => line.includes(root))
  assert.deepEqual(left, [])
})
