// The table of bad requests, put to both engines in one run (see run).
import fs from 'node:fs'
import path from 'node:path'
import { Engine } from '../bench/engines.mjs'
import { answerOf, asker, cases, key, prepare, tidy } from '../api/lib/bad_requests.mjs'

const top = process.cwd()
const root = fs.mkdtempSync('/var/tmp/tabique-parity-')
const build = process.env.TABIQUE_BUILD || path.join(top, 'build/release')
const recorded = path.join(top, 'tests/api/bad_requests.json')

const engines = [
  new Engine('tabique', path.join(root, 't'), path.join(build, 'server/tabique'), [
    '--data-dir', path.join(root, 't/data'), '--run-dir', path.join(root, 't/run'), '--socket', path.join(root, 't/engine.sock'),
    '--listen', '127.0.0.1:9643', '--libexec-dir', path.join(build, 'libexec'), '--base-image', path.join(top, 'build/base-image.tar')]),
  docker('docker', 'd', path.join(top, 'build/bench/docker')),
  docker('newer', 'n', path.join(top, 'build/bench/docker-newer')),
]

function docker(name, dir, peer) {
  const own = (file) => path.join(root, dir, file)
  return new Engine(name, path.join(root, dir), path.join(peer, 'usr/sbin/dockerd'), [
    '--data-root', own('data'), '--exec-root', own('run'), '--pidfile', own('pid'), '-H', `unix://${own('engine.sock')}`], {
    LD_LIBRARY_PATH: ['usr/lib/x86_64-linux-gnu', 'lib/x86_64-linux-gnu'].map((sub) => path.join(peer, sub)).join(':'),
    XTABLES_LIBDIR: path.join(peer, 'usr/lib/x86_64-linux-gnu/xtables'), PATH: `${peer}/usr/sbin:${peer}/usr/bin:${process.env.PATH}` })
}

async function answers(engine) {
  await engine.ready()
  const ask = asker(engine.socket)
  if (engine.name !== 'tabique')
    await ask('POST', '/images/load?quiet=1', { body: fs.readFileSync(path.join(top, 'build/base-image.tar')), type: 'application/x-tar' })
  const ids = await prepare(ask)
  const all = {}
  for (const entry of cases) {
    // Docker 20.10 has no end of this one: it waits, whatever the condition.
    all[key(entry)] = await answerOf(ask, entry, ids).catch((error) => [0, String(error.message).replace(/^.*: /, '')])
    await tidy(ask, entry, all[key(entry)][0])
  }
  return all
}

try {
  const before = fs.existsSync(recorded) ? JSON.parse(fs.readFileSync(recorded, 'utf8')) : {}
  const [ours, docker, newer] = await Promise.all(engines.map(answers))
  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b)
  const table = {}
  let different = 0
  for (const name of Object.keys(docker)) {
    table[name] = { docker: docker[name] }
    if (!same(docker[name], newer[name])) table[name].newer = newer[name]
    if (same(ours[name], newer[name])) continue
    different++
    table[name].ours = ours[name]
    table[name].why = before[name]?.why ?? ''
    console.log(`${name}\n  docker  ${docker[name].join(' ')}\n  newer   ${newer[name].join(' ')}\n  tabique ${ours[name].join(' ')}\n  ${table[name].why || 'NO REASON GIVEN'}`)
  }
  console.log(`${different} of ${Object.keys(docker).length} answers differ from the newer Docker's`)
  if (process.argv.includes('--record')) {
    const lines = Object.entries(table).map(([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`)
    fs.writeFileSync(recorded, `{\n${lines.join(',\n')}\n}\n`)
  }
} finally {
  for (const engine of engines) await engine.stop().catch(() => {})
  fs.rmSync(root, { recursive: true, force: true })
}
