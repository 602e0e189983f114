// What clients of Docker's engine meet here in the same way: found by tests/clients/run,
// which puts the same questions to both engines, and held by this file.
import assert from 'node:assert/strict'
import http from 'node:http'
import { after, before, describe, test } from 'node:test'
import { tar } from './lib/tar.mjs'
import { IMAGE as I, server } from './lib/own.mjs'

const ask = async (method, target, body) => server.request(method, target, { body })
const create = async (name, config = {}) => {
  const { status, json, text } = await ask('POST', `/containers/create?name=${name}`, { Image: I, Cmd: ['sleep', '1000'], ...config })
  assert.equal(status, 201, text)
  return json.Id
}
const start = async (name, config) => {
  const id = await create(name, config)
  const { status, text } = await ask('POST', `/containers/${id}/start`)
  assert.equal(status, 204, text)
  return id
}
const remove = (id) => ask('DELETE', `/containers/${id}?force=1&v=1`)
const isMessage = (answer, status, message) => {
  assert.equal(answer.status, status, answer.text)
  assert.equal(answer.json.message, message)
}

describe('a paused container is named as the client called it', () => {
  let id
  before(async () => { id = await start('rests'); await ask('POST', `/containers/${id}/pause`) })
  after(() => remove(id))
  for (const called of ['name', 'id', 'short id'])
    test(called, async () => {
      const it = { name: 'rests', id, 'short id': id.slice(0, 12) }[called]
      isMessage(await ask('POST', `/containers/${it}/exec`, { Cmd: ['true'] }), 409, `Container ${it} is paused, unpause the container before exec`)
      isMessage(await ask('POST', `/containers/${it}/attach?stream=1&stdout=1`), 409, `container ${it} is paused, unpause the container before attach`)
    })
})

test('the words of a short command are there when its start has been answered', async () => {
  let said = false
  for (let i = 0; i < 10 && !said; i++) { // a busy machine may take longer than is waited
    const id = await start('short', { Cmd: ['sh', '-c', 'sleep 0.1; echo said'] })
    said = (await ask('GET', `/containers/${id}/logs?stdout=1`)).text.endsWith('said\n')
    await remove(id)
  }
  assert.ok(said)
})

test('before its first start a container has the aliases it was given, and then its short id', async () => {
  await ask('POST', '/networks/create', { Name: 'aliased' })
  const id = await create('alias', { HostConfig: { NetworkMode: 'aliased' }, NetworkingConfig: { EndpointsConfig: { aliased: { Aliases: ['web'] } } } })
  const aliases = async () => (await ask('GET', `/v1.41/containers/${id}/json`)).json.NetworkSettings.Networks.aliased.Aliases
  assert.deepEqual(await aliases(), ['web'])
  await ask('POST', `/containers/${id}/start`)
  assert.deepEqual(await aliases(), ['web', id.slice(0, 12)])
  await remove(id)
  await ask('DELETE', '/networks/aliased')
})

describe('exec', () => {
  // What a stream without a terminal carries: [stream, text] of each frame.
  const frames = (raw) => {
    const list = []
    for (let at = 0; at + 8 <= raw.length; at += 8 + raw.readUInt32BE(at + 4))
      list.push([raw[at], raw.subarray(at + 8, at + 8 + raw.readUInt32BE(at + 4)).toString()])
    return list
  }
  const run = async (id, body) => {
    const { json } = await ask('POST', `/containers/${id}/exec`, { AttachStdout: true, AttachStderr: true, ...body })
    return { exec: json.Id, said: frames((await ask('POST', `/exec/${json.Id}/start`, {})).raw) }
  }
  let id
  before(async () => { id = await start('execs') })
  after(() => remove(id))

  test('a program that cannot be started is told on standard output', async () => {
    const { exec, said } = await run(id, { Cmd: ['nosuch'] })
    assert.deepEqual(said, [[1, 'OCI runtime exec failed: exec failed: unable to start container process: exec: "nosuch": executable file not found in $PATH: unknown\r\n']])
    assert.equal((await ask('GET', `/exec/${exec}/json`)).json.ExitCode, 126)
  })
  test('an unknown user and a missing directory have their own words', async () => {
    assert.deepEqual((await run(id, { Cmd: ['true'], User: 'nobodyhere' })).said, [[1, 'unable to find user nobodyhere: no matching entries in passwd file\r\n']])
    assert.deepEqual((await run(id, { Cmd: ['true'], WorkingDir: '/no/such' })).said,
      [[1, 'OCI runtime exec failed: exec failed: unable to start container process: chdir to cwd ("/no/such") set in config.json failed: no such file or directory: unknown\r\n']])
  })
  test('one that has run says so in its stream, and with a status where there is none', async () => {
    const { exec, said } = await run(id, { Cmd: ['echo', 'once'] })
    assert.deepEqual(said, [[1, 'once\n']])
    assert.deepEqual(frames((await ask('POST', `/exec/${exec}/start`, {})).raw), [[1, `exec command ${exec} has already run\r\n`]])
    isMessage(await ask('POST', `/exec/${exec}/start`, { Detach: true }), 409, `exec command ${exec} has already run`)
  })
})

