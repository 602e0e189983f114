// What goes wrong behind the thick wall, as clients meet it: it is told at once and
// with its reason (State.Error, exit status, event), and nothing of it is left on the host.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { Server, sleep, until } from './lib/server.mjs'

// What is damaged here is nobody else's.
delete process.env.TABIQUE_MACHINES_DIR

const IMAGE = 'tabique/base'
const SLOW = { timeout: 180_000 }
const TCG = ['--accelerator', 'tcg']
let server
let count = 0
const name = (what = 'f') => `${what}-${process.pid}-${++count}`
const ok = (...args) => server.ok(...args, SLOW)
const docker = (...args) => server.docker(...args, SLOW)
const start = async (...args) => {
  const id = name()
  await ok('run', '-d', '--isolation', 'hyperv', '--name', id, ...args)
  return server.info(id)
}

/** Processes of a container: its shim, worker and file server name it in their arguments. */
const processesOf = (id) => fs.readdirSync('/proc').filter((pid) => {
  if (!/^\d+$/.test(pid)) return false
  try { return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(id) } catch { return false }
})

const found = (dir, id) => spawnSync('find', [dir, '-name', `*${id}*`], { encoding: 'utf8' }).stdout.split('\n').filter(Boolean)

// Processes, control groups, network namespaces (and with them taps and bridges), run-time files.
async function nothingLeft(id, owner = server) {
  await until(`the processes of ${id} to be gone`, () => processesOf(id).length === 0, 60_000)
  await until(`the rest of ${id} to be gone`, () => [...found('/sys/fs/cgroup', id), ...found(owner.runDir, id)].length === 0, 30_000)
    .catch(() => assert.deepEqual([...found('/sys/fs/cgroup', id), ...found(owner.runDir, id)], []))
}

async function dieEvent(id, since) {
  const text = await ok('events', '--since', since, '--until', String(Math.ceil(Date.now() / 1000)), '--filter', `container=${id}`,
    '--filter', 'event=die', '--format', '{{json .}}')
  return JSON.parse(text.split('\n').at(-1)).Actor.Attributes
}

// status, words: of State and of the event; the container can be started again.
async function fell({ Id }, since, status, words) {
  const { State } = await until('the end', async () => {
    const info = await server.info(Id)
    return info.State.Status === 'exited' && info
  }, 60_000)
  assert.match(String(State.ExitCode), status, State.Error)
  assert.match(State.Error, words)
  const attributes = await dieEvent(Id, since)
  assert.equal(attributes.exitCode, String(State.ExitCode))
  assert.equal(attributes.error, State.Error)
  const { json } = await server.request('GET', `/api/v1/containers`)
  const listed = (json.containers ?? json).find((container) => container.id === Id)
  assert.equal(listed.error, State.Error)
  await nothingLeft(Id)
}

const now = () => String(Math.floor(Date.now() / 1000))

before(async () => { server = await Server.start({ args: TCG }) }, { timeout: 180_000 })
after(async () => { await server?.stop() }, { timeout: 180_000 })

