// docker-compose 1.29 (Debian's) against the server: one project that uses most of what
// its files can say, with a service behind either wall.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { Server, run, until } from './lib/server.mjs'

let server
let dir
before(async () => {
  server = await Server.start()
  dir = path.join(server.root, 'walls')
  fs.mkdirSync(dir)
}, { timeout: 120_000 })
after(async () => { await server?.stop() }, { timeout: 60_000 })

const compose = (...args) => run('docker-compose', ['--ansi', 'never', ...args],
  { cwd: dir, timeout: 180_000, env: { HOME: dir, DOCKER_HOST: `unix://${server.socket}`, COMPOSE_HTTP_TIMEOUT: '120' } })
const ok = async (...args) => {
  const { code, stdout, stderr } = await compose(...args)
  assert.equal(code, 0, `${args.join(' ')}: ${stderr}`)
  return stdout.trim()
}
const write = (thick, greeting = 'first') => fs.writeFileSync(path.join(dir, 'docker-compose.yml'), `version: "2.4"
services:
  db:
    image: tabique/base
    isolation: ${thick}
    stop_grace_period: 0s
    command: sleep 1000
    healthcheck: {test: "test -f /data/ready || touch /data/ready", interval: 1s, retries: 60}
    volumes: ["data:/data"]
    networks: {back: {aliases: [store]}}
  web:
    image: tabique/base
    isolation: process
    stop_grace_period: 0s
    command: sh -c 'echo ${greeting}; ping -c 1 -W 20 store >/dev/null && echo found store; sleep 1000'
    depends_on: {db: {condition: service_healthy}}
    environment: {A: "one"}
    networks: [back]
  again:
    image: tabique/base
    command: sh -c 'exit 3'
    restart: on-failure:2
    network_mode: none
networks: {back: {}}
volumes: {data: {}}
`)
const inspect = async (service, index = 1) => (await server.request('GET', `/containers/walls_${service}_${index}/json`)).json

test('a project behind both walls: isolation, health, names, volumes, scale, change, end', { timeout: 600_000 }, async () => {
  write('hyperv')
  await ok('up', '-d')
  assert.deepEqual([(await inspect('db')).HostConfig.Isolation, (await inspect('web')).HostConfig.Isolation], ['hyperv', 'process'])
  assert.equal((await inspect('db')).State.Health.Status, 'healthy')
  // Another kernel's boot id than the host's: the wall is there, not only its name.
  const boot = fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  assert.notEqual(await ok('exec', '-T', 'db', 'cat', '/proc/sys/kernel/random/boot_id'), boot)
  assert.equal(await ok('exec', '-T', 'web', 'cat', '/proc/sys/kernel/random/boot_id'), boot)

  // The thin wall finds the thick one by its alias.
  await until('the name', async () => /found store/.test(await ok('logs', '--no-color', 'web')), 60_000)
  assert.equal(await ok('exec', '-T', 'web', 'sh', '-c', 'echo $A'), 'one')
  assert.equal((await compose('exec', '-T', 'web', 'sh', '-c', 'exit 9')).code, 9)
  await until('the restarts', async () => { const { RestartCount, State } = await inspect('again'); return RestartCount === 2 && State.Status === 'exited' && State.ExitCode === 3 })

  // Unchanged, nothing is made anew; changed, the service is, and the volume stays.
  const before = { db: (await inspect('db')).Id, web: (await inspect('web')).Id }
  await ok('exec', '-T', 'db', 'sh', '-c', 'echo kept >/data/f')
  await ok('up', '-d', 'db', 'web')
  assert.deepEqual({ db: (await inspect('db')).Id, web: (await inspect('web')).Id }, before)
  write('process', 'second')
  await ok('up', '-d', 'db', 'web')
  assert.equal((await inspect('db')).HostConfig.Isolation, 'process')
  assert.notEqual((await inspect('db')).Id, before.db)
  assert.notEqual((await inspect('web')).Id, before.web)
  assert.equal(await ok('exec', '-T', 'db', 'cat', '/data/f'), 'kept')
  assert.equal(await ok('exec', '-T', 'db', 'cat', '/proc/sys/kernel/random/boot_id'), boot)

  await ok('up', '-d', '--scale', 'web=3', 'web')
  assert.equal((await ok('ps', '-q', 'web')).split('\n').length, 3)
  assert.equal(await ok('exec', '-T', '--index=3', 'web', 'echo', 'third'), 'third')
  await until('all three', async () => ((await ok('logs', '--no-color', 'web')).match(/second/g) ?? []).length === 3)
  await ok('up', '-d', '--scale', 'web=1', 'web')
  assert.equal((await ok('ps', '-q', 'web')).split('\n').length, 1)

  await ok('down', '-v', '-t', '0')
  assert.deepEqual((await server.request('GET', '/containers/json?all=1')).json, [])
  assert.deepEqual((await server.request('GET', '/networks?filters={"type":["custom"]}')).json, [])
  assert.deepEqual((await server.request('GET', '/volumes')).json.Volumes ?? [], [])
})

test('an isolation that there is not is refused', async () => {
  write('nonsense')
  const refused = await compose('up', '-d', 'db')
  assert.notEqual(refused.code, 0)
  assert.match(refused.stderr, /invalid isolation mode: \"nonsense\"|invalid isolation mode.*nonsense/)
  await ok('down', '-v', '-t', '0')
})