describe('containers', () => {
  test('an unknown user at start is named with nothing in front', async () => {
    const id = await create('nouser', { User: 'nobodyhere' })
    isMessage(await ask('POST', `/containers/${id}/start`), 400, 'unable to find user nobodyhere: no matching entries in passwd file')
    await remove(id)
  })
  test('nothing changed is null, and takes no room', async () => {
    const id = await create('still')
    const changes = await ask('GET', `/containers/${id}/changes`)
    assert.equal(changes.text.trim(), 'null')
    assert.equal((await ask('GET', `/containers/${id}/json?size=1`)).json.SizeRw, 0)
    assert.equal((await ask('POST', `/containers/${id}/update`, { CpuShares: 512 })).json.Warnings, null)
    await remove(id)
  })
  test('what may be left out is left out when it is false', async () => {
    const id = await create('falses', { NetworkDisabled: false, HostConfig: { Init: false } })
    const { Config, HostConfig } = (await ask('GET', `/containers/${id}/json`)).json
    assert.equal('NetworkDisabled' in Config, false)
    assert.equal(HostConfig.Init, false)
    await remove(id)
  })
  test('kill names the container as it was called', async () => {
    const id = await create('dead')
    isMessage(await ask('POST', `/containers/${id}/kill`), 409, `cannot kill container: ${id}: container ${id} is not running`)
    isMessage(await ask('POST', '/containers/dead/kill'), 409, `cannot kill container: dead: container ${id} is not running`)
    isMessage(await ask('POST', '/containers/dead/rename?name=bad%20name'), 400,
      'Error when allocating new name: Invalid container name (/bad name), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed')
    await remove(id)
  })
  test('the end of the input ends an attachment, unless the container ends with it', async () => {
    const attach = (id) => new Promise((resolve, reject) => {
      const request = http.request({ socketPath: server.socket, method: 'POST', path: `/containers/${id}/attach?stream=1&stdin=1&stdout=1`, headers: { Connection: 'Upgrade', Upgrade: 'tcp' } })
      request.on('upgrade', (response, socket) => resolve(socket)).on('error', reject).end()
    })
    const over = async (socket) => { let text = ''; for await (const chunk of socket) text += chunk; return text }
    const lasting = await start('lasting', { OpenStdin: true })
    const socket = await attach(lasting)
    socket.end()
    assert.equal(await over(socket), '')
    assert.equal((await ask('GET', `/containers/${lasting}/json`)).json.State.Running, true)
    await remove(lasting)

    const once = await start('once', { OpenStdin: true, StdinOnce: true, Cmd: ['sh', '-c', 'read x; read y; echo got $x'] })
    const other = await attach(once)
    other.end('words\n')
    assert.match(await over(other), /got words/)
    await remove(once)
  })
  test('a refused archive is heard out before the answer', async () => {
    const id = await create('refuses')
    const body = tar({ f: Buffer.alloc(150_000) })
    for (let i = 0; i < 5; i++) {
      const { status } = await server.request('PUT', `/containers/${id}/archive?path=/no/such`, { body, headers: { 'Content-Type': 'application/x-tar' } })
      assert.equal(status, 404)
    }
    await remove(id)
  })
})