describe('a machine is lost', () => {
  test('worker killed: 137, the reason, nothing left; it starts again', SLOW, async () => {
    const since = now()
    const info = await start(IMAGE, 'sleep', '1000')
    process.kill(info.State.Pid, 'SIGKILL')
    await fell(info, since, /^137$/, /worker \(vmwp\) was killed \(signal 9\)/)
    await ok('start', info.Id)
    assert.equal((await server.info(info.Id)).State.Error, '')
    await ok('rm', '-f', info.Id)
    await nothingLeft(info.Id)
  })

  test('guest kernel panic: 255 and its last words', SLOW, async () => {
    const since = now()
    const info = await start('--privileged', IMAGE, 'sh', '-c', 'echo c > /proc/sysrq-trigger; sleep 1000')
    await fell(info, since, /^255$/, /kernel panicked; its last words: Kernel panic - not syncing: sysrq triggered crash/)
    await ok('rm', info.Id)
  })

  // The device below the agent's channel is torn out. Whether the agent, its kernel or the
  // worker ends of it is QEMU's matter.
  test('the channel torn out: an end, and the reason', SLOW, async () => {
    const since = now()
    const info = await start('--privileged', IMAGE, 'sh', '-c', 'for d in /sys/bus/virtio/drivers/virtio_console/virtio*; do echo ${d##*/} > /sys/bus/virtio/drivers/virtio_console/unbind; done; sleep 1000')
    await docker('top', info.Id)
    await fell(info, since, /^(255|137|139)$/, /guest|channel|agent|worker/)
    await ok('rm', info.Id)
  })

  // Nobody asks it anything but the recorder.
  test('a guest that has gone silent is found out', SLOW, async () => {
    const since = now()
    const info = await start(IMAGE, 'sleep', '1000')
    process.kill(info.State.Pid, 'SIGSTOP')
    await fell(info, since, /^255$/, /the guest does not answer any more/)
    await ok('rm', info.Id)
    await nothingLeft(info.Id)
  })

  test('a guest that floods the host is its own trouble', SLOW, async () => {
    const info = await start('--privileged', IMAGE, 'sh', '-c', 'yes > /dev/hvc0 & yes & yes >&2')
    const shim = (await server.info(info.Id)).State.Pid && fs.readFileSync(`/proc/${info.State.Pid}/status`, 'utf8').match(/^PPid:\t(\d+)$/m)[1]
    for (let i = 0; i < 5; i++) {
      assert.match(await ok('top', info.Id), /yes/)
      assert.equal(await ok('exec', info.Id, 'echo', 'here'), 'here')
      await sleep(500)
    }
    const rss = Number(fs.readFileSync(`/proc/${shim}/status`, 'utf8').match(/^VmRSS:\s+(\d+) kB$/m)[1])
    assert.ok(rss < 32 << 10, `${rss} KiB`)
    assert.equal(await ok('run', '--rm', '--isolation', 'hyperv', IMAGE, 'echo', 'another'), 'another')
    await ok('rm', '-f', info.Id)
    await nothingLeft(info.Id)
  })

  // What the guest has not passed on yet when its kernel panics nobody can have.
  test('the client of docker run gets the status', SLOW, async () => {
    const result = await docker('run', '--rm', '--privileged', '--isolation', 'hyperv', IMAGE, 'sh', '-c', 'echo before; sleep 1; echo c > /proc/sysrq-trigger; sleep 1000')
    assert.deepEqual([result.code, result.stdout], [255, 'before\n'], result.stderr)
  })

  test('a restart policy counts it', SLOW, async () => {
    const info = await start('--restart', 'on-failure:1', IMAGE, 'sleep', '1000')
    process.kill(info.State.Pid, 'SIGKILL')
    const again = await until('the restart', async () => {
      const now = await server.info(info.Id)
      return now.RestartCount === 1 && now.State.Status === 'running' && now
    }, 60_000)
    assert.notEqual(again.State.Pid, info.State.Pid)
    await ok('rm', '-f', info.Id)
  })

  test('while no server is there: the next one tells', SLOW, async () => {
    const since = now()
    const info = await start(IMAGE, 'sleep', '1000')
    await server.halt('SIGKILL')
    process.kill(info.State.Pid, 'SIGKILL')
    await until('the worker to be gone', () => !fs.existsSync(`/proc/${info.State.Pid}`))
    await server.spawn()
    await fell(info, since, /^137$/, /worker \(vmwp\) was killed \(signal 9\)/)
    await ok('rm', info.Id)
  })
})

