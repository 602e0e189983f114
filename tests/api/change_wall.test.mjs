// POST /api/v1/containers/{id}/isolation: the same container behind the other wall,
// with all it had, both ways.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Server } from './lib/server.mjs'

const IMAGE = 'tabique/base'
const SLOW = { timeout: 240_000 }
let server
let count = 0
const name = (what = 'c') => `${what}-${process.pid}-${++count}`
const ok = (...args) => server.ok(...args, SLOW)
const change = (id, body) => server.request('POST', `/api/v1/containers/${id}/isolation`, { body })
const other = (wall) => (wall === 'process' ? 'hyperv' : 'process')

before(async () => { server = await Server.start({ args: ['--accelerator', 'tcg'] }) }, { timeout: 180_000 })
after(async () => { await server?.stop() }, { timeout: 180_000 })

// What a file system can hold, and what an overlay keeps in a way of its own.
const MAKE = `set -e
mkdir -p /d/e; echo text > /d/e/file; chown 123:45 /d/e/file; chmod 4751 /d/e/file; touch -d @1000000000 /d/e/file
ln /d/e/file /d/hard; ln -s e/file /d/soft; mkfifo /d/pipe; mknod /d/null c 1 3; chmod 1777 /d/e
dd if=/dev/zero of=/d/sparse bs=1 count=1 seek=20M 2>/dev/null; echo -n end >> /d/sparse
echo one > '/d/ space é'; rm /etc/passwd; rm -r /home; mkdir /home; echo new > /home/only; rm -rf /var; chmod 711 /; echo kept > /v/kept`
const LOOK = `cat /d/e/file; stat -c '%n %a %u %g %h %Y %s' /d/e/file; stat -c '%a' /d/e / /d; readlink /d/soft
stat -c '%F %t %T' /d/pipe /d/null; stat -c %s /d/sparse; tail -c 3 /d/sparse; echo; [ $(du -k /d/sparse | cut -f1) -lt 1000 ] && echo sparse; [ /d/e/file -ef /d/hard ] && echo the same
cat '/d/ space é'; ls /home; ls -d /var /etc/passwd 2>&1; cat /v/kept`

for (const wall of ['process', 'hyperv']) {
  describe(`from ${wall} to ${other(wall)} and back`, () => {
    test('files, names, networks, volumes', { timeout: 400_000 }, async () => {
      const [id, network, volume] = [name(), name('net'), name('vol')]
      const subnet = wall === 'process' ? '10.213.7' : '10.213.8', ip = subnet + '.77'
      await ok('network', 'create', '--subnet', `${subnet}.0/24`, network)
      await ok('run', '-d', '--isolation', wall, '--name', id, '--network', network, '--ip', ip, '--network-alias', 'alias',
        '-v', `${volume}:/v`, '--hostname', 'host', '--label', 'a=b', '--stop-timeout', '1', '--privileged', IMAGE, 'sleep', '1000')
      await ok('exec', id, 'sh', '-c', MAKE)
      const seen = await ok('exec', id, 'sh', '-c', LOOK)
      assert.match(seen, /\nsparse\nthe same\n/)
      const kept = (info) => [info.Name, info.Id, info.Config, info.Mounts, info.HostConfig.NetworkMode,
        info.NetworkSettings.Networks[network].IPAddress, info.NetworkSettings.Networks[network].Aliases]
      const before = await server.info(id)

      const refused = await change(id, { isolation: other(wall) })
      assert.equal(refused.status, 409, refused.text)
      assert.match(refused.json.message, /running: stop it/)

      // A running one, by a stop and a start.
      const running = await change(id, { isolation: other(wall), restart: true })
      assert.equal(running.status, 204, running.text)
      let info = await server.info(id)
      assert.deepEqual([info.HostConfig.Isolation, info.State.Status], [other(wall), 'running'])
      assert.deepEqual(kept(info), kept(before))
      assert.equal(await ok('exec', id, 'sh', '-c', LOOK), seen)
      await ok('exec', id, 'sh', '-c', 'echo there > /there; rm /d/hard')

      // A stopped one, and back.
      await ok('stop', '-t', '0', id)
      const stopped = await change(id, { isolation: wall })
      assert.equal(stopped.status, 204, stopped.text)
      info = await server.info(id)
      assert.deepEqual([info.HostConfig.Isolation, info.State.Status], [wall, 'exited'])
      assert.equal((await ok('cp', `${id}:/there`, '-')).length > 0, true)
      await ok('start', id)
      assert.equal(await ok('exec', id, 'sh', '-c', 'cat /there /v/kept /home/only; ls /d | wc -l; [ -e /d/hard ] || [ -e /var ] || echo gone'),
        'there\nkept\nnew\n6\ngone')
      await ok('rm', '-f', '-v', id)
      await ok('network', 'rm', network)
      await ok('volume', 'rm', '-f', volume)
    })
  })
}

test('one that was never started', SLOW, async () => {
  const id = await ok('create', '--isolation', 'process', IMAGE, 'hostname')
  for (const wall of ['hyperv', 'process', 'hyperv']) assert.equal((await change(id, { isolation: wall })).status, 204)
  assert.equal(await ok('start', '-a', id), id.slice(0, 12))
  await ok('rm', id)
})

test('what its configuration rules out is refused before anything is stopped', SLOW, async () => {
  const id = await ok('run', '-d', '--isolation', 'process', '--pid', 'host', IMAGE, 'sleep', '1000')
  const refused = await change(id, { isolation: 'hyperv', restart: true })
  assert.equal(refused.status, 400, refused.text)
  assert.match(refused.json.message, /--pid=host/)
  const { State, HostConfig } = await server.info(id)
  assert.deepEqual([State.Status, HostConfig.Isolation], ['running', 'process'])
  await ok('rm', '-f', id)
})

test('a second start that fails leaves it whole', { timeout: 300_000 }, async () => {
  const id = name()
  const networks = Array.from({ length: 4 }, () => name('net'))
  await ok('run', '-d', '--isolation', 'process', '--name', id, '--stop-timeout', '1', IMAGE, 'sleep', '1000')
  for (const network of networks) { // with the default one five: more than a machine has
    await ok('network', 'create', network)
    await ok('network', 'connect', network, id)
  }
  await ok('exec', id, 'sh', '-c', 'echo mine > /mine')
  const failed = await change(id, { isolation: 'hyperv', restart: true })
  assert.equal(failed.status, 500, failed.text)
  assert.match(failed.json.message, /4 networks at most/)
  const { State, HostConfig } = await server.info(id)
  assert.deepEqual([State.Status, HostConfig.Isolation], ['exited', 'hyperv'])
  assert.match(State.Error, /4 networks at most/)
  assert.equal((await change(id, { isolation: 'process' })).status, 204)
  await ok('start', id)
  assert.equal(await ok('exec', id, 'cat', '/mine'), 'mine')
  await ok('rm', '-f', id)
  await ok('network', 'rm', ...networks)
})
