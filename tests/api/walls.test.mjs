// One table of what people type, behind both walls: whatever the wall, the same
// command gives the same answer. Where it truly differs, docs/ISOLATION.md says so
// and the row here shows it.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { Server, sleep, until } from './lib/server.mjs'

const IMAGE = 'tabique/base'
const WALLS = ['process', 'hyperv']
const SLOW = { timeout: 180_000 } // emulated machines, started cold on a busy host
let server
let count = 0
const name = (what = 'w') => `${what}-${process.pid}-${++count}`
const ok = (...args) => server.ok(...args, SLOW)
const docker = (...args) => server.docker(...args, ...(typeof args.at(-1) === 'object' ? [] : [SLOW]))
const remove = (...ids) => ok('rm', '-f', '-v', ...ids)
const ps = (command) => spawnSync('ps', ['-C', command, '-o', 'pid='], { encoding: 'utf8' }).stdout.split('\n').map((pid) => pid.trim()).filter(Boolean)

// Its machines come by all three ways: from the pool, from the staged template, from the plain one.
before(async () => { server = await Server.start({ args: ['--accelerator', 'tcg', '--vm-pool', '1'] }) }, { timeout: 180_000 })
after(async () => { await server?.stop() }, { timeout: 180_000 })

// Each row: what it is, and a function of (run, wall); run has --isolation in its hand.
const scenarios = [
  ['output and exit status', async ({ run }) => {
    const result = await run('--rm', IMAGE, 'sh', '-c', 'echo out; echo err >&2; exit 7')
    assert.deepEqual([result.code, result.stdout, result.stderr], [7, 'out\n', 'err\n'])
    assert.equal((await run('--rm', IMAGE, 'true')).code, 0)
  }],
  ['125, 126, 127, 137', async ({ run }) => {
    assert.equal((await run('--rm', '--network', 'no-such', IMAGE, 'true')).code, 125)
    assert.equal((await run('--rm', IMAGE, '/etc/passwd')).code, 126)
    const unknown = await run('--rm', IMAGE, 'no-such-command')
    assert.equal(unknown.code, 127)
    assert.match(unknown.stderr, /no-such-command/)
    assert.equal((await run('--rm', '--init', IMAGE, 'sh', '-c', 'kill -9 $$')).code, 137)
  }],
  ['run -i', async ({ run }) => {
    const result = await run('--rm', '-i', IMAGE, 'wc', '-c', { input: 'x'.repeat(300_000), ...SLOW })
    assert.equal(result.stdout.trim(), '300000', result.stderr)
  }],
  ['run -t and -it', async ({ wall }) => {
    const tty = await server.dockerTty(`run --rm --isolation ${wall} -t ${IMAGE} sh -c 'test -t 1 && echo is a tty'`, SLOW)
    assert.match(tty.stdout, /is a tty\r+\n/)
    const shell = await server.dockerTty(`run --rm --isolation ${wall} -it ${IMAGE} sh`, { input: 'echo $((40+2))\nexit 5\n', ...SLOW })
    assert.match(shell.stdout, /42/)
    assert.equal(shell.code, 5)
  }],
  ['exec, exec -i, exec -it, exec -u -w -e', async ({ background }) => {
    const id = await background(IMAGE, 'sleep', '1000')
    const plain = await docker('exec', id, 'sh', '-c', 'echo in; exit 4')
    assert.deepEqual([plain.code, plain.stdout], [4, 'in\n'])
    assert.equal((await docker('exec', '-i', id, 'cat', { input: 'through', ...SLOW })).stdout, 'through')
    const tty = await server.dockerTty(`exec -it ${id} sh`, { input: 'tty; exit 6\n', ...SLOW })
    assert.match(tty.stdout, /\/dev\/pts\//)
    assert.equal(tty.code, 6)
    assert.equal(await ok('exec', '-u', '12:34', '-w', '/tmp', '-e', 'A=b', id, 'sh', '-c', 'echo $(id -u):$(id -g) $PWD $A'), '12:34 /tmp b')
    assert.equal((await docker('exec', id, 'no-such')).code, 126)
    assert.equal((await docker('exec', id, '/etc/passwd')).code, 126)
    await remove(id)
  }],
  ['logs', async ({ background }) => {
    const id = await background(IMAGE, 'sh', '-c', 'for i in 1 2 3; do echo out $i; done; echo err >&2')
    await server.waitState(id, 'exited')
    const result = await docker('logs', id)
    assert.deepEqual([result.stdout, result.stderr], ['out 1\nout 2\nout 3\n', 'err\n'])
    assert.match(await ok('logs', '-t', '--tail', '2', id), /^\d{4}-\d\d-\d\dT.* out 3$/m)
    await remove(id)
  }],
  ['stop, start, restart, kill', async ({ background }) => {
    const id = await background(IMAGE, 'sh', '-c', 'trap "exit 9" TERM; echo up; while :; do sleep 0.1; done')
    await until('the trap', async () => (await ok('logs', id)).includes('up'), 60_000)
    await ok('stop', '-t', '60', id)
    assert.equal((await server.info(id)).State.ExitCode, 9)
    await ok('start', id)
    await ok('restart', '-t', '0', id)
    assert.equal((await server.info(id)).State.Status, 'running')
    await ok('kill', id)
    const { State } = await server.waitState(id, 'exited')
    assert.equal(State.ExitCode, 137)
    await remove(id)
  }],
  ['kill with a signal', async ({ background }) => {
    const id = await background(IMAGE, 'sh', '-c', 'trap "echo got it; exit 3" USR1; while :; do sleep 0.1; done')
    await until('the trap', async () => { await docker('kill', '-s', 'USR1', id); return (await server.info(id)).State.Status === 'exited' }, 60_000)
    assert.equal((await server.info(id)).State.ExitCode, 3)
    assert.match(await ok('logs', id), /got it/)
    await remove(id)
  }],
  ['pause and unpause', async ({ background }) => {
    const id = await background(IMAGE, 'sh', '-c', 'while :; do echo x; sleep 0.05; done')
    await until('output', async () => (await ok('logs', id)).length > 0, 60_000)
    await ok('pause', id)
    assert.equal((await server.info(id)).State.Status, 'paused')
    const length = (await ok('logs', id)).length
    await sleep(400)
    assert.equal((await ok('logs', id)).length, length)
    await ok('unpause', id)
    await until('more output', async () => (await ok('logs', id)).length > length, 60_000)
    await remove(id)
  }],
  ['--init', async ({ run }) => {
    const result = await run('--rm', '--init', IMAGE, 'sh', '-c', 'echo $$; cat /proc/1/comm')
    const [pid, first] = result.stdout.trim().split('\n')
    assert.notEqual(pid, '1', result.stderr)
    assert.doesNotMatch(first, /^(sh|busybox)$/)
  }],
  ['-e -w -u --hostname', async ({ run }) => {
    const result = await run('--rm', '-e', 'A=b c', '-w', '/tmp', '-u', '1000:1001', '--hostname', 'box', IMAGE, 'sh', '-c', 'echo "$A|$PWD|$(id -u):$(id -g)|$(hostname)"')
    assert.equal(result.stdout, 'b c|/tmp|1000:1001|box\n', result.stderr)
    assert.equal((await run('--rm', '-u', 'nobody', IMAGE, 'id', '-u')).stdout, '65534\n')
  }],
  ['--read-only, --tmpfs', async ({ run }) => {
    const result = await run('--rm', '--read-only', '--tmpfs', '/t', IMAGE, 'sh', '-c', 'touch /t/x && ! touch /x 2>/dev/null && grep -c " /t tmpfs " /proc/mounts')
    assert.deepEqual([result.code, result.stdout], [0, '1\n'], result.stderr)
  }],
  ['--memory: OOM', async ({ background }) => {
    const id = await background('--memory', '24m', '--memory-swap', '24m', IMAGE, 'sh', '-c', 'exec tail /dev/zero')
    await until('the end', async () => (await server.info(id)).State.Status === 'exited', 120_000)
    const { State } = await server.info(id)
    assert.deepEqual([State.ExitCode, State.OOMKilled], [137, true])
    await remove(id)
  }],
  ['--cpus, update, inspect', async ({ background, wall }) => {
    const id = await background('--cpus', '0.5', '-m', '64m', IMAGE, 'sleep', '1000')
    const info = await server.info(id)
    assert.equal(info.HostConfig.NanoCpus, 500_000_000)
    assert.equal(info.HostConfig.Isolation, wall)
    assert.equal(await ok('inspect', '-f', '{{.HostConfig.Isolation}}', id), wall)
    await ok('update', '-m', '96m', '--memory-swap', '192m', id)
    assert.equal((await server.info(id)).HostConfig.Memory, 96 * 1024 * 1024)
    await remove(id)
  }],
  ['-v, bind and volume, rw and ro', async ({ run }) => {
    const dir = fs.mkdtempSync(path.join(server.root, 'bind-'))
    fs.writeFileSync(path.join(dir, 'file'), 'from the host')
    assert.equal((await run('--rm', '-v', `${dir}:/in:ro`, IMAGE, 'sh', '-c', 'cat /in/file; touch /in/x 2>/dev/null && echo written')).stdout, 'from the host')
    const write = await run('--rm', '-v', `${dir}:/in`, IMAGE, 'sh', '-c', 'echo from inside > /in/out')
    assert.equal(write.code, 0, write.stderr)
    assert.equal(fs.readFileSync(path.join(dir, 'out'), 'utf8'), 'from inside\n')
    const volume = name('vol')
    assert.equal((await run('--rm', '-v', `${volume}:/data`, IMAGE, 'sh', '-c', 'echo kept > /data/f')).code, 0)
    assert.equal((await run('--rm', '-v', `${volume}:/data:ro`, IMAGE, 'sh', '-c', 'cat /data/f; touch /data/x 2>/dev/null && echo written')).stdout, 'kept\n')
    await ok('volume', 'rm', volume)
  }],
  ['a published port answers', async ({ background }) => {
    const id = await background('-p', '127.0.0.1::8080', IMAGE, 'sh', '-c', 'mkdir /w; echo page > /w/index.html; httpd -f -p 8080 -h /w')
    const port = (await ok('port', id, '8080/tcp')).split(':').at(-1)
    const page = await until('the page', async () => {
      try { return await (await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(5000) })).text() } catch { return null }
    }, 60_000)
    assert.equal(page, 'page\n')
    await remove(id)
  }],
  ['container to container, to either wall', async ({ run, wall }) => {
    for (const other of WALLS) {
      const id = name()
      await ok('run', '-d', '--isolation', other, '--name', id, IMAGE, 'sh', '-c', 'mkdir /w; echo hello > /w/index.html; httpd -f -p 80 -h /w')
      const address = (await server.info(id)).NetworkSettings.Networks.bridge.IPAddress
      const result = await run('--rm', IMAGE, 'sh', '-c', `i=0; until wget -O - http://${address}/ 2>/dev/null; do i=$((i+1)); [ $i -lt 20 ] || exit 1; sleep 0.5; done`)
      assert.equal(result.stdout, 'hello\n', `${wall} to ${other}: ${result.stderr}`)
      await remove(id)
    }
  }],
  ['networks come and go while it runs', async ({ background, wall }) => {
    const [id, peer, net, first] = [await background(IMAGE, 'sleep', '1000'), name(), name('net'), name('net')]
    await ok('network', 'create', first)
    await ok('network', 'create', net)
    await ok('run', '-d', '--isolation', 'process', '--network', net, '--name', peer, IMAGE, 'sleep', '1000')
    const inside = (command) => ok('exec', id, 'sh', '-c', command)
    const reaches = async (from, to) => assert.match(await ok('exec', from, 'ping', '-c', '1', '-W', '30', to), /1 packets received/)
    await ok('network', 'connect', '--alias', 'second', net, id)
    await reaches(id, peer) // by name: its name server is asked from now on
    await reaches(peer, id)
    await reaches(peer, 'second')
    const addresses = async () => (await server.info(id)).NetworkSettings.Networks
    const { IPAddress, Gateway } = (await addresses())[net]
    assert.match(await inside('cat /etc/hosts'), new RegExp(`^${IPAddress}\\s`, 'm'))
    // What had the default route goes: the other one has it then.
    await ok('network', 'disconnect', 'bridge', id)
    assert.match(await inside('ip route'), new RegExp(`^default via ${Gateway} `, 'm'))
    await reaches(id, peer)
    assert.equal(await inside('ls /sys/class/net | grep -c eth; ip -4 -o addr | grep -c " eth"').then((text) => text.split('\n').at(-1)), '1')
    // A server that was away in between makes no difference; a place that was left is taken again.
    await server.halt('SIGKILL')
    await server.spawn()
    await ok('network', 'connect', first, id)
    await ok('network', 'disconnect', net, id)
    const gateway = (await addresses())[first].Gateway
    assert.match(await inside('ip route'), new RegExp(`^default via ${gateway} `, 'm'))
    await reaches(id, gateway)
    assert.notEqual((await docker('exec', id, 'ping', '-c', '1', '-W', '1', IPAddress)).code, 0)
    if (wall === 'hyperv') {
      const more = [name('net'), name('net'), name('net')]
      for (const network of more) { await ok('network', 'create', network); await ok('network', 'connect', network, id) }
      const fifth = await docker('network', 'connect', net, id)
      assert.equal(fifth.code, 1)
      assert.match(fifth.stderr, /on 4 networks at most/)
      assert.equal(Object.keys(await addresses()).length, 4)
      await ok('stop', '-t', '0', id)
      await remove(id, peer)
      await ok('network', 'rm', first, net, ...more)
      return
    }
    await remove(id, peer)
    await ok('network', 'rm', first, net)
  }],
  ['top and stats', async ({ background }) => {
    const id = await background(IMAGE, 'sh', '-c', 'sleep 1000 & wait')
    const top = await ok('top', id)
    assert.match(top, /^UID\s+PID\s+PPID\s+C\s+STIME\s+TTY\s+TIME\s+CMD/)
    assert.match(top, /sleep 1000/)
    assert.match(await ok('top', id, '-o', 'pid,comm'), /^PID\s+COMMAND/)
    const stats = JSON.parse(await ok('stats', '--no-stream', '--format', '{{json .}}', id))
    assert.match(stats.MemUsage, /^[\d.]+[KM]iB \/ /)
    assert.ok(Number(stats.PIDs) >= 2, JSON.stringify(stats))
    await remove(id)
  }],
  ['ps --filter isolation, rename', async ({ background, wall }) => {
    const id = await background(IMAGE, 'sleep', '1000')
    const other = name('renamed')
    await ok('rename', id, other)
    for (const asked of WALLS)
      assert.equal((await ok('ps', '--filter', `isolation=${asked}`, '--format', '{{.Names}}')).split('\n').includes(other), asked === wall)
    await remove(other)
  }],
  ['restart policy', async ({ background }) => {
    const id = await background('--restart', 'on-failure:2', IMAGE, 'sh', '-c', 'echo run; exit 3')
    await until('two restarts', async () => {
      const info = await server.info(id)
      return info.RestartCount === 2 && info.State.Status === 'exited'
    }, 120_000)
    assert.equal((await server.info(id)).State.ExitCode, 3)
    assert.equal(await ok('logs', id), 'run\nrun\nrun')
    await remove(id)
  }],
  ['--rm leaves nothing', async ({ run }) => {
    const id = name()
    assert.equal((await run('--rm', '--name', id, IMAGE, 'true')).code, 0)
    await until('removal', async () => (await server.request('GET', `/containers/${id}/json`)).status === 404)
  }],
]