describe('images', () => {
  const commit = async (id, tag, changes = []) =>
    ask('POST', `/commit?container=${id}&repo=as-docker&tag=${tag}${changes.map((change) => `&changes=${encodeURIComponent(change)}`).join('')}`)
  test('one that a stopped container uses goes by force alone; the container keeps what it stands on', async () => {
    const first = await create('first', { Cmd: ['sh', '-c', 'echo 1 >/made'] })
    await ask('POST', `/containers/${first}/start`)
    await ask('POST', `/containers/${first}/wait`)
    await commit(first, 'used')
    await remove(first)
    const user = await create('user', { Image: 'as-docker:used', Cmd: ['cat', '/made'] })
    const { Id } = (await ask('GET', '/images/as-docker:used/json')).json
    const short = Id.slice(7, 19)
    isMessage(await ask('DELETE', '/images/as-docker:used'), 409,
      `conflict: unable to remove repository reference "as-docker:used" (must force) - container ${user.slice(0, 12)} is using its referenced image ${short}`)
    isMessage(await ask('DELETE', `/images/${short}`), 409,
      `conflict: unable to delete ${short} (must be forced) - image is being used by stopped container ${user.slice(0, 12)}`)
    const gone = await ask('DELETE', '/images/as-docker:used?force=1')
    assert.equal(gone.status, 200)
    assert.deepEqual(gone.json.slice(0, 2), [{ Untagged: 'as-docker:used' }, { Deleted: Id }])
    isMessage(await ask('DELETE', '/images/as-docker:used?force=1'), 404, 'No such image: as-docker:used')
    assert.equal((await server.ok('start', '-a', 'user')), '1')
    await remove(user)
  })
  test('the name in a conflict is the one that was asked for', async () => {
    const id = await create('holds')
    const { message } = (await ask('DELETE', `/images/${I}`)).json
    assert.match(message, /^conflict: unable to remove repository reference "tabique\/base" \(must force\)/)
    await remove(id)
  })
  test('CMD [] leaves the container\'s command; an ENTRYPOINT behind it takes it away', async () => {
    const id = await create('plain')
    for (const [tag, changes] of [['empty', ['CMD []']], ['none', ['ENTRYPOINT []']], ['user', ['CMD []', 'ENTRYPOINT []', 'USER nobody']]]) {
      await commit(id, tag, changes)
      assert.deepEqual((await ask('GET', `/images/as-docker:${tag}/json`)).json.Config.Cmd, ['sleep', '1000'], tag)
    }
    await commit(id, 'entry', ['CMD []', 'ENTRYPOINT ["echo"]'])
    const { Cmd, Entrypoint } = (await ask('GET', '/images/as-docker:entry/json')).json.Config
    assert.deepEqual([Cmd, Entrypoint], [null, ['echo']])
    await remove(id)
  })
  test('one that was removed is gone for all but the containers that stand on it', async () => {
    const first = await create('maker')
    const { Id } = (await commit(first, 'kept')).json
    const user = await create('stands', { Image: 'as-docker:kept', Cmd: ['echo', 'whole'] })
    assert.equal((await ask('DELETE', '/images/as-docker:kept?force=1')).status, 200)
    for (const id of [Id, Id.slice(7), Id.slice(7, 19)]) {
      for (const path of ['json', 'history', 'get']) assert.equal((await ask('GET', `/images/${id}/${path}`)).status, 404, path)
      assert.equal((await ask('POST', `/images/${id}/tag?repo=as-docker&tag=again`)).status, 404)
      assert.equal((await ask('POST', '/containers/create', { Image: id, Cmd: ['true'] })).status, 404)
    }
    assert.equal(await server.ok('start', '-a', 'stands'), 'whole')
    assert.equal((await ask('POST', `/commit?container=${user}&repo=as-docker&tag=heir`)).status, 201)
    assert.equal(await server.ok('run', '--rm', 'as-docker:heir', 'echo', 'heir'), 'heir')
    for (const id of [first, user]) await remove(id)
  })
  test('save: a name with a tag is a reference, one without an image', async () => {
    for (const name of ['nosuch:tag', 'no/such:tag', `nosuch@sha256:${'a'.repeat(64)}`]) {
      isMessage(await ask('GET', `/images/${name}/get`), 404, 'reference does not exist')
      isMessage(await ask('GET', `/images/get?names=${I}&names=${name}`), 404, 'reference does not exist')
    }
    for (const name of ['nosuch', 'abcdef012345']) isMessage(await ask('GET', `/images/${name}/get`), 404, `No such image: ${name}`)
  })
  test('save: a repository is all of its tags, also without a latest one', async () => {
    const id = await create('tagged')
    for (const tag of ['a', 'b']) await ask('POST', `/commit?container=${id}&repo=as-docker/saved&tag=${tag}`)
    const { status, raw } = await ask('GET', '/images/as-docker/saved/get')
    assert.equal(status, 200)
    for (const tag of ['a', 'b']) assert.ok(raw.includes(`"as-docker/saved:${tag}"`), tag)
    await remove(id)
  })
  test('a health check that leaves times open has the image\'s, and the container the check\'s', async () => {
    const id = await create('checked', { Healthcheck: { Test: ['CMD', 'true'], Interval: 5e9, StartPeriod: 7e9, StartInterval: 1e9, Retries: 2 } })
    await commit(id, 'checked')
    await commit(id, 'unchecked', ['HEALTHCHECK NONE'])
    const made = async (tag, more) => {
      const at = await create(`health-${tag}`, { Image: `as-docker:${tag}`, ...more })
      const { json } = await ask('GET', `/containers/${at}/json`)
      await remove(at)
      return json.Config.Healthcheck
    }
    const times = { Interval: 5e9, StartPeriod: 7e9, StartInterval: 1e9, Retries: 2 }
    assert.deepEqual(await made('checked'), { Test: ['CMD', 'true'], ...times })
    assert.deepEqual(await made('checked', { Healthcheck: { StartInterval: 2e9 } }), { Test: ['CMD', 'true'], ...times, StartInterval: 2e9 })
    assert.deepEqual(await made('checked', { Healthcheck: { Test: ['CMD', 'false'], StartPeriod: 3e9 } }), { Test: ['CMD', 'false'], ...times, StartPeriod: 3e9 })
    assert.deepEqual(await made('unchecked'), { Test: ['NONE'], ...times })
    await remove(id)
  })
  test('import of an address: told as it goes, and refused with a status', async () => {
    const archive = tar({ it: 'fetched' })
    const far = http.createServer((request, response) => (request.url === '/root.tar' ? response.end(archive)
      : request.url === '/junk' ? response.end('this is no archive') : response.writeHead(404).end('no such thing')))
    await new Promise((resolve) => far.listen(0, '127.0.0.1', resolve))
    try {
      const at = `127.0.0.1:${far.address().port}`
      for (const source of [`http://${at}/root.tar`, `${at}/root.tar`]) {
        const { status, text } = await ask('POST', `/images/create?fromSrc=${encodeURIComponent(source)}&repo=as-docker&tag=fetched&changes=${encodeURIComponent('CMD ["x"]')}`)
        assert.equal(status, 200, text)
        const lines = text.trim().split('\r\n').map((line) => JSON.parse(line))
        assert.equal(lines[0].status, `Downloading from http://${at}/root.tar`)
        assert.match(lines.at(-1).status, /^sha256:[0-9a-f]{64}$/)
        const { json } = await ask('GET', '/images/as-docker:fetched/json')
        assert.deepEqual([json.Id, json.Comment, json.Config.Cmd], [lines.at(-1).status, `Imported from ${source}`, ['x']])
      }
      assert.match((await ask('POST', `/images/create?fromSrc=${at}/junk`)).text, /"error":"/)
      const missing = await ask('POST', `/images/create?fromSrc=http://${at}/none`)
      assert.equal(missing.status, 500)
      assert.match(missing.json.message, /^failed to GET http:[^ ]*\/none with status 404/)
      isMessage(await ask('POST', '/images/create?fromSrc=file:///etc/passwd'), 400, 'only http and https addresses can be fetched: file:///etc/passwd')
    } finally {
      await new Promise((resolve) => { far.closeAllConnections(); far.close(resolve) })
    }
  })
  test('prune by age takes what is older, and that alone', async () => {
    const prune = async (what, label) => {
      const answer = await ask('POST', `/${what}/prune?filters=${encodeURIComponent(JSON.stringify({ label: [label], until: [then] }))}`)
      assert.equal(answer.status, 200, answer.text)
      return answer.json
    }
    const made = {}
    const make = async (age) => {
      made[age] = await create(`prune-${age}`, { Labels: { by: 'age' } })
      await ask('POST', '/networks/create', { Name: `prune-${age}`, Labels: { by: 'age' } })
      await ask('POST', `/commit?container=${made[age]}`, { Labels: { by: 'age', age } })
    }
    await make('old')
    await new Promise((resolve) => setTimeout(resolve, 1100))
    const then = String(Math.floor(Date.now() / 1000))
    await new Promise((resolve) => setTimeout(resolve, 10))
    await make('new')
    assert.deepEqual((await prune('networks', 'by=age')).NetworksDeleted, ['prune-old'])
    assert.deepEqual((await prune('containers', 'by=age')).ContainersDeleted, [made.old])
    const left = async () => (await ask('GET', `/images/json?all=1&filters=${encodeURIComponent('{"label":["by=age"]}')}`)).json.map(({ Labels }) => Labels.age)
    assert.deepEqual((await left()).sort(), ['new', 'old'])
    assert.ok((await prune('images', 'by=age')).ImagesDeleted.length > 0)
    assert.deepEqual(await left(), ['new'])
    await remove(made.new)
    await ask('DELETE', '/networks/prune-new')
  })
  test('only the names that match a reference are listed', async () => {
    const id = await create('named')
    await commit(id, 'a')
    for (const [repo, tag] of [['as-docker', 'b'], ['else', 'c']]) await ask('POST', `/images/as-docker:a/tag?repo=${repo}&tag=${tag}`)
    const listed = async (reference) =>
      (await ask('GET', `/images/json?filters=${encodeURIComponent(JSON.stringify({ reference: [reference] }))}`)).json.flatMap((image) => image.RepoTags).sort()
    assert.deepEqual(await listed('as-docker:b'), ['as-docker:b'])
    assert.deepEqual(await listed('els*'), ['else:c'])
    await remove(id)
  })
})

describe('build', () => {
  const build = async (dockerfile, query = '') => {
    const answer = await server.request('POST', `/build?t=as-docker:built${query}`, {
      body: tar({ Dockerfile: dockerfile }), headers: { 'Content-Type': 'application/x-tar' } })
    return answer.text.trim().split('\n').map((line) => JSON.parse(line).stream)
  }
  test('health checks stand in the history as Docker writes them', async () => {
    const said = await build(`FROM ${I}\nHEALTHCHECK --interval=90s --timeout=2500ms --retries=2 CMD true\nHEALTHCHECK NONE\nHEALTHCHECK --start-interval=1s --retries=13 CMD ["a b"]\n`)
    const history = (await ask('GET', '/images/as-docker:built/history')).json.map((step) => step.CreatedBy).slice(0, 3)
    assert.deepEqual(history, [
      `/bin/sh -c #(nop)  HEALTHCHECK &{["CMD" "a b"] "0s" "0s" "0s" "1s" '\\r'}`,
      `/bin/sh -c #(nop)  HEALTHCHECK &{["NONE"] "0s" "0s" "0s" '\\x00'}`,
      `/bin/sh -c #(nop)  HEALTHCHECK &{["CMD-SHELL" "true"] "1m30s" "2.5s" "0s" '\\x02'}`])
    assert.ok(said.includes('Note: overriding previous HEALTHCHECK: [CMD-SHELL true]\n'), said.join(''))
  })
  test('a step is a message without the end of its line', async () => {
    assert.deepEqual((await build(`FROM ${I}\nENV A=b\n`)).filter((text) => /^Step/.test(text)), [`Step 1/2 : FROM ${I}`, 'Step 2/2 : ENV A=b'])
  })
  test('shm_size is what RUN has in /dev/shm', async () => {
    await build(`FROM ${I}\nRUN df -k /dev/shm | tail -1 | tr -s ' ' | cut -d ' ' -f 2 >/shm\nCMD ["cat", "/shm"]\n`, '&shmsize=8388608')
    assert.equal(await server.ok('run', '--rm', 'as-docker:built'), '8192')
  })
})

describe('networks', () => {
  const network = async (version, body) => ask('POST', `${version}/networks/create`, body)
  test('options of the addresses are shown as they were given, or not', async () => {
    for (const [name, IPAM, shown] of [['as-none', undefined, null], ['as-empty', { Options: {} }, {}], ['as-some', { Driver: 'default', Options: { a: 'b' } }, { a: 'b' }]]) {
      assert.equal((await network('', { Name: name, IPAM })).status, 201)
      assert.deepEqual((await ask('GET', `/networks/${name}`)).json.IPAM.Options, shown)
    }
    for (const name of ['as-none', 'as-empty', 'as-some']) assert.equal((await ask('DELETE', `/networks/${name}`)).status, 204)
  })
  test('a name may be given twice before 1.44, unless one asks; then it is ambiguous', async () => {
    const first = (await network('/v1.41', { Name: 'twice' })).json.Id
    isMessage(await network('/v1.41', { Name: 'twice', CheckDuplicate: true }), 409, 'network with name twice already exists')
    isMessage(await network('/v1.44', { Name: 'twice' }), 409, 'network with name twice already exists')
    const second = await network('/v1.41', { Name: 'twice' })
    assert.equal(second.status, 201, second.text)
    isMessage(await ask('GET', '/networks/twice'), 400, 'network twice is ambiguous (2 matches found on name)')
    const id = await start('on-one')
    assert.equal((await ask('POST', `/networks/${first}/connect`, { Container: id })).status, 200)
    assert.deepEqual(Object.keys((await ask('GET', `/networks/${first}`)).json.Containers), [id])
    assert.deepEqual((await ask('GET', `/networks/${second.json.Id}`)).json.Containers, {})
    assert.equal((await ask('POST', `/networks/${first}/disconnect`, { Container: id })).status, 200)
    await remove(id)
    for (const each of [first, second.json.Id]) assert.equal((await ask('DELETE', `/networks/${each}`)).status, 204)
  })
  test('IPv6 subnets and addresses without EnableIPv6 are taken and unused', async () => {
    const made = await network('', { Name: 'six', IPAM: { Config: [{ Subnet: 'fd00:77::/64' }] } })
    assert.equal(made.status, 201, made.text)
    const { EnableIPv6, IPAM } = (await ask('GET', '/networks/six')).json
    assert.equal(EnableIPv6, false)
    assert.deepEqual(IPAM.Config.map((config) => config.Subnet.includes(':')), [false, true])
    const id = await start('sixth', { HostConfig: { NetworkMode: 'six' }, NetworkingConfig: { EndpointsConfig: { six: { IPAMConfig: { IPv6Address: 'fd00:77::7' } } } } })
    const there = (await ask('GET', `/containers/${id}/json`)).json.NetworkSettings.Networks.six
    assert.deepEqual([there.IPAMConfig.IPv6Address, there.GlobalIPv6Address], ['fd00:77::7', ''])
    await remove(id)
    assert.equal((await ask('DELETE', '/networks/six')).status, 204)
  })
  test('link-local addresses are shown and are there', async () => {
    assert.equal((await network('', { Name: 'local' })).status, 201)
    const id = await start('linked')
    assert.equal((await ask('POST', '/networks/local/connect', { Container: id, EndpointConfig: { IPAMConfig: { LinkLocalIPs: ['169.254.8.9'] } } })).status, 200)
    assert.deepEqual((await ask('GET', `/containers/${id}/json`)).json.NetworkSettings.Networks.local.IPAMConfig.LinkLocalIPs, ['169.254.8.9'])
    assert.match(await server.ok('exec', id, 'ip', 'addr'), /inet 169\.254\.8\.9\/16/)
    isMessage(await ask('POST', '/networks/local/connect', { Container: id }), 403, 'endpoint with name linked already exists in network local')
    await remove(id)
    assert.equal((await ask('DELETE', '/networks/local')).status, 204)
  })
})

test('a volume whose driver is not there is named in the refusal', async () => {
  const { status, json } = await ask('POST', '/volumes/create', { Driver: 'nosuch' })
  assert.equal(status, 404)
  assert.match(json.message, /^create [0-9a-f]{64}: error looking up volume plugin nosuch: plugin "nosuch" not found$/)
})
