// Networks made as users make them: addresses, settings of others, what is kept apart.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Server, until } from './lib/server.mjs'
import { IMAGE, ask, server, walls } from './lib/own.mjs'

const create = async (body) => { const answer = await ask('POST', '/networks/create', { body }); assert.equal(answer.status, 201, answer.text); return answer.json.Id }
const inspect = async (name) => (await ask('GET', `/networks/${name}`)).json
const address = async (network) => /inet (\S+)/.exec(await server.ok('run', '--rm', '--network', network, IMAGE, 'ip', '-4', 'addr', 'show', 'eth0'))[1]

describe('addresses', () => {
  test('come from the range, and never are an auxiliary one', async () => {
    await create({ Name: 'ranged', IPAM: { Config: [{ Subnet: '10.91.0.0/24', IPRange: '10.91.0.0/29', AuxiliaryAddresses: { router: '10.91.0.2', printer: '10.91.0.3' } }] } })
    assert.equal(await address('ranged'), '10.91.0.4/24')
    assert.deepEqual((await inspect('ranged')).IPAM.Config, [{ Subnet: '10.91.0.0/24', IPRange: '10.91.0.0/29', Gateway: '10.91.0.1', AuxiliaryAddresses: { router: '10.91.0.2', printer: '10.91.0.3' } }])
  })

  test('an auxiliary address outside its subnet, or none at all, is refused', async () => {
    for (const [aux, message] of [['10.92.0.9', /parent subnet 10\.91\.1\.0\/24 doesn't contain this address/], ['x', /invalid auxiliary address a: invalid address/]]) {
      const { status, json } = await ask('POST', '/networks/create', { body: { Name: 'bad', IPAM: { Config: [{ Subnet: '10.91.1.0/24', AuxiliaryAddresses: { a: aux } }] } } })
      assert.equal(status, 400)
      assert.match(json.message, message)
    }
    assert.equal((await ask('GET', '/networks/bad')).status, 404)
  })
})

describe('configuration networks', () => {
  test('lend their settings, hold no container, and stay while they are used', async () => {
    await create({ Name: 'settings', ConfigOnly: true, Internal: true, IPAM: { Config: [{ Subnet: '10.93.0.0/24', AuxiliaryAddresses: { a: '10.93.0.2' } }] }, Options: { 'com.docker.network.driver.mtu': '1400' } })
    await create({ Name: 'user', ConfigFrom: { Network: 'settings' } })
    const user = await inspect('user')
    assert.deepEqual([user.ConfigFrom, user.ConfigOnly, user.Internal, user.Driver], [{ Network: 'settings' }, false, true, 'bridge'])
    assert.equal(await address('user'), '10.93.0.3/24')
    assert.match(await server.ok('run', '--rm', '--network', 'user', IMAGE, 'cat', '/sys/class/net/eth0/mtu'), /^1400/)

    const started = await server.docker('run', '--rm', '--network', 'settings', IMAGE, 'true')
    assert.notEqual(started.code, 0)
    assert.match(started.stderr, /cannot create endpoint on configuration-only network/)
    const refused = await ask('DELETE', '/networks/settings')
    assert.deepEqual([refused.status, refused.json.message], [403, 'configuration network "settings" is in use'])
    const twice = await ask('POST', '/networks/create', { body: { Name: 'x', ConfigFrom: { Network: 'settings' }, IPAM: { Config: [{ Subnet: '10.94.0.0/24' }] } } })
    assert.deepEqual([twice.status, twice.json.message], [403, 'user-specified configurations are not supported if the network depends on a configuration network'])
    assert.equal((await ask('DELETE', '/networks/user')).status, 204)
    assert.equal((await ask('DELETE', '/networks/settings')).status, 204)
  })

  test('are there after a restart', async () => {
    await create({ Name: 'kept', ConfigOnly: true, IPAM: { Config: [{ Subnet: '10.95.0.0/24' }] } })
    await create({ Name: 'follower', ConfigFrom: { Network: 'kept' } })
    await server.halt()
    await server.spawn()
    const [kept, follower] = [await inspect('kept'), await inspect('follower')]
    assert.deepEqual([kept.ConfigOnly, kept.Driver, kept.IPAM.Config], [true, 'null', [{ Subnet: '10.95.0.0/24' }]])
    assert.deepEqual([follower.ConfigFrom, follower.IPAM.Config], [{ Network: 'kept' }, [{ Subnet: '10.95.0.0/24', Gateway: '10.95.0.1' }]])
  })
})

test('address pools by configuration: networks come from them, and /info names them', async () => {
  const other = await Server.start({ args: ['--address-pools', '10.213.0.0/16:26'] })
  try {
    assert.deepEqual((await other.request('GET', '/info')).json.DefaultAddressPools, [{ Base: '10.213.0.0/16', Size: 26 }])
    await other.ok('network', 'create', 'pooled')
    const [{ Subnet }] = (await other.request('GET', '/networks/pooled')).json.IPAM.Config
    assert.match(Subnet, /^10\.213\.\d+\.\d+\/26$/)
  } finally {
    await other.stop()
  }
  assert.equal((await server.request('GET', '/info')).json.DefaultAddressPools, undefined)
})

describe('between networks and within one', () => {
  const run = (name, wall, ...flags) => server.ok('run', '-d', '--name', name, `--isolation=${wall}`, ...flags, IMAGE, 'sleep', '600')
  const sees = async (name, target) => (await server.docker('exec', name, 'ping', '-c', '1', '-W', '2', target)).code === 0
  const ip = async (name, network) => (await server.info(name)).NetworkSettings.Networks[network].IPAddress

  before(async () => {
    await server.ok('network', 'create', 'east')
    await server.ok('network', 'create', '--subnet', '10.96.0.0/24', 'west')
    for (const wall of walls) for (const network of ['east', 'west']) await run(`${network}-${wall}`, wall, '--network', network, '--network-alias', 'all')
  }, { timeout: 300_000 })
  after(async () => { await server.docker('rm', '-f', ...walls.flatMap((wall) => [`east-${wall}`, `west-${wall}`])) }, { timeout: 60_000 })

  test('what is on another bridge is neither named nor reached; what is on the same is', { timeout: 300_000 }, async () => {
    const [east, west] = await Promise.all(['east', 'west'].map((network) => Promise.all(walls.map((wall) => ip(`${network}-${wall}`, network)))))
    for (const [i, wall] of walls.entries()) {
      const name = `east-${wall}`
      assert.ok(await sees(name, east[1 - i]), `${name} sees its neighbour`)
      assert.ok(await sees(name, `east-${walls[1 - i]}`), `${name} sees its neighbour by name`)
      for (const address of west) assert.ok(!await sees(name, address), `${name} does not see ${address}`)
      assert.ok(!await sees(name, `west-${wall}`))
    }
  })

  test('an alias of several is answered with all of them, not always in the same order', { timeout: 300_000 }, async () => {
    const all = await Promise.all(walls.map((wall) => ip(`east-${wall}`, 'east')))
    for (const wall of walls) {
      const first = new Set()
      await until('each to come first once', async () => {
        const said = await server.ok('exec', `east-${wall}`, 'nslookup', 'all.', '127.0.0.11')
        const found = [...said.slice(said.indexOf('Name:')).matchAll(/Address(?: \d+)?: (\d+\.\d+\.\d+\.\d+)/g)].map((match) => match[1])
        assert.deepEqual([...found].sort(), [...all].sort(), said)
        first.add(found[0])
        return first.size === all.length
      })
    }
  })

  for (const wall of walls) {
    test(`a second network while it runs: reached, named, and gone again (${wall})`, { timeout: 300_000 }, async () => {
      const name = `east-${wall}`, target = `west-${walls[0]}`, address = await ip(target, 'west'), wanted = '10.96.0.77'
      await server.ok('network', 'connect', '--ip', wanted, '--alias', `guest-${wall}`, 'west', name)
      assert.equal(await ip(name, 'west'), wanted)
      assert.ok(await sees(name, address) && await sees(name, target))
      assert.ok(await sees(target, wanted) && await sees(target, `guest-${wall}`))
      assert.ok(await sees(name, `east-${walls[wall === walls[0] ? 1 : 0]}`), 'the first is still there')
      await server.ok('network', 'disconnect', 'west', name)
      assert.ok(!await sees(name, address) && !await sees(name, target))
      assert.equal((await server.info(name)).NetworkSettings.Networks.west, undefined)
    })
  }

  for (const wall of walls) {
    test(`further link-local addresses, and none after the network has gone (${wall})`, { timeout: 300_000 }, async () => {
      const name = `east-${wall}`
      const shown = () => server.ok('exec', name, 'ip', '-4', '-o', 'addr')
      await server.ok('network', 'connect', '--link-local-ip', '169.254.8.9', '--link-local-ip', '169.254.8.10', 'west', name)
      assert.match(await shown(), /inet 169\.254\.8\.9\/16[^]*inet 169\.254\.8\.10\/16/)
      await server.ok('run', '--rm', '--network', 'west', '--cap-add', 'NET_ADMIN', IMAGE, 'sh', '-c', 'ip route add 169.254.8.0/24 dev eth0 && ping -c 1 -W 5 169.254.8.9 && ping -c 1 -W 5 169.254.8.10')
      await server.ok('network', 'disconnect', 'west', name)
      assert.doesNotMatch(await shown(), /169\.254\./)
      await server.ok('network', 'connect', 'west', name)
      assert.doesNotMatch(await shown(), /169\.254\./)
      await server.ok('network', 'disconnect', 'west', name)
    })
  }

  test('interfaces with names of their own: given, or refused where a guest cannot have them', { timeout: 240_000 }, async () => {
    await server.ok('network', 'create', '-o', 'com.docker.network.container_iface_prefix=net', 'prefixed')
    assert.match(await server.ok('run', '--rm', '--network', 'prefixed', IMAGE, 'ip', 'addr', 'show', 'net0'), /inet /)
    const expected = /hyperv isolation does not support network prefixed: its option com\.docker\.network\.container_iface_prefix names interfaces other than eth0/
    const started = await server.docker('run', '--rm', '--isolation=hyperv', '--network', 'prefixed', IMAGE, 'true')
    assert.equal(started.code, 125)
    assert.match(started.stderr, expected)
    assert.match((await server.docker('network', 'connect', 'prefixed', 'east-hyperv')).stderr, expected)
    assert.equal((await server.info('east-hyperv')).NetworkSettings.Networks.prefixed, undefined)
    await server.ok('network', 'rm', 'prefixed')
  })

  test('prune takes what nobody uses, and a driver that is none is refused in one line', async () => {
    await server.ok('network', 'create', '--label', 'spare=1', 'spare')
    assert.equal(await server.ok('network', 'prune', '-f', '--filter', 'label=spare'), 'Deleted Networks:\nspare')
    assert.equal((await ask('GET', '/networks/east')).status, 200)
    const { status, json } = await ask('POST', '/networks/create', { body: { Name: 'flat', Driver: 'macvlan', Options: { parent: 'lo' } } })
    assert.deepEqual([status, Object.keys(json)], [404, ['message']])
    assert.match(json.message, /macvlan/)
    assert.equal((await ask('GET', '/networks/flat')).status, 404)
  })
})