for (const wall of WALLS) {
  describe(wall, () => {
    const run = (...args) => docker('run', '--isolation', wall, ...args)
    const background = async (...args) => {
      const id = name()
      await ok('run', '-d', '--isolation', wall, '--name', id, ...args)
      return id
    }
    for (const [title, fn] of scenarios) test(title, { timeout: 400_000 }, () => fn({ run, background, wall }))
  })
}

describe('where they differ', () => {
  // The reference page's walk.
  test('process: docker top and the host see one and the same ping', async () => {
    const id = name()
    await ok('run', '-d', '--isolation', 'process', '--name', id, IMAGE, 'ping', 'localhost')
    const [, pid] = (await ok('top', id, '-o', 'pid,comm')).match(/(\d+)\s+ping/)
    assert.ok(ps('ping').includes(pid))
    await remove(id)
  })

  test('hyperv: docker top sees the ping, the host only vmwp', async () => {
    const before = { ping: ps('ping'), vmwp: ps('vmwp') }
    const id = name()
    await ok('run', '-d', '--isolation', 'hyperv', '--name', id, IMAGE, 'ping', 'localhost')
    assert.match(await ok('top', id, '-o', 'pid,comm'), /\d+\s+ping/)
    assert.deepEqual(ps('ping').filter((pid) => !before.ping.includes(pid)), [])
    const { Pid } = (await server.info(id)).State
    assert.ok(ps('vmwp').includes(String(Pid)) || ps('vmwp').some((pid) => !before.vmwp.includes(pid)), 'no new vmwp')
    await remove(id)
  })

  test('hyperv has a kernel of its own', async () => {
    const release = async (wall) => ok('run', '--rm', '--isolation', wall, IMAGE, 'cat', '/proc/sys/kernel/random/boot_id')
    const host = fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    assert.equal(await release('process'), host)
    const [one, two] = [await release('hyperv'), await release('hyperv')]
    assert.equal(new Set([host, one, two]).size, 3)
  })

  for (const flags of [['--pid=host'], ['--ipc=host'], ['--uts=host'], ['--network=host']])
    test(`hyperv refuses ${flags.join(' ')}`, async () => {
      const id = name()
      const result = await docker('run', '--name', id, '--isolation', 'hyperv', ...flags, IMAGE, 'true')
      assert.equal(result.code, 125, result.stdout)
      assert.match(result.stderr, /^docker: Error response from daemon: .*hyperv/)
      assert.equal((await server.request('GET', `/containers/${id}/json`)).status, 404)
    })

  test('an unknown wall is refused', async () => {
    const result = await docker('run', '--rm', '--isolation', 'paper', IMAGE, 'true')
    assert.equal(result.code, 125)
    assert.match(result.stderr, /invalid isolation mode/)
  })
})
