// Volumes of the local driver as Docker's: what its options mount and when, parts of a
// volume, what is in use, what prune takes by version, and what the disk is told to hold.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'
import { IMAGE, ask, server, walls } from './lib/own.mjs'

const create = async (body) => { const answer = await ask('POST', '/volumes/create', { body }); assert.equal(answer.status, 201, answer.text); return answer.json }
const filters = (value) => `filters=${encodeURIComponent(JSON.stringify(value))}`
const mounted = (point) => fs.readFileSync('/proc/self/mounts', 'utf8').split('\n').some((line) => line.split(' ')[1] === point)
const names = async () => (await ask('GET', '/volumes')).json.Volumes.map(({ Name }) => Name)
const shell = (wall, volume, script, ...flags) => server.ok('run', '--rm', `--isolation=${wall}`, ...flags, '-v', volume, IMAGE, 'sh', '-c', script)

describe('options', () => {
  for (const wall of walls) {
    test(`tmpfs: mounted at the first use, gone after the last (${wall})`, { timeout: 240_000 }, async () => {
      const { Mountpoint, Options } = await create({ Name: `tmp-${wall}`, DriverOpts: { type: 'tmpfs', device: 'tmpfs', o: 'size=1m,uid=7,mode=0750' } })
      assert.deepEqual(Options, { type: 'tmpfs', device: 'tmpfs', o: 'size=1m,uid=7,mode=0750' })
      assert.ok(!mounted(Mountpoint))
      for (const name of ['one', 'two']) await server.ok('run', '-d', '--name', `${name}-${wall}`, `--isolation=${wall}`, '-v', `tmp-${wall}:/d`, IMAGE, 'sleep', '600')
      assert.equal(await server.ok('exec', `one-${wall}`, 'sh', '-c', 'stat -c "%u %a" /d; echo shared > /d/f'), '7 750')
      assert.equal(await server.ok('exec', `two-${wall}`, 'cat', '/d/f'), 'shared')
      assert.notEqual((await server.docker('exec', `two-${wall}`, 'dd', 'if=/dev/zero', 'of=/d/big', 'bs=1M', 'count=3')).code, 0)
      assert.ok(mounted(Mountpoint))
      await server.ok('rm', '-f', `one-${wall}`)
      assert.ok(mounted(Mountpoint))
      await server.halt('SIGKILL')
      await server.spawn()
      assert.equal(await server.ok('exec', `two-${wall}`, 'cat', '/d/f'), 'shared')
      await server.ok('rm', '-f', `two-${wall}`)
      assert.ok(!mounted(Mountpoint))
      assert.equal(await shell(wall, `tmp-${wall}:/d`, 'ls /d'), '')
    })

    test(`bind: a directory of the host's, read-only where asked (${wall})`, { timeout: 240_000 }, async () => {
      const dir = fs.mkdtempSync(path.join(server.root, 'bound-'))
      fs.writeFileSync(path.join(dir, 'there'), 'yes')
      await create({ Name: `bound-${wall}`, DriverOpts: { type: 'none', device: dir, o: 'bind' } })
      assert.equal(await shell(wall, `bound-${wall}:/d`, 'cat /d/there; echo written > /d/new'), 'yes')
      assert.equal(fs.readFileSync(path.join(dir, 'new'), 'utf8'), 'written\n')
      await create({ Name: `locked-${wall}`, DriverOpts: { type: 'none', device: dir, o: 'bind,ro' } })
      assert.match(await shell(wall, `locked-${wall}:/d`, 'cat /d/there; echo no > /d/new 2>&1 || echo refused'), /^yes[^]*refused$/)
      assert.equal((await ask('DELETE', `/volumes/bound-${wall}`)).status, 204)
      assert.equal(fs.readFileSync(path.join(dir, 'there'), 'utf8'), 'yes')
    })
  }

  test('what cannot be is refused, at create or at the start, and leaves nothing', { timeout: 60_000 }, async () => {
    for (const [DriverOpts, message] of [[{ nonsense: '1' }, 'create bad: invalid option: "nonsense"'], [{ type: 'tmpfs' }, 'create bad: missing required option: "device"'],
      [{ device: '/x' }, 'create bad: missing required option: "type"'], [{ o: 'bind' }, 'create bad: missing required option: "device"'], [{ size: '5x' }, "create bad: invalid size: '5x'"]]) {
      const { status, json } = await ask('POST', '/volumes/create', { body: { Name: 'bad', DriverOpts } })
      assert.deepEqual([status, json], [400, { message }])
      assert.equal((await ask('GET', '/volumes/bad')).status, 404)
    }
    for (const [name, DriverOpts, message] of [
      ['gone', { type: 'none', o: 'bind', device: '/no/such/dir' }, /error while mounting volume '.*gone.*': failed to mount local volume: mount \/no\/such\/dir:.*\/gone\/_data, flags: 0x1000: no such file or directory/i],
      ['nas', { type: 'nfs', o: 'addr=no-such-host.invalid,rw', device: ':/export' }, /error resolving passed in network volume address: no-such-host\.invalid/]]) {
      await create({ Name: name, DriverOpts })
      const { code, stderr } = await server.docker('run', '--name', `with-${name}`, '-v', `${name}:/d`, IMAGE, 'true')
      assert.equal(code, 125)
      assert.match(stderr, message)
      await server.ok('rm', `with-${name}`)
      assert.ok(!mounted((await ask('GET', `/volumes/${name}`)).json.Mountpoint))
    }
  })
})