describe('the host is not as it should be', () => {
  // A server of its own; what(server, root) after it has started.
  const withServer = async (options, what) => {
    const root = fs.mkdtempSync(path.join(os.tmpdir(), 'tabique-api-'))
    fs.mkdirSync(path.join(root, 'data'))
    let own
    try {
      if (options.size) assert.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${options.size}`, 'none', path.join(root, 'data')]).status, 0)
      own = await Server.start({ root, args: TCG, ...options })
      await what(own, root)
    } finally {
      if (own) await own.stop()
      spawnSync('umount', ['-l', path.join(root, 'data')])
      fs.rmSync(root, { recursive: true, force: true })
    }
  }

  test('the disk is full: errors inside, the engine goes on, room comes back', { timeout: 300_000 }, () =>
    withServer({ size: '250m' }, async (own) => {
      const filler = await own.ok('run', '-d', '--isolation', 'hyperv', IMAGE, 'sh', '-c',
        'echo up; cat; dd if=/dev/zero of=/fill bs=1M count=200; sync; echo synced; sleep 1000', SLOW)
      await until('the disk to be full', async () => {
        const { bavail, bsize } = fs.statfsSync(own.dataDir)
        return bavail * bsize < 1 << 20
      }, 120_000)
      // Told to the guest as a disk's error, when it writes through; the machine lives and answers.
      await until('the guest to be told', async () => {
        const { stdout } = await own.docker('exec', filler, 'sh', '-c', 'echo alive; dd if=/dev/zero of=/more bs=1M count=8 conv=fsync 2>/dev/null || echo refused', SLOW)
        assert.match(stdout, /^alive\n/)
        return stdout === 'alive\nrefused\n'
      }, 120_000)
      const another = await own.docker('run', '--isolation', 'hyperv', IMAGE, 'true', SLOW)
      assert.equal(another.code, 125, another.stdout)
      assert.match(another.stderr, /No space left on device/)
      for (const id of (await own.ok('ps', '-aq', '--no-trunc')).split('\n').filter(Boolean)) {
        await own.ok('rm', '-f', id)
        await nothingLeft(id, own)
      }
      assert.equal(await own.ok('run', '--rm', '--isolation', 'hyperv', IMAGE, 'echo', 'again', SLOW), 'again')
    }))

  test('the disk is full: a change of wall leaves the container as it was', { timeout: 300_000 }, () =>
    withServer({ size: '250m' }, async (own) => {
      const change = (id) => own.request('POST', `/api/v1/containers/${id}/isolation`, { body: { isolation: 'hyperv' } })
      const id = await own.ok('create', IMAGE, 'sh', '-c', '[ -f /file ] || dd if=/dev/urandom of=/file bs=1M count=8 2>/dev/null; md5sum /file')
      const sum = await own.ok('start', '-a', id)
      assert.match(sum, /^[0-9a-f]{32} /)
      await until('the machines', async () => (await own.request('GET', '/api/v1/info')).json.accelerator, 120_000)
      fs.writeFileSync(path.join(own.dataDir, 'filler'), '')
      const filler = fs.openSync(path.join(own.dataDir, 'filler'), 'w')
      try { for (;;) fs.writeSync(filler, Buffer.alloc(1 << 16, 1)) } catch (error) { assert.equal(error.code, 'ENOSPC') }
      fs.closeSync(filler)
      const refused = await change(id)
      assert.ok(refused.status >= 400, refused.text)
      assert.match(refused.json.message, /\S/)
      fs.rmSync(path.join(own.dataDir, 'filler'))
      const info = await own.info(id)
      assert.deepEqual([info.HostConfig.Isolation, info.State.Status], ['process', 'exited'])
      assert.equal(await own.ok('start', '-a', id), sum)
      assert.equal((await change(id)).status, 204)
      assert.equal(await own.ok('start', '-a', id, SLOW), sum)
      await own.ok('rm', id)
      await nothingLeft(id, own)
    }))

  test('a damaged template: machines boot cold, the next server makes a new one', { timeout: 300_000 }, () =>
    withServer({}, async (own) => {
      const machines = path.join(own.dataDir, 'machines')
      assert.equal(await own.ok('run', '--rm', '--isolation', 'hyperv', IMAGE, 'echo', 'whole', SLOW), 'whole')
      await own.halt()
      fs.writeFileSync(path.join(machines, 'state'), Buffer.alloc(300_000, 0x5a))
      await own.spawn()
      assert.equal(await own.ok('run', '--rm', '--isolation', 'hyperv', IMAGE, 'echo', 'cold', SLOW), 'cold')
      assert.ok(fs.existsSync(path.join(machines, 'damaged')))
      await own.halt()
      await own.spawn()
      assert.equal(await own.ok('run', '--rm', '--isolation', 'hyperv', IMAGE, 'echo', 'new', SLOW), 'new')
      assert.ok(!fs.existsSync(path.join(machines, 'damaged')))
      assert.notDeepEqual([...fs.readFileSync(path.join(machines, 'state')).subarray(0, 4)], [0x5a, 0x5a, 0x5a, 0x5a])
    }))

  test('no QEMU: the thick wall is refused with the reason, the thin one works', { timeout: 300_000 }, () =>
    withServer({ wrap: ['unshare', '--mount', 'sh', '-c', 'mount --bind /dev/null /usr/bin/qemu-system-x86_64 && exec "$@"', 'sh'] }, async (own) => {
      const result = await until('the search to end', async () => {
        const tried = await own.docker('run', '--rm', '--isolation', 'hyperv', IMAGE, 'true', SLOW)
        return tried.code !== 0 && tried
      })
      assert.equal(result.code, 125)
      assert.match(result.stderr, /QEMU is not installed.*apt-get install qemu-system-x86/)
      assert.match((await own.docker('info')).stderr, /WARNING: hyperv isolation is not available: QEMU is not installed/)
      assert.equal(await own.ok('run', '--rm', IMAGE, 'echo', 'thin'), 'thin')
      assert.equal(await own.ok('ps', '-aq'), '')
    }))
})

test('--storage-opt size: what a container may write', SLOW, async () => {
  const write = 'dd if=/dev/zero of=/file bs=1M count=150 conv=fsync 2>&1 | grep -o "No space left on device"; rm /file; df -k / | awk "NR == 2 {print (\\$2 < 110000)}"'
  assert.equal(await ok('run', '--rm', '--isolation', 'hyperv', '--storage-opt', 'size=100m', IMAGE, 'sh', '-c', write), 'No space left on device\n1')
  const thin = await docker('run', '--rm', '--storage-opt', 'size=100m', IMAGE, 'true')
  assert.equal(thin.code, 125)
  assert.match(thin.stderr, /--storage-opt is supported only for overlay over xfs with 'pquota' mount option/)
  for (const [size, words] of [['1m', /between 64 MiB and 16 TiB/], ['many', /invalid size: 'many'/]]) {
    const wrong = await docker('create', '--isolation', 'hyperv', '--storage-opt', `size=${size}`, IMAGE)
    assert.notEqual(wrong.code, 0)
    assert.match(wrong.stderr, words)
  }
  const { status, json } = await server.request('POST', '/containers/create', { body: { Image: IMAGE, HostConfig: { Isolation: 'hyperv', StorageOpt: { speed: '1' } } } })
  assert.equal(status, 400)
  assert.match(json.message, /Unknown option speed/)
})

describe('what holds the worker', () => {
  const status = (pid, field) => fs.readFileSync(`/proc/${pid}/status`, 'utf8').match(new RegExp(`^${field}:[ \\t]*(.*)$`, 'm'))[1]

  test('user, capabilities, seccomp, namespaces, root, fds, control group', SLOW, async () => {
    const [one, two] = [await start('-m', '64m', IMAGE, 'sleep', '1000'), await start(IMAGE, 'sleep', '1000')]
    const [pid, other] = [one.State.Pid, two.State.Pid]
    assert.equal(status(pid, 'Name'), 'vmwp')
    const uids = status(pid, 'Uid').split('\t')
    assert.equal(new Set([...uids, ...status(pid, 'Gid').split('\t')]).size, 1)
    assert.ok(Number(uids[0]) >= 0x50000000, uids[0])
    assert.notEqual(uids[0], status(other, 'Uid').split('\t')[0])
    assert.equal(status(pid, 'Groups').trim(), '')
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) assert.match(status(pid, set), /^0+$/, set)
    assert.equal(status(pid, 'NoNewPrivs'), '1')
    // Every thread of it: a filter holds for the one that installed it and its children.
    for (const thread of fs.readdirSync(`/proc/${pid}/task`)) {
      const text = fs.readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8')
      assert.match(text, /^Seccomp:\s+2$/m)
      assert.match(text, /^CapEff:\s+0+$/m)
    }
    for (const kind of ['mnt', 'pid', 'net', 'ipc', 'uts']) {
      const own = fs.readlinkSync(`/proc/${pid}/ns/${kind}`)
      assert.notEqual(own, fs.readlinkSync(`/proc/self/ns/${kind}`), kind)
      assert.notEqual(own, fs.readlinkSync(`/proc/${other}/ns/${kind}`), kind)
    }
    // Its network namespace has nothing in it: the tap was opened elsewhere.
    assert.deepEqual(fs.readFileSync(`/proc/${pid}/net/dev`, 'utf8').match(/^ *\S+:/gm).map((line) => line.trim()), ['lo:'])
    // Its root: QEMU, what it loads and boots; read-only, nothing of the host's.
    assert.deepEqual(fs.readdirSync(`/proc/${pid}/root`).sort(), ['boot', 'dev', 'lib', 'lib64', 'proc', 'tmp', 'usr'].filter((name) => fs.existsSync(`/proc/${pid}/root/${name}`)))
    const mounts = fs.readFileSync(`/proc/${pid}/mounts`, 'utf8').trim().split('\n').map((line) => line.split(' '))
    assert.deepEqual(mounts.map((fields) => fields[1]).sort(), ['/', '/proc'])
    assert.ok(mounts.find((fields) => fields[1] === '/')[3].split(',').includes('ro'))
    assert.deepEqual(fs.readdirSync(`/proc/${pid}/root/usr/bin`), ['qemu'])
    // Descriptors: null, the shim's socket pairs, memory, two disks, taps, and QEMU's own kind.
    for (const fd of fs.readdirSync(`/proc/${pid}/fd`)) {
      let target
      try { target = fs.readlinkSync(`/proc/${pid}/fd/${fd}`) } catch { continue }
      // A disk made ahead has got its name since.
      if (/\/containers\/(\w+\/)?#\d+/.test(target)) assert.equal(fs.statSync(`/proc/${pid}/fd/${fd}`).ino, fs.statSync(path.join(server.dataDir, 'containers', one.Id, 'scratch.ext4')).ino)
      else assert.match(target, new RegExp(`^((/dev)?/(null|kvm|net/tun)|pipe:.*|socket:.*|anon_inode:.*|/memfd:.*|.*/images/.*|.*/containers/${one.Id}/scratch\\.ext4)$`), `fd ${fd}`)
    }
    // The container's control group, whatever the hierarchy, and its limit with what the worker needs itself.
    const groups = fs.readFileSync(`/proc/${pid}/cgroup`, 'utf8').trim().split('\n').filter((line) => line.includes(one.Id))
    assert.ok(groups.some((line) => /memory|^0::/.test(line)), fs.readFileSync(`/proc/${pid}/cgroup`, 'utf8'))
    // It dies with its shim: nobody adopts a machine.
    const shim = status(pid, 'PPid')
    assert.equal(status(shim, 'Name'), 'tabique-shim')
    await ok('rm', '-f', one.Id, two.Id)
    await nothingLeft(one.Id)
  })
})

describe('the server is killed', () => {
  test('in the middle of a restore, at any moment of it', { timeout: 400_000 }, async () => {
    const all = []
    for (let delay = 0; delay < 500; delay += 60) {
      const id = await ok('create', '--isolation', 'hyperv', '--name', name(), IMAGE, 'sleep', '1000')
      all.push(id)
      const request = server.request('POST', `/containers/${id}/start`).catch(() => null)
      await sleep(delay)
      await server.halt('SIGKILL')
      await request
      await server.spawn()
      // It runs whole, or it does not and says why; never half of it.
      const { State } = await until('a state of rest', async () => {
        const info = await server.info(id)
        return ['running', 'exited', 'created'].includes(info.State.Status) && info
      })
      if (State.Status === 'running') assert.match(await ok('top', id, '-o', 'pid,comm'), /sleep/)
      else assert.equal(State.Pid, 0)
    }
    await ok('rm', '-f', ...all)
    for (const id of all) await nothingLeft(id)
  })
})
