// IPv6 networks as Docker's: addresses, what is shown, names, and who reaches whom, across both walls.
import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { until } from './lib/server.mjs'
import { IMAGE, ask, server, walls } from './lib/own.mjs'

const run = (name, wall, ...flags) => server.ok('run', '-d', '--name', name, `--isolation=${wall}`, ...flags, IMAGE, 'sh', '-c', 'nc -ll -p 80 -e cat')
const sees = async (name, target) => (await server.docker('exec', name, 'ping', '-6', '-c', '1', '-W', '2', target)).code === 0
const of = async (name, network) => (await server.info(name)).NetworkSettings.Networks[network]
const refused = async (body, status, message) => {
  const answer = await ask('POST', '/networks/create', { body })
  assert.deepEqual([answer.status, answer.json.message.replace(/[0-9a-f]{64}/g, 'ID')], [status, message])
}

describe('asked for with --ipv6', () => {
  before(async () => {
    await server.ok('network', 'create', '--ipv6', '--subnet', 'fd00:51::/64', 'six')
    await server.ok('network', 'create', '--ipv6', '--subnet', 'fd00:52::/64', '--subnet', '10.151.0.0/24', '--gateway', 'fd00:52::7', 'other')
    await server.ok('network', 'create', '--ipv6', '--internal', '--subnet', 'fd00:53::/64', 'inner')
    for (const wall of walls) await run(`six-${wall}`, wall, '--network', 'six', '--network-alias', 'all6')
    await run('other-one', 'process', '--network', 'other', '--ip6', 'fd00:52::99')
    for (const wall of walls) await run(`inner-${wall}`, wall, '--network', 'inner')
  }, { timeout: 300_000 })

  test('the network says so, and gives its gateway', async () => {
    const six = (await ask('GET', '/networks/six')).json
    assert.equal(six.EnableIPv6, true)
    const config = six.IPAM.Config.find(({ Subnet }) => Subnet === 'fd00:51::/64')
    assert.equal(config.Gateway, 'fd00:51::1')
    assert.ok(Object.values(six.Containers).every(({ IPv6Address }) => /^fd00:51::[23]\/64$/.test(IPv6Address)), JSON.stringify(six.Containers))
    assert.equal((await ask('GET', '/networks/other')).json.IPAM.Config.find(({ Subnet }) => Subnet === 'fd00:52::/64').Gateway, 'fd00:52::7')
  })

  for (const wall of walls) {
    test(`address, gateway, hosts and route (${wall})`, { timeout: 120_000 }, async () => {
      const name = `six-${wall}`, shown = await of(name, 'six')
      assert.deepEqual([shown.GlobalIPv6PrefixLen, shown.IPv6Gateway], [64, 'fd00:51::1'])
      assert.match(shown.GlobalIPv6Address, /^fd00:51::[23]$/)
      assert.match(await server.ok('exec', name, 'ip', '-6', '-o', 'addr', 'show', 'eth0'), new RegExp(`inet6 ${shown.GlobalIPv6Address}/64 scope global`))
      assert.match(await server.ok('exec', name, 'ip', '-6', 'route'), /default via fd00:51::1 dev eth0/)
      const id = (await server.info(name)).Config.Hostname
      assert.match(await server.ok('exec', name, 'cat', '/etc/hosts'), new RegExp(`^${shown.GlobalIPv6Address}\\t${id}$`, 'm'))
    })

    test(`neighbours by address and name, the gateway; no other bridge (${wall})`, { timeout: 240_000 }, async () => {
      const name = `six-${wall}`, peer = `six-${walls[wall === walls[0] ? 1 : 0]}`, address = (await of(peer, 'six')).GlobalIPv6Address
      assert.ok(await sees(name, address) && await sees(name, peer) && await sees(name, 'fd00:51::1'))
      assert.equal(await server.ok('exec', name, 'sh', '-c', `echo hello | nc ${address} 80`), 'hello')
      const said = await server.ok('exec', name, 'nslookup', '-type=aaaa', 'all6.', '127.0.0.11')
      for (const each of walls) assert.ok(said.includes((await of(`six-${each}`, 'six')).GlobalIPv6Address), said)
      assert.ok(!await sees(name, 'fd00:52::99') && !await sees(name, (await of('inner-process', 'inner')).GlobalIPv6Address))
    })

    test(`internal: neighbours, and nobody else (${wall})`, { timeout: 240_000 }, async () => {
      const name = `inner-${wall}`, peer = `inner-${walls[wall === walls[0] ? 1 : 0]}`, shown = await of(peer, 'inner')
      assert.deepEqual([shown.IPv6Gateway, shown.Gateway], ['', ''])
      assert.ok(await sees(name, shown.GlobalIPv6Address))
      assert.doesNotMatch(await server.ok('exec', name, 'ip', '-6', 'route'), /^default/m)
      assert.ok(!await sees(name, 'fd00:52::99') && !await sees(name, 'fd00:52::7'))
    })

    test(`connected while it runs, with an address of one's own, and gone again (${wall})`, { timeout: 240_000 }, async () => {
      const name = `six-${wall}`
      await server.ok('network', 'connect', '--ip6', 'fd00:52::1234', 'other', name)
      assert.equal((await of(name, 'other')).GlobalIPv6Address, 'fd00:52::1234')
      assert.ok(await sees(name, 'fd00:52::99') && await sees('other-one', 'fd00:52::1234') && await sees('other-one', name))
      assert.ok(await sees(name, 'fd00:51::1'), 'the first is still there')
      await server.ok('network', 'disconnect', 'other', name)
      assert.ok(!await sees(name, 'fd00:52::99') && !await sees('other-one', 'fd00:52::1234'))
    })

    test(`a published port is translated, and [::1] carried on (${wall})`, { timeout: 120_000 }, async () => {
      const name = `pub6-${wall}`
      await run(name, wall, '--network', 'six', '-p', '80')
      const port = (await server.info(name)).NetworkSettings.Ports['80/tcp'].find(({ HostIp }) => HostIp === '::').HostPort
      const other = (await ask('GET', '/networks/other')).json.IPAM.Config.find(({ Subnet }) => Subnet === 'fd00:52::/64').Gateway
      for (const host of ['::1', other, '127.0.0.1'])
        await until(`${host}:${port}`, async () => (await server.docker('run', '--rm', '--network', 'host', IMAGE, 'sh', '-c', `echo hello | nc ${host} ${port}`)).stdout.trim() === 'hello')
      await until('other-one', async () => (await server.docker('exec', 'other-one', 'sh', '-c', `echo hello | nc ${other} ${port}`)).stdout.trim() === 'hello')
    })
  }

  test('what is taken, outside or no address is refused', { timeout: 120_000 }, async () => {
    for (const [network, address, message] of [['other', 'fd00:52::99', /Address already in use/], ['six', 'fd00:77::1', /no configured subnet or ip-range contain the IP address fd00:77::1/],
      ['six', 'x', /invalid IPv6 address: x/], ['six', '10.1.1.1', /invalid IPv6 address: 10\.1\.1\.1/]]) {
      const { code, stderr } = await server.docker('run', '--rm', '--network', network, '--ip6', address, IMAGE, 'true')
      assert.equal(code, 125)
      assert.match(stderr, message)
    }
    await refused({ Name: 'bad', EnableIPv6: true, IPAM: { Config: [{ Subnet: 'fd00:51::/48' }] } }, 403, 'invalid pool request: Pool overlaps with other one on this address space')
    await refused({ Name: 'bad', EnableIPv6: true, IPAM: { Config: [{ Subnet: 'fd00:54::/64', Gateway: 'fd00:55::1' }] } }, 400, 'invalid network config: invalid gateway fd00:55::1: parent subnet fd00:54::/64 doesn\'t contain this address')
  })

  test('without a subnet: a unique local one, another each time, kept over a restart', { timeout: 120_000 }, async () => {
    const chosen = new Set()
    for (const name of ['own1', 'own2']) {
      await server.ok('network', 'create', '--ipv6', name)
      const config = (await ask('GET', `/networks/${name}`)).json.IPAM.Config
      assert.equal(config.length, 2)
      assert.match(config[1].Subnet, /^fd[0-9a-f]{2}:[0-9a-f:]+::\/64$/)
      assert.equal(config[1].Gateway, config[1].Subnet.replace('/64', '1'))
      chosen.add(config[1].Subnet)
    }
    assert.equal(chosen.size, 2)
    await server.halt()
    await server.spawn()
    assert.ok(chosen.has((await ask('GET', '/networks/own2')).json.IPAM.Config[1].Subnet))
    assert.ok(await sees('six-process', 'six-hyperv') && await sees('six-hyperv', 'six-process'))
  })
})