describe('a part of a volume', () => {
  const mount = (source, Subpath, more = {}) => ({ Image: IMAGE, Cmd: ['sh', '-c', 'cat /d/f; echo new > /d/new'], HostConfig: { Mounts: [{ Type: 'volume', Source: source, Target: '/d', VolumeOptions: { Subpath } }], ...more } })

  for (const wall of walls) {
    test(`is that directory, by a link inside too; nothing outside (${wall})`, { timeout: 240_000 }, async () => {
      const volume = `parts-${wall}`
      const { Mountpoint } = await create({ Name: volume })
      await shell('process', `${volume}:/d`, 'mkdir -p /d/a/b; echo deep > /d/a/b/f; ln -s a/b /d/inside; ln -s / /d/outside; ln -s ../../../../../../etc /d/above; echo file > /d/a/file')
      for (const Subpath of ['a/b', 'inside']) {
        const made = await ask('POST', '/containers/create', { body: mount(volume, Subpath, { Isolation: wall }) })
        assert.equal(made.status, 201, made.text)
        const started = await ask('POST', `/containers/${made.json.Id}/start`)
        assert.equal(started.status, 204, started.text)
        assert.deepEqual((await ask('POST', `/containers/${made.json.Id}/wait`)).json.StatusCode, 0)
        assert.equal((await server.ok('logs', made.json.Id)), 'deep')
        assert.equal(fs.readFileSync(path.join(Mountpoint, 'a/b/new'), 'utf8'), 'new\n')
        fs.rmSync(path.join(Mountpoint, 'a/b/new'))
        await server.ok('rm', '-f', made.json.Id)
      }
      for (const Subpath of ['outside/etc', 'above', 'nosuch']) {
        const made = await ask('POST', '/containers/create', { body: mount(volume, Subpath, { Isolation: wall }) })
        const started = await ask('POST', `/containers/${made.json.Id}/start`)
        // A link's target is looked for inside: there is no such thing.
        assert.ok(started.status >= 400, `${Subpath}: ${started.status}`)
        assert.match(started.json.message, new RegExp(`cannot access path ${Subpath} of volume ${volume}`))
        await server.ok('rm', '-f', made.json.Id)
      }
      assert.ok(!fs.existsSync('/etc/new'))
    })
  }

  test('is checked at create, and needs 1.45', async () => {
    for (const [Source, Subpath, message] of [['v', '../x', 'invalid mount config for type "volume": subpath must be a relative path within the volume'], ['v', '/abs', 'invalid mount config for type "volume": subpath must be a relative path within the volume'],
      ['', 'a', 'invalid mount config for type "volume": must not set Subpath when using anonymous volumes']]) {
      const { status, json } = await ask('POST', '/containers/create', { body: mount(Source, Subpath) })
      assert.deepEqual([status, json.message], [400, message])
    }
    assert.equal((await ask('POST', '/v1.44/containers/create', { body: mount('v', 'a') })).json.message, 'VolumeOptions.Subpath needs API v1.45 or newer')
    assert.ok(!(await names()).includes('v'))
  })
})

describe('what an image declares', () => {
  for (const wall of walls)
    test(`is a volume of its own, whatever it is called: nothing of the host's (${wall})`, { timeout: 240_000 }, async () => {
      const dir = fs.mkdtempSync(path.join(server.root, 'private-'))
      fs.writeFileSync(path.join(dir, 'secret'), 'the host\'s')
      fs.writeFileSync(path.join(dir, 'Dockerfile'), `FROM ${IMAGE}\nVOLUME ["${dir}:/host", "/plain"]\nCMD ["sh", "-c", "cat /host/secret; touch '${dir}:/host/mine' /plain/mine && ls '${dir}:/host'"]\n`)
      await server.ok('build', '-q', '-t', `declares-${wall}`, dir)
      const { code, stdout, stderr } = await server.docker('run', '--name', `declares-${wall}`, `--isolation=${wall}`, `declares-${wall}`)
      assert.equal(code, 0, stderr)
      assert.match(stderr, /can't open '\/host\/secret'/)
      assert.equal(stdout.trim(), 'mine')
      assert.deepEqual((await server.info(`declares-${wall}`)).Mounts.map(({ Type, Destination }) => [Type, Destination]).sort(),
        [['volume', '/plain'], ['volume', `${dir}:/host`]].sort())
      assert.deepEqual(fs.readdirSync(dir).sort(), ['Dockerfile', 'secret'])
      await server.ok('rm', '-v', `declares-${wall}`)
    })
  test('more than a container can have are refused, and none is made', async () => {
    const before = await names()
    const { status, json } = await ask('POST', '/containers/create?name=crowded', { body: { Image: IMAGE, Volumes: Object.fromEntries(Array.from({ length: 4097 }, (_, i) => [`/v${i}`, {}])) } })
    assert.deepEqual([status, json.message], [400, 'too many mounts'])
    assert.equal((await ask('GET', '/containers/crowded/json')).status, 404)
    assert.deepEqual(await names(), before)
  })
})

describe('in use, and no more', () => {
  test('a volume that a container has stays; its users are named', async () => {
    await create({ Name: 'held' })
    const id = await server.ok('create', '-v', 'held:/d', IMAGE, 'true')
    for (const force of ['', '?force=1']) {
      const { status, json } = await ask('DELETE', `/volumes/held${force}`)
      assert.deepEqual([status, json.message], [409, `remove held: volume is in use - [${id}]`])
    }
    assert.deepEqual((await ask('GET', `/volumes?${filters({ dangling: ['true'] })}`)).json.Volumes.filter(({ Name }) => Name === 'held'), [])
    assert.deepEqual((await ask('POST', `/volumes/prune?${filters({ all: ['true'], label: ['none'] })}`)).json.VolumesDeleted, [])
    await server.ok('rm', id)
    assert.equal((await ask('DELETE', '/volumes/held')).status, 204)
    assert.equal((await ask('DELETE', '/volumes/held')).status, 404)
    assert.equal((await ask('DELETE', '/volumes/held?force=1')).status, 204)
  })

  test('prune: anonymous ones since 1.42, all before; by label and not', async () => {
    const fresh = async () => {
      await create({ Name: 'named', Labels: { tier: 'a' } })
      await create({ Name: 'other', Labels: { tier: 'b' } })
      return (await create({ Labels: { tier: 'a' } })).Name
    }
    const prune = async (version, value) => {
      const answer = await ask('POST', `${version}/volumes/prune?${filters({ 'label!': ['keep'], ...value })}`)
      assert.equal(answer.status, 200, answer.text)
      return answer.json.VolumesDeleted.filter((name) => ['named', 'other', anonymous].includes(name)).sort()
    }
    let anonymous = await fresh()
    assert.deepEqual(await prune('', { label: ['tier=b'] }), [])
    assert.deepEqual(await prune('', {}), [anonymous])
    anonymous = await fresh()
    assert.deepEqual(await prune('', { all: ['true'], label: ['tier=a'] }), [anonymous, 'named'].sort())
    anonymous = await fresh()
    assert.deepEqual(await prune('', { all: ['1'], 'label!': ['tier=b'] }), [anonymous, 'named'].sort())
    anonymous = await fresh()
    assert.deepEqual(await prune('/v1.41', { label: ['tier'] }), [anonymous, 'named', 'other'].sort())
    for (const [value, message] of [[{ all: ['maybe'] }, /invalid filter 'all=\[?"?maybe/], [{ nonsense: ['1'] }, /invalid filter 'nonsense'/]]) {
      const { status, json } = await ask('POST', `/volumes/prune?${filters(value)}`)
      assert.equal(status, 400)
      assert.match(json.message, message)
    }
  })

  test('system df: sizes as du has them, users counted, and what prune gives back', async () => {
    const { Mountpoint } = await create({ Name: 'sized' })
    await shell('process', 'sized:/d', 'dd if=/dev/urandom of=/d/a bs=1M count=3; mkdir /d/s; dd if=/dev/urandom of=/d/s/b bs=1k count=100; ln /d/a /d/again')
    const id = await server.ok('create', '-v', 'sized:/d', IMAGE, 'true')
    const usage = async () => (await ask('GET', '/system/df')).json.Volumes.find(({ Name }) => Name === 'sized').UsageData
    const du = Number(execFileSync('du', ['-sb', Mountpoint], { encoding: 'utf8' }).split('\t')[0])
    const { RefCount, Size } = await usage()
    assert.equal(RefCount, 1)
    assert.ok(Math.abs(Size - du) <= 16384, `${Size}, du ${du}`) // directories themselves are counted by du only
    const mine = await server.ok('create', IMAGE, 'true')
    await server.ok('rm', id, mine)
    assert.equal((await usage()).RefCount, 0)
    const { SpaceReclaimed } = (await ask('POST', `/v1.41/volumes/prune?${filters({ 'label!': ['keep'] })}`)).json
    assert.ok(SpaceReclaimed >= Size)
  })

  test('system df: layers as du has them, and what a new one adds', { timeout: 60_000 }, async () => {
    const layers = async () => (await ask('GET', '/system/df')).json.LayersSize
    const before = await layers()
    await server.ok('run', '--name', 'grown', IMAGE, 'dd', 'if=/dev/urandom', 'of=/big', 'bs=1M', 'count=5')
    const { SizeRw } = (await ask('GET', '/system/df')).json.Containers.find(({ Names }) => Names[0] === '/grown')
    assert.ok(Math.abs(SizeRw - 5 * 1048576) < 65536, `${SizeRw}`)
    await server.ok('commit', 'grown', 'grown')
    await server.ok('rm', 'grown')
    const size = await layers()
    assert.ok(Math.abs(size - before - 5 * 1048576) < 65536, `${before} ${size}`)
    const du = Number(execFileSync('du', ['-sb', path.join(server.dataDir, 'images/layers')], { encoding: 'utf8' }).split('\t')[0])
    assert.ok(Math.abs(size - du) < du / 20, `${size}, du ${du}`)
    const { json: only } = await ask('GET', '/system/df?type=volume')
    assert.deepEqual([only.Images, only.Containers, only.BuildCache], [null, null, null])
    assert.ok(Array.isArray(only.Volumes))
    assert.equal((await ask('GET', '/system/df?type=nonsense')).status, 400)
  })

  for (const wall of walls)
    test(`system df: disks of images as du has them, in use and not, and freed with the image or before (${wall})`, { timeout: 240_000 }, async () => {
      const image = `disk-${wall}`, dir = path.join(server.dataDir, 'images/disks')
      const du = () => execFileSync('du', ['--block-size=1', ...fs.readdirSync(dir).map((name) => path.join(dir, name)), '/dev/null'], { encoding: 'utf8' })
        .trim().split('\n').reduce((sum, line) => sum + Number(line.split('\t')[0]), 0)
      const usage = async () => {
        const { LayersSize, BuildCache } = (await ask('GET', '/system/df')).json
        const disks = BuildCache.filter(({ Type }) => Type === 'internal'), { images } = (await ask('GET', '/api/v1/info')).json
        assert.equal(disks.reduce((sum, { Size }) => sum + Size, 0), du())
        assert.deepEqual([images.disksBytes, images.layersBytes], [du(), LayersSize])
        return { LayersSize, disk: disks.find(({ Description }) => Description === `disk of ${image}:latest`) }
      }
      await server.ok('run', '--name', 'grown', IMAGE, 'dd', 'if=/dev/urandom', 'of=/big', 'bs=1M', 'count=3')
      await server.ok('commit', '--change', `LABEL only=${wall}`, 'grown', image)
      await server.ok('rm', 'grown')
      assert.equal((await usage()).disk, undefined)
      await server.ok('run', '-d', '--name', 'stands', `--isolation=${wall}`, image, 'sleep', '600')
      const { disk, LayersSize } = await usage()
      if (wall === 'process') assert.equal(disk, undefined)
      else {
        assert.ok(disk.InUse && !disk.Shared && disk.Size > 3 << 20, JSON.stringify(disk))
        await server.ok('builder', 'prune', '-af')
        assert.deepEqual((await usage()).disk, disk, 'in use')
        await server.ok('rm', '-f', 'stands')
        assert.equal((await usage()).disk.InUse, false)
        const [, count, reclaimable] = /^Build Cache\|(\d+)\|(.*)$/m.exec(await server.ok('system', 'df', '--format', '{{.Type}}|{{.TotalCount}}|{{.Reclaimable}}'))
        assert.ok(Number(count) > 0 && !/^0B/.test(reclaimable), reclaimable)
        const answer = (await ask('POST', `/build/prune?${filters({ id: [disk.ID] })}`)).json
        assert.deepEqual(answer, { CachesDeleted: [disk.ID], SpaceReclaimed: disk.Size })
        assert.equal((await usage()).disk, undefined)
        assert.equal(await server.ok('run', '--rm', `--isolation=${wall}`, image, 'stat', '-c', '%s', '/big'), String(3 << 20)) // made again
        assert.ok((await usage()).disk)
      }
      await server.docker('rm', '-f', 'stands')
      const before = du(), { SpaceReclaimed } = (await ask('POST', `/images/prune?${filters({ dangling: ['false'], label: [`only=${wall}`] })}`)).json
      const left = await usage()
      assert.equal(left.disk, undefined)
      assert.equal(SpaceReclaimed, LayersSize - left.LayersSize + before - du())
    })
})
